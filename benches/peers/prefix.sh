# shellcheck shell=bash disable=SC2034 # lib/prefix.sh reads these variables by name
# Peers of the benchmarks that come from Debian's packages, unpacked beside the prefixes of scripts/setup by the same mechanism.

# shellcheck source=scripts/lib/say.sh
. scripts/lib/say.sh
# shellcheck source=scripts/lib/debs.sh
. scripts/lib/debs.sh
# shellcheck source=scripts/lib/prefix.sh
. scripts/lib/prefix.sh

# peer_prefix NAME RECIPE SUITE PACKAGE: sets `peer`, the prefix; installs it where there is none. As in scripts/setup, one at a time.
peer_prefix() {
  BASE=$(prefix_base)
  if ! peer=$(prefix_find "$1" "$2"); then
    mkdir -p "$BASE"
    exec 9>"$BASE/.lock"
    flock 9
    WORK=$(mktemp -d "$BASE/.work.XXXXXX")
    prefix_install "$@"
    rm -rf "$WORK"
    exec 9>&-
    peer=$(prefix_find "$1" "$2")
  fi
}
