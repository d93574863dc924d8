//! What sidekick and a guard tell each other: one JSON object per line, at most [`LINE_MAX`] bytes.

use super::cgroup::CgroupPlan;
use super::files::{ExitRecord, Identity};
use super::logs::LogBounds;
use super::privs::Privs;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Longest line, in bytes; holds the longest command line and environment that make sense.
pub const LINE_MAX: usize = 2 << 20;

/// What becomes of a running server when sidekick's own process dies without having stopped it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExit {
    /// It plays on under its guard and the next sidekick adopts it.
    #[default]
    Keep,
    /// Its guard stops it, with every descendant.
    Stop,
}

/// Everything but the command: sent first, so that the guard gets ready while the epoch is being made durable.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Prepare {
    /// Server id.
    pub id: String,
    /// Random name of this start.
    pub start: String,
    /// The run directory.
    pub run_dir: PathBuf,
    /// Where standard output goes.
    pub stdout: PathBuf,
    /// Where standard error goes.
    pub stderr: PathBuf,
    /// What they may take on disk.
    pub logs: LogBounds,
    /// The cgroup to put the server into.
    pub cgroup: Option<CgroupPlan>,
    /// What happens when sidekick's end closes.
    pub on_exit: OnExit,
    /// Between SIGTERM and SIGKILL when the guard itself stops the server, milliseconds.
    pub grace_ms: u64,
    /// How long to wait for the guard of the start before, milliseconds.
    pub lock_wait_ms: u64,
}

/// What to execute. Holds secrets: it exists on the sockets and in memory only.
#[derive(Clone, Serialize, Deserialize)]
pub struct Start {
    /// The program, found.
    pub program: PathBuf,
    /// The whole argument vector, the program's own name first.
    pub args: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Working directory.
    pub directory: Option<PathBuf>,
    /// What it may do.
    pub privs: Privs,
    /// Epoch of the activation.
    pub epoch: Option<u64>,
    /// Given back to a sidekick that adopts; kept in memory only.
    pub note: String,
}

/// To the guard.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToGuard {
    /// First message of the sidekick that started the guard.
    Prepare(Prepare),
    /// Execute.
    Start(Start),
    /// First message of a later sidekick.
    Adopt {
        /// What happens from now on when its end closes.
        on_exit: OnExit,
    },
    /// Send a signal to the server.
    Signal {
        /// Which.
        signal: i32,
        /// To its whole process group.
        group: bool,
    },
    /// SIGKILL to the whole tree.
    Kill,
    /// The server, a standby until now, is the owner of its scope.
    Promote {
        /// Epoch of its activation.
        epoch: u64,
        /// In place of the note of its start.
        note: String,
    },
}

/// From the guard.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromGuard {
    /// The lock is held, the log files are open, the process that will be the server exists.
    Prepared {
        /// Its number.
        pid: i32,
    },
    /// The server was executed.
    Spawned {
        /// Its number.
        pid: i32,
        /// Monotonic clock, nanoseconds.
        at_ns: u64,
    },
    /// It could not be; the guard ends.
    Failed {
        /// Why.
        message: String,
    },
    /// Answer to [`ToGuard::Adopt`].
    Adopted {
        /// The server.
        identity: Identity,
        /// The note of its start.
        note: String,
        /// How it ended, where it has and the guard is still killing what it left.
        exited: Option<ExitRecord>,
    },
    /// Another sidekick owns this guard.
    Busy {
        /// Its process.
        owner: i32,
    },
    /// The device of the log files is full; older lines were given up for new ones.
    LogsFull,
    /// The server ended.
    Exited(ExitRecord),
    /// Nothing of its tree is left and the lock is free.
    Gone,
}

/// A message as a line.
pub fn line(message: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line
}

/// A line as a message.
pub fn parse<T: serde::de::DeserializeOwned>(line: &[u8]) -> Option<T> {
    serde_json::from_slice(line).ok()
}
