//! `[node]`: who sidekick is in the Erlang cluster.

use crate::config::values::duration_text;
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

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
    /// Address to listen on for distribution; loopback unless there is `tls` or `plain_network` was said.
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
    /// `[node.tls]`: speak TLS with every peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
}

/// `[node.tls]`: certificates, all PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(clippy::struct_field_names)] // The names are those of the file.
pub struct TlsConfig {
    /// This node's certificate, and those between it and its CA.
    pub cert_file: PathBuf,
    /// Its key.
    pub key_file: PathBuf,
    /// The CAs of peers' certificates.
    pub ca_file: PathBuf,
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
