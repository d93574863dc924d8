//! Connecting: to peers, by peers, and by both at once.

use crate::dist::epmd::client;
use crate::dist::gate::{Kind, Pass, Report};
use crate::dist::handshake::{self, HandshakeError, Identity, Verdict};
use crate::dist::tls::TlsError;
use crate::dist::{Fresh, NodeName};
use crate::etf::Atom;
use crate::node::connection::{Connection, Direction};
use crate::node::{Node, PeerEvent};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Why there is no connection; cheap to clone, as all who wait for one attempt get it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The name is our own.
    #[error("that is our own name")]
    Own,
    /// Too many peers.
    #[error("as many peers as allowed are connected")]
    TooMany,
    /// The port mapper of its machine was of no use.
    #[error("the port mapper of {host}: {reason}")]
    Epmd {
        /// Where.
        host: String,
        /// Why.
        reason: Arc<client::EpmdFailure>,
    },
    /// The node does not run.
    #[error("no node of that name is registered on its machine")]
    NotRegistered,
    /// Nobody listens there.
    #[error("cannot connect: {0}")]
    Tcp(Arc<std::io::Error>),
    /// The TLS handshake failed.
    #[error(transparent)]
    Tls(Arc<TlsError>),
    /// The handshake failed.
    #[error(transparent)]
    Handshake(Arc<HandshakeError>),
    /// The node is closing.
    #[error("this node is closing")]
    Closing,
}

type Outcome = Option<Result<(), ConnectError>>;

#[derive(Debug, Clone)]
struct Attempt {
    outcome: watch::Receiver<Outcome>,
    cancel: CancellationToken,
}

/// How long we hold back while a peer of the wanted name shakes hands with us. Short, as it may be an impostor.
const COURTESY: Duration = Duration::from_secs(1);

/// Attempts under way: ours, one per node at most, and those of peers.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    ours: Mutex<HashMap<Atom, Attempt>>,
    /// A peer may believe itself connected a moment before we do; then we must not connect to it ourselves.
    theirs: watch::Sender<HashMap<Atom, usize>>,
}

impl Attempts {
    fn lock(&self) -> MutexGuard<'_, HashMap<Atom, Attempt>> {
        self.ours.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a peer's attempt until the value is dropped.
    fn begin(&self, peer: &Atom) -> Theirs<'_> {
        self.theirs
            .send_modify(|theirs| *theirs.entry(peer.clone()).or_default() += 1);
        Theirs {
            attempts: self,
            peer: peer.clone(),
        }
    }

    /// Completes when no peer of this name is shaking hands with us, or our courtesy ends. Cancel-safe.
    async fn let_pass(&self, peer: &Atom) {
        let mut theirs = self.theirs.subscribe();
        let over = theirs.wait_for(|theirs| !theirs.contains_key(peer));
        let _ = timeout(COURTESY, over).await;
    }
}

struct Theirs<'a> {
    attempts: &'a Attempts,
    peer: Atom,
}

impl Drop for Theirs<'_> {
    fn drop(&mut self) {
        self.attempts.theirs.send_modify(|theirs| {
            if let Some(count) = theirs.get_mut(&self.peer) {
                *count -= 1;
                if *count == 0 {
                    theirs.remove(&self.peer);
                }
            }
        });
    }
}

impl Node {
    /// Connects unless connected; those who ask at the same time share one attempt.
    pub(super) async fn connected(&self, to: &NodeName) -> Result<Arc<Connection>, ConnectError> {
        if *to == self.inner.options.name {
            return Err(ConnectError::Own);
        }
        if !self.is_connected(to) {
            self.inner.attempts.let_pass(to.atom()).await;
        }
        loop {
            if let Some(connection) = self.inner.connections.get(to.atom()) {
                return Ok(connection);
            }
            if self.inner.stop.is_cancelled() {
                return Err(ConnectError::Closing);
            }
            let mut attempt = self.attempt(to);
            let outcome = match attempt.outcome.wait_for(Option::is_some).await {
                Ok(outcome) => outcome.clone(),
                Err(_) => None,
            };
            outcome.unwrap_or(Err(ConnectError::Closing))?;
        }
    }

