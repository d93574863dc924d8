# shellcheck shell=bash disable=SC2034,SC2154 # setup reads these variables by name
# Part: Python 3 for the test of the reference client, which uses its standard library alone.

python_title='Python'
python_recipe=1
python_suite=trixie
python_package=python3-minimal

python_machine() {
    local file
    file=$(command -v python3) || { WHY[python]='no python3 on PATH'; return 1; }
    VERSION[python]=$("$file" --version 2>/dev/null | sed -n 's/^Python //p')
    version_at_least "${VERSION[python]:-0}" 3.9 || { WHY[python]="python3 is ${VERSION[python]:-unusable}, not 3.9 or newer"; return 1; }
    AT[python]=$file
}

python_prefix_version() {
    local version=${1##*/python-"$python_suite"-}
    printf '%s\n' "${version%%-*}"
}

python_build() {
    local tree=$1 out=$2 final=$3 loader
    debs_unpack_closure trixie "$tree" '^(lib|zlib1g$|python3)' '^$' python3 python3-minimal libpython3-stdlib
    mkdir -p "$out/usr/bin" "$out/usr/lib" "$out/bin"
    cp -L "$tree/usr/bin/python3" "$out/usr/bin/"
    cp -a "$tree"/usr/lib/python3* "$out/usr/lib/"
    prefix_libraries "$tree" "$out"
    loader=$(cd "$out/lib" && printf '%s' ld-linux*.so.*)
    # Debian's python is bound to its addresses (no PIE), which patchelf cannot grow without breaking it: its loader is called by name.
    cat >"$out/bin/python3" <<SCRIPT
#!/bin/sh
PYTHONHOME=$final/usr
export PYTHONHOME
exec $final/lib/$loader --library-path $final/lib $final/usr/bin/python3 "\$@"
SCRIPT
    chmod +x "$out/bin/python3"
}

python_verify() {
    "$1/bin/python3" -c 'import os, random, select, socket, struct, sys, time'
}

python_exports() {
    if [[ ${FROM[python]} == prefix ]]; then
        prepend_path "${AT[python]}/bin"
    fi
}
