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
mod error;
mod from_game;
mod listen;
mod live;
mod messages;
mod reader;
mod restore;
mod server;
mod submit;
mod to_game;
mod writer;

pub use error::{ScriptError, SessionError};
pub use server::Sessions;

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
