//! The handshake, on both sides.
//!
//! `erl_dist` does the exchange; around it we put what it lacks: a timeout, a bound on messages ([`greeting`]), a check
//! of the peer's flags and name, and the answer to `alive`, which its client forgets to send.
//!
//! [`greeting`]: super::greeting

use crate::dist::greeting::Greeting;
pub use crate::dist::stream::TIMEOUT;
use crate::dist::stream::{Fresh, Stream};
use crate::dist::{Cookie, NodeName};
use erl_dist::handshake::{
    ClientSideHandshake, HandshakeError as Inner, HandshakeStatus, ServerSideHandshake,
};
use erl_dist::node::{Creation, LocalNode, PeerNode};
use erl_dist::{DistributionFlags, HIGHEST_DISTRIBUTION_PROTOCOL_VERSION};
use std::future::Future;
use std::io::ErrorKind;
use tokio::time::timeout_at;

/// Who we are in a handshake.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Our name.
    pub name: NodeName,
    /// Our incarnation.
    pub creation: u32,
    /// The shared secret.
    pub cookie: Cookie,
    /// Be in the peers' `nodes()`.
    pub visible: bool,
    /// Offer process monitors.
    pub monitors: bool,
}

/// A peer that passed the handshake.
#[derive(Debug)]
pub struct Peer {
    /// Its name; for one that asked for a name, the one we gave.
    pub name: NodeName,
    /// It does not show up in `nodes()`.
    pub hidden: bool,
    /// It understands process monitors.
    pub monitors: bool,
    /// It understands aliases.
    pub aliases: bool,
    /// The connection.
    pub stream: Stream,
}

/// What to answer to a peer that said its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Ok,
    /// Go on; our own attempt to connect to it gives way.
    OkSimultaneous,
    /// Stop; our own attempt goes on.
    Nok,
    /// Stop.
    NotAllowed,
    /// Go on under this name (the part before the `@`).
    Named(String),
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// Too slow.
    #[error("the handshake took longer than {} seconds", TIMEOUT.as_secs())]
    Timeout,
    /// The peer has another cookie.
    #[error("the cookies differ; give both nodes the same one")]
    WrongCookie,
    /// The peer hung up after we had shown our digest.
    #[error("the peer hung up when it saw our cookie's digest; most likely the cookies differ")]
    Rejected,
    /// The peer does not want us.
    #[error("the peer does not allow the connection")]
    NotAllowed,
    /// The peer is connecting to us at the same time and its attempt wins.
    #[error("the peer is connecting to us already")]
    Simultaneous,
    /// We told the peer to stop.
    #[error("refused: {0:?}")]
    Refused(Verdict),
    /// The peer is older than what we speak with.
    #[error("the peer lacks distribution flags {0:#x}; OTP 25 or later is needed")]
    OldPeer(u64),
    /// Another node than expected answered.
    #[error("the node there is called {0}")]
    WrongName(String),
    /// Broken connection.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Nonsense.
    #[error("not the distribution protocol: {0}")]
    Protocol(String),
}

impl Identity {
    fn local(&self) -> Result<LocalNode, HandshakeError> {
        let name = self.name.as_str().parse().map_err(protocol)?;
        let mut local = LocalNode::new(name, Creation::new(self.creation));
        local.flags |= DistributionFlags::SPAWN | DistributionFlags::ALIAS;
        if self.monitors {
            local.flags |= DistributionFlags::DIST_MONITOR | DistributionFlags::DIST_MONITOR_NAME;
        }
        if self.visible {
            local.flags |= DistributionFlags::PUBLISHED;
        }
        Ok(local)
    }
}

/// Shakes hands over a connection that we opened to `expected`. Where the peer says that it has a connection to us
/// already, `is_connected` tells whether that is so; if not, the peer has not noticed the loss of it yet, and we go on.
pub async fn connect(
    stream: impl Into<Fresh>,
    identity: &Identity,
    expected: &NodeName,
    is_connected: impl Fn() -> bool,
) -> Result<Peer, HandshakeError> {
    let Fresh { stream, until } = stream.into();
    let peer = timeout_at(until, connect_inner(stream, identity, is_connected))
        .await
        .unwrap_or(Err(HandshakeError::Timeout))?;
    if peer.name == *expected {
        Ok(peer)
    } else {
        Err(HandshakeError::WrongName(peer.name.to_string()))
    }
}

async fn connect_inner(
    stream: Stream,
    identity: &Identity,
    is_connected: impl Fn() -> bool,
) -> Result<Peer, HandshakeError> {
    stream.tcp().set_nodelay(true)?;
    let greeting = Greeting::new(stream.clone());
    let mut handshake =
        ClientSideHandshake::new(greeting, identity.local()?, identity.cookie.expose());
    let status = handshake
        .execute_send_name(HIGHEST_DISTRIBUTION_PROTOCOL_VERSION)
        .await
        .map_err(refine)?;
    match status {
        HandshakeStatus::Alive => {
            // erl_dist never sends this answer.
            let connected = is_connected();
            let answer: &[u8] = if connected { b"sfalse" } else { b"strue" };
            Greeting::say(&stream, answer).await?;
            if connected {
                return Err(HandshakeError::Simultaneous);
            }
        }
        HandshakeStatus::Named { .. } => {
            return Err(HandshakeError::Protocol(
                "a name we did not ask for".to_owned(),
            ));
        }
        _ => {}
    }
    let (_, peer) = handshake
        .execute_rest(true)
        .await
        .map_err(|error| match refine(error) {
            HandshakeError::Io(e)
                if matches!(
                    e.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
                ) =>
            {
                HandshakeError::Rejected
            }
            other => other,
        })?;
    finish(&peer, stream)
}

