//! What can be seen of a server.

pub use super::activity::{Activity, ActivityKind, ThreadActivity};
use super::known::Kind;
use super::restore::Restores;
use crate::ports::Beat;
use crate::types::{Epoch, ServerId, UnixMillis};
use serde::Serialize;
use std::time::Duration;

/// Where a server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its process is being made, or runs and has not yet said that it plays.
    Starting,
    /// It plays (or, without a session, its process runs).
    Running,
    /// Its main loop is silent; it is being ended.
    Unresponsive,
    /// It is being stopped.
    Stopping,
    /// It ended and waits for its next start.
    BackingOff,
    /// Not running and not to be started by itself.
    Stopped,
    /// Crashed too often; `start` releases it.
    Quarantined,
    /// Loaded and waiting to take over.
    Standby,
}

impl State {
    /// The name used in messages: lower case with underscores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Unresponsive => "unresponsive",
            Self::Stopping => "stopping",
            Self::BackingOff => "backing_off",
            Self::Stopped => "stopped",
            Self::Quarantined => "quarantined",
            Self::Standby => "standby",
        }
    }

    /// Whether a process may exist.
    pub fn is_up(self) -> bool {
        matches!(
            self,
            Self::Starting | Self::Running | Self::Unresponsive | Self::Stopping | Self::Standby
        )
    }
}

/// Why a process ended: our own decision, else what the engine printed, else the wait status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// A signal, by its lower-case name: `sigsegv`.
    Signal(String),
    /// A status other than 0.
    ExitStatus(i32),
    /// Exit status 0.
    Normal,
    /// We ended it because its main loop was silent, or because it never said `hello`.
    Hang,
    /// We stopped it.
    Shutdown,
    /// The kernel killed it for want of memory, within its own limit.
    Oom,
    /// Its guard was killed before it could tell.
    Unknown,
}

impl std::fmt::Display for EndReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Signal(name) => write!(f, "signal {name}"),
            Self::ExitStatus(status) => write!(f, "exit status {status}"),
            Self::Normal => f.write_str("normal"),
            Self::Hang => f.write_str("hang"),
            Self::Shutdown => f.write_str("shutdown"),
            Self::Oom => f.write_str("oom"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// The end of the last process of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastExit {
    /// Why.
    pub reason: EndReason,
    /// When, by the wall clock.
    pub at_ms: UnixMillis,
    /// What an operator should know: the parse error, the missing file, with the remedy.
    pub detail: Option<String>,
    /// Number of the crash bundle, once it is written.
    pub bundle: Option<u64>,
}

/// The session of a server, as far as the supervisor sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionInfo {
    /// Since when it is connected.
    pub since_ms: UnixMillis,
    /// Engine version text of the `hello`.
    pub engine: String,
    /// The process was already playing when it connected.
    pub resumed: bool,
    /// The game called `report_ready()`.
    pub ready: bool,
}

/// Health figures of a running process.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Health {
    /// The last heartbeat of the session.
    pub beat: Option<Beat>,
    /// When it came.
    pub beat_at_ms: Option<UnixMillis>,
    /// Resident memory, bytes.
    pub rss_bytes: Option<u64>,
    /// Greatest resident memory so far, bytes.
    pub rss_bytes_max: Option<u64>,
    /// Share of one core over the last sampling interval, in percent.
    pub cpu_percent: Option<f64>,
    /// Resident memory is at `memory_warn` or above, or was and has not fallen by a tenth since.
    pub memory_high: bool,
    /// What it does, while it is unresponsive.
    pub activity: Option<Activity>,
}

/// Memory and CPU at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sample {
    /// When.
    pub at_ms: UnixMillis,
    /// Resident memory, bytes.
    pub rss_bytes: u64,
    /// Share of one core since the sample before, in percent.
    pub cpu_percent: Option<f64>,
}