    /// The attempt under way, or a new one. It goes on if the caller leaves.
    fn attempt(&self, to: &NodeName) -> Attempt {
        let mut attempts = self.inner.attempts.lock();
        if let Some(attempt) = attempts.get(to.atom()) {
            return attempt.clone();
        }
        let (done, outcome) = watch::channel(None);
        let attempt = Attempt {
            outcome,
            cancel: self.inner.stop.child_token(),
        };
        attempts.insert(to.atom().clone(), attempt.clone());
        drop(attempts);
        let (node, to, cancel) = (self.clone(), to.clone(), attempt.cancel.clone());
        self.inner.tasks.spawn(async move {
            let events = node.peer_events();
            let result = tokio::select! {
                result = node.open(&to) => result,
                // The peer's own attempt won.
                () = cancel.cancelled() => Err(ConnectError::Handshake(Arc::new(HandshakeError::Simultaneous))),
            };
            let result = match result {
                Err(ConnectError::Handshake(e)) if matches!(*e, HandshakeError::Simultaneous) => {
                    node.arrives(&to, events).await.map_err(|()| ConnectError::Handshake(e))
                }
                other => other,
            };
            node.inner.attempts.lock().remove(to.atom());
            let _ = done.send(Some(result));
        });
        attempt
    }

    async fn open(&self, to: &NodeName) -> Result<(), ConnectError> {
        if self.inner.connections.len() >= self.inner.options.peers_max {
            return Err(ConnectError::TooMany);
        }
        let port = client::lookup(to.host(), self.inner.options.epmd_port, to.name())
            .await
            .map_err(|e| ConnectError::Epmd {
                host: to.host().to_owned(),
                reason: Arc::new(e),
            })?
            .ok_or(ConnectError::NotRegistered)?;
        let stream = timeout(handshake::TIMEOUT, TcpStream::connect((to.host(), port)))
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(|e| ConnectError::Tcp(Arc::new(e)))?;
        let stream = match &self.inner.tls {
            None => Fresh::from(stream),
            Some(tls) => tls
                .connect(stream, to)
                .await
                .map_err(|e| ConnectError::Tls(Arc::new(e)))?,
        };
        let is_connected = || self.is_connected(to);
        let peer = handshake::connect(stream, &self.inner.identity(), to, is_connected)
            .await
            .map_err(|e| ConnectError::Handshake(Arc::new(e)))?;
        self.adopt(peer, Direction::Outbound);
        Ok(())
    }

    /// Waits for the connection that the peer is opening.
    async fn arrives(
        &self,
        from: &NodeName,
        mut events: broadcast::Receiver<PeerEvent>,
    ) -> Result<(), ()> {
        let came = async {
            while self.inner.connections.get(from.atom()).is_none() {
                match events.recv().await {
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return Err(()),
                }
            }
            Ok(())
        };
        timeout(handshake::TIMEOUT, came).await.unwrap_or(Err(()))
    }

    /// Accepts peers until the node is closed.
    pub(super) async fn accept(self, listener: TcpListener) {
        loop {
            let Ok((stream, address)) = listener.accept().await else {
                // Out of descriptors: wait for some to be freed.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let Some(pass) = self.inner.gate.enter(address.ip()) else {
                if let Some(report) = self.inner.gate.turned_away(address.ip()) {
                    let why = "it failed often, and too many of its connections wait already";
                    report.log("?", address, &why);
                }
                continue;
            };
            let node = self.clone();
            let late = tokio::time::sleep(handshake::TIMEOUT);
            self.inner.tasks.spawn(async move {
                let welcome = async {
                    pass.waited().await;
                    node.welcome(stream, address, &pass).await;
                };
                tokio::select! {
                    () = welcome => {}
                    () = pass.gives_way.cancelled() => {
                        tracing::debug!(%address, "a handshake gave way to newer ones");
                    }
                    () = late => tracing::debug!(%address, "a handshake took too long"),
                    () = node.inner.stop.cancelled() => {}
                }
            });
        }
    }

