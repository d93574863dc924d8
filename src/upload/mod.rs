//! Cursor to batches to sink to acknowledgement.
//!
//! A sink reads the buffer behind its own cursors and uploads to `Elixir.Sidekick.Ingest` on one of its nodes, or into tables of
//! a database. Either stores data and watermark in one transaction and stores nothing twice, so that sending again is harmless;
//! what became of a request whose answer was lost is asked for, never guessed. The cursor advances only to what the store says it holds; then the
//! buffer may trim.
//!
//! [`core`] decides (pure), with [`answers`] and [`plan`], [`breaker`] and [`bucket`]; [`sink`] does (one task per sink, whose actions are in [`act`]), [`beam`] and
//! [`postgres`] speak its protocol. Where nobody is reachable everything stays in the buffer, and the sink tries for ever, ever more
//! rarely. A record that the sink refuses for what it holds goes to its dead letters ([`dead`]), and the others go on;
//! state that it refuses makes its own scope wait.
//!
//! Architecture Invariant: nothing here holds records longer than a request is under way; the buffer is the only queue.

mod act;
mod answers;
mod backoff;
mod beam;
mod breaker;
mod bucket;
mod core;
mod dead;
mod drain;
mod drains;
mod events;
mod handle;
mod lag;
mod lane;
mod memory;
mod options;
mod outcome;
mod plan;
mod postgres;
mod removed;
mod requests;
mod settle;
mod sink;
mod status;
mod tell;
#[cfg(test)]
mod tests;
mod view;

pub use breaker::{BreakerOptions, BreakerState};
pub use dead::DeadLetter;
pub use drain::{DrainReport, ScopeProof, StreamProof};
pub use events::{SinkEvent, SinkEventKind};
pub use handle::{SinkError, Upload};
pub use lag::Lag;
pub use options::{Destination, SinkOptions};
pub use postgres::{InitError, Initialized, PostgresOptions, PostgresOptionsError, PostgresTls};
pub use removed::RemovedSink;
pub use status::{Halt, Loss, RefusedScope, SinkState, SinkStatus};
