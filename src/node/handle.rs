//! The handle of a running node.

use crate::dist::epmd::client::EpmdFailure;
use crate::dist::epmd::registration::Registration;
use crate::dist::gate::Gate;
use crate::dist::tls::Tls;
use crate::dist::{NodeName, frames};
use crate::etf::{Atom, Pid, Reference, Term};
use crate::node::connect::Attempts;
use crate::node::connection::{Connections, Direction};
use crate::node::process::Mailbox;
use crate::node::registry::Registry;
use crate::node::waiters::{Told, Waiters};
use crate::node::{
    CallError, ConnectError, From, Functions, NodeError, NodeOptions, Process, Signal,
};
use crate::shutdown::Shutdown;
use crate::types::UnixMillis;
use std::collections::HashSet;
use std::hash::RandomState;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, broadcast};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Functions that peers may have running at once.
const WORK_MAX: usize = 4096;
/// Peer events that a slow listener may lag behind.
const EVENTS_KEPT: usize = 256;
/// How long closing may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// One connected peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// Its name.
    pub node: NodeName,
    /// Whether it is hidden.
    pub hidden: bool,
    /// Who connected.
    pub direction: Direction,
    /// Since when.
    pub since_ms: UnixMillis,
    /// Bytes read from it.
    pub received_bytes: u64,
    /// Bytes queued for it so far.
    pub sent_bytes: u64,
}

/// A peer came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerEvent {
    /// Connected.
    Up(NodeName),
    /// Lost.
    Down(NodeName),
}

/// Why a message could not be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// No connection to that node.
    #[error("no connection to that node")]
    NoConnection,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) options: NodeOptions,
    /// The pid that stands for the node itself: it makes our calls and never ends.
    pub(super) system: Pid,
    pub(super) registry: Registry,
    pub(super) waiters: Waiters,
    pub(super) connections: Connections,
    pub(super) attempts: Attempts,
    pub(super) functions: RwLock<Option<DynFunctions>>,
    pub(super) events: broadcast::Sender<PeerEvent>,
    pub(super) gate: Gate,
    pub(super) tls: Option<Tls>,
    pub(super) work: Arc<Semaphore>,
    /// Messages dropped because a mailbox stayed full.
    pub(super) dropped: AtomicU64,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
    kept: Mutex<HashSet<NodeName>>,
    listen: SocketAddr,
}

/// Functions, with the `Debug` that a trait object lacks.
#[derive(Clone)]
pub(super) struct DynFunctions(Arc<dyn Functions>);

impl std::fmt::Debug for DynFunctions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Functions")
    }
}

impl std::ops::Deref for DynFunctions {
    type Target = dyn Functions;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref()
    }
}

/// A running node. Clones are the same node; it runs until [`Node::close`].
#[derive(Clone, Debug)]
pub struct Node {
    pub(super) inner: Arc<Inner>,
}

impl Node {
    /// Listens, registers with the port mapper (or serves it), and accepts peers. Once `shutdown` hurries, the node closes.
    pub async fn start(options: NodeOptions, shutdown: Shutdown) -> Result<Self, NodeError> {
        let tls = options.tls.clone();
        let tls = tls
            .map(|files| Tls::load(files, options.name.clone()))
            .transpose()?;
        let address = SocketAddr::new(options.listen_address, options.listen_port);
        let listening = async {
            let listener = TcpListener::bind(address).await?;
            let listen = listener.local_addr()?;
            Ok((listener, listen))
        };
        let (listener, listen) = listening
            .await
            .map_err(|source| NodeError::Listen { address, source })?;
        let registration = Registration {
            epmd_port: options.epmd_port,
            serve: options.serve_epmd,
            name: options.name.name().to_owned(),
            listen_port: listen.port(),
            visible: options.visible,
            answer_at: Some(listen.ip()).filter(|address| !address.is_loopback()),
        };
        let registered = registration.start().await.map_err(|error| match error {
            EpmdFailure::Refused(_) => NodeError::NameTaken(options.name.clone()),
            error => NodeError::Epmd {
                port: options.epmd_port,
                reason: error.to_string(),
            },
        })?;
        let node = Self::new(options, registered.creation, listen, tls);
        node.until_closed(registration.keep(registered));
        node.until_closed(node.clone().accept(listener));
        let closing = node.clone();
        node.until_closed(async move {
            shutdown.hurrying().await;
            closing.inner.stop.cancel();
        });
        let tls = node.inner.tls.is_some();
        tracing::info!(name = %node.name(), %listen, tls, creation = node.creation(), "node started");
        Ok(node)
    }

