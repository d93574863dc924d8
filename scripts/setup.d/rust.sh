# shellcheck shell=bash disable=SC2034,SC2154 # setup reads these variables by name
# Part: cargo >= 1.85 and a C compiler (it links, and builds the C and assembler in TLS crates). Looked for, never installed: whoever
# builds Rust has them, and how to get them is theirs to decide.

rust_title='Rust and a C compiler'

rust_machine() {
    local cargo version compiler
    cargo=$(command -v cargo) || cargo=${HOME:-}/.cargo/bin/cargo
    [[ -x $cargo ]] || { WHY[rust]='no cargo on PATH'; return 1; }
    version=$("$cargo" --version 2>/dev/null | awk '{ print $2 }')
    version_at_least "${version:-0}" 1.85 || { WHY[rust]="cargo ${version:-that does not answer} is older than 1.85"; return 1; }
    compiler=$(command -v cc || command -v gcc || command -v clang) || { WHY[rust]='no C compiler (cc) on PATH'; return 1; }
    # A compiler without the C library's headers is common on small systems and fails only deep inside a build.
    printf '#include <stdlib.h>\n' | "$compiler" -E - >/dev/null 2>&1 || { WHY[rust]="$compiler finds no C library headers"; return 1; }
    AT[rust]=$(dirname "$cargo")
    VERSION[rust]="cargo $version, $(basename "$compiler")"
}

rust_exports() {
    command -v cargo >/dev/null || prepend_path "${AT[rust]}"
}
