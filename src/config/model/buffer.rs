//! `[buffer]` and `[[stream]]`: the durable store.

use crate::config::values::{opt_duration_text, opt_size_text, size_text};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// `[buffer]`: the durable store.
#[derive(Debug, Clone, Serialize)]
pub struct BufferConfig {
    /// Directory of the journal and its index.
    pub dir: PathBuf,
    /// Most bytes the journal may take on disk.
    #[serde(serialize_with = "size_text")]
    pub max_bytes: u64,
    /// What happens to appends when it is full.
    pub when_full: WhenFull,
    /// Size of one journal segment.
    #[serde(serialize_with = "size_text")]
    pub segment_bytes: u64,
    /// `[[stream]]`: the first rule whose pattern fits a stream holds.
    #[serde(skip)]
    pub streams: Vec<StreamRule>,
    /// `[[state]]`: the first rule whose pattern fits a scope holds.
    #[serde(skip)]
    pub states: Vec<StateRule>,
}

/// `[[state]]`: a rule for the scopes of state whose name fits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StateRule {
    /// A scope's name, in which `*` stands for any bytes.
    pub pattern: String,
    /// So many earlier values of each key stay readable.
    pub history: u32,
}

/// What happens to appends when the buffer is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// Wait: back-pressure to the game, which never stalls its main loop.
    #[default]
    Block,
    /// Drop the oldest records of the stream, counted.
    DropOldest,
    /// Refuse the append, counted.
    Reject,
}

/// `[[stream]]`: a rule for the streams whose name fits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamRule {
    /// A stream name, in which `*` stands for any bytes.
    pub pattern: String,
    /// What is kept although every sink has it.
    pub keep: Keep,
    /// What it may hold that its sinks lack.
    #[serde(skip_serializing_if = "StreamLimit::is_unset")]
    pub limit: StreamLimit,
    /// Overrides `[buffer] when_full`.
    pub when_full: Option<WhenFull>,
}

/// How much of a stream is kept although every sink has it. All `None`: nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Keep {
    /// The newest records up to this many bytes.
    #[serde(serialize_with = "opt_size_text")]
    pub bytes: Option<u64>,
    /// Records younger than this.
    #[serde(serialize_with = "opt_duration_text")]
    pub age: Option<Duration>,
    /// This many of the newest records.
    pub count: Option<u64>,
}

/// How much a stream may hold that its sinks lack. All `None`: as much as the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct StreamLimit {
    /// Bytes.
    #[serde(serialize_with = "opt_size_text")]
    pub bytes: Option<u64>,
    /// Older records are dropped.
    #[serde(serialize_with = "opt_duration_text")]
    pub age: Option<Duration>,
    /// Records.
    pub count: Option<u64>,
}

impl StreamLimit {
    fn is_unset(&self) -> bool {
        *self == Self::default()
    }
}
