//! Cursor to batches to sink to acknowledgement.
//!
//! A sink reads the buffer behind its own cursors and uploads to `Elixir.Sidekick.Ingest` on one of its nodes, or into tables of
//! a database. Either stores data and watermark in one transaction and stores nothing twice, so that sending again is harmless;
//! what became of a request whose answer was lost is asked for, never guessed. The cursor advances only to what the store says it holds; then the
//! buffer may trim.
//!
//! [`core`] decides (pure), [`sink`] does (one task per sink), [`beam`] and [`postgres`] speak its protocol. Where
//! nobody is reachable everything stays in the buffer, and the sink tries for ever.
//!
//! Architecture Invariant: nothing here holds records longer than a request is under way; the buffer is the only queue.

mod backoff;
mod beam;
mod core;
mod handle;
mod lane;
mod options;
mod outcome;
mod plan;
mod postgres;
mod requests;
mod sink;
mod status;
#[cfg(test)]
mod tests;
mod view;

pub use handle::Upload;
pub use options::{Destination, SinkOptions};
pub use postgres::{InitError, Initialized, PostgresOptions, PostgresOptionsError, PostgresTls};
pub use status::{Halt, SinkState, SinkStatus};
