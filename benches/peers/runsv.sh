# shellcheck shell=bash
# `scripts/bench supervise`: runit's runsv, unpacked from Debian's package.

# shellcheck source=benches/peers/prefix.sh
. benches/peers/prefix.sh

runsv_build() {
  local tree=$1 out=$2 final=$3
  debs_unpack_closure trixie "$tree" '^(libc6|runit)$' '^$' runit
  mkdir -p "$out/bin"
  cp -L "$tree/usr/bin/runsv" "$out/bin/"
  prefix_libraries "$tree" "$out"
  prefix_patch "$out" "$final"
}

# Without an argument it says how it is used, and ends with 1.
runsv_verify() {
  [[ $("$1/bin/runsv" 2>&1) == *usage* ]]
}

# Sets `peer` as `peer_prefix` does.
runsv_prefix() {
  peer_prefix runsv 1 trixie runit
}
