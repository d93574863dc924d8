//! Every server is an Erlang process: a pid for each start, registered under the server's id.
//!
//! Its mailbox reaches the game's script: a gen call is answered by the call handler, a plain message arrives
//! as `message_received`. Exit signals go to the supervisor. The pid ends with the reason of the server's end.

use crate::api::Parts;
use crate::api::child_spec::MODULE;
use crate::api::reply;
use crate::etf::{Pid, Term};
use crate::godot::ScriptError;
use crate::node::gen_call::{self, Incoming};
use crate::node::sys::{System, Traffic};
use crate::node::{Process, Signal};
use crate::supervisor::{EndReason, EventKind, ExitRequest, Status};
use crate::types::ServerId;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Semaphore, watch};

/// Signals that may wait for one server's script.
const MAILBOX: usize = 1_024;
/// Calls of one server that may wait for its script.
const CALLS_MAX: usize = 256;
/// A script that has not answered by then never will; callers give up much earlier.
const CALL_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a request waits for the pid of what it started or stopped.
const SETTLE: Duration = Duration::from_secs(5);

/// One start of a server and its pid.
#[derive(Debug, Clone, PartialEq)]
struct Incarnation {
    start_number: u64,
    /// None once it has ended.
    pid: Option<Pid>,
}

/// The pids of the servers now.
pub struct ServerPids {
    current: watch::Sender<HashMap<ServerId, Incarnation>>,
}

impl Default for ServerPids {
    fn default() -> Self {
        Self {
            current: watch::channel(HashMap::new()).0,
        }
    }
}

impl ServerPids {
    /// The pid of a server that is up.
    pub fn get(&self, id: &ServerId) -> Option<Pid> {
        self.current.borrow().get(id).and_then(|i| i.pid.clone())
    }

    /// Waits until the pid of the server is that of its present process (or gone with it).
    pub async fn settled(&self, status: &Status) {
        let mut current = self.current.subscribe();
        let agrees = |pids: &HashMap<ServerId, Incarnation>| match pids.get(&status.id) {
            Some(known) => {
                known.start_number >= status.start_number
                    && known.pid.is_some() == status.os_pid.is_some()
            }
            None => status.os_pid.is_none(),
        };
        if tokio::time::timeout(SETTLE, current.wait_for(agrees))
            .await
            .is_err()
        {
            tracing::warn!(server = %status.id, "the server's pid did not follow its process");
        }
    }

    fn set(&self, id: &ServerId, start_number: u64, pid: Option<Pid>) {
        self.current.send_modify(|pids| {
            pids.insert(id.clone(), Incarnation { start_number, pid });
        });
    }

    fn end(&self, parts: &Parts, id: &ServerId, start_number: u64, reason: Term) {
        let current = self.current.borrow().get(id).cloned();
        let Some(Incarnation {
            start_number: known,
            pid: Some(pid),
        }) = current
        else {
            return;
        };
        if known <= start_number {
            parts.node.end(&pid, reason);
            self.set(id, known, None);
        }
    }
}

