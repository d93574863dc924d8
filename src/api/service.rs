//! Requests to replies.

use crate::api::{ApiError, Parts, Request, data, reply};
use crate::etf::{Atom, Term};
use crate::supervisor::SupervisorError;
use crate::types::ServerId;
use std::sync::Arc;
use std::time::Duration;

/// Answers a request of a process on the node `caller`.
pub async fn answer(parts: &Arc<Parts>, caller: &Atom, request: Request) -> Term {
    match handle(parts, caller, request).await {
        Ok(Term::Atom(atom)) if atom.as_str() == "ok" => Term::Atom(atom),
        Ok(value) => Term::ok(value),
        Err(error) => error.to_term(),
    }
}

/// The value of `{:ok, value}`; the atom `ok` alone stands for a bare `:ok`.
async fn handle(parts: &Arc<Parts>, caller: &Atom, request: Request) -> Result<Term, ApiError> {
    match request {
        Request::Info => Ok(info(parts)),
        Request::Servers => {
            let servers = parts.supervisor.servers();
            Ok(Term::list(
                servers
                    .iter()
                    .map(|s| reply::status(s, parts.pids.get(&s.id).as_ref()))
                    .collect::<Vec<_>>(),
            ))
        }
        Request::Server(id) => {
            let status = parts
                .supervisor
                .server(&id)
                .ok_or_else(|| ApiError::no_server(&id))?;
            Ok(reply::status(&status, parts.pids.get(&id).as_ref()))
        }
        Request::StartServer(id) => {
            settle(parts, &id, parts.supervisor.start_server(&id).await).await
        }
        Request::StopServer(id) => {
            settle(parts, &id, parts.supervisor.stop_server(&id).await).await
        }
        Request::RestartServer(id) => {
            settle(parts, &id, parts.supervisor.restart_server(&id).await).await
        }
        Request::DrainServer(id) => {
            settle(parts, &id, parts.supervisor.drain_server(&id).await).await
        }
        Request::KillServer(id) => {
            settle(parts, &id, parts.supervisor.kill_server(&id).await).await
        }
        Request::Logs { id, limit, after } => {
            let lines = parts
                .supervisor
                .logs(&id, limit, after)
                .map_err(supervisor_error)?;
            Ok(Term::list(
                lines.iter().map(reply::log_line).collect::<Vec<_>>(),
            ))
        }
        Request::Crashes(id) => {
            let crashes = parts
                .supervisor
                .crashes(&id)
                .await
                .map_err(supervisor_error)?;
            Ok(Term::list(
                crashes.iter().map(reply::crash_summary).collect::<Vec<_>>(),
            ))
        }
        Request::Crash(id, number) => {
            parts
                .supervisor
                .server(&id)
                .ok_or_else(|| ApiError::no_server(&id))?;
            let bundle = parts.supervisor.crash(&id, number).await;
            bundle
                .as_ref()
                .map(crate::api::json::bundle)
                .ok_or_else(|| ApiError::NotFound {
                    what: "crash",
                    name: number.to_string(),
                    detail: format!("ask for crashes of {id} to see which there are"),
                })
        }
        Request::Sinks => Ok(data::sinks(parts)),
        Request::DrainSinks { timeout_ms } => {
            if parts
                .upload
                .drain(Duration::from_millis(timeout_ms.min(3_600_000)))
                .await
            {
                Ok(Term::atom("ok"))
            } else {
                Err(ApiError::refused(
                    "not_drained",
                    vec![("sinks", data::sinks(parts))],
                    "some records are not stored yet",
                ))
            }
        }
        Request::Subscribe { pid, topics } => parts
            .subscriptions
            .begin(parts, caller, pid, topics)
            .map(Term::Ref),
        Request::Unsubscribe(reference) => {
            if parts.subscriptions.end(&reference) {
                Ok(Term::atom("ok"))
            } else {
                Err(ApiError::refused(
                    "not_found",
                    vec![("what", Term::atom("subscription"))],
                    "",
                ))
            }
        }
        data_request => data::handle(parts, data_request).await,
    }
}

fn info(parts: &Parts) -> Term {
    let peers = parts.node.peers().into_iter().map(|peer| {
        Term::map([
            ("node", Term::Atom(peer.node.atom().clone())),
            ("hidden", Term::bool(peer.hidden)),
            ("since_ms", Term::int(peer.since_ms)),
            ("received_bytes", Term::int(peer.received_bytes)),
            ("sent_bytes", Term::int(peer.sent_bytes)),
        ])
    });
    let servers = parts
        .supervisor
        .servers()
        .into_iter()
        .map(|s| Term::text(s.id.as_str()));
    Term::map([
        ("name", Term::Atom(parts.node.name().atom().clone())),
        ("version", Term::text(env!("CARGO_PKG_VERSION"))),
        ("origin", Term::text(&parts.buffer.origin().to_string())),
        ("incarnation", Term::int(parts.buffer.incarnation())),
        ("os_pid", Term::int(std::process::id())),
        (
            "uptime_ms",
            Term::int(i128::try_from(parts.started.elapsed().as_millis()).unwrap_or(0)),
        ),
        ("peers", Term::list(peers.collect::<Vec<_>>())),
        ("servers", Term::list(servers.collect::<Vec<_>>())),
        ("buffer", reply::buffer(&parts.buffer.info())),
        ("sinks", data::sinks(parts)),
    ])
}

/// After a supervisor's work the pid follows before the caller hears of it.
async fn settle(
    parts: &Parts,
    id: &ServerId,
    done: Result<(), SupervisorError>,
) -> Result<Term, ApiError> {
    done.map_err(supervisor_error)?;
    if let Some(status) = parts.supervisor.server(id) {
        parts.pids.settled(&status).await;
    }
    Ok(Term::atom("ok"))
}

/// The supervisor's refusals by code.
pub fn supervisor_error(error: SupervisorError) -> ApiError {
    let text = error.to_string();
    match error {
        SupervisorError::NotFound(id) => ApiError::no_server(&id),
        SupervisorError::AlreadyStarted(_) => ApiError::refused("already_started", vec![], text),
        SupervisorError::NotRunning(_) => ApiError::refused("not_running", vec![], text),
        SupervisorError::AlreadyPresent(_) => ApiError::refused("already_present", vec![], text),
        SupervisorError::Running(_) => ApiError::refused("running", vec![], text),
        SupervisorError::StartFailed { .. } => ApiError::refused("start_failed", vec![], text),
        SupervisorError::NoSession(_) => ApiError::refused("not_connected", vec![], text),
        SupervisorError::Overtaken(_) => ApiError::refused("overtaken", vec![], text),
        SupervisorError::ShuttingDown => ApiError::refused("shutting_down", vec![], text),
    }
}
