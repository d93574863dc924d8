# shellcheck shell=bash
# Runs named steps one after the other, whatever becomes of each, and keeps count. Needs from the caller: lib/say.sh.

steps_passed=0
steps_failed=0
steps_skipped=0
# What was skipped and what failed, for the end: one line each.
steps_notes=()

# seconds_since MILLISECONDS: with one decimal.
seconds_since() {
    local ms=$(($(now_ms) - $1))
    printf '%d.%d' $((ms / 1000)) $((ms % 1000 / 100))
}

now_ms() { date +%s%3N; }

# step NAME COMMAND...: its output shows only where it fails.
step() {
    local name=$1 start output
    shift
    start=$(now_ms)
    output=$(mktemp)
    if "$@" >"$output" 2>&1 </dev/null; then
        steps_passed=$((steps_passed + 1))
        printf '  ok       %-40s %6s s\n' "$name" "$(seconds_since "$start")"
    else
        steps_failed=$((steps_failed + 1))
        steps_notes+=("failed: $name")
        printf '  FAILED   %-40s %6s s\n' "$name" "$(seconds_since "$start")"
        sed 's/^/    | /' "$output"
    fi
    rm -f "$output"
}

# skip NAME REASON: something that this machine cannot do.
skip() {
    steps_skipped=$((steps_skipped + 1))
    steps_notes+=("skipped: $1: $2")
    printf '  skipped  %s: %s\n' "$1" "$2"
}

# absent NAME REMEDY: something that has to be there.
absent() {
    steps_failed=$((steps_failed + 1))
    steps_notes+=("failed: $1: $2")
    printf '  FAILED   %s: %s\n' "$1" "$2"
}

steps_tell() {
    ((${#steps_notes[@]})) && printf '  %s\n' "${steps_notes[@]}"
    printf '%d passed, %d failed, %d skipped\n' "$steps_passed" "$steps_failed" "$steps_skipped"
    ((steps_failed == 0))
}
