//! Requests about one server.

use crate::api::{ApiError, Parts, Request, reply};
use crate::etf::Term;
use crate::supervisor::SupervisorError;
use crate::types::ServerId;

/// Handles the requests about a server; gives back any other.
pub async fn handle(parts: &Parts, request: Request) -> Result<Result<Term, ApiError>, Request> {
    Ok(match request {
        Request::Server(id) => status(parts, &id),
        Request::Logs { id, limit, after } => logs(parts, &id, limit, after),
        Request::Crashes(id) => crashes(parts, &id).await,
        Request::Crash(id, number) => crash(parts, &id, number).await,
        Request::StartServer(id) => {
            settle(parts, &id, parts.supervisor.start_server(&id).await).await
        }
        Request::StopServer(id) => {
            settle(parts, &id, parts.supervisor.stop_server(&id).await).await
        }
        Request::RestartServer(id) => {
            settle(parts, &id, parts.supervisor.restart_server(&id).await).await
        }
        Request::RollingRestart(group) => rolling_restart(parts, &group).await,
        Request::DrainServer(id) => {
            settle(parts, &id, parts.supervisor.drain_server(&id).await).await
        }
        Request::KillServer(id) => {
            settle(parts, &id, parts.supervisor.kill_server(&id).await).await
        }
        other => return Err(other),
    })
}

fn status(parts: &Parts, id: &ServerId) -> Result<Term, ApiError> {
    let status = parts
        .supervisor
        .server(id)
        .ok_or_else(|| ApiError::no_server(id))?;
    Ok(reply::status(&status, parts.pids.get(id).as_ref()))
}

fn logs(parts: &Parts, id: &ServerId, limit: usize, after: Option<u64>) -> Result<Term, ApiError> {
    let lines = parts
        .supervisor
        .logs(id, limit, after)
        .map_err(supervisor_error)?;
    Ok(Term::list(
        lines.iter().map(reply::log_line).collect::<Vec<_>>(),
    ))
}

async fn crashes(parts: &Parts, id: &ServerId) -> Result<Term, ApiError> {
    let crashes = parts
        .supervisor
        .crashes(id)
        .await
        .map_err(supervisor_error)?;
    Ok(Term::list(
        crashes.iter().map(reply::crash_summary).collect::<Vec<_>>(),
    ))
}

async fn crash(parts: &Parts, id: &ServerId, number: u64) -> Result<Term, ApiError> {
    parts
        .supervisor
        .server(id)
        .ok_or_else(|| ApiError::no_server(id))?;
    let bundle = parts.supervisor.crash(id, number).await;
    bundle
        .as_ref()
        .map(crate::api::json::bundle)
        .ok_or_else(|| ApiError::NotFound {
            what: "crash",
            name: number.to_string(),
            detail: format!("ask for crashes of {id} to see which there are"),
        })
}

async fn rolling_restart(parts: &Parts, group: &str) -> Result<Term, ApiError> {
    let rolled = parts.supervisor.rolling_restart(group).await;
    let rolled = rolled.map_err(supervisor_error)?;
    for id in &rolled.restarted {
        if let Some(status) = parts.supervisor.server(id) {
            parts.pids.settled(&status).await;
        }
    }
    let restarted = rolled.restarted.iter().map(|id| Term::text(id.as_str()));
    let restarted = Term::list(restarted.collect::<Vec<_>>());
    if rolled.failed.is_empty() {
        return Ok(Term::map([("restarted", restarted)]));
    }
    let sentences: Vec<String> = rolled
        .failed
        .iter()
        .map(|(id, why)| format!("{id}: {why}"))
        .collect();
    let facts = vec![("restarted", restarted)];
    Err(ApiError::refused("incomplete", facts, sentences.join("; ")))
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
        SupervisorError::NoGroup(name) => ApiError::NotFound {
            what: "group",
            name,
            detail: "[[group]] sections of the configuration name them".to_owned(),
        },
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
