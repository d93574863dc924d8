//! The frozen configuration: what every other room reads.

use super::values::{
    display, duration_text, hang_text, opt_duration_text, opt_size_text, size_text, socket_text,
};
use crate::types::{ServerId, SinkName};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

/// The whole configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it was read from, absolute.
    pub file: PathBuf,
    /// `[node]`
    pub node: NodeConfig,
    /// `[buffer]`
    pub buffer: BufferConfig,
    /// `[run]`
    pub run: RunConfig,
    /// `[session]`
    pub session: SessionConfig,
    /// `[[server]]`, in the order of the file.
    pub servers: Vec<ServerConfig>,
    /// `[[sink]]`, in the order of the file.
    pub sinks: Vec<SinkConfig>,
    /// `[log]`
    pub log: LogConfig,
    /// What is allowed but looks like a mistake, one sentence each, for the log and for `sidekick check`.
    pub warnings: Vec<String>,
}

impl Config {
    /// Every node to which a connection is kept: `[node] connect` and the nodes of the sinks, each once.
    pub fn peers(&self) -> Vec<String> {
        let sinks = self.sinks.iter().flat_map(|sink| match &sink.kind {
            SinkKind::Beam { nodes } => nodes,
        });
        let mut peers: Vec<String> = Vec::new();
        for node in self.node.connect.iter().chain(sinks) {
            if !peers.contains(node) {
                peers.push(node.clone());
            }
        }
        peers
    }
}

/// `[node]`: who sidekick is in the Erlang cluster.
#[derive(Debug, Clone, Serialize)]
pub struct NodeConfig {
    /// Full node name, `name@host`, short or long.
    pub name: String,
    /// The cluster's secret.
    pub cookie: Cookie,
    /// Nodes to which a connection is kept.
    pub connect: Vec<String>,
    /// Which commands peers may start.
    pub allow_start: AllowStart,
    /// Address to listen on for distribution; loopback unless `plain_network` was said.
    pub listen: IpAddr,
    /// Port to listen on for distribution; 0 takes any free one.
    pub port: u16,
    /// `[node.epmd]`
    pub epmd: EpmdConfig,
    /// Whether the node shows in `nodes()` of others; hidden by default.
    pub visible: bool,
    /// After this long without a byte a peer counts as gone.
    #[serde(serialize_with = "duration_text")]
    pub ticktime: Duration,
    /// Whether peers may monitor; off makes calls cheaper, and unknown names time out instead of `noproc`.
    pub monitors: bool,
    /// The operator said that unencrypted distribution may leave this machine.
    pub plain_network: bool,
}

/// The cluster's secret. Its `Debug` is masked.
#[derive(Clone, PartialEq, Eq)]
pub struct Cookie {
    secret: String,
    source: String,
}

impl Cookie {
    /// Wraps a secret, and where it was read from.
    pub fn new(secret: impl Into<String>, source: impl Into<String>) -> Self {
        Self {
            secret: secret.into(),
            source: source.into(),
        }
    }

    /// The secret itself, for the handshake.
    pub fn expose(&self) -> &str {
        &self.secret
    }
}

impl Serialize for Cookie {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("*** (from {})", self.source))
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookie(***)")
    }
}

/// `[node] allow_start`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllowStart {
    /// Peers may start what the file holds.
    #[default]
    Configured,
    /// Peers may start any command: as powerful as a shell.
    Any,
}

/// `[node.epmd]`: the port mapper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EpmdConfig {
    /// Serve the protocol where no port mapper answers.
    pub serve: bool,
    /// Its port.
    pub port: u16,
}

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

/// `[run]`: where a running sidekick keeps sockets, locks, control files, logs and crash bundles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunConfig {
    /// The directory, made with mode 0700.
    pub dir: PathBuf,
}

impl RunConfig {
    /// Log files of the servers.
    pub fn log_dir(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// Crash bundles.
    pub fn crash_dir(&self) -> PathBuf {
        self.dir.join("crashes")
    }
}

/// `[session]`: where games connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionConfig {
    /// Unix socket, by default `session.sock` in the runtime directory; `None` where `socket = false` was said.
    #[serde(serialize_with = "socket_text")]
    pub socket: Option<PathBuf>,
    /// TCP address for engines without Unix sockets.
    pub tcp: Option<SocketAddr>,
    /// Longest frame a game may send.
    #[serde(serialize_with = "size_text")]
    pub max_frame_bytes: u32,
}

/// `[[server]]`: one supervised process.
#[derive(Debug, Clone, Serialize)]
pub struct ServerConfig {
    /// Its id, registered name and state scope.
    #[serde(serialize_with = "display")]
    pub id: ServerId,
    /// Program and arguments; a program with a `/` that is relative was resolved against the file's directory.
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
    /// Size of one upload.
    pub limits: SinkLimits,
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
    /// An upload without an answer for this long has an unknown outcome.
    #[serde(serialize_with = "duration_text")]
    pub timeout: Duration,
}

/// `[log]`: sidekick's own log, on stderr.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogConfig {
    /// How lines look.
    pub format: LogFormat,
    /// `tracing` filter directives, such as `info,sidekick::dist=debug`.
    pub filter: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For eyes.
    #[default]
    Human,
    /// One JSON object per line.
    Json,
}
