//! The file as it is written, before any check that needs more than one value.

use super::model::{
    AllowStart, Columns, LogFormat, OnExit, PayloadForm, ProbeKind, Restart, SinkStart, Strategy,
    Tables, WhenFull,
};
use super::values::{
    PathOrOff, PortText, Ports, Size, SizeOrUnlimited, Span, SpanOrOff, TimeOfDay,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use toml::Spanned;

/// What `ctl` needs of it.
#[derive(Deserialize)]
pub(super) struct RunAlone {
    #[serde(default)]
    pub run: RawRun,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    #[serde(default)]
    pub node: RawNode,
    #[serde(default)]
    pub buffer: RawBuffer,
    #[serde(default)]
    pub run: RawRun,
    #[serde(default)]
    pub session: RawSession,
    #[serde(default)]
    pub log: RawLog,
    #[serde(default)]
    pub stream: Vec<Spanned<RawStream>>,
    #[serde(default)]
    pub state: Vec<Spanned<RawState>>,
    #[serde(default)]
    pub group: Vec<RawGroup>,
    #[serde(default)]
    pub server: Vec<Spanned<RawServer>>,
    #[serde(default)]
    pub sink: Vec<Spanned<RawSink>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawNode {
    pub name: Option<Spanned<String>>,
    pub cookie_file: Option<Spanned<PathBuf>>,
    pub connect: Vec<Spanned<String>>,
    pub allow_start: AllowStart,
    pub listen: Option<Spanned<IpAddr>>,
    pub port: u16,
    pub epmd: RawEpmd,
    pub visible: bool,
    pub ticktime: Option<Spanned<Span>>,
    pub monitors: Option<bool>,
    pub plain_network: bool,
    pub tls: Option<Spanned<RawTls>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_field_names)] // The names are those of the file.
pub(super) struct RawTls {
    pub cert_file: Spanned<PathBuf>,
    pub key_file: Spanned<PathBuf>,
    pub ca_file: Spanned<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawEpmd {
    pub serve: Option<bool>,
    pub port: Option<Spanned<u16>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawBuffer {
    pub dir: Option<Spanned<PathBuf>>,
    pub max_bytes: Option<Spanned<Size>>,
    pub when_full: WhenFull,
    pub segment_bytes: Option<Spanned<Size>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStream {
    pub pattern: Spanned<String>,
    #[serde(default)]
    pub keep: RawKeep,
    pub limit: Option<Spanned<RawKeep>>,
    pub when_full: Option<WhenFull>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawState {
    pub pattern: Spanned<String>,
    pub history: Spanned<u32>,
}

/// Of `keep`, and of `limit`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawKeep {
    pub bytes: Option<Size>,
    pub age: Option<Span>,
    pub count: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRun {
    pub dir: Option<Spanned<PathBuf>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSession {
    pub socket: Option<Spanned<PathOrOff>>,
    pub tcp: Option<Spanned<SocketAddr>>,
    pub max_frame_bytes: Option<Spanned<Size>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGroup {
    pub name: Spanned<String>,
    #[serde(default)]
    pub strategy: Strategy,
    pub max_restarts: Option<u32>,
    pub max_seconds: Option<Spanned<u32>>,
    #[serde(default)]
    pub backoff: RawBackoff,
    pub quarantine: Option<Spanned<SpanOrOff>>,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(super) struct RawServer {
    pub id: Spanned<String>,
    pub count: Option<Spanned<u16>>,
    pub ports: Option<Spanned<Ports>>,
    pub group: Option<Spanned<String>>,
    pub command: Spanned<Vec<String>>,
    pub directory: Option<Spanned<PathBuf>>,
    pub env: Option<Spanned<BTreeMap<String, String>>>,
    #[serde(default)]
    pub restart: Restart,
    pub max_restarts: Option<u32>,
    pub max_seconds: Option<Spanned<u32>>,
    #[serde(default)]
    pub backoff: RawBackoff,
    pub quarantine: Option<Spanned<SpanOrOff>>,
    pub restart_at: Option<TimeOfDay>,
    pub restart_when_empty: Option<Spanned<bool>>,
    pub start_timeout: Option<Spanned<Span>>,
    pub hang_timeout: Option<Spanned<SpanOrOff>>,
    pub stop_timeout: Option<Spanned<Span>>,
    pub session: Option<bool>,
    #[serde(default)]
    pub on_exit: OnExit,
    pub autostart: Option<bool>,
    pub busy_max: Option<Spanned<Span>>,
    pub memory_warn: Option<Spanned<Size>>,
    pub probe: Option<Spanned<RawProbe>>,
    pub standby: Option<Spanned<i64>>,
    #[serde(default)]
    pub limits: RawServerLimits,
    pub user: Option<Spanned<String>>,
    pub no_new_privs: Option<bool>,
    #[serde(default)]
    pub inherit_env: Vec<Spanned<String>>,
    #[serde(default)]
    pub secret_env: Vec<Spanned<String>>,
    #[serde(default)]
    pub logs: RawServerLogs,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProbe {
    pub kind: Spanned<ProbeKind>,
    pub address: Option<Spanned<String>>,
    pub port: Spanned<PortText>,
    pub path: Option<Spanned<String>>,
    pub status: Option<Spanned<u16>>,
    pub payload: Option<Spanned<String>>,
    pub expect: Option<Spanned<String>>,
    pub interval: Option<Spanned<Span>>,
    pub timeout: Option<Spanned<Span>>,
    pub failures: Option<Spanned<u32>>,
}

#[derive(Deserialize, Default, Clone)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawServerLimits {
    pub memory: Option<Spanned<Size>>,
    pub memory_high: Option<Spanned<Size>>,
    pub cpu: Option<Spanned<f64>>,
    pub pids: Option<Spanned<u32>>,
    pub cgroup: bool,
    pub nofile: Option<Spanned<u64>>,
    pub nproc: Option<Spanned<u64>>,
    pub core: Option<SizeOrUnlimited>,
    pub address_space: Option<Spanned<Size>>,
}

#[derive(Deserialize, Default, Clone)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawServerLogs {
    pub bytes: Option<Spanned<Size>>,
    pub age: Option<Spanned<Span>>,
}

#[derive(Deserialize, Default, Clone)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawBackoff {
    pub initial: Option<Spanned<Span>>,
    pub max: Option<Spanned<Span>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSink {
    pub name: Spanned<String>,
    pub kind: Spanned<String>,
    #[serde(default)]
    pub nodes: Vec<Spanned<String>>,
    pub streams: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    pub start: SinkStart,
    #[serde(default)]
    pub limits: RawLimits,
    #[serde(default)]
    pub breaker: RawBreaker,
    #[serde(default)]
    pub dead_letters: RawDeadLetters,
    pub url_file: Option<Spanned<PathBuf>>,
    pub url_env: Option<Spanned<String>>,
    pub ca_file: Option<Spanned<PathBuf>>,
    pub cert_file: Option<Spanned<PathBuf>>,
    pub key_file: Option<Spanned<PathBuf>>,
    pub payload: Option<PayloadForm>,
    pub connections: Option<Spanned<u32>>,
    pub tables: Option<Tables>,
    pub columns: Option<Columns>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawBreaker {
    pub failures: Option<Spanned<u32>>,
    pub open: Option<Spanned<Span>>,
    pub open_max: Option<Spanned<Span>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawDeadLetters {
    pub after: Option<Spanned<u32>>,
    pub max: Option<Spanned<u32>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLimits {
    pub records: Option<Spanned<u32>>,
    pub bytes: Option<Spanned<Size>>,
    pub age: Option<Spanned<Span>>,
    pub max_bytes_per_second: Option<Spanned<Size>>,
    pub timeout: Option<Spanned<Span>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLog {
    pub format: LogFormat,
    pub filter: Option<Spanned<String>>,
}
