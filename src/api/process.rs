//! The registered process `sidekick`: gen calls of the request table.

use crate::api::{Parts, Request, service, sinks};
use crate::etf::Term;
use crate::node::gen_call::{self, Incoming};
use crate::node::sys::System;
use crate::node::{Process, Signal};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Signals that may wait for `sidekick`.
pub const MAILBOX: usize = 4_096;
/// Requests in work at once; more are refused with `overloaded`.
const REQUESTS_MAX: usize = 1_024;

/// Answers requests until the process ends. A request goes on where its caller leaves.
pub async fn serve(parts: Arc<Parts>, mut process: Process) {
    let requests = Arc::new(Semaphore::new(REQUESTS_MAX));
    let mut system = System::new(&parts.node, process.pid(), "sidekick", "sidekick");
    while let Some(signal) = process.recv().await {
        // Nobody's end is a reason for ours, and what all of a cluster may ask is not to be killed by one of them.
        let Signal::Message { term, .. } = signal else {
            continue;
        };
        system.traffic().received();
        match gen_call::parse(term) {
            Incoming::Call { from, request } => {
                let request = match Request::from_term(request) {
                    Ok(request) => request,
                    Err(error) => {
                        parts.node.reply(&from, error.to_term());
                        continue;
                    }
                };
                let Ok(permit) = requests.clone().try_acquire_owned() else {
                    parts
                        .node
                        .reply(&from, Term::error("overloaded", Term::map([])));
                    continue;
                };
                let (parts, traffic) = (parts.clone(), system.traffic().clone());
                tokio::spawn(async move {
                    let reply = service::answer(&parts, &from.pid.node, request).await;
                    parts.node.reply(&from, reply);
                    traffic.sent();
                    drop(permit);
                });
            }
            Incoming::System { from, request } => {
                system.answer(&parts.node, &from, request, || {
                    service::info(&parts, sinks::list_now(&parts))
                });
            }
            Incoming::Cast(_) | Incoming::Other(_) => {}
        }
    }
}
