//! The session server: one socket for all servers, one session per running game.
//!
//! ```text
//! socket ─▶ reader ──batches──▶ committer ─▶ buffer.commit (pipelined, in order)
//!             │ beats, replies, calls              │ acknowledged up to n
//!             ▼                                    ▼
//!          observer, cluster                    writer ─▶ socket
//! ```
//!
//! The reader never waits for the buffer, so the socket is always drained. What bounds memory instead is the *window* that
//! the welcome grants: a game may have only so many batches and bytes unacknowledged; one that exceeds it is cut off.
//!
//! Architecture Invariant: a batch is acknowledged only after `buffer.commit` returned, and acknowledgements are
//! cumulative and contiguous. At most one session per server exists; a new `hello` waits until the old session has settled
//! everything it had sent, so the batch number in the welcome is final.

mod committer;
mod connection;
mod live;
mod messages;
mod reader;
mod server;
mod submit;
mod writer;

pub use server::Sessions;

use crate::godot::{MapError, Path};
use crate::types::{BatchNumber, Epoch, UnixMillis};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Where and within which bounds sessions are served.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Path of the Unix socket; `None` serves none.
    pub socket: Option<PathBuf>,
    /// TCP address for games without Unix sockets (Godot before 4.6); port 0 takes any.
    pub tcp: Option<SocketAddr>,
    /// Bounds.
    pub limits: SessionLimits,
}

/// Bounds on what one session may use.
#[derive(Debug, Clone)]
pub struct SessionLimits {
    /// Largest frame from a game, bytes.
    pub frame_bytes: usize,
    /// Largest batch, bytes as the addon counts them; less than what one journal record holds.
    pub batch_bytes: usize,
    /// Batches a game may have sent and not yet seen acknowledged.
    pub window_batches: usize,
    /// Bytes of those batches.
    pub window_bytes: usize,
    /// Time from the connection to its `hello`.
    pub hello_timeout: Duration,
    /// Connections that have not said `hello` yet.
    pub strangers: usize,
    /// Calls in flight, in each direction.
    pub calls: usize,
    /// Frames queued towards a game that does not read.
    pub outgoing: usize,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            frame_bytes: 16 << 20,
            batch_bytes: 4 << 20,
            window_batches: 1024,
            window_bytes: 32 << 20,
            hello_timeout: Duration::from_secs(5),
            strangers: 64,
            calls: 256,
            outgoing: 256,
        }
    }
}

/// Why the session server did not start. Each text says the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// Neither socket nor TCP address was given.
    #[error("sessions need a socket path or a TCP address")]
    NoAddress,
    /// Another process answers on the socket.
    #[error("session socket {} is served by another process; stop that sidekick or choose another run directory", .0.display())]
    InUse(PathBuf),
    /// Unix socket paths are short.
    #[error("session socket path {} is longer than 107 bytes; choose a shorter run directory", .0.display())]
    PathTooLong(PathBuf),
    /// Something that is no socket stands there.
    #[error("{} exists and is not a socket; move it away or choose another run directory", .0.display())]
    NotASocket(PathBuf),
    /// The system refused.
    #[error("cannot serve sessions on {address}: {source}; check that it is free and permitted")]
    Bind {
        /// Path or address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Why a script did not answer or did not get a message.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// The server has no session now.
    #[error("the server is not connected")]
    NotConnected,
    /// The term has no Variant.
    #[error("no Variant for {what} at {path}")]
    Unsupported {
        /// Where in the term.
        path: Path,
        /// What it is.
        what: String,
    },
    /// No answer in time; whether the script handled the call is unknown.
    #[error("no answer in time")]
    Timeout,
    /// The script has no handler, could not answer, or its process ended meanwhile.
    #[error("{0}")]
    Failed(String),
}

impl From<MapError> for ScriptError {
    fn from(error: MapError) -> Self {
        Self::Unsupported {
            path: error.path,
            what: error.what,
        }
    }
}

/// What is known of a connected session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionStatus {
    /// When it said `hello`.
    pub connected_since_ms: UnixMillis,
    /// The epoch of its activation.
    pub epoch: Epoch,
    /// Last batch acknowledged.
    pub last_batch: BatchNumber,
    /// Batches received that are not on disk yet.
    pub in_flight: u64,
    /// The engine's version.
    pub engine: String,
    /// It was told that the buffer is full.
    pub full: bool,
}
