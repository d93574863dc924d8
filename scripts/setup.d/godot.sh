# shellcheck shell=bash disable=SC2034,SC2154 # setup reads these variables by name
# Part: a Godot >= 4.6 that runs headless; 4.6 is the first with StreamPeerUDS.

godot_title='Godot'
godot_recipe=1
godot_suite=testing
godot_package=godot
# The release that sidekick's tests ran with; others ought to do as well, and are named.
godot_tested=4.6.3

# Godot's version is asked in a HOME that it can write to: with any other it dies at start.
godot_version_of() {
    local home said
    home=$(mktemp -d)
    said=$(HOME=$home XDG_DATA_HOME='' XDG_CONFIG_HOME='' XDG_CACHE_HOME='' timeout 20 "$1" --headless --version 2>/dev/null) || said=
    rm -rf "$home"
    said=$(grep -Eo '^[0-9]+\.[0-9]+[0-9.]*' <<<"$said" | tail -n 1) || return 1
    printf '%s\n' "${said%.}"
}

godot_machine() {
    local name file version
    if [[ ${SIDEKICK_GODOT:-} ]]; then
        [[ -x $SIDEKICK_GODOT ]] || die "SIDEKICK_GODOT=$SIDEKICK_GODOT is no program"
        version=$(godot_version_of "$SIDEKICK_GODOT") || die "SIDEKICK_GODOT=$SIDEKICK_GODOT does not answer --headless --version"
        version_at_least "$version" 4.6 || warn "SIDEKICK_GODOT is Godot $version: before 4.6 there is no StreamPeerUDS, so sidekick talks TCP to it"
        AT[godot]=$(realpath "$SIDEKICK_GODOT")
        VERSION[godot]="Godot $version (SIDEKICK_GODOT)"
        return
    fi
    WHY[godot]='no godot on PATH'
    for name in godot godot4; do
        file=$(command -v "$name") || continue
        version=$(godot_version_of "$file") || { WHY[godot]="$file does not run headless"; continue; }
        version_at_least "$version" 4.6 || { WHY[godot]="$file is $version, older than 4.6"; continue; }
        AT[godot]=$(realpath "$file")
        VERSION[godot]="Godot $version"
        return
    done
    return 1
}

godot_prefix_version() {
    local version=${1##*/godot-"$godot_suite"-}
    printf 'Godot %s\n' "${version%%[!0-9.]*}"
}

godot_build() {
    local tree=$1 out=$2 final=$3
    # Headless Godot draws nothing: without the OpenGL drivers (mesa, LLVM) the download is a third smaller.
    debs_unpack_closure testing "$tree" '^(lib|zlib1g$|godot$)' '^lib(llvm|z3)' godot libudev1
    mkdir -p "$out/usr/bin" "$out/bin"
    mv "$tree/usr/bin/godot" "$out/usr/bin/godot"
    ln -s ../usr/bin/godot "$out/bin/godot"
    # Loaded at run time, so no list of needed libraries names it.
    prefix_libraries "$tree" "$out" libudev.so.1
    prefix_patch "$out" "$final"
}

# A script that runs proves more than a version: the engine's main loop, its class list and its way out.
godot_verify() {
    local prefix=$1 home=$WORK/godot-home said
    mkdir -p "$home/project"
    : >"$home/project/project.godot"
    cat >"$home/project/try.gd" <<'GD'
extends SceneTree
func _init() -> void:
	print("uds ", ClassDB.class_exists("StreamPeerUDS"))
	quit(7)
GD
    said=$(HOME=$home XDG_DATA_HOME='' XDG_CONFIG_HOME='' XDG_CACHE_HOME='' timeout 60 \
        "$prefix/bin/godot" --headless --path "$home/project" --script res://try.gd 2>&1; printf 'exit %s' $?)
    rm -rf "$home"
    [[ $said == *'uds true'*'exit 7' ]] && return
    printf '%s\n' "$said" >&2
    return 1
}

godot_exports() {
    local file=${AT[godot]}
    if [[ ${FROM[godot]} == prefix ]]; then
        prepend_path "$file/bin"
        file+=/usr/bin/godot
    elif [[ $(realpath "$(command -v godot || echo /)") != "$file" ]]; then
        # The user's engine has another name or place: a link of the usual name makes `godot` mean it.
        mkdir -p "$BASE/links"
        ln -sfn "$file" "$BASE/links/godot"
        prepend_path "$BASE/links"
    fi
    [[ ${VERSION[godot]} == *" $godot_tested"* ]] || warn "${VERSION[godot]}: sidekick's tests ran with $godot_tested"
    export_line SIDEKICK_GODOT "$file"
}