/// Follows the supervisor and keeps the pids in step; runs until the supervisor ends.
pub async fn follow(parts: Arc<Parts>) {
    let mut events = parts.supervisor.events();
    resync(&parts);
    loop {
        match events.recv().await {
            Ok(event) => match event.kind {
                EventKind::Started { start_number, .. } => begin(&parts, &event.id, start_number),
                EventKind::Ended {
                    start_number,
                    reason,
                    ..
                } => {
                    parts
                        .pids
                        .end(&parts, &event.id, start_number, reply::end_reason(&reason));
                }
                EventKind::Removed => {
                    parts.pids.current.send_modify(|pids| {
                        pids.remove(&event.id);
                    });
                }
                _ => {}
            },
            Err(RecvError::Lagged(_)) => resync(&parts),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Makes the pids agree with what runs, after events were missed.
fn resync(parts: &Arc<Parts>) {
    for status in parts.supervisor.servers() {
        if status.os_pid.is_some() {
            begin(parts, &status.id, status.start_number);
        } else {
            let reason = status
                .last_exit
                .map_or(EndReason::Unknown, |exit| exit.reason);
            parts.pids.end(
                parts,
                &status.id,
                status.start_number,
                reply::end_reason(&reason),
            );
        }
    }
}

fn begin(parts: &Arc<Parts>, id: &ServerId, start_number: u64) {
    let known = parts.pids.current.borrow().get(id).cloned();
    if known.is_some_and(|known| known.start_number >= start_number) {
        return;
    }
    parts.pids.end(
        parts,
        id,
        start_number,
        reply::end_reason(&EndReason::Unknown),
    );
    let process = parts.node.spawn(MAILBOX);
    let pid = process.pid().clone();
    if !parts.node.register(id.as_str(), &pid) {
        tracing::error!(server = %id, "the server's name is taken on the node");
    }
    parts.pids.set(id, start_number, Some(pid));
    tokio::spawn(serve(parts.clone(), id.clone(), start_number, process));
}

async fn serve(parts: Arc<Parts>, id: ServerId, start_number: u64, mut process: Process) {
    let calls = Arc::new(Semaphore::new(CALLS_MAX));
    let pid = process.pid().clone();
    let mut system = System::new(&parts.node, &pid, id.as_str(), MODULE).ends();
    while let Some(signal) = process.recv().await {
        match signal {
            Signal::Message { term, .. } => {
                system.traffic().received();
                match gen_call::parse(term) {
                    Incoming::System { from, request } => {
                        let state = || state_of(&parts, &id, &pid);
                        let end = system.answer(&parts.node, &from, request, state);
                        // `GenServer.stop`: whatever reason it gives, ours is `shutdown`.
                        if end.is_some() {
                            exit(&parts, &id, start_number, ExitRequest::Shutdown);
                        }
                    }
                    other => message(&parts, &id, &calls, system.traffic(), other),
                }
            }
            // A process that happened to be linked and ended is no reason to end a game; exit/2 is a request.
            Signal::Exit { linked: true, .. } => {}
            Signal::Exit { reason, kill, .. } => {
                let request = match reason.as_atom().map(crate::etf::Atom::as_str) {
                    _ if kill => ExitRequest::Kill,
                    Some("normal") => continue,
                    Some("shutdown") => ExitRequest::Shutdown,
                    _ => ExitRequest::Other,
                };
                exit(&parts, &id, start_number, request);
            }
        }
    }
}

/// Tells the supervisor, which may take its time.
fn exit(parts: &Parts, id: &ServerId, start_number: u64, request: ExitRequest) {
    let (supervisor, id) = (parts.supervisor.clone(), id.clone());
    tokio::spawn(async move { supervisor.exit(&id, start_number, request).await });
}

/// What `sys:get_state` shows: the server's status.
fn state_of(parts: &Parts, id: &ServerId, pid: &Pid) -> Term {
    let status = parts.supervisor.server(id);
    status.map_or_else(Term::nil, |status| reply::status(&status, Some(pid)))
}

fn message(
    parts: &Arc<Parts>,
    id: &ServerId,
    calls: &Arc<Semaphore>,
    traffic: &Traffic,
    message: Incoming,
) {
    match message {
        Incoming::Call { from, request } => {
            let Ok(permit) = calls.clone().try_acquire_owned() else {
                parts
                    .node
                    .reply(&from, Term::error("overloaded", Term::map([])));
                return;
            };
            let (parts, id, traffic) = (parts.clone(), id.clone(), traffic.clone());
            tokio::spawn(async move {
                let answer = parts.sessions.call(&id, request, CALL_TIMEOUT).await;
                parts
                    .node
                    .reply(&from, answer.unwrap_or_else(|error| script_error(&error)));
                traffic.sent();
                drop(permit);
            });
        }
        Incoming::System { .. } => {}
        Incoming::Cast(term) | Incoming::Other(term) => {
            if let Err(error) = parts.sessions.deliver(id, term) {
                tracing::debug!(server = %id, %error, "message not delivered");
            }
        }
    }
}

/// The reply where the script could not be asked.
fn script_error(error: &ScriptError) -> Term {
    match error {
        ScriptError::NotConnected => Term::error("not_connected", Term::map([])),
        ScriptError::Unsupported { path, .. } => Term::error(
            "unsupported_term",
            Term::map([("path", Term::text(&path.to_string()))]),
        ),
        ScriptError::Timeout => Term::error("timeout", Term::map([])),
        other => Term::error(
            "failed",
            Term::map([("detail", Term::text(&other.to_string()))]),
        ),
    }
}
