//! Erlang distribution: EPMD, handshake, framing, connections.
