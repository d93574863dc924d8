//! What a node needs to know to start, and why it may not.

use crate::dist::control::Control;
use crate::dist::tls::{TlsFiles, TlsFilesError};
use crate::dist::{Cookie, NodeName};
use crate::etf::Atom;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Settings of a node; [`NodeOptions::new`] has the defaults.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Full name.
    pub name: NodeName,
    /// Shared secret of the cluster.
    pub cookie: Cookie,
    /// Show up in `Node.list/0` of the peers; else in `Node.list(:hidden)` only.
    pub visible: bool,
    /// Address to listen on for peers.
    pub listen_address: IpAddr,
    /// Port to listen on for peers; 0 takes any.
    pub listen_port: u16,
    /// Speak TLS with every peer, with these certificates; else plain TCP with every peer.
    pub tls: Option<TlsFiles>,
    /// A peer that is silent for this long is gone; ticks go out every quarter of it.
    pub ticktime: Duration,
    /// Port of the port mapper.
    pub epmd_port: u16,
    /// Serve the port mapper's protocol where nobody does.
    pub serve_epmd: bool,
    /// Offer process monitors; without them calls are faster but unknown names time out.
    pub monitors: bool,
    /// Largest frame a peer may send, in bytes.
    pub frame_bytes_max: usize,
    /// Bytes that may wait for one slow peer before its connection is closed.
    pub queue_bytes_max: usize,
    /// Most peers at once.
    pub peers_max: usize,
    /// What a test takes away; nothing in a product.
    #[doc(hidden)]
    pub faults: Faults,
}

/// Protections that a test takes away from a node, or faults that it puts in, to show that it would notice their lack. No
/// configuration leads here: `tests/tidy.rs` sees to it that no other room names it.
#[doc(hidden)]
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Readers never pause for other tasks.
    pub readers_never_pause: bool,
    /// Our references follow from one another.
    pub references_can_be_guessed: bool,
    /// Handling a message to this name panics.
    pub panics_at: Option<Atom>,
}

impl Faults {
    pub(super) fn strike(&self, control: &Control) {
        if let (Some(at), Control::RegSend { name, .. }) = (&self.panics_at, control) {
            assert!(at != name, "a test asked for this panic");
        }
    }
}

impl NodeOptions {
    /// Defaults for this name and cookie: hidden, any port, all addresses, `ERL_EPMD_PORT` or 4369.
    pub fn new(name: NodeName, cookie: Cookie) -> Self {
        Self {
            name,
            cookie,
            visible: false,
            listen_address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            listen_port: 0,
            tls: None,
            ticktime: Duration::from_secs(60),
            epmd_port: crate::dist::epmd::port_from_env(),
            serve_epmd: true,
            monitors: true,
            frame_bytes_max: 128 << 20,
            queue_bytes_max: 256 << 20,
            peers_max: 1024,
            faults: Faults::default(),
        }
    }

    /// Whether the certificates, where there are any, are such as peers will accept.
    pub fn check_tls(&self) -> Result<(), TlsFilesError> {
        self.tls
            .as_ref()
            .map_or(Ok(()), |files| files.check(&self.name))
    }
}

/// Why a node could not start; each says the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// Another node of that name is registered on this machine.
    #[error(
        "a node named {0} already runs on this machine (its port mapper says so); stop it or choose another [node] name"
    )]
    NameTaken(NodeName),
    /// The listen port is in use or not permitted.
    #[error("cannot listen on {address}: {source}; choose another [node] listen address or port")]
    Listen {
        /// What was tried.
        address: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The certificates are of no use.
    #[error(transparent)]
    Tls(#[from] TlsFilesError),
    /// The port mapper did not answer as one.
    #[error(
        "the Erlang port mapper on port {port} did not take our registration: {reason}; check what listens there or set ERL_EPMD_PORT"
    )]
    Epmd {
        /// Its port.
        port: u16,
        /// What went wrong.
        reason: String,
    },
}
