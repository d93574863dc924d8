//! The registered process `sidekick_sup`: the protocol of OTP's `supervisor`, answered exactly as OTP does.
//!
//! Source: the `supervisor` module's documentation (stdlib), `child_spec()`, `start_child/2`, `restart_child/2`,
//! `terminate_child/2`, `delete_child/2`, `which_children/1`, `count_children/1`, `get_childspec/2`; and a supervisor of
//! OTP itself, against which `tests/node_supervisor.rs` compares.
//!
//! As in OTP, requests are served one after the other: what was sent first is done first, and while a child is stopped the next
//! one waits. Nothing else of sidekick waits for it.

use crate::api::Parts;
use crate::api::child_spec;
use crate::api::otp_child::{self, OtpChild};
use crate::config::AllowStart;
use crate::etf::{Atom, Term};
use crate::node::gen_call::{self, Incoming};
use crate::node::sys::System;
use crate::node::{Process, Signal};
use crate::supervisor::{Restart, ServerSpec, State, Status, SupervisorError};
use crate::types::ServerId;
use std::sync::Arc;
use std::time::Duration;

/// How long a process may take to exist, which has nothing to do with when it plays.
const START: Duration = Duration::from_secs(10);
/// Ended temporary children whose logs and crashes are kept for `sidekick`'s own requests; OTP's have none.
const ENDED_KEPT: usize = 64;
/// Children at once, as `DynamicSupervisor` has it; more are refused.
const CHILDREN_MAX: usize = 1_000;

/// Answers until the process ends.
pub async fn serve(parts: Arc<Parts>, mut process: Process) {
    let mut system =
        System::new(&parts.node, process.pid(), "sidekick_sup", "sidekick").supervisor();
    while let Some(signal) = process.recv().await {
        let Signal::Message { term, .. } = signal else {
            continue;
        };
        system.traffic().received();
        match gen_call::parse(term) {
            Incoming::Call { from, request } => {
                let reply = answer(&parts, &request).await;
                parts.node.reply(&from, reply);
                system.traffic().sent();
            }
            Incoming::System { from, request } => {
                system.answer(&parts.node, &from, request, || state(&parts));
            }
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
            Some("check_child") => check_child(parts, argument),
            Some("restart_child") => restart_child(parts, argument).await,
            Some("terminate_child") => terminate_child(parts, argument).await,
            Some("delete_child") => delete_child(parts, argument).await,
            Some("get_childspec") => {
                match known(parts, argument).and_then(|id| parts.supervisor.spec(&id)) {
                    Some(spec) => Term::ok(child_spec::to_child(&spec).to_map()),
                    None => refused("not_found"),
                }
            }
            _ => unknown(request),
        },
        _ => unknown(request),
    }
}

/// The children as OTP sees them, the eldest first: a temporary one is forgotten when it ends.
fn children(parts: &Parts) -> Vec<(ServerSpec, Status)> {
    let servers = parts.supervisor.servers();
    let with_spec = servers.into_iter().filter_map(|status| {
        let spec = parts.supervisor.spec(&status.id)?;
        (!forgotten(parts, &spec, &status)).then_some((spec, status))
    });
    with_spec.collect()
}

fn forgotten(parts: &Parts, spec: &ServerSpec, status: &Status) -> bool {
    spec.restart == Restart::Temporary
        && status.os_pid.is_none()
        && parts.pids.get(&status.id).is_none()
        && !status.state.is_up()
}

/// Its pid, `restarting` or `undefined`.
fn child_pid(parts: &Parts, status: &Status) -> Term {
    match (parts.pids.get(&status.id), status.state) {
        (Some(pid), _) => Term::Pid(pid),
        (None, State::BackingOff | State::Starting) => Term::atom("restarting"),
        (None, _) => Term::atom("undefined"),
    }
}

fn which_children(parts: &Parts) -> Term {
    // OTP lists the youngest child first.
    let children = children(parts).into_iter().rev().map(|(spec, status)| {
        let child = child_spec::to_child(&spec);
        Term::tuple([
            child.id,
            child_pid(parts, &status),
            child.kind,
            child.modules,
        ])
    });
    Term::list(children.collect::<Vec<_>>())
}

