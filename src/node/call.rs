//! Calls to other nodes' processes, and watching them.

use crate::dist::control::Target;
use crate::dist::{NodeName, frames};
use crate::etf::{Atom, Pid, Reference, Term};
use crate::node::connection::Connection;
use crate::node::registry::LocalId;
use crate::node::waiters::Told;
use crate::node::{Node, Signal};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Why a call to another node's process gave no reply.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No connection, or it was lost while waiting: then whether the request was handled is unknown.
    #[error("no connection to that node")]
    NoConnection,
    /// Nothing is registered under that name there.
    #[error("no process of that name there")]
    NoProc,
    /// No reply in time; whether the request was handled is unknown.
    #[error("no answer in time")]
    Timeout,
    /// The process ended with this reason instead of answering.
    #[error("the process ended: {0}")]
    Exit(Term),
}

impl CallError {
    fn from_reason(reason: Term) -> Self {
        match reason.as_atom().map(Atom::as_str) {
            Some("noproc") => Self::NoProc,
            Some("noconnection") => Self::NoConnection,
            _ => Self::Exit(reason),
        }
    }
}

/// Stops waiting and monitoring when dropped.
#[derive(Debug)]
struct Monitoring {
    node: Node,
    reference: Reference,
    target: Target,
    connection: Option<Arc<Connection>>,
    /// The process is known to have ended: nothing to undo.
    over: bool,
}

impl Drop for Monitoring {
    fn drop(&mut self) {
        self.node.inner.waiters.forget(&self.reference);
        if self.over {
            return;
        }
        match (&self.connection, &self.target) {
            (Some(connection), target) if connection.monitors => {
                let from = &self.node.inner.system;
                connection
                    .outbox
                    .push(|out| frames::demonitor(out, from, target, &self.reference));
            }
            (None, Target::Pid(pid)) => {
                self.node
                    .inner
                    .registry
                    .unwatch((pid.id, pid.serial), &self.reference);
            }
            _ => {}
        }
    }
}

/// Completes with the reason once a watched process has ended (`noproc` where it had before, `noconnection` where
/// its connection is lost). Dropping it ends the watch.
#[derive(Debug)]
pub struct Watch {
    told: oneshot::Receiver<Told>,
    monitoring: Monitoring,
}

impl Future for Watch {
    type Output = Term;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Term> {
        Pin::new(&mut self.told).poll(cx).map(|told| {
            self.monitoring.over = true;
            match told {
                Ok(Told::Down(reason) | Told::Reply(reason)) => reason,
                Err(_) => Term::atom("noconnection"),
            }
        })
    }
}

impl Node {
    /// `GenServer.call({name, node}, request, timeout)`: connects where there is no connection; never sends twice; late
    /// replies are dropped. Cancel-safe: dropping the future forgets the call.
    pub async fn call(
        &self,
        name: &str,
        node: &NodeName,
        request: Term,
        timeout: Duration,
    ) -> Result<Term, CallError> {
        let deadline = Instant::now() + timeout;
        let call = async {
            if *node == self.inner.options.name {
                let id = self.inner.registry.whereis(&Atom::new(name));
                let id = id.ok_or(CallError::NoProc)?;
                return self.call_local("$gen_call", id, request).await;
            }
            let connection = self.connected(node).await?;
            connection.outbox.has_room().await;
            self.call_remote(connection, Atom::new(name), request).await
        };
        tokio::time::timeout_at(deadline, call)
            .await
            .unwrap_or(Err(CallError::Timeout))
    }

    async fn call_remote(
        &self,
        connection: Arc<Connection>,
        name: Atom,
        request: Term,
    ) -> Result<Term, CallError> {
        let reference = self.make_ref();
        let told = self.inner.waiters.wait(&reference, Some(connection.id));
        let target = Target::Name(name.clone());
        let message = self.call_message("$gen_call", &reference, connection.aliases, request);
        let from = &self.inner.system;
        let sent = connection.outbox.push(|out| {
            if connection.monitors {
                frames::monitor(out, from, &target, &reference);
            }
            frames::reg_send(out, from, &name, &message);
        });
        drop(message);
        let connection = Some(connection);
        let node = self.clone();
        let mut monitoring = Monitoring {
            node,
            reference,
            target,
            connection,
            over: !sent,
        };
        if !sent {
            return Err(CallError::NoConnection);
        }
        match told.await {
            Ok(Told::Reply(reply)) => Ok(reply),
            Ok(Told::Down(reason)) => {
                monitoring.over = true;
                Err(CallError::from_reason(reason))
            }
            Err(_) => Err(CallError::NoConnection),
        }
    }

    /// Calls a local process by a message of this kind.
    pub(super) async fn call_local(
        &self,
        kind: &str,
        id: LocalId,
        request: Term,
    ) -> Result<Term, CallError> {
        let registry = &self.inner.registry;
        let mailbox = registry.mailbox(id).ok_or(CallError::NoProc)?;
        let reference = self.make_ref();
        let told = self.inner.waiters.wait(&reference, None);
        let system = &self.inner.system;
        let pid = Pid {
            id: id.0,
            serial: id.1,
            ..system.clone()
        };
        if !registry.watch(id, reference.clone()) {
            self.inner.waiters.forget(&reference);
            return Err(CallError::NoProc);
        }
        let term = self.call_message(kind, &reference, true, request);
        let (node, target) = (self.clone(), Target::Pid(pid));
        let _monitoring = Monitoring {
            node,
            reference,
            target,
            connection: None,
            over: false,
        };
        let signal = Signal::Message {
            from: Some(system.clone()),
            term,
        };
        mailbox.put(signal.into(), &self.inner.dropped).await;
        match told.await {
            Ok(Told::Reply(reply)) => Ok(reply),
            Ok(Told::Down(reason)) => Err(CallError::from_reason(reason)),
            Err(_) => Err(CallError::NoConnection),
        }
    }

    fn call_message(&self, kind: &str, reference: &Reference, alias: bool, request: Term) -> Term {
        let reference = Term::Ref(reference.clone());
        let tag = if alias {
            Term::ImproperList(vec![Term::atom("alias")], Box::new(reference))
        } else {
            reference
        };
        let from = Term::tuple([Term::Pid(self.inner.system.clone()), tag]);
        Term::tuple([Term::atom(kind), from, request])
    }

    /// Watches a process of a connected node, or of this one.
    pub fn watch(&self, pid: &Pid) -> Watch {
        let reference = self.make_ref();
        let node = self.clone();
        let target = Target::Pid(pid.clone());
        let (connection, watched, reason) = if self.is_local(pid) {
            let told = self.inner.waiters.wait(&reference, None);
            let ok = self
                .inner
                .registry
                .watch((pid.id, pid.serial), reference.clone());
            (None, (told, ok), "noproc")
        } else {
            let connection = self.inner.connections.get(&pid.node);
            let id = connection.as_ref().map(|c| c.id);
            let told = self.inner.waiters.wait(&reference, id);
            let from = &self.inner.system;
            let ok = connection.as_ref().is_some_and(|c| {
                c.outbox.push(|out| {
                    if c.monitors {
                        frames::monitor(out, from, &target, &reference);
                    }
                })
            });
            (connection, (told, ok), "noconnection")
        };
        let (told, ok) = watched;
        if !ok {
            self.inner
                .waiters
                .tell(&reference, Told::Down(Term::atom(reason)));
        }
        let monitoring = Monitoring {
            node,
            reference,
            target,
            connection,
            over: !ok,
        };
        Watch { told, monitoring }
    }
}
