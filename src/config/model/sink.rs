//! `[[sink]]`: who gets the uploads.

use super::PostgresConfig;
use crate::config::values::{display, duration_text, opt_size_text, size_text};
use crate::types::SinkName;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `[[sink]]`: one receiver of uploads.
#[derive(Debug, Clone, Serialize)]
pub struct SinkConfig {
    /// Keys the cursors; unique.
    #[serde(serialize_with = "display")]
    pub name: SinkName,
    /// Where to.
    #[serde(flatten)]
    pub kind: SinkKind,
    /// Patterns of the streams it gets.
    pub streams: Vec<String>,
    /// Where a new sink starts.
    pub start: SinkStart,
    /// Size of one upload, and of all in a second.
    pub limits: SinkLimits,
    /// When it is left alone for a while.
    pub breaker: BreakerConfig,
    /// What becomes of records that it refuses.
    pub dead_letters: DeadLettersConfig,
}

/// When a sink that fails is left alone for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BreakerConfig {
    /// So many failures in a row open the circuit breaker.
    pub failures: u32,
    /// For how long the first time; each further time twice as long.
    #[serde(serialize_with = "duration_text")]
    pub open: Duration,
    /// For how long at most.
    #[serde(serialize_with = "duration_text")]
    pub open_max: Duration,
}

/// What becomes of records that a sink refuses for what they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DeadLettersConfig {
    /// A record that was refused alone so often goes among the dead letters.
    pub after: u32,
    /// Most of them at once; with 0 the sink halts at the first refused record.
    pub max: u32,
}

/// Where a sink uploads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum SinkKind {
    /// `Sidekick.Ingest` on one of these nodes.
    Beam {
        /// Full node names; never empty.
        nodes: Vec<String>,
    },
    /// Tables of a database.
    Postgres(Box<PostgresConfig>),
}

/// Where a sink without a cursor starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SinkStart {
    /// With the first record that is still there.
    #[default]
    First,
    /// With the next record.
    Now,
}

/// Bounds of one upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SinkLimits {
    /// Most records in one upload.
    pub records: u32,
    /// Most payload bytes in one upload (a single larger record goes alone).
    #[serde(serialize_with = "size_text")]
    pub bytes: u64,
    /// How long a record waits for others to share its upload.
    #[serde(serialize_with = "duration_text")]
    pub age: Duration,
    /// Most payload bytes in a second.
    #[serde(
        serialize_with = "opt_size_text",
        skip_serializing_if = "Option::is_none"
    )]
    pub max_bytes_per_second: Option<u64>,
    /// An upload without an answer for this long has an unknown outcome.
    #[serde(serialize_with = "duration_text")]
    pub timeout: Duration,
}
