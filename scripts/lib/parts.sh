# shellcheck shell=bash
# The parts of scripts/test: how each is run, and how its own summary is read. Needs from the caller: lib/say.sh, lib/steps.sh,
# `binary` and `logs`.
# shellcheck disable=SC2154

# One line for each part that ran.
parts_lines=()

# run_part PART: runs part_PART with its output on the terminal and in a file, and adds up what it says.
run_part() {
    local part=$1 start status=0 log=$logs/$1
    start=$(now_ms)
    "part_$part" > >(tee "$log") 2>&1 || status=$?
    # tee has to be done before its file is read.
    wait $! 2>/dev/null || true
    counts_passed=0 counts_failed=0 counts_skipped=0
    "count_$part" "$log"
    # A part that fails without a failed test failed to build or to start.
    if ((status && counts_failed == 0)); then
        counts_failed=1
    elif ((status == 0 && counts_passed == 0 && counts_failed == 0 && counts_skipped == 0)); then
        fail "$part ran nothing"
        counts_failed=1
    fi
    steps_passed=$((steps_passed + counts_passed))
    steps_failed=$((steps_failed + counts_failed))
    steps_skipped=$((steps_skipped + counts_skipped))
    while IFS= read -r line; do
        steps_notes+=("$part: $line")
    done < <(sed -n 's/^ *\(skipped\|failed\): /\1: /p' "$log")
    parts_lines+=("$(printf '%-7s %5d passed %3d failed %3d skipped %8s s' \
        "$part" "$counts_passed" "$counts_failed" "$counts_skipped" "$(seconds_since "$start")")")
}

parts_tell() {
    printf '  %s\n' "${parts_lines[@]}"
    steps_tell
}

# sum_of FILE LINES WORD: adds up every `N WORD` in the lines that fit; both are extended regular expressions.
sum_of() {
    { sed 's/\x1b\[[0-9;]*m//g' "$1" | grep -E -- "$2" | grep -oE "[0-9]+ $3" || true; } | awk '{ sum += $1 } END { print sum + 0 }'
}

part_check() { ./scripts/check; }
count_check() {
    local line='^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$'
    counts_passed=$(sum_of "$1" "$line" passed)
    counts_failed=$(sum_of "$1" "$line" failed)
    counts_skipped=$(sum_of "$1" "$line" skipped)
}

part_build() {
    cargo build --locked --release || return 1
    # Places where a process dies on request belong to tests alone.
    if grep -q SIDEKICK_FAILPOINTS "$binary"; then
        fail "$binary has failpoints: debug assertions are on in the release profile"
        return 1
    fi
    say "built $binary"
}
count_build() { counts_passed=$(grep -c '^==> built ' "$1" || true); }

part_rust() {
    local status=0
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --locked --no-fail-fast --color never || status=1
        # nextest leaves the examples in the documentation to cargo.
        cargo test --locked --doc --no-fail-fast || status=1
    else
        cargo test --locked --no-fail-fast || status=1
    fi
    return "$status"
}
count_rust() {
    local line='^ *Summary \[.*tests run:|^test result:'
    counts_passed=$(sum_of "$1" "$line" passed)
    counts_failed=$(sum_of "$1" "$line" '(failed|timed out)')
    counts_skipped=$(sum_of "$1" "$line" '(skipped|ignored)')
}

part_elixir() {
    local project status=0
    if [[ ! -x $binary ]]; then
        part_build || return 1
    fi
    for project in elixir_frontend/*/mix.exs; do
        project=${project%/mix.exs}
        # It needs packages of Hex, and has a part of its own.
        [[ $project == "$web" ]] && continue
        say "$project"
        # SIDEKICK_TEST_ALL: no test may be left out for want of a part.
        env -C "$project" MIX_ENV=test SIDEKICK_BIN="$binary" SIDEKICK_TEST_ALL=1 mix test || status=1
    done
    return "$status"
}
count_elixir() {
    local line='^[0-9]+ .* failures?' total
    total=$(sum_of "$1" "$line" '(tests?|doctests?|properties|property),')
    counts_failed=$(sum_of "$1" "$line" '(failures?|invalid)')
    counts_skipped=$(sum_of "$1" "$line" '(skipped|excluded)')
    counts_passed=$((total - counts_failed - counts_skipped))
}

part_demo() {
    local status=0
    ./scripts/demo --dir "$logs/demo_files" || status=$?
    ((status == 0)) && say 'the demo holds'
    return "$status"
}
count_demo() { counts_passed=$(grep -c '^==> the demo holds$' "$1" || true); }

part_upgrade() {
    local status=0
    ./scripts/upgrade-demo --dir "$logs/upgrade_files" || status=$?
    ((status == 0)) && say 'the upgrade holds'
    return "$status"
}
count_upgrade() { counts_passed=$(grep -c '^==> the upgrade holds$' "$1" || true); }

# The demo's own report is looked at too, where the demo ran before.
part_browser() {
    local toolchain pictures=$PWD/var/browser
    toolchain=$(./scripts/setup --env --browser) || {
        if [[ ${SIDEKICK_REQUIRE_BROWSER:-} == 1 ]]; then
            fail 'no browser, see above, and SIDEKICK_REQUIRE_BROWSER=1'
            return 1
        fi
        warn 'NOT RUN: the report in a real browser, for there is no browser here (see above)'
        printf '  skipped: the report in a real browser: no Chromium, node or npm packages to be had\n'
        return 0
    }
    (
        eval "$toolchain"
        rm -rf "$pictures"
        mkdir -p "$pictures"
        env -C elixir_frontend/sidekick MIX_ENV=test mix run --no-start -e "Sidekick.Test.ReportSamples.write!(\"$logs/pages\")" || exit 1
        [[ -f $logs/demo_files/report.html ]] && cp "$logs/demo_files/report.html" "$logs/pages/demo.html"
        node scripts/browser/report.js "$pictures" "$logs"/pages/*.html
    )
}
count_browser() {
    local line='^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$'
    counts_passed=$(sum_of "$1" "$line" passed)
    counts_failed=$(sum_of "$1" "$line" failed)
    counts_skipped=$(grep -c '^  skipped: ' "$1" || true)
}

# The panel: what needs none of its packages always, and all else where they can be had.
part_web() {
    local status=0
    [[ -x $binary ]] || part_build || return 1
    env -C elixir_frontend/sidekick MIX_ENV=test mix compile >/dev/null && web_calls || status=1
    web_stale
    if ! project_packages "$web" "$logs/web_packages"; then
        web_not_run
        return $((status || $?))
    fi
    env -C "$web" MIX_ENV=test mix compile --warnings-as-errors || return 1
    env -C "$web" MIX_ENV=test SIDEKICK_BIN="$binary" SIDEKICK_TEST_ALL=1 mix test || status=1
    web_story || status=1
    web_kept_demo || status=1
    return "$status"
}
count_web() {
    local line='^[0-9]+ .* failures?' total
    count_browser "$1"
    total=$(sum_of "$1" "$line" '(tests?|doctests?),')
    counts_failed=$((counts_failed + $(sum_of "$1" "$line" '(failures?|invalid)')))
    counts_passed=$((counts_passed + total - $(sum_of "$1" "$line" '(failures?|invalid)') + $(grep -c ' functions of the library, 0 missing$' "$1")))
    counts_skipped=$((counts_skipped + $(sum_of "$1" '^NOT RUN: ' 'tests')))
}
count_ecto() {
    count_elixir "$1"
    counts_skipped=$((counts_skipped + $(sum_of "$1" '^NOT RUN: ' 'tests')))
}
