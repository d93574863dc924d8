//! Why a buffer did not open, and why a request to an open one failed. The first are fatal, the others are answers.

use crate::types::{BatchNumber, Epoch, Sequence, StreamName};
use std::path::PathBuf;

/// Why a buffer did not open. Each text says the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process owns the directory.
    #[error("buffer {} is in use by process {pid}; stop that sidekick or choose another [buffer] dir", dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// Who holds it (0: unknown).
        pid: u32,
    },
    /// The directory cannot be made or written.
    #[error("buffer {} cannot be written: {source}; make it writable for this user or choose another [buffer] dir", path.display())]
    NotWritable {
        /// The path that refused.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Acknowledged data is damaged; nothing was changed.
    #[error("journal {} is damaged at byte {offset}: {reason}; restore the file from a copy, or copy all that is readable into a new directory with `sidekick inspect DIR --salvage OUT` and name that in [buffer] dir", file.display())]
    Corrupt {
        /// The segment file (or the directory where a whole segment is missing).
        file: PathBuf,
        /// Where the first bad byte range begins.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// Written by another version of the format.
    #[error("journal {} has format version {found}, this sidekick reads version {expected}; use the sidekick that wrote it", file.display())]
    Version {
        /// The segment file.
        file: PathBuf,
        /// Its version.
        found: u32,
        /// Ours.
        expected: u32,
    },
    /// No space for even one segment.
    #[error("no space on the device of {}: {needed_bytes} bytes are needed to open; free some space", dir.display())]
    Full {
        /// The directory.
        dir: PathBuf,
        /// What one more segment takes.
        needed_bytes: u64,
    },
    /// The options contradict themselves.
    #[error("buffer options: {0}")]
    Options(String),
    /// Any other failure of the file system.
    #[error("{}: {source}", path.display())]
    Io {
        /// The path it was about.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Why a write was not accepted. Nothing of it was applied, except after [`AppendError::Stopped`]: then the outcome is unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The scope belongs to another activation.
    #[error("stale epoch; the scope's epoch is {current}")]
    StaleEpoch {
        /// The epoch that may write (0: never activated).
        current: Epoch,
    },
    /// A session batch is missing before this one.
    #[error("batch out of order; batch {expected} is next")]
    BatchGap {
        /// The number that is due.
        expected: BatchNumber,
    },
    /// A producer's batch so old that its outcome is no longer known (the last 8 are).
    #[error("batch number too old; the producer's last batch is {last}")]
    BatchTooOld {
        /// The newest number seen from the producer.
        last: u64,
    },
    /// No space, and the stream's rule says reject; or state has used up its reserve.
    #[error("the buffer is full")]
    Full,
    /// One record would not fit into half a segment.
    #[error("a write of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// Its encoded size.
        bytes: u64,
        /// The bound.
        limit: u64,
    },
    /// Nothing in it, or more names than the buffer holds.
    #[error("{0}")]
    Invalid(&'static str),
    /// The sink is neither configured nor known to the journal.
    #[error("unknown sink")]
    UnknownSink,
    /// There is no such stream.
    #[error("unknown stream {0}")]
    UnknownStream(StreamName),
    /// A cursor cannot lie beyond what was ever written.
    #[error("the stream ends at {last}")]
    BeyondEnd {
        /// The last sequence written.
        last: Sequence,
    },
    /// The buffer has stopped: closed, or an I/O error made it unsafe to go on.
    #[error("the buffer has stopped: {0}")]
    Stopped(String),
}

/// Why a read failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// There is no such stream.
    #[error("unknown stream {0}")]
    UnknownStream(StreamName),
    /// A record that was written cannot be read back.
    #[error("journal {} is damaged at byte {offset}: {reason}", file.display())]
    Corrupt {
        /// The segment file.
        file: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// The file system failed.
    #[error("{0}")]
    Io(String),
    /// The buffer was closed.
    #[error("the buffer has stopped: {0}")]
    Stopped(String),
}
