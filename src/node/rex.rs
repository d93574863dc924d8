//! `rex`, the server of the older `rpc`: `{call, M, F, Args, GroupLeader}` and `{cast, ...}`.

use crate::etf::Term;
use crate::node::connection::{Connection, Held};
use crate::node::functions::{Apply, Caller, Outcome};
use crate::node::gen_call::{self, Incoming};
use crate::node::{From, Node};
use std::sync::Arc;

/// A message to `rex`.
pub(super) fn handle(node: &Node, connection: &Arc<Connection>, payload: Term, held: Held) {
    let (from, request) = match gen_call::parse(payload) {
        Incoming::Call { from, request } => (Some(from), request),
        Incoming::Cast(request) => (None, request),
        Incoming::System { from, request } => return node.system_message(&from, request),
        Incoming::Other(_) => return,
    };
    let caller = Caller {
        node: connection.peer.atom().clone(),
        pid: from.as_ref().map(|from| from.pid.clone()),
        group_leader: match request.as_tuple() {
            Some([.., Term::Pid(leader)]) => Some(leader.clone()),
            _ => None,
        },
    };
    let apply = match request.as_tuple() {
        Some([kind, mfa @ .., _leader])
            if ["call", "block_call", "cast"]
                .iter()
                .any(|k| kind.is_atom(k)) =>
        {
            Apply::parse(caller, mfa)
        }
        _ => None,
    };
    let Some(apply) = apply else {
        return answer(node, from.as_ref(), bad_rpc(Term::atom("badarg")));
    };
    let Some(permit) = node.work_permit(connection) else {
        return answer(node, from.as_ref(), bad_rpc(Term::atom("system_limit")));
    };
    let node = node.clone();
    node.clone().inner.tasks.spawn(async move {
        let _permit = (permit, held);
        let value = match apply.run(&node).await {
            Ok(Outcome::Return(value)) => value,
            Ok(Outcome::Undef) => exit(Term::atom("undef"), apply.stack()),
            Ok(Outcome::Error(reason)) | Err(reason) => exit(reason, apply.stack()),
        };
        answer(&node, from.as_ref(), value);
    });
}

fn answer(node: &Node, from: Option<&From>, value: Term) {
    if let Some(from) = from {
        node.reply(from, value);
    }
}

fn bad_rpc(reason: Term) -> Term {
    Term::tuple([Term::atom("badrpc"), reason])
}

/// `{badrpc, {'EXIT', {Reason, Stack}}}`.
fn exit(reason: Term, stack: Term) -> Term {
    bad_rpc(Term::tuple([
        Term::atom("EXIT"),
        Term::tuple([reason, stack]),
    ]))
}
