//! A read-only look at a buffer directory; works beside a running sidekick.

use std::io::Write;
use std::path::{Path, PathBuf};

/// What a check of all segments found.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Report {
    /// The directory's origin.
    pub origin: String,
    /// One entry per segment, oldest first.
    pub segments: Vec<SegmentReport>,
    /// Streams, with what of them is readable.
    pub streams: Vec<StreamReport>,
    /// Scopes of state.
    pub scopes: Vec<ScopeReport>,
    /// What is wrong; empty where the journal would open.
    pub problems: Vec<String>,
}

/// One segment file.
#[derive(Debug, Clone, serde::Serialize)]
pub struct SegmentReport {
    /// The file.
    pub file: PathBuf,
    /// Its id.
    pub id: u64,
    /// Valid records.
    pub records: u64,
    /// Bytes they take, header included.
    pub used_bytes: u64,
    /// Whether it ends with a seal (all but the last must).
    pub sealed: bool,
}

/// One stream.
#[derive(Debug, Clone, serde::Serialize)]
pub struct StreamReport {
    /// Its name, lossily as text.
    pub name: String,
    /// Oldest readable sequence.
    pub first: u64,
    /// Newest sequence.
    pub last: u64,
    /// Sinks and their cursors.
    pub cursors: Vec<(String, u64)>,
    /// Events dropped.
    pub dropped: u64,
}

/// One scope.
#[derive(Debug, Clone, serde::Serialize)]
pub struct ScopeReport {
    /// Its name, lossily as text.
    pub name: String,
    /// Its current epoch.
    pub epoch: u64,
    /// Its revision.
    pub revision: u64,
    /// Its last batch: epoch and number.
    pub last: Option<(u64, u64)>,
}

/// Checks every checksum and every number of a directory.
pub fn verify(dir: &Path) -> std::io::Result<Report> {
    let _ = dir;
    todo!("verify")
}

/// Writes every valid record as one line of JSON (payloads in hexadecimal; tokens masked).
pub fn dump(dir: &Path, out: &mut dyn Write) -> std::io::Result<()> {
    let _ = (dir, out);
    todo!("dump")
}