/// Durations of the last start, measured on the monotonic clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Timings {
    /// From the guard seeing the exit to the supervisor knowing it.
    pub exit_to_detected: Option<Duration>,
    /// From the guard seeing the exit to the next process having been executed.
    pub exit_to_spawned: Option<Duration>,
    /// From the guard seeing the exit to the `hello` of the next process.
    pub exit_to_hello: Option<Duration>,
    /// From the guard seeing the exit to the first restored tick.
    pub exit_to_playing: Option<Duration>,
    /// From the decision to start to the process having been executed.
    pub start_to_spawned: Option<Duration>,
    /// From the decision to start to the first tick.
    pub start_to_playing: Option<Duration>,
}

/// Everything known of a server now.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Its id.
    pub id: ServerId,
    /// Where it is in its life.
    pub state: State,
    /// Since when it is in that state.
    pub since_ms: UnixMillis,
    /// Counts the processes started (or adopted) since the supervisor runs; 0 before the first.
    pub start_number: u64,
    /// Process id while a process exists.
    pub os_pid: Option<u32>,
    /// The process outlived an earlier sidekick.
    pub adopted: bool,
    /// Epoch of its activation (sessions only).
    pub epoch: Option<Epoch>,
    /// Restarts by policy since the supervisor runs.
    pub restarts: u64,
    /// The last end.
    pub last_exit: Option<LastExit>,
    /// Why the last start could not be made, with the remedy; cleared by a start that works.
    pub problem: Option<String>,
    /// Its session, while connected.
    pub session: Option<SessionInfo>,
    /// Health figures.
    pub health: Health,
    /// Durations of the last start.
    pub timings: Timings,
    /// When the next start is due, while backing off.
    pub next_start_ms: Option<UnixMillis>,
    /// Its standby, where there is one.
    pub standby: Option<Standby>,
    /// From the end of a process that was not wanted to the first restored tick of the next.
    pub restores: Restores,
    /// The same after ends that were.
    pub planned_restores: Restores,
}

/// The standby of a server.
#[derive(Debug, Clone, PartialEq)]
pub struct Standby {
    /// [`State::Starting`] while it loads, [`State::Standby`] once it can take over.
    pub state: State,
    /// Since when it is in that state.
    pub since_ms: UnixMillis,
    /// Process id while a process exists.
    pub os_pid: Option<u32>,
    /// Resident memory, bytes.
    pub rss_bytes: Option<u64>,
    /// Failures in a row.
    pub failures: u32,
    /// What the last failure was, with the remedy; cleared once one is ready.
    pub problem: Option<String>,
    /// When the next start is due, while backing off.
    pub next_start_ms: Option<UnixMillis>,
}

impl Status {
    /// A server that was never started.
    pub fn new(id: ServerId) -> Self {
        Self {
            id,
            state: State::Stopped,
            since_ms: crate::types::now_ms(),
            start_number: 0,
            os_pid: None,
            adopted: false,
            epoch: None,
            restarts: 0,
            last_exit: None,
            problem: None,
            session: None,
            health: Health::default(),
            timings: Timings::default(),
            next_start_ms: None,
            standby: None,
            restores: Restores::default(),
            planned_restores: Restores::default(),
        }
    }
}

/// Where a log line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogSource {
    /// The server's standard output.
    Stdout,
    /// The server's standard error.
    Stderr,
    /// The supervisor itself.
    Sidekick,
}

impl LogSource {
    /// The name used in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Sidekick => "sidekick",
        }
    }
}

/// One line of a server's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// When sidekick read it.
    pub at_ms: UnixMillis,
    /// Where it came from.
    pub source: LogSource,
    /// The line without its end, at most 8 KiB, invalid UTF-8 replaced.
    pub line: String,
    /// Increases with every line, also over restarts of sidekick.
    pub cursor: u64,
}

/// A crash bundle in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CrashSummary {
    /// Its number, from 1 for each server.
    pub number: u64,
    /// When the process ended.
    pub at_ms: UnixMillis,
    /// Why it ended, as text.
    pub reason: String,
    /// The script line it died in, where the engine printed one.
    pub script_line: Option<String>,
    /// Size of the bundle on disk.
    pub bytes: u64,
    /// What was seen of this kind of crash, over all that ever were; none for a damaged bundle.
    pub kind: Option<Kind>,
    /// The file cannot be read: why.
    pub damaged: Option<String>,
}
