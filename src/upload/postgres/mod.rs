//! A sink of kind `postgres`: records and state into tables of PostgreSQL, or of what speaks its protocol.
//!
//! One upload is one transaction: it locks the stream's row in the table of watermarks, stores what lies above, and moves the
//! watermark. Whoever sends again, and whichever answer got lost, finds the watermark and stores nothing twice. A state upload
//! does the same with the scope's row and its revision.
//!
//! The SQL is what CockroachDB has as well: no `COPY`, no `DO`, no advisory locks, no triggers. Many records go as arrays that
//! one `INSERT` takes apart by `unnest`, or several where they would be too large for one message.
//!
//! [`options`] says where and how, [`tls`] encrypts, [`connection`] holds what is prepared and [`pool`] the connections, [`records`] and
//! [`state`] are the two transactions, [`pieces`] makes messages of payloads, [`json`] maps terms, [`schema`] makes the tables, and
//! [`trial`] tries them, [`failure`] tells what an error means and [`remedy`] what helps.
//!
//! Architecture Invariant: a connection on which anything went wrong is never used again, so that no transaction is ever
//! continued whose state is in doubt.

mod connection;
mod failure;
mod json;
mod names;
mod options;
mod pieces;
mod pool;
mod records;
mod remedy;
mod schema;
mod state;
mod statements;
mod tls;
mod trial;

pub use options::{PostgresOptions, PostgresOptionsError, PostgresTls};
pub use schema::{InitError, Initialized};

use super::outcome::{Outcome, StateOutcome};
use crate::buffer::{Record, StateDelta};
use crate::types::{Origin, Revision, Scope, Sequence, StreamName};
use connection::Connection;
use std::sync::Mutex;
use std::time::Duration;

/// What is uploaded of a stream.
pub(super) struct Upload<'a> {
    pub(super) origin: Origin,
    pub(super) node: &'a str,
    pub(super) stream: &'a StreamName,
    pub(super) last: Sequence,
    pub(super) dropped: &'a [(Sequence, Sequence)],
    pub(super) records: &'a [Record],
}

/// The database of a sink. As many connections are kept as requests were under way at once.
pub(super) struct Database {
    options: PostgresOptions,
    timeout: Duration,
    idle: Mutex<Vec<Connection>>,
}

impl Database {
    /// Connects nowhere yet.
    pub(super) fn new(options: PostgresOptions, timeout: Duration) -> Self {
        Self {
            options,
            timeout,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Stores what lies above the watermark. Dropped before its end, its outcome is unknown.
    pub(super) async fn upload(&self, upload: Upload<'_>) -> Outcome {
        let form = self.options.payload;
        let work =
            async |connection: &mut Connection| records::upload(connection, form, &upload).await;
        self.run(work).await.unwrap_or_else(Outcome::Failed)
    }

    /// Asks for the watermark.
    pub(super) async fn watermark(&self, origin: Origin, stream: &StreamName) -> Outcome {
        let work = async |connection: &mut Connection| {
            records::watermark(connection, origin, stream).await
        };
        self.run(work).await.unwrap_or_else(Outcome::Failed)
    }

    /// Applies changes of state.
    pub(super) async fn upload_state(
        &self,
        origin: Origin,
        scope: &Scope,
        delta: &StateDelta,
    ) -> StateOutcome {
        let form = self.options.payload;
        let work = async |connection: &mut Connection| {
            state::upload(connection, form, origin, scope, delta, false).await
        };
        self.run(work).await.unwrap_or_else(StateOutcome::Failed)
    }

    /// Puts the whole of a scope in place of whatever is there.
    pub(super) async fn replace_state(
        &self,
        origin: Origin,
        scope: &Scope,
        whole: &StateDelta,
    ) -> StateOutcome {
        let form = self.options.payload;
        let work = async |connection: &mut Connection| {
            state::upload(connection, form, origin, scope, whole, true).await
        };
        self.run(work).await.unwrap_or_else(StateOutcome::Failed)
    }

    /// Asks whether a scope is there as it was acknowledged.
    pub(super) async fn holds_state(
        &self,
        origin: Origin,
        scope: &Scope,
        acknowledged: Revision,
    ) -> StateOutcome {
        let work = async |connection: &mut Connection| {
            state::holds(connection, origin, scope, acknowledged).await
        };
        self.run(work).await.unwrap_or_else(StateOutcome::Failed)
    }

    /// Makes the tables where they are missing, and checks those that are there.
    pub(super) async fn init(&self) -> Result<Initialized, InitError> {
        schema::init(&self.options).await
    }

    /// The statements by which [`init`](Self::init) makes them.
    pub(super) fn schema_sql(&self) -> String {
        schema::sql(&self.options)
    }
}
