# shellcheck shell=bash disable=SC2034,SC2154 # setup reads these variables by name
# Part: addr2line, which Godot's crash handler starts for its backtrace; where it is missing the handler dies instead of reporting.

addr2line_title='addr2line (binutils)'
addr2line_recipe=1
addr2line_suite=trixie
addr2line_package=binutils

addr2line_machine() {
    local file
    file=$(command -v addr2line) || { WHY[addr2line]='not on PATH'; return 1; }
    AT[addr2line]=$file
    VERSION[addr2line]="binutils $("$file" --version | sed -n '1s/.* //p')"
}

addr2line_prefix_version() {
    local version=${1##*/addr2line-"$addr2line_suite"-}
    printf 'binutils %s\n' "${version%%-*}"
}

addr2line_build() {
    local tree=$1 out=$2 final=$3
    debs_unpack_closure trixie "$tree" '^(lib|zlib1g$|binutils)' '^$' binutils
    mkdir -p "$out/bin"
    cp -L "$tree/usr/bin/addr2line" "$out/bin/"
    prefix_libraries "$tree" "$out"
    prefix_patch "$out" "$final"
}

addr2line_verify() {
    "$1/bin/addr2line" --version >/dev/null
}

addr2line_exports() {
    if [[ ${FROM[addr2line]} == prefix ]]; then
        prepend_path "${AT[addr2line]}/bin"
    fi
}