fn count_children(parts: &Parts) -> Term {
    let children = children(parts);
    let active = children
        .iter()
        .filter(|(_, status)| parts.pids.get(&status.id).is_some())
        .count();
    let counts = [
        ("specs", children.len()),
        ("active", active),
        ("supervisors", 0),
        ("workers", children.len()),
    ];
    let pairs =
        counts.map(|(name, count)| Term::tuple([Term::atom(name), Term::int(count as u64)]));
    Term::list(pairs)
}

/// The record that `sys:get_state` shows of a supervisor.
fn state(parts: &Parts) -> Term {
    let children = children(parts);
    let ids = children
        .iter()
        .rev()
        .map(|(spec, _)| Term::atom(spec.id.as_str()));
    let ids = Term::list(ids.collect::<Vec<_>>());
    let records = children.iter().map(|(spec, status)| {
        let pid = match child_pid(parts, status) {
            restarting if restarting.is_atom("restarting") => {
                Term::tuple([restarting, Term::atom("undefined")])
            }
            pid => pid,
        };
        (
            Term::atom(spec.id.as_str()),
            child_spec::to_child(spec).to_record(pid),
        )
    });
    Term::tuple([
        Term::atom("state"),
        Term::tuple([Term::atom("local"), Term::atom("sidekick_sup")]),
        Term::atom("one_for_one"),
        Term::tuple([ids, Term::Map(records.collect())]),
        Term::atom("undefined"),
        // Each child has an intensity and a period of its own; these are their defaults.
        Term::Int(3),
        Term::Int(5),
        Term::list([]),
        Term::Int(0),
        Term::atom("never"),
        Term::atom("sidekick"),
        Term::list([]),
    ])
}

async fn start_child(parts: &Arc<Parts>, argument: &Term) -> Term {
    let child = match OtpChild::parse(argument) {
        Ok(child) => child,
        Err(what) => return error_term(what),
    };
    if let Some(id) = known(parts, &child.id) {
        return match parts.pids.get(&id) {
            Some(pid) => error_term(Term::tuple([Term::atom("already_started"), Term::Pid(pid)])),
            None => refused("already_present"),
        };
    }
    let spec = match acceptable(parts, &child) {
        Ok(spec) => spec,
        Err(refusal) => return refusal,
    };
    forget_ended(parts, &spec.id).await;
    if parts.supervisor.servers().len() >= CHILDREN_MAX {
        return refused("max_children");
    }
    let id = spec.id.clone();
    let started = match parts.supervisor.start_child(spec).await {
        Ok(()) => started(parts, &id).await,
        Err(error) => Err(reason(&error)),
    };
    match started {
        Ok(pid) => Term::ok(pid),
        Err(what) => {
            // A child whose start failed is none.
            let _ = parts.supervisor.stop_server(&id).await;
            let _ = parts.supervisor.delete_child(&id).await;
            failed(&child, what)
        }
    }
}

/// Whether a start of this child would be refused for what it says; starts nothing. It may be there already: so who wants to replace
/// a child learns before the old one is gone that the new one would not be taken.
fn check_child(parts: &Parts, argument: &Term) -> Term {
    match OtpChild::parse(argument) {
        Ok(child) => match acceptable(parts, &child) {
            Ok(_) => Term::atom("ok"),
            Err(refusal) => refusal,
        },
        Err(what) => error_term(what),
    }
}

/// What a child that OTP accepts means for us, or the refusal.
fn acceptable(parts: &Parts, child: &OtpChild) -> Result<ServerSpec, Term> {
    // As in OTP, where the function of a start does not exist.
    let called = otp_child::mfa(&child.start).is_some_and(|(module, function, _)| {
        *module == child_spec::MODULE && *function == "start_link"
    });
    if !called {
        return Err(failed(child, child.undefined()));
    }
    let spec = child_spec::from_child(child).map_err(|error| {
        let text = Term::text(&error.to_string());
        failed(child, Term::tuple([Term::atom("bad_options"), text]))
    })?;
    if !allowed(parts, &spec) {
        let remedy = "the configuration holds no such command; say [node] allow_start = \"any\" to let peers start any";
        return Err(Term::error(
            "not_allowed",
            Term::map([("detail", Term::text(remedy))]),
        ));
    }
    Ok(spec)
}

