//! Connections to peers: the table of them, and the life of one.

use crate::dist::handshake::Peer;
use crate::dist::link::{self, LinkError, Pulse, Reader};
use crate::dist::{NodeName, Outbox, Stream};
use crate::etf::{Atom, Term};
use crate::node::process::FULL_PATIENCE;
use crate::node::{Node, PeerEvent, PeerInfo, Signal};
use crate::types::{UnixMillis, now_ms};
use foldhash::HashMap;
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Number of a connection, never used again.
pub(super) type ConnectionId = u64;

/// How long the peer may take to read our last words.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(500);

/// Functions that one peer may have running at once.
const WORK_MAX: usize = 256;
/// Messages below this weight are not counted: mailboxes are short enough for them.
const LIGHT_BYTES_MAX: usize = 16 << 10;
/// What all heavier messages of one peer that wait for a process or for a function's end may take in memory together, in KiB.
const HELD_KIB_MAX: usize = 256 << 10;

/// Faults of ours that one connection survives: where each message meets one, being connected is of no use to either side.
const FAULTS_MAX: u32 = 100;

/// A message's share of the memory that its peer may make us hold; given back when dropped.
pub(super) type Held = Option<OwnedSemaphorePermit>;

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
    /// Functions it may call now.
    pub(super) work: Arc<Semaphore>,
    /// Memory that its messages may take now, in KiB.
    room: Arc<Semaphore>,
    direction: Direction,
    since_ms: UnixMillis,
    pulse: Arc<Pulse>,
    cancel: CancellationToken,
}

impl Connection {
    /// Takes a message's share of memory, waiting for room as a full mailbox waits; none where there never was any.
    pub(super) async fn hold(&self, weight_bytes: usize) -> Option<Held> {
        if weight_bytes < LIGHT_BYTES_MAX {
            return Some(None);
        }
        // One message alone may be of any weight.
        let kib = (weight_bytes >> 10).min(HELD_KIB_MAX) as u32;
        let room = self.room.clone().acquire_many_owned(kib);
        tokio::time::timeout(FULL_PATIENCE, room)
            .await
            .ok()?
            .ok()
            .map(Some)
    }

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
            work: Arc::new(Semaphore::new(WORK_MAX)),
            room: Arc::new(Semaphore::new(HELD_KIB_MAX)),
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

    async fn run(self, connection: Arc<Connection>, stream: Stream) {
        let options = &self.inner.options;
        if let Stream::Plain(tcp) = &stream {
            connection.outbox.write_through(tcp.clone());
        }
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
        if options.faults.readers_never_pause {
            reader.never_pause();
        }
        let (ended, still_writes) = tokio::select! {
            error = self.read(&connection, &mut reader) => (Some(error), true),
            written = &mut writer => (written.unwrap_or(Err(LinkError::Fault)).err(), false),
            () = connection.cancel.cancelled() => (None, true),
        };
        connection.outbox.close();
        match ended {
            // A writer that is done already, as its outbox was closed, must not be waited for again.
            None => say_goodbye(still_writes.then_some(writer), &stream, reader).await,
            Some(_) => writer.abort(),
        }
        self.forget(&connection, ended.as_ref());
    }

    async fn read(&self, connection: &Arc<Connection>, reader: &mut Reader) -> LinkError {
        let mut faults = 0;
        loop {
            // A fault of ours, in reading a message as in obeying it, costs that message: the reader is past it by then.
            let step = async { self.dispatch(connection, reader.next().await?).await };
            match AssertUnwindSafe(step).catch_unwind().await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error,
                Err(_) if faults == FAULTS_MAX => return LinkError::Fault,
                Err(_) => {
                    faults += 1;
                    tracing::error!(peer = %connection.peer, faults, "a fault of ours while handling a message, which was dropped; please report it");
                }
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
    writer: Option<JoinHandle<Result<(), LinkError>>>,
    stream: &Stream,
    mut reader: Reader,
) {
    let abort = writer.as_ref().map(JoinHandle::abort_handle);
    let goodbye = async {
        if let Some(writer) = writer {
            let _ = writer.await;
        }
        stream.shutdown();
        while reader.next().await.is_ok() {}
    };
    let _ = tokio::time::timeout(GOODBYE_TIMEOUT, goodbye).await;
    if let Some(abort) = abort {
        abort.abort();
    }
}
