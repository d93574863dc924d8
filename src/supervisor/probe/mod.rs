//! Asking processes without a session whether they serve.
//!
//! A task asks ([`ask`], [`http`]) and says when it asked and what came of it; what that means is judged by a pure
//! [`ProbeWatch`]. Only observed time counts, as for heartbeats: a probe that took longer than it may, or came later than it was
//! due, means that sidekick itself was stopped or starved, and then the failures are counted anew.
//!
//! Architecture invariant: a probe opens one socket and closes it, holds at most [`http::HEAD_MAX`] bytes, and never outlasts its
//! timeout while sidekick runs.

mod ask;
mod http;
mod watch;

pub use watch::{ProbeWatch, Verdict};

use crate::guard::clock::monotonic_ns;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// Until the first success it is asked at least this often, so that a start is seen soon.
const STARTING: Duration = Duration::from_millis(250);

/// How a process is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeSpec {
    /// What is done.
    pub kind: ProbeKind,
    /// Where it listens.
    pub address: SocketAddr,
    /// Pause between two probes.
    pub interval: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// So many failures in a row and it is taken to hang.
    pub failures: u32,
}

/// What a probe does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeKind {
    /// Connects.
    Tcp,
    /// Sends a datagram and wants one back.
    Udp {
        /// What is sent.
        payload: Vec<u8>,
        /// How the answer begins.
        expect: Vec<u8>,
    },
    /// Asks with GET.
    Http {
        /// For what.
        path: String,
        /// The status that means that all is well; `None`: any from 200 to 299.
        status: Option<u16>,
    },
}

impl std::fmt::Display for ProbeSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.kind {
            ProbeKind::Tcp => write!(f, "tcp {}", self.address),
            ProbeKind::Udp { .. } => write!(f, "udp {}", self.address),
            ProbeKind::Http { path, .. } => write!(f, "http://{}{path}", self.address),
        }
    }
}

/// One probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// When it began, monotonic.
    pub began: Duration,
    /// When it ended.
    pub ended: Duration,
    /// What went wrong, if anything.
    pub outcome: Result<(), String>,
}

/// Asks one process until it is dropped.
#[derive(Debug)]
pub struct Prober {
    asked: mpsc::Receiver<Asked>,
    watch: ProbeWatch,
    _task: AbortOnDropHandle<()>,
}

impl Prober {
    /// Begins at once.
    pub fn start(spec: &ProbeSpec) -> Self {
        let (sender, asked) = mpsc::channel(1);
        let task = tokio::spawn(keep_asking(spec.clone(), sender));
        Self {
            asked,
            watch: ProbeWatch::new(spec, now()),
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// What the next probe means, and what went wrong. Cancel-safe.
    pub async fn next(&mut self) -> (Verdict, Option<String>) {
        match self.asked.recv().await {
            Some(asked) => (self.watch.take(&asked), asked.outcome.err()),
            // The task ends with this value only.
            None => std::future::pending().await,
        }
    }
}

fn now() -> Duration {
    Duration::from_nanos(monotonic_ns())
}

async fn keep_asking(spec: ProbeSpec, sender: mpsc::Sender<Asked>) {
    let mut pause = spec.interval.min(STARTING);
    loop {
        let began = now();
        let outcome = match tokio::time::timeout(spec.timeout, ask::once(&spec)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!(
                "no answer within {}",
                humantime::format_duration(spec.timeout)
            )),
        };
        if outcome.is_ok() {
            pause = spec.interval;
        }
        let asked = Asked {
            began,
            ended: now(),
            outcome,
        };
        if sender.send(asked).await.is_err() {
            return;
        }
        // sleep: the pause between two probes is what was configured.
        tokio::time::sleep(pause).await;
    }
}
