# shellcheck shell=bash
# Turns unpacked Debian packages into a private prefix whose programs run on any libc, and puts prefixes in place atomically.
#
# A prefix holds the payload in its Debian layout (usr/...), the libraries that the payload really needs, libc and dynamic loader
# included (lib/), and links to its programs (bin/). It is built aside, renamed into place, tried, and only then stamped: a
# prefix without its stamp does not count.
#
# Needs from the caller: BASE (where prefixes live), WORK (empty; prefix_begin sets it), lib/say.sh, lib/debs.sh.

# Where prefixes live. The place is written into programs' search paths and into shell scripts of Erlang's that do not quote it.
prefix_base() {
    local place
    place=$(realpath -m "${SIDEKICK_TOOLCHAIN:-${XDG_CACHE_HOME:-${HOME:?is not set}/.cache}/sidekick/toolchain}")
    [[ $place != *[!A-Za-z0-9._/+@~-]* ]] || die "$place holds a character that a toolchain's path cannot have; set SIDEKICK_TOOLCHAIN to another place"
    printf '%s\n' "$place"
}

# Opens a private working directory, on the same file system, under the lock. Whatever an earlier, killed run left behind goes.
prefix_begin() {
    [[ $WORK ]] && return
    mkdir -p "$BASE"
    exec 9>"$BASE/.lock"
    flock --nonblock 9 || { say 'waiting for another scripts/setup'; flock 9; }
    rm -rf "$BASE"/.work.*
    WORK=$(mktemp -d "$BASE/.work.XXXXXX")
    trap 'rm -rf "$WORK"' EXIT
}

# prefix_find NAME RECIPE: the newest finished prefix of that name, built by that recipe.
prefix_find() {
    local name=$1 recipe=$2 stamp best=''
    for stamp in "$BASE/$name"-*/.complete; do
        [[ -e $stamp && $(<"$stamp") == "recipe $recipe" ]] || continue
        [[ -z $best || $stamp -nt $best ]] && best=$stamp
    done
    [[ $best ]] && printf '%s\n' "${best%/.complete}"
}

# prefix_install NAME RECIPE SUITE PACKAGE: builds the prefix by calling NAME_build TREE OUT FINAL and tries it by NAME_verify FINAL.
# PACKAGE's version names it.
prefix_install() {
    local name=$1 recipe=$2 suite=$3 package=$4 version final start=$SECONDS
    debs_open "$suite"
    version=$(debs_version "$suite" "$package")
    [[ $version ]] || die "Debian $suite on this machine's mirror has no package $package"
    # An epoch's colon would split the search path that is written into the programs.
    version=${version#*:}
    final=$BASE/$name-$suite-$version-$(dpkg --print-architecture)
    if [[ -e $final/.complete && $(<"$final/.complete") == "recipe $recipe" ]]; then
        note "$name: $package $version is the newest in Debian $suite"
        return
    fi
    say "$name: installing $package $version from Debian $suite into $final"
    mkdir -p "$WORK/$name/out"
    "${name}_build" "$WORK/$name/tree" "$WORK/$name/out" "$final"
    rm -rf "$final"
    mv -T "$WORK/$name/out" "$final"
    rm -rf "${WORK:?}/$name"
    "${name}_verify" "$final" || die "$name: the unpacked packages do not work on this machine (see above); they are left in $final"
    printf 'recipe %s\n' "$recipe" >"$final/.complete"
    note "$name: tried, works; $(du -sh "$final" | cut -f1), $((SECONDS - start)) s"
}

# The dynamic loader among the unpacked packages of TREE; its name, which the ABI fixes, tells it. Before trixie libc was in /lib.
prefix_loader() {
    find "$1" -path '*/lib/*' -name 'ld-linux*.so.*' | head -n 1
}

# All directories of TREE that hold shared libraries, as a search path.
prefix_library_path() {
    find "$1" \( -name '*.so' -o -name '*.so.*' \) ! -type d -printf '%h\n' | sort -u | paste -sd:
}

is_elf() {
    local magic=
    LC_ALL=C IFS= read -r -n 4 magic <"$1" 2>/dev/null || true
    [[ $magic == $'\x7fELF' ]]
}

# All ELF files under DIR, one to a line (no package has a newline in a file name).
prefix_elf_files() {
    local file
    while IFS= read -r file; do
        is_elf "$file" && printf '%s\n' "$file"
    done < <(find "$1" -type f -size +1k \( -perm -u+x -o -name '*.so' -o -name '*.so.*' \))
    return 0
}

# prefix_libraries TREE OUT [SONAME...]: copies into OUT/lib what the ELF files of OUT need, and SONAME..., which they load at run
# time; the list is the one that TREE's own loader gives.
prefix_libraries() {
    local tree=$1 out=$2 loader path file line
    local -a elf
    shift 2
    loader=$(prefix_loader "$tree")
    path=$(prefix_library_path "$tree")
    mkdir -p "$out/lib"
    cp -L "$loader" "$out/lib/"
    for file in "$@"; do
        cp -L "$(find "$tree" -name "$file" | head -n 1)" "$out/lib/"
    done
    mapfile -t elf < <(prefix_elf_files "$out")
    for file in "${elf[@]}"; do
        [[ ${file##*/} == "${loader##*/}" ]] && continue
        "$loader" --library-path "$path" --list "$file" || die "the packages lack what ${file#"$out"/} needs"
    done >"$WORK/needed"
    while IFS= read -r line; do
        [[ $line == *' => '* ]] || continue
        file=${line#* => }
        file=${file% (0x*}
        # A library of the machine would fit this machine's libc only, and "not found" fits nothing.
        [[ $file == "$tree"/* ]] || die "the packages lack ${line#[[:space:]]}"
        cp -L "$file" "$out/lib/"
    done < <(sort -u "$WORK/needed")
}

# patchelf, run by its own loader: it needs no patching itself, nor anything of the machine.
prefix_open_patchelf() {
    local tree=$WORK/patchelf
    [[ -d $tree ]] && return
    debs_open trixie
    debs_unpack trixie "$tree" patchelf libstdc++6 libgcc-s1 libc6
    patchelf=("$(prefix_loader "$tree")" --library-path "$(prefix_library_path "$tree")" "$tree/usr/bin/patchelf")
}

# prefix_patch OUT FINAL: programs of OUT get FINAL's loader and libraries written in. A DT_RPATH of the program serves all that
# it loads, plug-ins too, except libraries that have a search path of their own: those are patched as well, nothing else is touched.
# (LD_LIBRARY_PATH would do as much, and break every program of the machine that ours start.)
prefix_patch() {
    local out=$1 final=$2 loader file count=0
    local -a elf
    prefix_open_patchelf
    loader=$(cd "$out/lib" && printf '%s' ld-linux*.so.*)
    mapfile -t elf < <(prefix_elf_files "$out")
    for file in "${elf[@]}"; do
        # Loader and libc can be started as programs too, but nothing starts them so.
        [[ ${file##*/} == "$loader" || ${file##*/} == libc.so.* ]] && continue
        if "${patchelf[@]}" --print-interpreter "$file" >/dev/null 2>&1; then
            "${patchelf[@]}" --set-interpreter "$final/lib/$loader" --force-rpath --set-rpath "$final/lib" "$file"
            count=$((count + 1))
        elif [[ $("${patchelf[@]}" --print-rpath "$file" 2>/dev/null) ]]; then
            "${patchelf[@]}" --force-rpath --set-rpath "$final/lib" "$file"
        fi
    done
    note "$count program(s) point at their own libc"
}
