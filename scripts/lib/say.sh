# shellcheck shell=bash
# How our scripts talk: one line for each thing done, remedies for each thing refused.

say() { printf '==> %s\n' "$*"; }
note() { printf '    %s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; }

die() {
    fail "$@"
    exit 1
}

# Quotes its argument for any POSIX shell; `printf %q` may answer in bash's own $'...' form.
quoted() {
    local rest=$1 done=
    while [[ $rest == *\'* ]]; do
        done+="${rest%%\'*}'\\''"
        rest=${rest#*\'}
    done
    printf "'%s'" "$done$rest"
}

# version_at_least HAVE WANT: dotted numbers, compared part by part; what follows them (-rc.1, +ds) is ignored.
version_at_least() {
    local -a have want
    local i
    IFS=. read -ra have <<<"${1%%[!0-9.]*}"
    IFS=. read -ra want <<<"${2%%[!0-9.]*}"
    for i in "${!want[@]}"; do
        ((10#${have[i]:-0} == 10#${want[i]})) && continue
        ((10#${have[i]:-0} > 10#${want[i]}))
        return
    done
}
