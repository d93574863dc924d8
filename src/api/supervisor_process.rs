//! The registered process `sidekick_sup`: the protocol of OTP's `supervisor`, answered exactly as OTP does.
//!
//! Source: the `supervisor` module's documentation (stdlib), `child_spec()`, `start_child/2`, `restart_child/2`,
//! `terminate_child/2`, `delete_child/2`, `which_children/1`, `count_children/1`, `get_childspec/2`.

use crate::api::Parts;
use crate::api::child_spec::{self, SpecError};
use crate::config::AllowStart;
use crate::etf::{Atom, Term};
use crate::node::gen_call::{self, Incoming};
use crate::node::{Process, Signal};
use crate::supervisor::{ServerSpec, State, Status, SupervisorError};
use crate::types::ServerId;
use std::sync::Arc;
use std::time::Duration;

/// How long a process may take to exist, which has nothing to do with when it plays.
const START: Duration = Duration::from_secs(10);

/// Answers until the process ends.
pub async fn serve(parts: Arc<Parts>, mut process: Process) {
    while let Some(signal) = process.recv().await {
        let Signal::Message { term, .. } = signal else {
            continue;
        };
        match gen_call::parse(term) {
            Incoming::Call { from, request } => {
                let parts = parts.clone();
                tokio::spawn(async move {
                    let reply = answer(&parts, &request).await;
                    parts.node.reply(&from, reply);
                });
            }
            Incoming::System { from, .. } => parts
                .node
                .reply(&from, Term::error("not_supported", Term::map([]))),
            Incoming::Cast(_) | Incoming::Other(_) => {}
        }
    }
}

async fn answer(parts: &Arc<Parts>, request: &Term) -> Term {
    if let Some(name) = request.as_atom() {
        return match name.as_str() {
            "which_children" => which_children(parts),
            "count_children" => count_children(parts),
            _ => unknown(request),
        };
    }
    match request.as_tuple() {
        Some([kind, argument]) => match kind.as_atom().map(Atom::as_str) {
            Some("start_child") => start_child(parts, argument).await,
            Some("restart_child") => restart_child(parts, argument).await,
            Some("terminate_child") => terminate_child(parts, argument).await,
            Some("delete_child") => delete_child(parts, argument).await,
            Some("get_childspec") => {
                match known(parts, argument).and_then(|id| parts.supervisor.spec(&id)) {
                    Some(spec) => Term::ok(child_spec::to_term(&spec)),
                    None => refused("not_found"),
                }
            }
            _ => unknown(request),
        },
        _ => unknown(request),
    }
}

fn which_children(parts: &Parts) -> Term {
    // OTP lists the youngest child first.
    let children = parts.supervisor.servers().into_iter().rev().map(|status| {
        let child = match (parts.pids.get(&status.id), status.state) {
            (Some(pid), _) => Term::Pid(pid),
            (None, State::BackingOff | State::Starting) => Term::atom("restarting"),
            (None, _) => Term::atom("undefined"),
        };
        Term::tuple(vec![
            Term::atom(status.id.as_str()),
            child,
            Term::atom("worker"),
            Term::list(vec![Term::atom(child_spec::MODULE)]),
        ])
    });
    Term::list(children.collect::<Vec<_>>())
}

fn count_children(parts: &Parts) -> Term {
    let servers = parts.supervisor.servers();
    let active = servers
        .iter()
        .filter(|status| parts.pids.get(&status.id).is_some())
        .count();
    let counts = [
        ("specs", servers.len()),
        ("active", active),
        ("supervisors", 0),
        ("workers", servers.len()),
    ];
    let pairs =
        counts.map(|(name, count)| Term::tuple(vec![Term::atom(name), Term::int(count as u64)]));
    Term::list(pairs.to_vec())
}

