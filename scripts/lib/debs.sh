# shellcheck shell=bash
# Fetches and unpacks Debian packages as an ordinary user, without touching the machine's apt state, sources or libraries.
#
# apt runs with a state directory of our own and an empty list of installed packages, so that the closure it computes is whole: it
# brings its own libc. Mirror, keyring, proxy and certificates are those of the machine's apt configuration; only the suite differs,
# and signatures are verified as the machine would.
#
# Needs from the caller: WORK, a private directory. From lib/say.sh: note, fail, die.

debs_lib=$(dirname "${BASH_SOURCE[0]}")

# True where this mechanism can work at all.
debs_usable() {
    command -v apt-get >/dev/null && command -v apt-cache >/dev/null && command -v dpkg-deb >/dev/null && debs_source_of trixie >/dev/null
}

# The machine's Debian source, pointed at SUITE. First line: the file name's extension that apt wants for that form.
debs_source_of() {
    local suite=$1 LIST='' PARTS='' codename file format text
    eval "$(APT_CONFIG='' apt-config shell LIST Dir::Etc::sourcelist/f PARTS Dir::Etc::sourceparts/d)"
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
    for file in "${PARTS%/}"/*.sources "$LIST" "${PARTS%/}"/*.list; do
        [[ -r $file && -f $file ]] || continue
        format=list
        [[ $file == *.sources ]] && format=sources
        text=$(awk -v suite="$suite" -v format="$format" -v codename="$codename" -f "$debs_lib/sources.awk" "$file")
        [[ $text ]] || continue
        printf '%s\n%s\n' "$format" "$text"
        return 0
    done
    return 1
}

# debs_apt SUITE COMMAND...: runs an apt command against SUITE's private state.
debs_apt() {
    local suite=$1
    shift
    APT_CONFIG=$WORK/apt/$suite/apt.conf LC_ALL=C "$@" </dev/null
}

# Writes SUITE's private apt directory and downloads its package list; a second call in one run does nothing.
debs_open() {
    local suite=$1 dir=$WORK/apt/$1 source main=''
    [[ -e $dir/opened ]] && return 0
    source=$(debs_source_of "$suite") || die "no Debian release among this machine's apt sources"
    mkdir -p "$dir"/{state/lists/partial,cache/archives/partial,sources.d,empty.d}
    : >"$dir/status"
    printf '%s\n' "${source#*$'\n'}" >"$dir/sources.d/debian.${source%%$'\n'*}"

    # apt reads APT_CONFIG first, then the machine's apt.conf.d, then the main file; what must win stands in the main file, which
    # therefore is ours and includes the machine's.
    [[ -r /etc/apt/apt.conf ]] && main='#include "/etc/apt/apt.conf";'
    printf 'Dir::Etc::main "%s";\n' "$dir/main.conf" >"$dir/apt.conf"
    cat >"$dir/main.conf" <<CONF
$main
Dir::State "$dir/state";
Dir::State::status "$dir/status";
Dir::Cache "$dir/cache";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$dir/sources.d";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "$dir/empty.d";
// The machine's hooks are for the machine's own state.
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Install-Pkgs;
#clear APT::Default-Release;
// No foreign architectures.
#clear APT::Architectures;
APT::Architectures { "$(dpkg --print-architecture)"; };
APT::Install-Recommends "false";
// As root, apt would drop to a user that cannot read our directories.
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
CONF
    note "reading Debian $suite's package list from this machine's mirror"
    debs_apt "$suite" apt-get update -o APT::Update::Error-Mode=any >"$dir/update.log" 2>&1 || debs_explain "$suite" "$dir/update.log"
    touch "$dir/opened"
}

# Says why a suite could not be read, and ends. Verification is never switched off.
debs_explain() {
    local suite=$1 log=$2
    tail -n 12 "$log" | sed 's/^/    | /' >&2
    if grep -Eq 'NO_PUBKEY|EXPKEYSIG|is not signed|not verified|Missing key|signing key' "$log"; then
        fail "the signature of Debian $suite could not be verified with this machine's keyring"
        die 'remedy: apt-get update && apt-get install --only-upgrade debian-archive-keyring'
    fi
    die "Debian $suite could not be read from this machine's apt mirror (see above)"
}

# The candidate version of PACKAGE in SUITE; empty if there is none.
debs_version() {
    debs_apt "$1" apt-cache policy "$2" | awk '$1 == "Candidate:" && $2 != "(none)" { print $2 }'
}

# debs_unpack SUITE DIR PACKAGE...: downloads just these packages and unpacks them; nothing is installed, no script of theirs runs.
debs_unpack() {
    local suite=$1 dir=$2 deb debs=$WORK/debs
    shift 2
    rm -rf "$debs"
    mkdir -p "$debs" "$dir"
    (cd "$debs" && debs_apt "$suite" apt-get download "$@" >"$WORK/download.log" 2>&1) || {
        tail -n 12 "$WORK/download.log" | sed 's/^/    | /' >&2
        die "packages of Debian $suite could not be downloaded (see above)"
    }
    note "unpacking $# package(s), $(du -sh "$debs" | cut -f1) downloaded"
    for deb in "$debs"/*.deb; do
        dpkg-deb --extract "$deb" "$dir"
    done
    rm -rf "$debs"
}

# debs_unpack_closure SUITE DIR KEEP DROP PACKAGE...: unpacks what PACKAGE... need, down to libc, as far as the name matches KEEP and not
# DROP (extended regular expressions). A closure also holds what only an installation needs: debconf, perl, init scripts.
debs_unpack_closure() {
    local suite=$1 dir=$2 keep=$3 drop=$4 names
    shift 4
    names=$(debs_apt "$suite" apt-get --simulate install "$@" |
        awk -v keep="$keep" -v drop="$drop" '$1 == "Inst" && $2 ~ keep && $2 !~ drop { print $2 }')
    # Word splitting is meant: package names are single words.
    # shellcheck disable=SC2086
    debs_unpack "$suite" "$dir" $names
}
