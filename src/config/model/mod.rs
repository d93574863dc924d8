//! The frozen configuration: what every other room reads.

mod buffer;
mod node;
mod postgres;
mod probe;
mod server;
mod sink;

pub use buffer::{BufferConfig, Keep, StateRule, StreamLimit, StreamRule, WhenFull};
pub use node::{AllowStart, Cookie, EpmdConfig, NodeConfig, TlsConfig};
pub use postgres::{Columns, DatabaseUrl, PayloadForm, PostgresConfig, Tables, UrlSource};
pub use probe::{ProbeBytes, ProbeConfig, ProbeKind};
pub use server::{Backoff, Environment, GroupConfig, OnExit, Restart, ServerConfig, Strategy};
pub use sink::{BreakerConfig, DeadLettersConfig, SinkConfig, SinkKind, SinkLimits, SinkStart};

use super::values::{size_text, socket_text};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

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
    /// `[[group]]`, in the order of the file.
    pub groups: Vec<GroupConfig>,
    /// `[[server]]`, in the order of the file, each of a template's instances by itself.
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
            SinkKind::Beam { nodes } => nodes.as_slice(),
            SinkKind::Postgres(_) => &[],
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

    /// Locks, identities and exit records of the servers' guards.
    pub fn guard_dir(&self) -> PathBuf {
        self.dir.join("guards")
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
