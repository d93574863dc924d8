# shellcheck shell=bash
# The panel (elixir_frontend/sidekick_web) and the example with Ecto where their packages can be had, and what can be said of it where they cannot.
# Needs from the caller: lib/say.sh, `logs`, and to be called in the root of the repository.

web=elixir_frontend/sidekick_web
ecto=elixir_frontend/examples/ecto_consumer
web_evidence=docs/panel/EVIDENCE.md

# Set once packages could not be had, so that nobody waits for the same answer twice.
packages_away=

# project_packages PROJECT LOG: whether its packages are there or can be fetched, within two minutes.
project_packages() {
    local project=$1 log=$2
    [[ ! $packages_away ]] || return 1
    # Mix asks before it installs Hex, and nobody answers here.
    if timeout 120 env -C "$project" MIX_ENV=test bash -c 'mix local.hex --if-missing --force && mix deps.get' >"$log" 2>&1 </dev/null; then
        return 0
    fi
    sed -n '/^\*\*/p' "$log" | head -n 2 | sed 's/^/    | /'
    packages_away=yes
    return 1
}

# Parses every source and looks up what it calls of the library, which is compiled.
web_calls() { env -C elixir_frontend/sidekick MIX_ENV=test mix run --no-start ../../scripts/lib/web_calls.exs "../${web##*/}"; }

# web_tree PATH: what git calls its content, with `+` where files differ from it.
web_tree() {
    local tree
    tree=$(git rev-parse --verify --quiet "HEAD:$1") || { printf 'unknown'; return; }
    [[ -z $(git status --porcelain -- "$1") ]] || tree+=+
    printf '%s' "$tree"
}

# The tree that the evidence is of, as it stands there in a row `| sidekick_web | TREE |`.
web_verified() { sed -n "s/^| \`elixir_frontend\/$1\` | \`\([0-9a-f]*\)\` |.*/\1/p" "$web_evidence"; }

# Says where something changed since it was last verified. That is no failure: it says what to run.
web_stale() {
    local part
    for part in sidekick_web sidekick; do
        [[ $(web_tree "elixir_frontend/$part") == "$(web_verified "$part")" ]] && continue
        printf '  STALE: elixir_frontend/%s changed since %s was written; verify it where Hex is reachable: scripts/test web\n' "$part" "$web_evidence"
    done
}

# The consumer with Ecto, as its users have it: what Hex has, a real PostgreSQL.
part_ecto() {
    local tests
    if ! project_packages "$ecto" "$logs/ecto_packages"; then
        tests=$(grep -cE '^ *test "' "$ecto/test/matches_test.exs")
        printf '  skipped: ecto_consumer: its packages cannot be had here\n'
        printf 'NOT RUN: ecto_consumer, %d tests: Hex unreachable\n' "$tests"
        return 0
    fi
    env -C "$ecto" MIX_ENV=test mix compile --warnings-as-errors && env -C "$ecto" MIX_ENV=test mix test
}

web_not_run() {
    local tests
    tests=$(grep -rhE '^ *test "' "$web/test" | wc -l)
    printf '  skipped: sidekick_web: its packages cannot be had here\n'
    printf 'NOT RUN: sidekick_web, %d tests: Hex unreachable; last verified at tree %s\n' "$tests" "$(web_verified sidekick_web)"
    if [[ ${SIDEKICK_REQUIRE_WEB:-} == 1 ]]; then
        fail 'SIDEKICK_REQUIRE_WEB=1: the panel has to be tested'
        return 1
    fi
}

# The panel's story in a real browser, where there is one.
web_story() {
    local toolchain dir pictures=$PWD/var/panel
    toolchain=$(./scripts/setup --env --browser) || {
        printf '  skipped: the story of the panel in a real browser: no Chromium, node or npm packages to be had\n'
        [[ ${SIDEKICK_REQUIRE_BROWSER:-} != 1 ]]
        return
    }
    dir=$(mktemp -d)
    (
        eval "$toolchain"
        env -C "$web" MIX_ENV=prod mix do deps.get + compile >/dev/null || exit 1
        rm -rf "$pictures"
        SIDEKICK_BIN=$binary node scripts/browser/panel.js "$dir/story" "$pictures"
    )
    local status=$?
    rm -rf "$dir"
    return "$status"
}

# What `scripts/demo --keep` leaves running: its panel has to answer where the demo says that it is, until `--stop`.
web_kept_demo() {
    local dir status=0 url
    dir=$(mktemp -d)
    ./scripts/demo --keep --dir "$dir/demo" >"$dir/log" 2>&1 || status=$?
    url=$(grep -oE 'The panel: http://[0-9.:]+' "$dir/log" | cut -d' ' -f3)
    if ((status == 0)) && [[ $url ]] && elixir -e '
        {:ok, _} = Application.ensure_all_started(:inets)
        {:ok, {{_, 200, _}, _, body}} = :httpc.request(:get, {~c"#{hd(System.argv())}/login", []}, [timeout: 20_000], [])
        true = to_string(body) =~ "password"' "$url"; then
        printf '1 passed, 0 failed, 0 skipped\n'
    else
        cat "$dir/log"
        fail "the panel of scripts/demo --keep does not answer${url:+ at $url}"
        status=1
    fi
    ./scripts/demo --stop --dir "$dir/demo" || status=1
    rm -rf "$dir"
    return "$status"
}
