//! Connections to peers: the table of them, and the life of one.

use crate::dist::handshake::Peer;
use crate::dist::link::{self, LinkError, Pulse, Reader};
use crate::dist::{NodeName, Outbox};
use crate::etf::{Atom, Term};
use crate::node::{Node, PeerEvent, PeerInfo, Signal};
use crate::types::{UnixMillis, now_ms};
use foldhash::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// Number of a connection, never used again.
pub(super) type ConnectionId = u64;

/// How long the peer may take to read our last words.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(500);

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The peer did.
    Inbound,
    /// We did.
    Outbound,
}

/// One connection to a peer.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) peer: NodeName,
    pub(super) hidden: bool,
    /// Both sides understand monitors.
    pub(super) monitors: bool,
    /// The peer understands aliases.
    pub(super) aliases: bool,
    pub(super) outbox: Arc<Outbox>,
    direction: Direction,
    since_ms: UnixMillis,
    pulse: Arc<Pulse>,
    cancel: CancellationToken,
}

impl Connection {
    pub(super) fn info(&self) -> PeerInfo {
        PeerInfo {
            node: self.peer.clone(),
            hidden: self.hidden,
            direction: self.direction,
            since_ms: self.since_ms,
            received_bytes: self.pulse.received_bytes(),
            sent_bytes: self.outbox.sent_bytes(),
        }
    }
}

/// All connections by the peer's name.
#[derive(Debug, Default)]
pub(super) struct Connections {
    table: Mutex<HashMap<Atom, Arc<Connection>>>,
    last: AtomicU64,
}

impl Connections {
    pub(super) fn get(&self, node: &Atom) -> Option<Arc<Connection>> {
        self.lock().get(node).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Connection>> {
        self.lock().values().cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Atom, Arc<Connection>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    /// Takes a peer that passed the handshake into the table and runs its connection. An older connection to the same
    /// name is dropped: its other end was restarted, or lost it.
    pub(super) fn adopt(&self, peer: Peer, direction: Direction) -> Arc<Connection> {
        let inner = &self.inner;
        let connection = Arc::new(Connection {
            id: inner.connections.last.fetch_add(1, Ordering::Relaxed),
            peer: peer.name,
            hidden: peer.hidden,
            monitors: peer.monitors && inner.options.monitors,
            aliases: peer.aliases,
            outbox: Arc::new(Outbox::new(inner.options.queue_bytes_max)),
            direction,
            since_ms: now_ms(),
            pulse: Arc::default(),
            cancel: inner.stop.child_token(),
        });
        let old = inner
            .connections
            .lock()
            .insert(connection.peer.atom().clone(), connection.clone());
        if let Some(old) = old {
            tracing::info!(peer = %old.peer, "a new connection replaces the old one");
            old.outbox.close();
            old.cancel.cancel();
            let _ = inner.events.send(PeerEvent::Down(old.peer.clone()));
        }
        tracing::info!(peer = %connection.peer, ?direction, hidden = connection.hidden, "peer connected");
        let _ = inner.events.send(PeerEvent::Up(connection.peer.clone()));
        inner
            .tasks
            .spawn(self.clone().run(connection.clone(), peer.stream));
        connection
    }

    async fn run(self, connection: Arc<Connection>, stream: Arc<TcpStream>) {
        let options = &self.inner.options;
        let mut writer = tokio::spawn(link::write_all(
            stream.clone(),
            connection.outbox.clone(),
            connection.pulse.clone(),
            options.ticktime,
            options.queue_bytes_max,
        ));
        let mut reader = Reader::new(
            stream.clone(),
            connection.pulse.clone(),
            options.frame_bytes_max,
        );
        let ended = tokio::select! {
            error = self.read(&connection, &mut reader) => Some(error),
            written = &mut writer => written.unwrap_or(Ok(())).err(),
            () = connection.cancel.cancelled() => None,
        };
        connection.outbox.close();
        match ended {
            None => say_goodbye(writer, &stream, reader).await,
            Some(_) => writer.abort(),
        }
        self.forget(&connection, ended.as_ref());
    }

    async fn read(&self, connection: &Arc<Connection>, reader: &mut Reader) -> LinkError {
        loop {
            match reader.next().await {
                Ok(message) => {
                    if let Err(error) = self.dispatch(connection, message).await {
                        return error;
                    }
                }
                Err(error) => return error,
            }
        }
    }

    /// Everything that hung on a connection is undone, and whoever waited is told.
    fn forget(&self, connection: &Arc<Connection>, why: Option<&LinkError>) {
        let inner = &self.inner;
        let current = {
            let mut table = inner.connections.lock();
            let own = table
                .get(connection.peer.atom())
                .is_some_and(|c| c.id == connection.id);
            if own {
                table.remove(connection.peer.atom());
            }
            own
        };
        for (mailbox, remote) in inner.registry.connection_lost(connection.id) {
            let reason = Term::atom("noconnection");
            let signal = Signal::Exit {
                from: remote,
                reason,
                kill: false,
                linked: true,
            };
            self.deliver_aside(mailbox, signal);
        }
        inner.waiters.connection_lost(connection.id);
        if current {
            if let Some(why) = why {
                tracing::info!(peer = %connection.peer, %why, "peer lost");
            } else {
                tracing::info!(peer = %connection.peer, "peer disconnected");
            }
            let _ = inner.events.send(PeerEvent::Down(connection.peer.clone()));
        }
    }
}

/// Lets the writer write what waits, then waits for the peer to hang up, so that the kernel does not discard it.
async fn say_goodbye(
    writer: tokio::task::JoinHandle<Result<(), LinkError>>,
    stream: &TcpStream,
    mut reader: Reader,
) {
    let abort = writer.abort_handle();
    let goodbye = async {
        let _ = writer.await;
        let _ = socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write);
        while reader.next().await.is_ok() {}
    };
    let _ = tokio::time::timeout(GOODBYE_TIMEOUT, goodbye).await;
    abort.abort();
}
