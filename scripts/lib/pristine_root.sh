# shellcheck shell=bash
# Makes and enters the pristine Debian roots of scripts/pristine. Everything here runs as root in a mount and process namespace of its
# own (scripts/pristine sees to that): mounts are never visible outside, and whatever is left running dies with the namespace.
#
# Needs from the caller: lib/say.sh, lib/debs.sh, WORK.

# The user in the root; numbers as an ordinary first user has.
pristine_user=dev
pristine_home=/home/$pristine_user
pristine_bundle=/etc/ssl/certs/ca-certificates.crt

# root_make ROOT CODENAME: debootstrap and the tools that sidekick asks its users to have, Rust aside.
root_make() {
    local root=$1 codename=$2 source uri keyring packages
    source=$(debs_source_of "$codename") || die "no Debian release among this machine's apt sources"
    uri=$(grep -Eo '[a-z+]+:[^ ]*/[^ ]*' <<<"${source#*$'\n'}" | grep -v '=' | head -n 1)
    keyring=$(grep -Eio 'signed-by[=:] *[^] ]+' <<<"$source" | sed 's/^[^=:]*[=: ] *//') || keyring=
    say "debootstrap: Debian $codename, its smallest variant, into $root"
    mkdir -p "$root"
    env http_proxy="$(apt_setting Acquire::http::Proxy)" DEBIAN_FRONTEND=noninteractive \
        debootstrap --variant=minbase ${keyring:+--keyring="$keyring"} "$codename" "$root" "$uri" >"$root.debootstrap.log" 2>&1 ||
        { tail -n 20 "$root.debootstrap.log"; die "debootstrap failed, see $root.debootstrap.log"; }

    : >"$root/etc/apt/sources.list"
    printf '%s\n' "${source#*$'\n'}" >"$root/etc/apt/sources.list.d/debian.${source%%$'\n'*}"
    [[ $keyring == /* ]] && install -D -m 644 "$keyring" "$root$keyring"
    # How this machine reaches its mirror; nothing else of its apt configuration.
    apt-config dump | grep -E '^Acquire::(https?::|Check-|Retries)' >"$root/etc/apt/apt.conf.d/99pristine" || true
    printf 'APT::Install-Recommends "false";\n' >>"$root/etc/apt/apt.conf.d/99pristine"

    packages='ca-certificates curl git gcc libc6-dev'
    [[ $codename == trixie ]] && packages+=' cargo rustc'
    say "in it: $packages"
    # Word splitting is meant.
    # shellcheck disable=SC2086
    in_root "$root" sh -c 'apt-get update && apt-get install -y "$@" && apt-get clean' - $packages >"$root.apt.log" 2>&1 ||
        { tail -n 20 "$root.apt.log"; die "apt-get failed in the root, see $root.apt.log"; }
    # This machine may stand behind a proxy with its own authority.
    install -m 644 "${SSL_CERT_FILE:-$pristine_bundle}" "$root$pristine_bundle"
    in_root "$root" useradd --create-home --shell /bin/bash "$pristine_user"
    touch "$root/.pristine"
}

apt_setting() {
    local VALUE=''
    eval "$(apt-config shell VALUE "$1")"
    printf '%s' "$VALUE"
}

# root_add_rust ROOT TOOLCHAIN: copies a Rust toolchain in, for releases whose own is too old.
root_add_rust() {
    local root=$1 toolchain=$2 program
    [[ -e $root/opt/rust ]] && return
    [[ -x $toolchain/bin/cargo ]] || die "no Rust toolchain to copy in: $toolchain/bin/cargo is missing (--rust DIR names one)"
    say "copying Rust from $toolchain"
    mkdir -p "$root/opt/rust"
    tar -C "$toolchain" --exclude=./share/doc -cf - . | tar -C "$root/opt/rust" -xf -
    for program in "$root"/opt/rust/bin/*; do
        ln -sf "../../../opt/rust/bin/${program##*/}" "$root/usr/local/bin/"
    done
}

# root_fresh_home ROOT REPOSITORY: an empty home with a clone of what is committed; earlier runs leave no trace.
root_fresh_home() {
    local root=$1 repository=$2 config
    rm -rf --one-file-system "$root$pristine_home" "$root"/tmp/* "$root"/tmp/.[!.]* "$root"/var/tmp/*
    cp -rT "$root/etc/skel" "$root$pristine_home"
    say "cloning $repository at $(git -C "$repository" log -1 --format='%h %s')"
    git clone --quiet --no-hardlinks "file://$repository" "$root$pristine_home/sidekick"
    for config in config.toml config; do
        [[ -e ${CARGO_HOME:-$HOME/.cargo}/$config ]] && install -D -m 644 "${CARGO_HOME:-$HOME/.cargo}/$config" "$root$pristine_home/.cargo/$config"
    done
    in_root "$root" chown -R "$pristine_user:$pristine_user" "$pristine_home"
    # Names and addresses as this machine resolves them, for registries and for Erlang's short host name.
    install -m 644 /etc/resolv.conf /etc/hosts "$root/etc/"
}

# The kernel's file systems, seen in this namespace only.
root_mount() {
    local root=$1
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    # Shared memory of its own: leftovers of the machine's would show through.
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
}

in_root() {
    local root=$1
    shift
    chroot "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive \
        http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" "$@"
}

# root_run ROOT COMMAND: as the ordinary user, in the clone, with an environment that holds nothing of this machine's but the way
# to the network.
root_run() {
    local root=$1 command=$2 name
    local -a network=()
    for name in http_proxy https_proxy no_proxy all_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY CARGO_HTTP_PROXY HEX_MIRROR; do
        [[ ${!name:-} ]] && network+=("$name=${!name}")
    done
    for name in SSL_CERT_FILE CURL_CA_BUNDLE GIT_SSL_CAINFO CARGO_HTTP_CAINFO HEX_CACERTS_PATH; do
        [[ ${!name:-} ]] && network+=("$name=$pristine_bundle")
    done
    # The command is expanded inside.
    # shellcheck disable=SC2016
    chroot "$root" env -i setpriv --reuid="$pristine_user" --regid="$pristine_user" --init-groups \
        env PATH=/usr/local/bin:/usr/bin:/bin HOME="$pristine_home" USER="$pristine_user" LOGNAME="$pristine_user" SHELL=/bin/bash \
        TERM=dumb "${network[@]}" bash -c 'cd ~/sidekick && eval "$1"' bash "$command"
}
