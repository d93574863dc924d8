//! Erlang distribution: EPMD, handshake, framing, connections.

mod name;

pub use name::{Cookie, InvalidNodeName, NodeName};

/// The port of the port mapper: `ERL_EPMD_PORT`, or 4369.
pub fn epmd_port_from_env() -> u16 {
    std::env::var("ERL_EPMD_PORT")
        .ok()
        .and_then(|port| port.parse().ok())
        .unwrap_or(4369)
}
