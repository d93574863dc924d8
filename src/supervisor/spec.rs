//! What is to be run: child specs and the supervisor's own options.

pub use super::probe::{ProbeKind, ProbeSpec};
pub use crate::guard::protocol::OnExit;
use crate::types::{Contain, ServerId, UnixMillis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// When a server that ended is started again, as OTP's supervisor defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// Only after an abnormal end: anything but exit status 0 and a stop by our own decision.
    Transient,
    /// Never.
    Temporary,
}

/// What the end of one member of a group means for the others, as OTP's supervisor defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Nothing: each member is restarted, counted and quarantined for itself.
    #[default]
    OneForOne,
    /// Those after it are stopped, last first, and started again with it.
    RestForOne,
    /// All are stopped, last first, and started again.
    OneForAll,
}

/// The group a server belongs to. Members start one after the other in the order of the specs, and stop in reverse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Members share it.
    pub name: String,
    /// The same for all members.
    pub strategy: Strategy,
}

/// Pauses between restarts that follow each other closely. The first restart after a stable run has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// The first pause.
    pub initial: Duration,
    /// Pauses double up to this one.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(200),
            max: Duration::from_secs(30),
        }
    }
}

/// Everything needed to run one server.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerSpec {
    /// Its name.
    #[serde(with = "id_as_text")]
    pub id: ServerId,
    /// Program and arguments; the program is looked up on `PATH` where it holds no `/`.
    pub command: Vec<String>,
    /// Working directory; relative program paths start there.
    pub directory: Option<PathBuf>,
    /// Added to the small environment every server gets. May hold secrets: never shown.
    pub env: BTreeMap<String, String>,
    /// When it is started again.
    pub restart: Restart,
    /// More restarts than this within [`max_seconds`](Self::max_seconds) quarantine the server.
    pub max_restarts: u32,
    /// The period of [`max_restarts`](Self::max_restarts), seconds.
    pub max_seconds: u32,
    /// Pauses between restarts.
    pub backoff: Backoff,
    /// A quarantine ends by itself after this long; `None`: only by hand.
    #[serde(default)]
    pub quarantine: Option<Duration>,
    /// Its group. Where members are restarted together the group counts, by the numbers of its first member.
    #[serde(default)]
    pub group: Option<Group>,
    /// Restarted gracefully at this minute of each day, UTC.
    #[serde(default)]
    pub restart_at: Option<u16>,
    /// Restarted gracefully when its last player has left; with [`restart_at`](Self::restart_at) from that time on.
    #[serde(default)]
    pub restart_when_empty: bool,
    /// How long a start may take until the process says `hello` and, after that, until it plays.
    pub start_timeout: Duration,
    /// How long the main loop may be silent; `None` judges no hang.
    pub hang_timeout: Option<Duration>,
    /// How long a graceful stop may take before SIGKILL.
    pub stop_timeout: Duration,
    /// The process speaks the session protocol; without it no `hello` is awaited and no hang is judged.
    pub session: bool,
    /// What happens to it when sidekick dies.
    pub on_exit: OnExit,
    /// Started as soon as the supervisor runs.
    pub autostart: bool,
    /// The longest silence that the game may announce.
    #[serde(default = "busy_max")]
    pub busy_max: Duration,
    /// Resident memory from which on it is warned.
    #[serde(default)]
    pub memory_warn: Option<u64>,
    /// How a process without a session is asked whether it serves.
    #[serde(default)]
    pub probe: Option<ProbeSpec>,
    /// What it may use and see.
    #[serde(default)]
    pub contain: Contain,
    /// So many further processes that have loaded everything wait to take over: 0 or 1.
    #[serde(default)]
    pub standby: u8,
}

