//! `[[server]]`: the supervised processes.

use super::probe::ProbeConfig;
use crate::config::contain::contain_keys;
use crate::config::template::escaped_words;
use crate::config::values::{display, duration_text, hang_text, opt_size_text, time_text};
use crate::types::{Contain, ServerId};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

/// `[[server]]`: one supervised process.
#[derive(Debug, Clone, Serialize)]
pub struct ServerConfig {
    /// Its id, registered name and state scope.
    #[serde(serialize_with = "display")]
    pub id: ServerId,
    /// The group it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Program and arguments; a program with a `/` that is relative was resolved against the file's directory.
    #[serde(serialize_with = "escaped_words")]
    pub command: Vec<String>,
    /// Working directory, by default that of the file.
    pub directory: PathBuf,
    /// Environment added to sidekick's own.
    #[serde(skip_serializing_if = "Environment::is_empty")]
    pub env: Environment,
    /// When it is started again.
    pub restart: Restart,
    /// This many restarts within `max_seconds` are tolerated.
    pub max_restarts: u32,
    /// The window of `max_restarts`.
    pub max_seconds: NonZeroU32,
    /// Pause before a restart.
    pub backoff: Backoff,
    /// A quarantine ends by itself after this long; `None`: only by hand.
    #[serde(serialize_with = "hang_text")]
    pub quarantine: Option<Duration>,
    /// Restarted gracefully at this minute of each day, UTC.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "time_text")]
    pub restart_at: Option<u16>,
    /// Restarted gracefully when its last player has left; with `restart_at` from that time on.
    pub restart_when_empty: bool,
    /// Without a `hello` by then the start has failed.
    #[serde(serialize_with = "duration_text")]
    pub start_timeout: Duration,
    /// Without a heartbeat for this long the main loop hangs; `None`: not judged.
    #[serde(serialize_with = "hang_text")]
    pub hang_timeout: Option<Duration>,
    /// After this long a graceful stop becomes a kill.
    #[serde(serialize_with = "duration_text")]
    pub stop_timeout: Duration,
    /// Whether the process speaks the session protocol; without, no `hello` is awaited.
    pub session: bool,
    /// What becomes of the process when sidekick itself dies.
    pub on_exit: OnExit,
    /// Started with sidekick.
    pub autostart: bool,
    /// The longest silence that `Sidekick.busy` may announce.
    #[serde(serialize_with = "duration_text")]
    pub busy_max: Duration,
    /// Resident memory from which on it is warned.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "opt_size_text"
    )]
    pub memory_warn: Option<u64>,
    /// How it is asked whether it serves (without a session only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeConfig>,
    /// What it may use and see.
    #[serde(flatten, serialize_with = "contain_keys")]
    pub contain: Contain,
    /// So many further processes that have loaded everything wait to take over: 0 or 1.
    pub standby: u8,
}

/// `[[group]]`: servers that belong together. They start in the order of the file and stop in reverse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupConfig {
    /// Its name.
    pub name: String,
    /// What the end of one member means for the others.
    pub strategy: Strategy,
    /// Restarts of the group that are tolerated within `max_seconds`; with `one_for_one` each member has its own.
    pub max_restarts: u32,
    /// The window of `max_restarts`.
    pub max_seconds: NonZeroU32,
    /// Pause before a restart of the group.
    pub backoff: Backoff,
    /// A quarantine of the group ends by itself after this long.
    #[serde(serialize_with = "hang_text")]
    pub quarantine: Option<Duration>,
}

/// What the end of one member of a group means for the others, as OTP's supervisor defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Nothing.
    #[default]
    OneForOne,
    /// Those after it are stopped and started again with it.
    RestForOne,
    /// All are stopped and started again.
    OneForAll,
}

/// Environment variables of a server. The values do not show in `Debug` nor in `sidekick check`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Wraps variables.
    pub fn new(variables: BTreeMap<String, String>) -> Self {
        Self(variables)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The variables themselves, for the process they belong to.
    pub fn expose(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.0.keys().map(|name| (name, "***")))
            .finish()
    }
}

impl Serialize for Environment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.keys().map(|name| (name, "***")))
    }
}

/// When an ended process is started again, as in OTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// Only after an abnormal end.
    Transient,
    /// Never.
    Temporary,
}

/// Pauses before restarts double from `initial` to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Backoff {
    /// Pause before the second restart in a row; the first has none.
    #[serde(serialize_with = "duration_text")]
    pub initial: Duration,
    /// Longest pause.
    #[serde(serialize_with = "duration_text")]
    pub max: Duration,
}

/// What becomes of a process when sidekick itself dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExit {
    /// It plays on; the next sidekick adopts it.
    #[default]
    Keep,
    /// Its guard kills it.
    Stop,
}
