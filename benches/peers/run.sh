# shellcheck shell=bash disable=SC2034 # lib/prefix.sh reads these variables by name
# `scripts/bench node`: builds the three servers and starts the load. The C node needs OTP's C library for nodes (libei), which is
# unpacked from Debian's erlang-dev beside the other prefixes of scripts/setup.

# shellcheck source=benches/peers/prefix.sh
. benches/peers/prefix.sh
# shellcheck source=scripts/lib/free_port.sh
. scripts/lib/free_port.sh

ei_recipe=1
ei_suite=trixie
ei_package=erlang-dev

ei_build() {
  local tree=$1 out=$2
  debs_unpack "$ei_suite" "$tree" "$ei_package"
  mv "$tree"/usr/lib/erlang/lib/erl_interface-*/{include,lib} "$out/"
}

# Only looked at: whether it links depends on the program.
ei_verify() {
  [[ -r $1/include/ei.h && -r $1/lib/libei.a ]]
}

# bench_binary NAME: builds that benchmark and says where it is.
bench_binary() {
  cargo bench --locked --no-run --bench "$1" --message-format=json |
    sed -n 's/.*"kind":\["bench"\].*"executable":"\([^"]*\)".*/\1/p'
}

node_figures() {
  local dir server codec status=0
  peer_prefix ei "$ei_recipe" "$ei_suite" "$ei_package"
  ei=$peer
  server=$(bench_binary node_server)
  codec=$(bench_binary node_codec)
  dir=$(mktemp -d "${TMPDIR:-/tmp}/sidekick-bench.XXXXXX")
  mkdir "$dir/logs"
  "${CC:-cc}" -O2 -Wall -Wextra -o "$dir/ei_server" benches/peers/ei_server.c -isystem "$ei/include" "$ei/lib/libei.a" -lpthread
  ERL_EPMD_PORT=$(free_port)
  export ERL_EPMD_PORT
  elixir benches/peers/figures.exs "$PWD" "$dir" "$1" "$server" "$codec" "$dir/ei_server" || status=$?
  rm -rf --one-file-system "$dir"
  return "$status"
}