impl ServerSpec {
    /// A spec with the documented defaults.
    pub fn new(id: ServerId, command: Vec<String>) -> Self {
        Self {
            id,
            command,
            directory: None,
            env: BTreeMap::new(),
            restart: Restart::Permanent,
            max_restarts: 3,
            max_seconds: 5,
            backoff: Backoff::default(),
            quarantine: None,
            group: None,
            restart_at: None,
            restart_when_empty: false,
            start_timeout: Duration::from_secs(10),
            hang_timeout: Some(Duration::from_secs(2)),
            stop_timeout: Duration::from_secs(5),
            session: true,
            on_exit: OnExit::Keep,
            autostart: true,
            busy_max: busy_max(),
            memory_warn: None,
            probe: None,
            contain: Contain::default(),
            standby: 0,
        }
    }

    /// It is asked whether it serves.
    pub fn is_probed(&self) -> bool {
        self.probe.is_some() && !self.session
    }

    /// It has a standby. Without a session nothing could hold one back nor give it the state.
    pub fn has_standby(&self) -> bool {
        self.standby > 0 && self.session
    }

    /// Its group restarts it, together with others.
    pub fn is_linked(&self) -> bool {
        let strategy = self.group.as_ref().map(|group| group.strategy);
        strategy.is_some_and(|strategy| strategy != Strategy::OneForOne)
    }
}

/// Shows everything but the values of the environment.
impl std::fmt::Debug for ServerSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerSpec")
            .field("id", &self.id)
            .field("command", &self.command)
            .field("directory", &self.directory)
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .field("restart", &self.restart)
            .field("session", &self.session)
            .field("on_exit", &self.on_exit)
            .finish_non_exhaustive()
    }
}

/// Bounds of what is kept of a server's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLimits {
    /// Bytes on disk of all log files of a server, where its spec says nothing else.
    pub bytes: u64,
    /// Lines older than this are moved into a compressed file, where its spec says nothing else.
    pub age: Duration,
    /// Lines kept in memory for [`logs`](super::Supervisor::logs).
    pub lines: usize,
    /// Lines put into a crash bundle.
    pub bundle_lines: usize,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self {
            bytes: 128 << 20,
            age: Duration::from_secs(24 * 3600),
            lines: 2_000,
            bundle_lines: 200,
        }
    }
}

/// Where the supervisor keeps its things.
#[derive(Debug, Clone)]
pub struct SupervisorOptions {
    /// Locks, identities, exit records and control sockets of the guards. Must be private (0700) and survive sidekick.
    pub run_dir: PathBuf,
    /// Output of the servers.
    pub log_dir: PathBuf,
    /// Crash bundles, one directory for each server.
    pub crash_dir: PathBuf,
    /// The private homes of the servers.
    pub home_dir: PathBuf,
    /// The binary that is started as `EXE guard ...`: sidekick itself.
    pub exe: PathBuf,
    /// Bounds of the logs.
    pub logs: LogLimits,
    /// Crash bundles kept for each server.
    pub bundles: usize,
    /// Bytes of them together; the newest always stays.
    pub bundle_bytes: u64,
    /// After SIGSEGV to a hanging process (so that it prints where it hangs) SIGKILL follows after this.
    pub hang_grace: Duration,
    /// How often RSS and CPU are read, and the clock for planned restarts.
    pub sample_every: Duration,
    /// The wall clock of planned restarts.
    pub wall_clock: fn() -> UnixMillis,
}

impl SupervisorOptions {
    /// Everything under one directory, with the documented defaults.
    pub fn under(dir: impl Into<PathBuf>, exe: impl Into<PathBuf>) -> Self {
        let dir = dir.into();
        Self {
            run_dir: dir.join("run"),
            log_dir: dir.join("logs"),
            crash_dir: dir.join("crashes"),
            home_dir: dir.join("homes"),
            exe: exe.into(),
            logs: LogLimits::default(),
            bundles: 20,
            bundle_bytes: 64 << 20,
            hang_grace: Duration::from_secs(3),
            sample_every: Duration::from_secs(2),
            wall_clock: crate::types::now_ms,
        }
    }
}

fn busy_max() -> Duration {
    Duration::from_secs(600)
}

mod id_as_text {
    use crate::types::ServerId;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(id: &ServerId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(id.as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ServerId, D::Error> {
        ServerId::new(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
