//! What happens to a sink, for those who look on.

use super::breaker::BreakerState;
use super::status::SinkState;
use crate::types::{Scope, Sequence, SinkName, StreamName, UnixMillis};

/// Something happened to a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkEvent {
    /// Which.
    pub sink: SinkName,
    /// When.
    pub at_ms: UnixMillis,
    /// What.
    pub kind: SinkEventKind,
}

/// What happened to a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SinkEventKind {
    /// Trouble began or ended; work that comes and goes is no event.
    State {
        /// What it does now.
        state: SinkState,
        /// What went wrong last.
        error: Option<String>,
    },
    /// Its circuit breaker moved.
    Breaker {
        /// Where it stands now.
        state: BreakerState,
        /// Failures in a row.
        failures: u32,
        /// What went wrong last.
        error: Option<String>,
    },
    /// A record was put among its dead letters.
    Dead {
        /// The letter's number.
        number: u64,
        /// Where the record stands.
        stream: StreamName,
        /// Its place there.
        seq: Sequence,
        /// What the sink said.
        error: String,
    },
    /// It refuses the state of a scope for what it holds; that scope waits and is tried again.
    StateRefused {
        /// Which.
        scope: Scope,
        /// What the sink said.
        error: String,
        /// How often by now.
        attempts: u32,
    },
    /// It takes the state of such a scope again.
    StateTaken {
        /// Which.
        scope: Scope,
    },
    /// Dead letters were offered again.
    Redriven {
        /// How many.
        letters: u64,
    },
    /// Dead letters were discarded.
    Discarded {
        /// How many.
        letters: u64,
    },
}
