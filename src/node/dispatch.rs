//! What each message of a peer does.

use crate::dist::control::{Control, Target};
use crate::dist::frames;
use crate::dist::link::{LinkError, Message};
use crate::etf::{Atom, Pid, Reference, Term};
use crate::node::connection::{Connection, Held};
use crate::node::gen_call::{self, Incoming};
use crate::node::process::{Letter, Mailbox};
use crate::node::registry::Watcher;
use crate::node::sys::System;
use crate::node::waiters::Told;
use crate::node::{Node, Signal, erpc, rex};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::OwnedSemaphorePermit;

/// Held while a function runs.
pub(super) type WorkPermit = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl Node {
    /// Does what a message says. An error ends the connection.
    pub(super) async fn dispatch(
        &self,
        connection: &Arc<Connection>,
        message: Message,
    ) -> Result<(), LinkError> {
        self.inner.options.faults.strike(&message.control);
        let payload = match message.payload {
            Ok(payload) => payload.unwrap_or_else(Term::nil),
            Err(error) => {
                tracing::warn!(peer = %connection.peer, %error, "a message was refused by the term decoder and dropped");
                return Ok(());
            }
        };
        let Some(held) = connection.hold(message.weight_bytes).await else {
            self.inner.dropped.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(peer = %connection.peer, "a peer's messages wait in too much memory; one was dropped");
            return Ok(());
        };
        self.obey(connection, message.control, payload, held).await
    }

    async fn obey(
        &self,
        connection: &Arc<Connection>,
        control: Control,
        payload: Term,
        held: Held,
    ) -> Result<(), LinkError> {
        match control {
            Control::Send { from, to } => self.message_to(&to, from, payload, held).await,
            Control::RegSend { from, name } => match name.as_str() {
                "net_kernel" => self.net_kernel(payload),
                "rex" => rex::handle(self, connection, payload, held),
                _ => {
                    if let Some(mailbox) = self.inner.registry.mailbox_named(&name) {
                        let signal = Signal::Message {
                            from: Some(from),
                            term: payload,
                        };
                        self.deliver(&mailbox, signal, held).await;
                    }
                }
            },
            Control::AliasSend { alias, .. } => {
                if let Some((_, reply)) = split_reply(payload) {
                    self.inner.waiters.tell(&alias, Told::Reply(reply));
                }
            }
            Control::Monitor {
                from,
                target,
                reference,
            } => {
                own(connection, &from.node)?;
                own(connection, &reference.node)?;
                self.monitored(connection, from, target, reference);
            }
            Control::Demonitor {
                target, reference, ..
            } => {
                self.inner
                    .registry
                    .demonitor(connection.id, &target, &reference);
            }
            Control::MonitorExit {
                reference, reason, ..
            } => {
                let told = Told::Down(reason);
                self.inner.waiters.tell_of(connection.id, &reference, told);
            }
            Control::Link { from, to } => {
                own(connection, &from.node)?;
                self.linked(connection, &from, &to);
            }
            Control::UnlinkId { id, from, to } => {
                if self.is_local(&to) {
                    self.inner
                        .registry
                        .unlink((to.id, to.serial), connection.id, &from);
                }
                connection
                    .outbox
                    .push(|out| frames::unlink_ack(out, &id, &to, &from));
            }
            Control::Exit { from, to, reason } => {
                let id = (to.id, to.serial);
                // Only what is still linked hears of the end.
                if self.is_local(&to) && self.inner.registry.unlink(id, connection.id, &from) {
                    self.exit_signal(from, &to, reason, true).await;
                }
            }
            Control::Exit2 { from, to, reason } => self.exit_signal(from, &to, reason, false).await,
            Control::Spawn(request) => erpc::handle(self, connection, &request, payload, held),
            Control::Ignored => {}
        }
        Ok(())
    }

    async fn message_to(&self, to: &Pid, from: Option<Pid>, payload: Term, held: Held) {
        if *to == self.inner.system {
            self.message_to_node(payload);
        } else if let Some(mailbox) = self.mailbox(to) {
            self.deliver(
                &mailbox,
                Signal::Message {
                    from,
                    term: payload,
                },
                held,
            )
            .await;
        }
    }

    async fn exit_signal(&self, from: Pid, to: &Pid, reason: Term, linked: bool) {
        if let Some(mailbox) = self.mailbox(to) {
            let kill = !linked && reason.is_atom("kill");
            self.deliver(
                &mailbox,
                Signal::Exit {
                    from,
                    reason,
                    kill,
                    linked,
                },
                None,
            )
            .await;
        }
    }

    fn monitored(
        &self,
        connection: &Arc<Connection>,
        from: Pid,
        target: Target,
        reference: Reference,
    ) {
        let registry = &self.inner.registry;
        let id = match &target {
            Target::Pid(pid) if *pid == self.inner.system => return,
            Target::Name(name) if Self::is_own_name(name) => return,
            Target::Pid(pid) => self.is_local(pid).then_some((pid.id, pid.serial)),
            Target::Name(name) => registry.whereis(name),
        };
        let watcher = Watcher {
            connection: connection.clone(),
            pid: from,
            reference,
            target,
        };
        if let Err(watcher) = registry.monitor(id, watcher) {
            let reason = Term::atom("noproc");
            connection.outbox.push(|out| {
                frames::monitor_exit(
                    out,
                    &watcher.target,
                    &watcher.pid,
                    &watcher.reference,
                    &reason,
                );
            });
        }
    }

    fn linked(&self, connection: &Arc<Connection>, from: &Pid, to: &Pid) {
        if *to == self.inner.system {
            return;
        }
        let id = (to.id, to.serial);
        if !self.is_local(to) || !self.inner.registry.link(id, connection, from.clone()) {
            let reason = Term::atom("noproc");
            connection
                .outbox
                .push(|out| frames::exit(out, to, from, &reason));
        }
    }

    /// `net_adm:ping` asks this; everything else that is sent to `net_kernel` is not for us, and as in OTP goes unanswered.
    fn net_kernel(&self, payload: Term) {
        match gen_call::parse(payload) {
            Incoming::Call { from, request }
                if request
                    .as_tuple()
                    .is_some_and(|r| r.len() == 2 && r[0].is_atom("is_auth")) =>
            {
                self.reply(&from, Term::atom("yes"));
            }
            Incoming::System { from, request } => self.system_message(&from, request),
            _ => {}
        }
    }

    /// What is sent to the pid that stands for the node.
    fn message_to_node(&self, payload: Term) {
        if payload.as_tuple().is_some_and(|parts| parts.len() == 3) {
            self.net_kernel(payload);
        } else if let Some((tag, reply)) = split_reply(payload) {
            // A reply to one of our calls by a server that does not use the alias.
            self.inner.waiters.tell(&tag, Told::Reply(reply));
        }
    }

    /// `sys` asks `net_kernel` or `rex`.
    pub(super) fn system_message(&self, from: &gen_call::From, request: Term) {
        let mut system = System::new(self, &self.inner.system, "net_kernel", "sidekick");
        let state = || Term::map([("name", Term::Atom(self.name().atom().clone()))]);
        system.answer(self, from, request, state);
    }

    async fn deliver(&self, mailbox: &Mailbox, signal: Signal, held: Held) {
        let letter = Letter {
            signal,
            _held: held,
        };
        mailbox.put(letter, &self.inner.dropped).await;
    }

    /// As [`Node::deliver`], for those who must not wait.
    pub(super) fn deliver_aside(&self, mailbox: Mailbox, signal: Signal) {
        if let Err(letter) = mailbox.try_put(signal.into(), &self.inner.dropped) {
            let node = self.clone();
            self.inner
                .tasks
                .spawn(async move { mailbox.put(letter, &node.inner.dropped).await });
        }
    }

    /// Leave to run a function for a peer; none while it, or all peers together, have too many running.
    pub(super) fn work_permit(&self, connection: &Connection) -> Option<WorkPermit> {
        let own = connection.work.clone().try_acquire_owned().ok()?;
        let all = self.inner.work.clone().try_acquire_owned().ok()?;
        Some((own, all))
    }

    pub(super) fn is_local(&self, pid: &Pid) -> bool {
        pid.creation == self.inner.system.creation && pid.node == self.inner.system.node
    }

    pub(super) fn mailbox(&self, pid: &Pid) -> Option<Mailbox> {
        self.is_local(pid)
            .then(|| self.inner.registry.mailbox((pid.id, pid.serial)))?
    }
}

/// Who watches us, or is linked to us, must be a process of the peer that says so: as OTP has it.
fn own(connection: &Connection, node: &Atom) -> Result<(), LinkError> {
    if node == connection.peer.atom() {
        Ok(())
    } else {
        let what = "a monitor or link of another node's process";
        Err(LinkError::Control(what.to_owned()))
    }
}

/// `{Ref, Reply}` or `{[alias | Ref], Reply}`.
fn split_reply(payload: Term) -> Option<(Reference, Term)> {
    let Term::Tuple(elements) = payload else {
        return None;
    };
    let [tag, reply] = <[Term; 2]>::try_from(elements).ok()?;
    match tag {
        Term::Ref(reference) => Some((reference, reply)),
        Term::ImproperList(_, tail) => tail.as_ref().as_ref().cloned().map(|r| (r, reply)),
        _ => None,
    }
}
