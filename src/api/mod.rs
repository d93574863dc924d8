//! Typed requests and replies, their terms, and their dispatch.
//!
//! [`Request`] is the table of DESIGN.md, "Contracts", parsed once. `service` answers it, whether it came as a
//! gen call to the process `sidekick`, by `rpc`/`erpc` to module `sidekick`, or over the control listener.
//! `supervisor_process` speaks OTP's supervisor protocol and `pids` gives every server a pid of its own.

mod child_contain;
mod child_health;
mod child_spec;
mod cluster;
mod data;
mod error;
mod events;
mod functions;
mod json;
mod otp_child;
mod parts;
mod pids;
mod process;
mod reply;
mod request;
mod servers;
mod service;
mod sinks;
mod subscriptions;
mod supervisor_process;
mod told;
mod topic;

pub use cluster::NodeCluster;
pub use error::ApiError;
pub use functions::SidekickFunctions;
pub use parts::Parts;
pub use request::Request;
pub use topic::Topic;

use std::sync::Arc;

/// Registers `sidekick` and `sidekick_sup`, and gives the servers their pids. The remote functions are for the caller
/// to offer.
///
/// # Panics
/// Never: the names of a fresh node are free.
pub fn start(parts: &Arc<Parts>) -> Arc<SidekickFunctions> {
    let functions = Arc::new(SidekickFunctions::new(parts.clone()));
    tokio::spawn(pids::follow(parts.clone()));
    let sidekick = parts.node.spawn(process::MAILBOX);
    let supervisor = parts.node.spawn(process::MAILBOX);
    for (name, process) in [("sidekick", &sidekick), ("sidekick_sup", &supervisor)] {
        assert!(
            parts.node.register(name, process.pid()),
            "{name} is registered once"
        );
    }
    tokio::spawn(process::serve(parts.clone(), sidekick));
    tokio::spawn(supervisor_process::serve(parts.clone(), supervisor));
    functions
}
