//! What the parts of one session share.

use super::{ScriptError, SessionStatus};
use crate::types::{BatchNumber, Epoch, ServerId, UnixMillis, now_ms};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// How far the committer is; the writer turns changes into messages, several into one where the game reads slowly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Every batch up to this one is on disk.
    pub acked: BatchNumber,
    /// The buffer is full.
    pub full: bool,
}

type Outcome = Result<Bytes, String>;

/// A session from its `hello` to its end.
pub struct Live {
    pub server: ServerId,
    pub epoch: Epoch,
    engine: String,
    since_ms: UnixMillis,
    /// Frames towards the game.
    pub out: mpsc::Sender<Bytes>,
    pub progress: watch::Sender<Progress>,
    /// Batches received and not settled.
    pub in_flight: AtomicU64,
    /// Bytes of those.
    pub in_flight_bytes: AtomicU64,
    calls: Mutex<HashMap<u64, oneshot::Sender<Outcome>>>,
    calls_max: usize,
    next_call: AtomicU64,
    /// Cancelled: read what has arrived, settle it, end.
    pub ending: CancellationToken,
    /// Cancelled once everything has settled and the observer knows.
    pub ended: CancellationToken,
}

impl Live {
    /// A session that has said `hello`; frames for it come out of the receiver.
    pub fn new(
        server: ServerId,
        epoch: Epoch,
        engine: String,
        limits: &super::SessionLimits,
    ) -> (Self, mpsc::Receiver<Bytes>) {
        let (out, frames) = mpsc::channel(limits.outgoing);
        let live = Self {
            server,
            epoch,
            engine,
            since_ms: now_ms(),
            out,
            progress: watch::Sender::default(),
            in_flight: AtomicU64::new(0),
            in_flight_bytes: AtomicU64::new(0),
            calls: Mutex::default(),
            calls_max: limits.calls,
            next_call: AtomicU64::new(1),
            ending: CancellationToken::new(),
            ended: CancellationToken::new(),
        };
        (live, frames)
    }

    /// What is known of it now.
    pub fn status(&self) -> SessionStatus {
        let progress = *self.progress.borrow();
        SessionStatus {
            connected_since_ms: self.since_ms,
            epoch: self.epoch,
            last_batch: progress.acked,
            in_flight: self.in_flight.load(Ordering::Relaxed),
            engine: self.engine.clone(),
            full: progress.full,
        }
    }

    /// Queues a frame without waiting.
    pub fn push(&self, frame: Bytes) -> Result<(), ScriptError> {
        self.out.try_send(frame).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                ScriptError::Failed("the server does not read its messages".to_owned())
            }
            mpsc::error::TrySendError::Closed(_) => ScriptError::NotConnected,
        })
    }

    /// Opens a call: its id and where its outcome arrives. The receiver errs once the session ends.
    pub fn open_call(&self) -> Result<(u64, oneshot::Receiver<Outcome>), ScriptError> {
        let (answer, outcome) = oneshot::channel();
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if self.ended.is_cancelled() {
            return Err(ScriptError::NotConnected);
        }
        if calls.len() >= self.calls_max {
            return Err(ScriptError::Failed(
                "too many calls are waiting for this server".to_owned(),
            ));
        }
        let id = self.next_call.fetch_add(1, Ordering::Relaxed);
        calls.insert(id, answer);
        Ok((id, outcome))
    }

    /// Settles a call; a reply to a call that is over is dropped.
    pub fn close_call(&self, id: u64, outcome: Option<Outcome>) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(answer), Some(outcome)) = (calls.remove(&id), outcome) {
            let _ = answer.send(outcome);
        }
    }

    /// Fails every open call.
    pub fn fail_calls(&self) {
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}
