//! How a sink fares.

use super::breaker::BreakerState;
use crate::types::{Scope, SinkName, StreamName, UnixMillis};

/// Why a sink stopped for good: sending on could hide a loss. An operator has to decide.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Halt {
    /// The sink's nodes open another store than the one that acknowledged so far.
    #[error(
        "the store is another one than before ({found} instead of {expected}): was it reset, or is this another cluster? if that is meant, give the sink a new name"
    )]
    StoreChanged {
        /// The store that acknowledged so far.
        expected: String,
        /// The store that answers now.
        found: String,
    },
    /// The store holds more than this origin ever wrote.
    #[error(
        "the store holds {stream} up to {watermark}, but only {last} were ever written here: was the buffer restored from an older copy? salvage it under a new origin"
    )]
    BeyondEnd {
        /// The stream.
        stream: StreamName,
        /// What the store holds.
        watermark: u64,
        /// What this origin wrote.
        last: u64,
    },
    /// The store lacks records that it acknowledged and that are trimmed here.
    #[error(
        "the store lacks {stream} from {from} to {to}, which it had acknowledged and which are gone here: was it restored from an older backup? restore a newer one, then  sidekick ctl sink retry {sink}  or give them up by adding --accept-loss"
    )]
    Lost {
        /// The sink.
        sink: SinkName,
        /// The stream.
        stream: StreamName,
        /// First missing sequence.
        from: u64,
        /// Last missing sequence.
        to: u64,
    },
    /// The state in the store is not the one that the changes build upon.
    #[error(
        "the store holds revision {stored} of the state of {scope}, but acknowledged {acknowledged}: was it restored from an older backup? restore a newer one, then  sidekick ctl sink retry"
    )]
    StateLost {
        /// The scope.
        scope: String,
        /// What the store holds.
        stored: u64,
        /// What it acknowledged.
        acknowledged: u64,
    },
    /// The store holds a later revision than there ever was here.
    #[error(
        "the store holds revision {stored} of the state of {scope}, but only {last} were ever made here: was the buffer restored from an older copy? salvage it under a new origin"
    )]
    StateBeyondEnd {
        /// The scope.
        scope: String,
        /// What the store holds.
        stored: u64,
        /// What this origin made.
        last: u64,
    },
    /// The store has seen a later owner of the scope than this origin knows.
    #[error(
        "the store has epoch {stored} of the state of {scope}, later than any here: does a copy of this buffer run elsewhere?"
    )]
    StaleEpoch {
        /// The scope.
        scope: String,
        /// What the store holds.
        stored: u64,
    },
    /// The sink refuses a request that will not get better.
    #[error("the sink refuses {what}: {reason}")]
    Refused {
        /// Which data.
        what: String,
        /// What it said.
        reason: String,
    },
    /// Our own buffer failed.
    #[error("the buffer failed: {0}")]
    Buffer(String),
}

/// Records that a store had acknowledged, lacks, and cannot get again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Their stream.
    pub stream: StreamName,
    /// The first of them.
    pub from: u64,
    /// The last of them.
    pub to: u64,
}

/// What a sink does now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkState {
    /// None of its nodes is connected; everything stays in the buffer.
    Waiting,
    /// Connected, everything stored.
    Idle,
    /// Connected, with something to send.
    Uploading,
    /// Something failed; it is tried again after a pause.
    BackingOff,
    /// Stopped for good.
    Halted,
}

impl SinkState {
    /// Its name in replies and logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Idle => "idle",
            Self::Uploading => "uploading",
            Self::BackingOff => "backing_off",
            Self::Halted => "halted",
        }
    }
}

/// A scope whose state a sink refuses for what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedScope {
    /// Which. Nothing else waits for it.
    pub scope: Scope,
    /// What the sink said last.
    pub error: String,
    /// How often, in a row.
    pub attempts: u32,
}

/// How a sink fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkStatus {
    /// Its name.
    pub name: SinkName,
    /// Its kind, as in the configuration.
    pub kind: &'static str,
    /// What it does now.
    pub state: SinkState,
    /// The node it uploads to.
    pub node: Option<String>,
    /// The store that acknowledges, as it names itself.
    pub store: Option<String>,
    /// Records that are not acknowledged.
    pub lag_records: u64,
    /// Payload bytes that are not acknowledged, roughly.
    pub lag_bytes: u64,
    /// Records acknowledged since sidekick started.
    pub acknowledged: u64,
    /// Failures in a row.
    pub failures: u32,
    /// Where its circuit breaker stands.
    pub breaker: BreakerState,
    /// Since when.
    pub breaker_since_ms: UnixMillis,
    /// Records among its dead letters.
    pub dead_letters: u64,
    /// Their payload bytes.
    pub dead_bytes: u64,
    /// Scopes whose state it refuses: they wait, and are tried again.
    pub refused_scopes: Vec<RefusedScope>,
    /// What went wrong last, while it is not over.
    pub error: Option<String>,
}