    async fn welcome(&self, stream: TcpStream, address: SocketAddr, pass: &Pass) {
        let stream = match &self.inner.tls {
            None => Fresh::from(stream),
            Some(tls) => match tls.accept(stream).await {
                Ok(stream) => stream,
                Err(error) => return tls_failed(&error, address, pass),
            },
        };
        let mut theirs = None;
        let decide = |name: Option<NodeName>| {
            theirs = name
                .as_ref()
                .map(|name| self.inner.attempts.begin(name.atom()));
            std::future::ready(self.verdict(name))
        };
        match handshake::accept(stream, &self.inner.identity(), decide).await {
            Ok(peer) => {
                pass.succeeded();
                self.adopt(peer, Direction::Inbound);
            }
            Err((name, error)) => {
                let peer = name.map_or_else(|| "?".to_owned(), |name| name.to_string());
                failed(&peer, &error, address, pass);
            }
        }
    }

    /// What a peer of this name is told. That it is connected already does not matter: the old connection goes once the new
    /// one has shown that it knows the cookie.
    fn verdict(&self, name: Option<NodeName>) -> Verdict {
        let own = &self.inner.options.name;
        let full = self.inner.connections.len() >= self.inner.options.peers_max;
        let Some(name) = name else {
            return if full {
                Verdict::NotAllowed
            } else {
                Verdict::Named(dynamic_name())
            };
        };
        let known = self.inner.connections.get(name.atom()).is_some();
        if name == *own || (full && !known) || self.inner.stop.is_cancelled() {
            return Verdict::NotAllowed;
        }
        match self.inner.attempts.lock().get(name.atom()) {
            None => Verdict::Ok,
            // Both connect at once: the greater name wins, as OTP has it.
            Some(_) if own.as_str() > name.as_str() => Verdict::Nok,
            Some(attempt) => {
                attempt.cancel.cancel();
                Verdict::OkSimultaneous
            }
        }
    }
}

/// An inbound handshake failed: what an honest peer does not do is counted against its address.
fn failed(peer: &str, error: &HandshakeError, address: SocketAddr, pass: &Pass) {
    let report = match error {
        HandshakeError::WrongCookie => pass.failed(Kind::Cookie),
        HandshakeError::OldPeer(_)
        | HandshakeError::Protocol(_)
        | HandshakeError::Refused(Verdict::NotAllowed) => pass.failed(Kind::Protocol),
        HandshakeError::Io(e) if e.kind() == std::io::ErrorKind::InvalidData => {
            pass.failed(Kind::Protocol)
        }
        error => {
            tracing::debug!(peer, %address, %error, "a handshake ended early");
            return;
        }
    };
    if let Some(report) = report {
        report.log(peer, address, error);
    }
}

/// The same for TLS.
fn tls_failed(error: &TlsError, address: SocketAddr, pass: &Pass) {
    if let TlsError::Timeout | TlsError::Closed | TlsError::Io(_) = error {
        tracing::debug!(%address, %error, "a TLS handshake ended early");
    } else if let Some(report) = pass.failed(Kind::Tls) {
        report.log("?", address, error);
    }
}

impl Report {
    fn log(&self, peer: &str, address: SocketAddr, error: &dyn std::fmt::Display) {
        let Self {
            unlogged,
            unlogged_others,
        } = self;
        tracing::warn!(peer, %address, %error, unlogged, unlogged_others, "a peer was refused");
    }
}

/// A name for a peer that has none.
pub(super) fn dynamic_name() -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let letter = |_| char::from(LETTERS[rand::random_range(0..LETTERS.len())]);
    (0..13).map(letter).collect()
}

impl super::handle::Inner {
    /// Who we are in a handshake.
    fn identity(&self) -> Identity {
        Identity {
            name: self.options.name.clone(),
            creation: self.system.creation,
            cookie: self.options.cookie.clone(),
            visible: self.options.visible,
            monitors: self.options.monitors,
        }
    }
}
