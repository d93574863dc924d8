//! The loopback listener for `sidekick ctl`.
//!
//! It speaks the distribution protocol, so that a client we did not write can use it, but it is no part of the cluster:
//! it has a cookie of its own, takes clients of any name and names those that ask for a name, answers `erpc` calls of
//! module `sidekick`, and ignores everything else.

use crate::dist::control::Control;
use crate::dist::gate::{Gate, Kind, Pass};
use crate::dist::handshake::{self, Identity, Peer, Verdict};
use crate::dist::link::{self, LinkError, Pulse, Reader};
use crate::dist::{Cookie, NodeName, Outbox};
use crate::etf::{Pid, Term};
use crate::node::connect::dynamic_name;
use crate::node::erpc::{self, Accepted};
use crate::node::functions::{Caller, Functions, Outcome};
use crate::ports::BoxFuture;
use crate::shutdown::Shutdown;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};

/// Clients at once.
const CLIENTS_MAX: usize = 32;
/// Calls that one client may have running at once.
const CALLS_MAX: usize = 64;
/// Largest request.
const FRAME_BYTES_MAX: usize = 64 << 20;
/// Most that may wait for a client.
const QUEUE_BYTES_MAX: usize = 128 << 20;
/// Clients tick every half minute.
const TICKTIME: Duration = Duration::from_secs(60);

/// A listener on the loopback address that answers `erpc` calls of module `sidekick`. Dropping it closes it.
#[derive(Debug)]
pub struct ControlListener {
    port: u16,
    task: AbortHandle,
}

impl Drop for ControlListener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What every client's task needs.
struct Shared {
    identity: Identity,
    functions: Arc<dyn Functions>,
    last_id: AtomicU32,
}

impl ControlListener {
    /// Starts listening on a free port of 127.0.0.1; closes where `shutdown` hurries.
    pub async fn start(
        name: NodeName,
        cookie: Cookie,
        functions: Arc<dyn Functions>,
        shutdown: Shutdown,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let creation = rand::random_range(4..=u32::MAX);
        let identity = Identity {
            name,
            creation,
            cookie,
            visible: false,
            monitors: true,
        };
        let functions = Arc::new(OnlySidekick(functions));
        let shared = Arc::new(Shared {
            identity,
            functions,
            last_id: AtomicU32::new(1),
        });
        let task = tokio::spawn(async move {
            tokio::select! { () = accept(listener, shared) => {}, () = shutdown.hurrying() => {} }
        });
        Ok(Self {
            port,
            task: task.abort_handle(),
        })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let clients = Arc::new(Semaphore::new(CLIENTS_MAX));
    let gate = Gate::default();
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let Ok((stream, address)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Some(pass) = gate.enter(address.ip()) else {
            continue;
        };
        let (shared, clients) = (shared.clone(), clients.clone());
        tasks.spawn(async move {
            let gives_way = pass.gives_way.clone();
            let peer = tokio::select! {
                peer = welcome(stream, &shared, pass) => peer,
                () = gives_way.cancelled() => None,
            };
            let Some(peer) = peer else { return };
            if let Ok(_permit) = clients.try_acquire_owned() {
                serve(peer, &shared).await;
            } else {
                tracing::warn!("too many control clients at once; one was refused");
            }
        });
    }
}

/// Lets a client in, if it knows the cookie. A stranger that waits instead has no place that is not needed.
async fn welcome(stream: TcpStream, shared: &Arc<Shared>, pass: Pass) -> Option<Peer> {
    pass.waited().await;
    let decide = |name: Option<NodeName>| {
        let verdict = name.map_or_else(|| Verdict::Named(dynamic_name()), |_| Verdict::Ok);
        std::future::ready(verdict)
    };
    match handshake::accept(stream, &shared.identity, decide).await {
        Ok(peer) => {
            pass.succeeded();
            Some(peer)
        }
        Err((_, error)) => {
            if let Some(report) = pass.failed(Kind::Cookie) {
                let unlogged = report.unlogged;
                tracing::warn!(%error, unlogged, "a control client was refused");
            }
            None
        }
    }
}

async fn serve(peer: Peer, shared: &Arc<Shared>) {
    let (outbox, pulse) = (
        Arc::new(Outbox::new(QUEUE_BYTES_MAX)),
        Arc::new(Pulse::default()),
    );
    let reader = Reader::new(peer.stream.clone(), pulse.clone(), FRAME_BYTES_MAX);
    let writer = link::write_all(
        peer.stream,
        outbox.clone(),
        pulse,
        TICKTIME,
        QUEUE_BYTES_MAX,
    );
    let mut writer = JoinSet::from_iter([writer]);
    let error = tokio::select! {
        error = read(reader, &peer.name, &outbox, shared) => Some(error),
        _ = writer.join_next() => None,
    };
    tracing::debug!(client = %peer.name, ?error, "control client left");
}

/// Answers requests until the client leaves; what it left running goes on to its end.
async fn read(
    mut reader: Reader,
    client: &NodeName,
    outbox: &Arc<Outbox>,
    shared: &Arc<Shared>,
) -> LinkError {
    let calls = Arc::new(Semaphore::new(CALLS_MAX));
    loop {
        let message = match reader.next().await {
            Ok(message) => message,
            Err(error) => return error,
        };
        let Control::Spawn(request) = message.control else {
            continue;
        };
        let payload = message.payload.ok().flatten().unwrap_or_else(Term::nil);
        let accepted = match Accepted::parse(client.atom(), &request, payload) {
            Ok(accepted) => accepted,
            Err(why) => {
                erpc::refuse(outbox, &request, why);
                continue;
            }
        };
        let Ok(permit) = calls.clone().try_acquire_owned() else {
            erpc::refuse(outbox, &request, "system_limit");
            continue;
        };
        let id = shared.last_id.fetch_add(1, Ordering::Relaxed) & 0x0fff_ffff;
        let node = shared.identity.name.atom().clone();
        let pid = Pid {
            node,
            id,
            serial: 0,
            creation: shared.identity.creation,
        };
        let (outbox, functions) = (outbox.clone(), shared.functions.clone());
        tokio::spawn(async move {
            let _permit = permit;
            accepted.run(outbox, pid, functions).await;
        });
    }
}

/// Lets only module `sidekick` through.
struct OnlySidekick(Arc<dyn Functions>);

impl Functions for OnlySidekick {
    fn call<'a>(
        &'a self,
        caller: Caller,
        module: &'a str,
        function: &'a str,
        args: Vec<Term>,
    ) -> BoxFuture<'a, Outcome> {
        if module == "sidekick" {
            self.0.call(caller, module, function, args)
        } else {
            Box::pin(std::future::ready(Outcome::Undef))
        }
    }
}