/// Makes room: OTP knows nothing of temporary children that ended, we keep the youngest of them for a look at their logs.
async fn forget_ended(parts: &Parts, wanted: &ServerId) {
    let servers = parts.supervisor.servers();
    let mut ended: Vec<ServerId> = Vec::new();
    for status in servers {
        let Some(spec) = parts.supervisor.spec(&status.id) else {
            continue;
        };
        if forgotten(parts, &spec, &status) {
            ended.push(status.id);
        }
    }
    let surplus = ended.len().saturating_sub(ENDED_KEPT);
    for (index, id) in ended.iter().enumerate() {
        let configured = parts.supervisor.configured();
        let configured = configured.iter().any(|known| known.id == *id);
        if id == wanted || (index < surplus && !configured) {
            let _ = parts.supervisor.delete_child(id).await;
        }
    }
}

/// A peer may always start again what the configuration holds.
fn allowed(parts: &Parts, spec: &ServerSpec) -> bool {
    parts.config.node.allow_start == AllowStart::Any
        || parts
            .supervisor
            .configured()
            .iter()
            .any(|known| known.id == spec.id && known.command == spec.command)
}

async fn restart_child(parts: &Arc<Parts>, argument: &Term) -> Term {
    let Some(id) = known(parts, argument) else {
        return refused("not_found");
    };
    match parts.supervisor.restart_child(&id).await {
        Ok(()) => match started(parts, &id).await {
            Ok(pid) => Term::ok(pid),
            Err(what) => error_term(what),
        },
        Err(error) => busy(parts, &id, &error),
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
        Err(error) => error_term(reason(&error)),
    }
}

async fn delete_child(parts: &Arc<Parts>, argument: &Term) -> Term {
    let Some(id) = known(parts, argument) else {
        return refused("not_found");
    };
    match parts.supervisor.delete_child(&id).await {
        Ok(()) => Term::atom("ok"),
        Err(error) => busy(parts, &id, &error),
    }
}

/// Why a child cannot be restarted or deleted now.
fn busy(parts: &Parts, id: &ServerId, error: &SupervisorError) -> Term {
    let backing_off = |status: Status| status.state == State::BackingOff;
    match error {
        SupervisorError::AlreadyStarted(_) | SupervisorError::Running(_) => {
            let restarting = parts.supervisor.server(id).is_some_and(backing_off);
            refused(if restarting { "restarting" } else { "running" })
        }
        other => error_term(reason(other)),
    }
}

/// Its pid once the process is there, or why it is not.
async fn started(parts: &Parts, id: &ServerId) -> Result<Term, Term> {
    let mut status = parts
        .supervisor
        .watch(id)
        .ok_or_else(|| Term::atom("not_found"))?;
    let decided = |status: &Status| status.os_pid.is_some() || status.state != State::Starting;
    let seen = tokio::time::timeout(START, status.wait_for(decided)).await;
    let seen = seen.ok().and_then(Result::ok).map(|status| status.clone());
    if let Some(status) = &seen {
        parts.pids.settled(status).await;
    }
    parts.pids.get(id).map(Term::Pid).ok_or_else(|| {
        let problem = seen.and_then(|status| status.problem);
        let text = problem.as_deref().map_or_else(Term::nil, Term::text);
        Term::tuple([Term::atom("start_failed"), text])
    })
}

/// The child of this id, where OTP would know it.
fn known(parts: &Parts, argument: &Term) -> Option<ServerId> {
    let id = crate::api::request::server_id(argument).ok()?;
    let (status, spec) = (parts.supervisor.server(&id)?, parts.supervisor.spec(&id)?);
    (!forgotten(parts, &spec, &status)).then_some(id)
}

fn refused(reason: &str) -> Term {
    error_term(Term::atom(reason))
}

/// `{error, {What, Child}}`: the form of a start that failed.
fn failed(child: &OtpChild, what: Term) -> Term {
    let record = child.to_record(Term::atom("undefined"));
    error_term(Term::tuple([what, record]))
}

fn error_term(reason: Term) -> Term {
    Term::tuple([Term::atom("error"), reason])
}

fn reason(error: &SupervisorError) -> Term {
    match error {
        SupervisorError::NotFound(_) => Term::atom("not_found"),
        SupervisorError::AlreadyPresent(_) => Term::atom("already_present"),
        other => Term::text(&other.to_string()),
    }
}

fn unknown(request: &Term) -> Term {
    Term::error(
        "unknown_request",
        Term::map([("request", Term::text(&request.to_string()))]),
    )
}
