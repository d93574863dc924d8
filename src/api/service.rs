//! Requests to replies.

use crate::api::told::Told;
use crate::api::{ApiError, Parts, Request, data, json, reply, servers, sinks};
use crate::etf::{Atom, Term};
use crate::types::version;
use std::sync::Arc;
use std::time::Instant;

/// Answers a request of a process on the node `caller`.
pub async fn answer(parts: &Arc<Parts>, caller: &Atom, request: Request) -> Term {
    let told = tracing::enabled!(tracing::Level::DEBUG).then(|| Told(&request).to_string());
    let began = Instant::now();
    let answer = handle(parts, caller, request).await;
    if let Some(request) = told {
        let took_us = began.elapsed().as_micros();
        let refused = answer.as_ref().err().map(tracing::field::display);
        tracing::debug!(peer = %caller, request, took_us, refused, "request");
    }
    match answer {
        Ok(Term::Atom(atom)) if atom.as_str() == "ok" => Term::Atom(atom),
        Ok(value) => Term::ok(value),
        Err(error) => error.to_term(),
    }
}

/// The value of `{:ok, value}`; the atom `ok` alone stands for a bare `:ok`.
async fn handle(parts: &Arc<Parts>, caller: &Atom, request: Request) -> Result<Term, ApiError> {
    match request {
        Request::Info => Ok(info(parts, sinks::list(parts).await)),
        Request::Reload { plan } => reload(parts, plan).await,
        Request::Servers => {
            let servers = parts.supervisor.servers();
            Ok(Term::list(
                servers
                    .iter()
                    .map(|s| reply::status(s, parts.pids.get(&s.id).as_ref()))
                    .collect::<Vec<_>>(),
            ))
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
        request => match servers::handle(parts, request).await {
            Ok(reply) => reply,
            Err(request) => match sinks::handle(parts, request).await {
                Ok(reply) => reply,
                Err(request) => data::handle(parts, request).await,
            },
        },
    }
}

async fn reload(parts: &Parts, only_plan: bool) -> Result<Term, ApiError> {
    let done = parts.reload.reload(only_plan).await;
    done.as_ref().map(json::to_term).map_err(|refused| {
        let plan = refused
            .plan
            .iter()
            .map(|plan| ("plan", json::to_term(plan)));
        ApiError::refused(refused.code, plan.collect(), &refused.detail)
    })
}

/// The value of `:info`, with what is told of the sinks.
pub fn info(parts: &Parts, sinks: Term) -> Term {
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
        ("version", Term::text(version())),
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
        ("sinks", sinks),
    ])
}