async fn start_child(parts: &Arc<Parts>, argument: &Term) -> Term {
    let spec = match child_spec::from_term(argument) {
        Ok(spec) => spec,
        Err(SpecError::Invalid(reason)) => {
            return error_term(Term::tuple(vec![
                Term::atom("invalid_child_spec"),
                Term::text(&reason),
            ]));
        }
    };
    if let Some(status) = parts.supervisor.server(&spec.id) {
        return match parts.pids.get(&status.id) {
            Some(pid) => error_term(Term::tuple(vec![
                Term::atom("already_started"),
                Term::Pid(pid),
            ])),
            None => refused("already_present"),
        };
    }
    if !allowed(parts, &spec) {
        let remedy = "the configuration holds no such command; say [node] allow_start = \"any\" to let peers start any";
        return Term::error("not_allowed", Term::map([("detail", Term::text(remedy))]));
    }
    let id = spec.id.clone();
    match parts.supervisor.start_child(spec).await {
        Ok(()) => started(parts, &id).await,
        Err(error) => supervisor_error(&error),
    }
}

/// A peer may always start again what the configuration holds.
fn allowed(parts: &Parts, spec: &ServerSpec) -> bool {
    parts.config.node.allow_start == AllowStart::Any
        || parts
            .config
            .servers
            .iter()
            .any(|known| known.id == spec.id && known.command == spec.command)
}

async fn restart_child(parts: &Arc<Parts>, argument: &Term) -> Term {
    let Some(id) = known(parts, argument) else {
        return refused("not_found");
    };
    match parts.supervisor.restart_child(&id).await {
        Ok(()) => started(parts, &id).await,
        Err(SupervisorError::AlreadyStarted(_) | SupervisorError::Running(_)) => {
            let backing_off = parts
                .supervisor
                .server(&id)
                .is_some_and(|s| s.state == State::BackingOff);
            refused(if backing_off { "restarting" } else { "running" })
        }
        Err(error) => supervisor_error(&error),
    }
}

async fn terminate_child(parts: &Arc<Parts>, argument: &Term) -> Term {
    let Some(id) = known(parts, argument) else {
        return refused("not_found");
    };
    match parts.supervisor.terminate_child(&id).await {
        Ok(()) => {
            if let Some(status) = parts.supervisor.server(&id) {
                parts.pids.settled(&status).await;
            }
            Term::atom("ok")
        }
        Err(error) => supervisor_error(&error),
    }
}

async fn delete_child(parts: &Arc<Parts>, argument: &Term) -> Term {
    let Some(id) = known(parts, argument) else {
        return refused("not_found");
    };
    match parts.supervisor.delete_child(&id).await {
        Ok(()) => Term::atom("ok"),
        Err(SupervisorError::Running(_)) => {
            let backing_off = parts
                .supervisor
                .server(&id)
                .is_some_and(|s| s.state == State::BackingOff);
            refused(if backing_off { "restarting" } else { "running" })
        }
        Err(error) => supervisor_error(&error),
    }
}

/// `{ok, Pid}` once the process is there, or why it is not.
async fn started(parts: &Parts, id: &ServerId) -> Term {
    let Some(mut status) = parts.supervisor.watch(id) else {
        return refused("not_found");
    };
    let decided = |status: &Status| status.os_pid.is_some() || status.state != State::Starting;
    let seen = tokio::time::timeout(START, status.wait_for(decided)).await;
    let seen = seen.ok().and_then(Result::ok).map(|status| status.clone());
    if let Some(status) = &seen {
        parts.pids.settled(status).await;
    }
    match (parts.pids.get(id), seen.and_then(|status| status.problem)) {
        (Some(pid), _) => Term::ok(Term::Pid(pid)),
        (None, problem) => error_term(Term::tuple(vec![
            Term::atom("start_failed"),
            problem.as_deref().map_or_else(Term::nil, Term::text),
        ])),
    }
}

fn known(parts: &Parts, argument: &Term) -> Option<ServerId> {
    let id = crate::api::request::server_id(argument).ok()?;
    parts.supervisor.server(&id).map(|status| status.id)
}

fn refused(reason: &str) -> Term {
    error_term(Term::atom(reason))
}

fn error_term(reason: Term) -> Term {
    Term::tuple(vec![Term::atom("error"), reason])
}

fn supervisor_error(error: &SupervisorError) -> Term {
    match error {
        SupervisorError::NotFound(_) => refused("not_found"),
        SupervisorError::AlreadyPresent(_) => refused("already_present"),
        other => error_term(Term::text(&other.to_string())),
    }
}

fn unknown(request: &Term) -> Term {
    Term::error(
        "unknown_request",
        Term::map([("request", Term::text(&request.to_string()))]),
    )
}