/// Shakes hands over a connection that a peer opened. `decide` is told the peer's name, or none where it asks for one.
/// Gives the name with the error where it is known.
pub async fn accept<D, F>(
    stream: impl Into<Fresh>,
    identity: &Identity,
    decide: D,
) -> Result<Peer, (Option<NodeName>, HandshakeError)>
where
    D: FnOnce(Option<NodeName>) -> F,
    F: Future<Output = Verdict>,
{
    let Fresh { stream, until } = stream.into();
    let mut name = None;
    let result = timeout_at(until, accept_inner(stream, identity, decide, &mut name)).await;
    result
        .unwrap_or(Err(HandshakeError::Timeout))
        .map_err(|error| (name, error))
}

async fn accept_inner<D, F>(
    stream: Stream,
    identity: &Identity,
    decide: D,
    known: &mut Option<NodeName>,
) -> Result<Peer, HandshakeError>
where
    D: FnOnce(Option<NodeName>) -> F,
    F: Future<Output = Verdict>,
{
    stream.tcp().set_nodelay(true)?;
    let greeting = Greeting::new(stream.clone());
    let mut handshake =
        ServerSideHandshake::new(greeting, identity.local()?, identity.cookie.expose());
    let name = handshake.execute_recv_name().await.map_err(refine)?;
    let name = name
        .map(|name| name.to_string().parse::<NodeName>())
        .transpose()
        .map_err(protocol)?;
    known.clone_from(&name);
    let verdict = decide(name).await;
    let status = match &verdict {
        Verdict::Ok => HandshakeStatus::Ok,
        Verdict::OkSimultaneous => HandshakeStatus::OkSimultaneous,
        Verdict::Nok => HandshakeStatus::Nok,
        Verdict::NotAllowed => HandshakeStatus::NotAllowed,
        Verdict::Named(name) => HandshakeStatus::Named {
            name: name.clone(),
            creation: Creation::new(rand::random_range(4..=u32::MAX)),
        },
    };
    let (_, peer) = handshake
        .execute_rest(status)
        .await
        .map_err(|error| match error {
            Inner::OngoingHandshake | Inner::NotAllowed => HandshakeError::Refused(verdict),
            other => refine(other),
        })?;
    finish(&peer, stream)
}

fn finish(peer: &PeerNode, stream: Stream) -> Result<Peer, HandshakeError> {
    let mandatory = DistributionFlags::mandatory();
    let mut flags = peer.flags;
    if flags.contains(DistributionFlags::MANDATORY_25_DIGEST) {
        // One flag that stands for all that were mandatory in OTP 25.
        flags |= mandatory_25();
    }
    // The digest flag itself came with OTP 25 and is not something we rely on.
    let wanted = mandatory.bits() & !DistributionFlags::MANDATORY_25_DIGEST.bits();
    let missing = wanted & !flags.bits();
    if missing != 0 {
        return Err(HandshakeError::OldPeer(missing));
    }
    stream.trust();
    Ok(Peer {
        name: peer.name.to_string().parse().map_err(protocol)?,
        hidden: !flags.contains(DistributionFlags::PUBLISHED),
        monitors: flags.contains(DistributionFlags::DIST_MONITOR)
            && flags.contains(DistributionFlags::DIST_MONITOR_NAME),
        aliases: flags.contains(DistributionFlags::ALIAS),
        stream,
    })
}

fn mandatory_25() -> DistributionFlags {
    DistributionFlags::EXTENDED_REFERENCES
        | DistributionFlags::FUN_TAGS
        | DistributionFlags::EXTENDED_PIDS_PORTS
        | DistributionFlags::UTF8_ATOMS
        | DistributionFlags::NEW_FUN_TAGS
        | DistributionFlags::BIG_CREATION
        | DistributionFlags::NEW_FLOATS
        | DistributionFlags::MAP_TAGS
        | DistributionFlags::EXPORT_PTR_TAG
        | DistributionFlags::BIT_BINARIES
        | DistributionFlags::HANDSHAKE_23
}

fn refine(error: Inner) -> HandshakeError {
    match error {
        Inner::CookieMismatch => HandshakeError::WrongCookie,
        Inner::NotAllowed => HandshakeError::NotAllowed,
        Inner::OngoingHandshake => HandshakeError::Simultaneous,
        Inner::Io(error) => HandshakeError::Io(error),
        other => protocol(other),
    }
}

fn protocol(error: impl std::fmt::Display) -> HandshakeError {
    HandshakeError::Protocol(error.to_string())
}