    fn new(options: NodeOptions, creation: u32, listen: SocketAddr, tls: Option<Tls>) -> Self {
        let name = options.name.atom().clone();
        let registry = Registry::default();
        let (id, serial) = registry.next_id();
        let secret = (!options.faults.references_can_be_guessed).then(RandomState::new);
        let inner = Inner {
            system: Pid {
                node: name.clone(),
                id,
                serial,
                creation,
            },
            registry,
            waiters: Waiters::new(name, creation, secret),
            connections: Connections::default(),
            attempts: Attempts::default(),
            functions: RwLock::new(None),
            events: broadcast::channel(EVENTS_KEPT).0,
            gate: Gate::default(),
            tls,
            work: Arc::new(Semaphore::new(WORK_MAX)),
            dropped: AtomicU64::new(0),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            kept: Mutex::default(),
            listen,
            options,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    fn until_closed(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.inner.stop.clone();
        self.inner.tasks.spawn(async move {
            tokio::select! { () = work => {}, () = stop.cancelled() => {} }
        });
    }

    /// Writes what waits for peers, closes their connections, and takes the name out of the port mapper.
    pub async fn close(&self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.inner.tasks.wait()).await;
    }

    /// Its name.
    pub fn name(&self) -> &NodeName {
        &self.inner.options.name
    }

    /// Its incarnation, as the port mapper gave it.
    pub fn creation(&self) -> u32 {
        self.inner.system.creation
    }

    /// Messages dropped so far because a mailbox stayed full.
    pub fn dropped_messages(&self) -> u64 {
        self.inner.dropped.load(Ordering::Relaxed)
    }

    /// Where it listens for peers.
    pub fn listen_address(&self) -> SocketAddr {
        self.inner.listen
    }

    /// Connected peers.
    pub fn peers(&self) -> Vec<PeerInfo> {
        self.inner
            .connections
            .all()
            .iter()
            .map(|connection| connection.info())
            .collect()
    }

    /// Whether there is a connection to this node now.
    pub fn is_connected(&self, node: &NodeName) -> bool {
        self.inner.connections.get(node.atom()).is_some()
    }

    /// Comings and goings from now on.
    pub fn peer_events(&self) -> broadcast::Receiver<PeerEvent> {
        self.inner.events.subscribe()
    }

    /// Connects unless connected.
    pub async fn connect(&self, node: &NodeName) -> Result<(), ConnectError> {
        self.connected(node).await.map(|_| ())
    }

    /// Keeps connections to these nodes from now on, trying again with growing, jittered pauses.
    pub fn keep_connected(&self, nodes: Vec<NodeName>) {
        let mut kept = self
            .inner
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for node in nodes {
            if node != *self.name() && kept.insert(node.clone()) {
                self.until_closed(self.clone().keep(node));
            }
        }
    }

    /// A new local process whose mailbox holds so many signals.
    pub fn spawn(&self, capacity: usize) -> Process {
        let (sender, mailbox) = Mailbox::new(capacity);
        let pid = self.next_pid();
        self.inner.registry.insert(&pid, sender);
        Process {
            pid,
            mailbox,
            node: self.clone(),
        }
    }

    pub(super) fn next_pid(&self) -> Pid {
        let (id, serial) = self.inner.registry.next_id();
        Pid {
            id,
            serial,
            ..self.inner.system.clone()
        }
    }

    /// Gives a local process a name; false where the name is taken, the process is gone or already has one.
    pub fn register(&self, name: &str, pid: &Pid) -> bool {
        let reserved = matches!(name, "net_kernel" | "rex" | "undefined" | "");
        !reserved
            && self.is_local(pid)
            && self
                .inner
                .registry
                .register(Atom::new(name), (pid.id, pid.serial))
    }

    /// Frees a name.
    pub fn unregister(&self, name: &str) {
        self.inner.registry.unregister(&Atom::new(name));
    }

    /// The local process of this name.
    pub fn whereis(&self, name: &str) -> Option<Pid> {
        let (id, serial) = self.inner.registry.whereis(&Atom::new(name))?;
        Some(Pid {
            id,
            serial,
            ..self.inner.system.clone()
        })
    }

    /// Ends a local process: frees its name, tells monitors and links, and any later use finds `noproc`.
    #[allow(clippy::needless_pass_by_value)] // Callers make the reason for this call alone.
    pub fn end(&self, pid: &Pid, reason: Term) {
        if !self.is_local(pid) {
            return;
        }
        let Some(ending) = self.inner.registry.end((pid.id, pid.serial)) else {
            return;
        };
        for watcher in ending.watchers {
            watcher.connection.outbox.push(|out| {
                frames::monitor_exit(
                    out,
                    &watcher.target,
                    &watcher.pid,
                    &watcher.reference,
                    &reason,
                );
            });
        }
        for (connection, remote) in ending.links {
            connection
                .outbox
                .push(|out| frames::exit(out, &ending.pid, &remote, &reason));
        }
        for waiter in ending.local_watches {
            self.inner.waiters.tell(&waiter, Told::Down(reason.clone()));
        }
    }

    /// Sends to a process; lost where there is no connection, as in Erlang. Never waits.
    pub fn send(&self, to: &Pid, message: Term) {
        if let Some(mailbox) = self.mailbox(to) {
            self.deliver_aside(
                mailbox,
                Signal::Message {
                    from: None,
                    term: message,
                },
            );
        } else if let Some(connection) = self.inner.connections.get(&to.node) {
            connection
                .outbox
                .push(|out| frames::send(out, to, &message));
        }
    }

    /// Completes when little enough waits to be written to that node; for those who send much. Cancel-safe.
    pub async fn has_room(&self, node: &Atom) {
        if let Some(connection) = self.inner.connections.get(node) {
            connection.outbox.has_room().await;
        }
    }

    /// Sends to a registered name from `sender` (or the node itself). Never waits.
    pub fn send_name(
        &self,
        sender: Option<&Pid>,
        name: &str,
        node: &NodeName,
        message: Term,
    ) -> Result<(), SendError> {
        let sender = sender.unwrap_or(&self.inner.system);
        let name = Atom::new(name);
        if node == self.name() {
            if let Some(mailbox) = self.inner.registry.mailbox_named(&name) {
                let signal = Signal::Message {
                    from: Some(sender.clone()),
                    term: message,
                };
                self.deliver_aside(mailbox, signal);
            }
            return Ok(());
        }
        let connection = self
            .inner
            .connections
            .get(node.atom())
            .ok_or(SendError::NoConnection)?;
        let sent = connection
            .outbox
            .push(|out| frames::reg_send(out, sender, &name, &message));
        if sent {
            Ok(())
        } else {
            Err(SendError::NoConnection)
        }
    }

    /// Sends an exit signal to a remote process, as `exit/2` does.
    pub fn exit(&self, from: &Pid, to: &Pid, reason: &Term) {
        if let Some(connection) = self.inner.connections.get(&to.node) {
            connection
                .outbox
                .push(|out| frames::exit2(out, from, to, reason));
        }
    }

    /// Answers a call. Never waits.
    pub fn reply(&self, from: &From, reply: Term) {
        let Some(alias) = from.alias() else {
            return self.send(&from.pid, Term::tuple([from.tag.clone(), reply]));
        };
        if alias.node == self.inner.system.node {
            self.inner.waiters.tell(alias, Told::Reply(reply));
        } else if let Some(connection) = self.inner.connections.get(&alias.node) {
            let system = &self.inner.system;
            connection
                .outbox
                .push(|out| frames::alias_reply(out, system, alias, &from.tag, &reply));
        }
    }

    /// A fresh reference of this node.
    pub fn make_ref(&self) -> Reference {
        self.inner.waiters.make_ref()
    }

    /// Offers functions to `rpc` and `erpc`.
    pub fn serve_functions(&self, functions: Arc<dyn Functions>) {
        let mut given = self
            .inner
            .functions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *given = Some(DynFunctions(functions));
    }
}

impl std::convert::From<ConnectError> for CallError {
    fn from(_: ConnectError) -> Self {
        Self::NoConnection
    }
}
