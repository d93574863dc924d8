//! The values that go into and come out of a buffer.

use super::options::Limit;
use crate::types::{
    BatchNumber, Epoch, Key, Payload, Revision, Scope, Sequence, SinkName, StreamName, Token,
    UnixMillis,
};
use bytes::Bytes;

/// Names one append of one producer, so that sending it again is harmless. Numbers increase; they may skip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Producer {
    /// Who appends (1 to 255 bytes), unique within the stream.
    pub name: Bytes,
    /// The number of this append.
    pub batch: u64,
}

/// Where an append landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Sequence of its first event.
    pub first: Sequence,
    /// Sequence of its last event.
    pub last: Sequence,
    /// It had been applied before; this is the outcome of then.
    pub repeated: bool,
}

/// One change to a scope's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Sets a key.
    Put(Key, Payload),
    /// Removes a key; fine where it is absent.
    Delete(Key),
}

impl Change {
    /// The key it is about.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }
}

/// Everything one session commits at once: one atomic record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionBatch {
    /// Whose it is.
    pub scope: Scope,
    /// The activation under which it was made.
    pub epoch: Epoch,
    /// Its number within the epoch: from 1, consecutive.
    pub batch: BatchNumber,
    /// Events in order.
    pub events: Vec<(StreamName, Payload)>,
    /// State changes; of several to one key the last counts.
    pub changes: Vec<Change>,
}

/// Answer to a session batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// It had been committed before and was not applied again.
    pub repeated: bool,
    /// The last committed batch of the epoch.
    pub batch: BatchNumber,
    /// The scope's revision after it.
    pub revision: Revision,
}

/// One event as read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the stream.
    pub seq: Sequence,
    /// When it was committed.
    pub at_ms: UnixMillis,
    /// Its term.
    pub payload: Payload,
}

/// One event of a restored tail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailEvent {
    /// Its stream.
    pub stream: StreamName,
    /// Its place in the stream.
    pub seq: Sequence,
    /// When it was committed.
    pub at_ms: UnixMillis,
    /// Its term.
    pub payload: Payload,
}

/// What a restarted process gets back: its last commit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restored {
    /// The current epoch (0: never activated).
    pub epoch: Epoch,
    /// Last committed batch of the current epoch (0: none yet).
    pub batch: BatchNumber,
    /// The last commit of any epoch.
    pub last: Option<(Epoch, BatchNumber)>,
    /// Revision of `state`.
    pub revision: Revision,
    /// The scope's state, by key.
    pub state: Vec<(Key, Payload)>,
    /// The scope's events after the batch that last changed state, in commit order.
    pub tail: Vec<TailEvent>,
    /// The tail was over 64 MiB (or partly dropped) and lacks its older part.
    pub tail_cut: bool,
}

/// What is known of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its name.
    pub name: StreamName,
    /// The oldest readable sequence (`last + 1` where nothing is).
    pub first: Sequence,
    /// The newest sequence ever given (0: none).
    pub last: Sequence,
    /// Payload bytes readable, to within 64 KiB.
    pub bytes: u64,
    /// Each sink's cursor: the last sequence it acknowledged.
    pub cursors: Vec<(SinkName, Sequence)>,
    /// Events dropped before every sink had them.
    pub dropped: u64,
    /// What it may hold that its sinks lack.
    pub limit: Limit,
    /// It is at its limit: appends wait, are refused, or drop the oldest.
    pub full: bool,
}

/// The coalesced changes of a scope that a sink lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDelta {
    /// The scope's current epoch.
    pub epoch: Epoch,
    /// The revision the sink has (0: nothing).
    pub after: Revision,
    /// The revision it has once it applied this.
    pub rev: Revision,
    /// Keys set since, with their newest value.
    pub put: Vec<(Key, Payload)>,
    /// Keys removed since.
    pub delete: Vec<Key>,
}

/// A key as of one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// The revision of its scope that made it so.
    pub rev: Revision,
    /// Its value, `None` where that revision removed it.
    pub value: Option<Payload>,
}

/// The last activation of a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activated {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its token.
    pub token: Token,
}

/// Figures of the whole buffer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Info {
    /// Bytes of the journal's files.
    pub bytes: u64,
    /// Their bound.
    pub max_bytes: u64,
    /// Number of segments, the spare one included.
    pub segments: u64,
    /// Events are waiting, refused or dropped for lack of space.
    pub full: bool,
    /// Number of streams.
    pub streams: u64,
    /// Streams that are at their own limit.
    pub streams_full: u64,
    /// Number of state scopes.
    pub scopes: u64,
    /// Group commits since the origin began.
    pub commits: u64,
    /// Events dropped, all streams together.
    pub dropped: u64,
    /// Live bytes of state.
    pub state_bytes: u64,
    /// What opening found.
    pub opened: Opened,
}

/// What opening found and did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Opened {
    /// Records replayed.
    pub records: u64,
    /// Bytes of journal checked.
    pub checked_bytes: u64,
    /// Bytes of an unfinished, never acknowledged write that were cut from the tail.
    pub cut_bytes: u64,
    /// Why the index was rebuilt (`None`: it was good).
    pub index_rebuilt: Option<String>,
    /// How long opening took.
    pub took_ms: u64,
}
