//! The Erlang port mapper: which node of a machine listens on which port.
//!
//! A registration lives as long as its connection. Where nobody serves the protocol on this machine, sidekick does
//! ([`server`]); [`registration`] keeps our entry alive wherever it is.

mod answer;
pub mod client;
pub mod registration;
pub mod server;

/// The port of the port mapper: `ERL_EPMD_PORT`, or 4369.
pub fn port_from_env() -> u16 {
    std::env::var("ERL_EPMD_PORT")
        .ok()
        .and_then(|port| port.parse().ok())
        .unwrap_or(erl_dist::epmd::DEFAULT_EPMD_PORT)
}
