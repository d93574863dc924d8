//! `erpc`: requests to spawn `erpc:execute_call/4` and `execute_cast/3`. Nothing else is ever spawned.

use crate::dist::control::{SpawnRequest, Target};
use crate::dist::{Outbox, frames};
use crate::etf::{Atom, Pid, Reference, Term};
use crate::node::Node;
use crate::node::connection::{Connection, Held};
use crate::node::functions::{Apply, Caller, Functions, Outcome};
use std::sync::Arc;

/// What a request asks for, once found acceptable.
pub(super) struct Accepted {
    apply: Apply,
    /// Names the answer of a call; none for a cast.
    answer_as: Option<Term>,
    monitor: bool,
    link: bool,
    id: Reference,
    from: Pid,
}

impl Accepted {
    /// Checks a request; an error is the reason to refuse it.
    pub(super) fn parse(
        peer: &Atom,
        request: &SpawnRequest,
        payload: Term,
    ) -> Result<Self, &'static str> {
        let asked = (
            request.module.as_str(),
            request.function.as_str(),
            request.arity,
        );
        let caller = Caller {
            node: peer.clone(),
            pid: Some(request.from.clone()),
            group_leader: Some(request.group_leader.clone()),
        };
        let Term::List(args) = payload else {
            return Err("badarg");
        };
        let (apply, answer_as) = match (asked, args.as_slice()) {
            (("erpc", "execute_call", 4), [answer_as, mfa @ ..]) => {
                (Apply::parse(caller, mfa), Some(answer_as.clone()))
            }
            (("erpc", "execute_cast", 3), mfa) => (Apply::parse(caller, mfa), None),
            _ => return Err("notsup"),
        };
        let has = |name: &str| {
            let names = |option: &Term| {
                option.is_atom(name)
                    || option
                        .as_tuple()
                        .and_then(<[Term]>::first)
                        .is_some_and(|key| key.is_atom(name))
            };
            request.options.iter().any(names)
        };
        Ok(Self {
            apply: apply.ok_or("badarg")?,
            answer_as,
            monitor: has("monitor"),
            link: has("link"),
            id: request.id.clone(),
            from: request.from.clone(),
        })
    }

    /// Runs the call as the process `pid` and tells its end.
    pub(super) async fn run(self, outbox: Arc<Outbox>, pid: Pid, functions: Arc<dyn Functions>) {
        let flags = i64::from(self.link) | i64::from(self.monitor) << 1;
        let spawned = Target::Pid(pid.clone());
        outbox.push(|out| frames::spawn_reply(out, &self.id, &self.from, flags, &spawned));
        let outcome = self.apply.run(functions.as_ref()).await;
        let reason = self.reason(outcome);
        outbox.has_room().await;
        outbox.push(|out| {
            if self.monitor {
                frames::monitor_exit(out, &spawned, &self.from, &self.id, &reason);
            }
            if self.link {
                frames::exit(out, &pid, &self.from, &reason);
            }
        });
    }

    fn error(&self, answer_as: Term, reason: Term) -> Term {
        Term::tuple([answer_as, Term::atom("error"), reason, self.apply.stack()])
    }

    /// The exit reason by which `erpc` carries the result.
    fn reason(&self, outcome: Result<Outcome, Term>) -> Term {
        let Some(answer_as) = self.answer_as.clone() else {
            return Term::atom("normal");
        };
        match outcome {
            Ok(Outcome::Return(value)) => Term::tuple([answer_as, Term::atom("return"), value]),
            Ok(Outcome::Undef) => self.error(answer_as, Term::atom("undef")),
            Ok(Outcome::Error(reason)) | Err(reason) => self.error(answer_as, reason),
        }
    }
}

/// Tells that nothing was spawned, and why.
pub(super) fn refuse(outbox: &Outbox, request: &SpawnRequest, why: &str) {
    let why = Target::Name(Atom::new(why));
    outbox.push(|out| frames::spawn_reply(out, &request.id, &request.from, 0, &why));
}

/// A peer asks to spawn.
pub(super) fn handle(
    node: &Node,
    connection: &Arc<Connection>,
    request: &SpawnRequest,
    payload: Term,
    held: Held,
) {
    let outbox = connection.outbox.clone();
    let accepted = match Accepted::parse(connection.peer.atom(), request, payload) {
        Ok(accepted) => accepted,
        Err(why) => return refuse(&outbox, request, why),
    };
    let Some(permit) = node.work_permit(connection) else {
        return refuse(&outbox, request, "system_limit");
    };
    let (pid, functions) = (node.next_pid(), Arc::new(node.clone()));
    node.inner.tasks.spawn(async move {
        let _permit = (permit, held);
        accepted.run(outbox, pid, functions).await;
    });
}
