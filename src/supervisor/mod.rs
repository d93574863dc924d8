//! Starts, watches, restarts and adopts game servers.
//!
//! One actor per server ([`actor`]) feeds a pure state machine ([`machine`], with [`policy`] and [`hang`]) with what its guard,
//! its session, the clock and the callers tell, and does what the machine says. Processes live under guards
//! ([`crate::guard`]), so that they outlive sidekick; the first act of an actor is to look for one ([`adopt`]).
//!
//! Servers that belong together have a conductor ([`group`]): it starts them in order, and restarts them together where the
//! strategy says so.
//!
//! Architecture invariants: what decides is pure; what acts decides nothing. A restart waits for nothing but the lock of the
//! guard before it and the new epoch: bundles, logs and facts are written beside it. Own decisions come before what the engine
//! printed, that before the wait status; a bundle keeps all three.

mod activity;
mod actor;
mod adopt;
mod book;
mod bundle;
mod cgroups;
mod check;
mod contain;
mod context;
mod core;
mod error;
mod event;
mod feed;
mod fingerprint;
mod frames;
mod group;
mod handle;
mod hang;
mod identity;
mod known;
mod launch;
mod link;
mod machine;
mod memory;
mod output;
mod plan;
mod policy;
mod probe;
mod reconfigure;
mod restore;
mod schedule;
mod slot;
mod spec;
mod status;
mod store;
mod tail;
mod together;

pub use contain::faults as containment_faults;
pub use error::{SupervisorError, SupervisorStartError};
pub use event::{EventKind, SupervisorEvent};
pub use feed::SessionFeed;
pub use handle::Supervisor;
pub use known::Kind;
pub use plan::{Changed, Plan};
pub use reconfigure::{Reconfigured, Rolled};
pub use restore::Restores;
pub use spec::{
    Backoff, Group, LogLimits, OnExit, ProbeKind, ProbeSpec, Restart, ServerSpec, Strategy,
    SupervisorOptions,
};
pub use status::{
    Activity, ActivityKind, CrashSummary, EndReason, Health, LastExit, LogLine, LogSource,
    SessionInfo, Standby, State, Status, ThreadActivity, Timings,
};

/// What an exit signal from Erlang asks for. The restart policy applies afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitRequest {
    /// `exit(pid, :shutdown)`: graceful stop; a permanent server comes back.
    Shutdown,
    /// `exit(pid, :kill)`.
    Kill,
    /// Any other reason: graceful stop that counts as abnormal.
    Other,
}
