//! Socket → observer, committer, cluster. Never waits for any of them.

use super::live::Live;
use super::messages::{self, Batch, FromGame};
use super::server::{Shared, spoken_payload};
use crate::etf;
use crate::godot::frame::FrameReader;
use crate::godot::{term_to_variant, variant};
use crate::ports::{ClusterError, SessionEvent};
use crate::types::Payload;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

/// Once a session is to end: how long the socket must be quiet before it counts as empty.
const QUIET: Duration = Duration::from_millis(50);
/// And how long a game that goes on sending is listened to.
const LAST_READ: Duration = Duration::from_secs(2);
/// Script messages to the cluster that may wait.
const OUTBOUND: usize = 1024;

/// A batch and the bytes it counts for in the window.
pub type Queued = (Batch, u64);

/// Why reading ended other than by the game's own close.
#[derive(Debug)]
struct Cut {
    code: &'static str,
    message: String,
}

impl Cut {
    fn new(code: &'static str, message: &impl ToString) -> Self {
        let message = message.to_string();
        Self { code, message }
    }
}

/// Reads until the game closes, breaks the protocol, or the session is to end.
pub async fn run<R: AsyncRead + Unpin>(
    shared: &Arc<Shared>,
    live: &Arc<Live>,
    frames: FrameReader<R>,
    batches: mpsc::Sender<Queued>,
) {
    let (outbound, waiting) = mpsc::channel(OUTBOUND);
    let cluster = tokio::spawn(serve_outbound(shared.clone(), live.clone(), waiting));
    let mut reader = Reader {
        shared,
        live,
        batches,
        outbound,
    };
    if let Err(cut) = reader.read_all(frames).await {
        tracing::warn!(server = %live.server, code = cut.code, message = cut.message, "a session was cut off");
        let _ = live.push(messages::refused(cut.code, &cut.message, true));
    }
    live.ending.cancel();
    cluster.abort();
}

struct Reader<'a> {
    shared: &'a Arc<Shared>,
    live: &'a Arc<Live>,
    batches: mpsc::Sender<Queued>,
    outbound: mpsc::Sender<FromGame>,
}

impl Reader<'_> {
    async fn read_all<R: AsyncRead + Unpin>(
        &mut self,
        mut frames: FrameReader<R>,
    ) -> Result<(), Cut> {
        loop {
            let next = tokio::select! {
                biased;
                () = self.live.ending.cancelled() => break,
                next = frames.next() => next,
            };
            match next.map_err(|error| Cut::new("protocol", &error))? {
                Some(frame) => self.take(frame)?,
                None => return Ok(()),
            }
        }
        // The process is gone or fenced: what it had sent is still in the socket and counts.
        let until = Instant::now() + LAST_READ;
        while Instant::now() < until {
            match tokio::time::timeout(QUIET, frames.next()).await {
                Ok(Ok(Some(frame))) => self.take(frame)?,
                _ => break,
            }
        }
        Ok(())
    }

    fn take(&mut self, frame: Bytes) -> Result<(), Cut> {
        let bytes = frame.len() as u64;
        let message = variant::decode(frame).map_err(|error| Cut::new("protocol", &error))?;
        let message = FromGame::read(&message).map_err(|error| Cut::new("protocol", &error))?;
        let tell = |event| self.shared.observer.session_event(&self.live.server, event);
        match message {
            None => {}
            Some(FromGame::Batch(batch)) => self.queue(batch, bytes)?,
            Some(FromGame::Beat(beat)) => tell(SessionEvent::Beat(beat)),
            Some(FromGame::Playing { tick }) => tell(SessionEvent::Playing { tick }),
            Some(FromGame::Ready) => tell(SessionEvent::Ready),
            Some(FromGame::Drained) => tell(SessionEvent::Drained),
            Some(FromGame::Reply { id, outcome }) => self.live.close_call(id, Some(outcome)),
            Some(message @ (FromGame::Send { .. } | FromGame::Call { .. })) => {
                self.forward(message);
            }
            Some(FromGame::Hello(_)) => return Err(Cut::new("protocol", &"a second hello")),
        }
        Ok(())
    }

    /// Queues a batch within the window. Where the committer has ended the session is over anyway.
    fn queue(&mut self, batch: Batch, bytes: u64) -> Result<(), Cut> {
        let limit = self.shared.options.limits.window_bytes as u64;
        let held = self
            .live
            .in_flight_bytes
            .fetch_add(bytes, Ordering::Relaxed);
        self.live.in_flight.fetch_add(1, Ordering::Relaxed);
        // One batch is always let in, however large the frame around it.
        if held > 0 && held + bytes > limit {
            return Err(Cut::new(
                "window",
                &format!("more than {limit} bytes unacknowledged"),
            ));
        }
        match self.batches.try_send((batch, bytes)) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Cut::new(
                "window",
                &"more batches unacknowledged than the welcome granted",
            )),
        }
    }

    fn forward(&self, message: FromGame) {
        if let Err(error) = self.outbound.try_send(message) {
            tracing::warn!(server = %self.live.server, "a script's message to the cluster was dropped: too many wait");
            if let FromGame::Call { id, .. } = error.into_inner() {
                answer(
                    self.live,
                    id,
                    Err(("overloaded", "too many messages wait".to_owned())),
                );
            }
        }
    }
}

/// Brings a script's sends and calls to the cluster, in order; calls wait for their answers beside each other.
async fn serve_outbound(
    shared: Arc<Shared>,
    live: Arc<Live>,
    mut waiting: mpsc::Receiver<FromGame>,
) {
    let permits = Arc::new(Semaphore::new(shared.options.limits.calls));
    while let Some(message) = waiting.recv().await {
        match message {
            FromGame::Send { name, node, value } => {
                let outcome = match spoken_payload(value) {
                    Ok(payload) => {
                        let sent = shared
                            .cluster
                            .send(&live.server, &name, &node, payload)
                            .await;
                        sent.map_err(|error| error.to_string())
                    }
                    Err(error) => Err(error),
                };
                if let Err(error) = outcome {
                    tracing::warn!(server = %live.server, name, node, error, "a script's message was not sent");
                }
            }
            FromGame::Call {
                id,
                name,
                node,
                value,
                timeout,
            } => {
                let Ok(permit) = permits.clone().try_acquire_owned() else {
                    answer(
                        &live,
                        id,
                        Err(("overloaded", "too many calls wait".to_owned())),
                    );
                    continue;
                };
                let (shared, live) = (shared.clone(), live.clone());
                tokio::spawn(async move {
                    let call = call(&shared, &live, &name, &node, value, timeout);
                    let outcome = tokio::select! {
                        outcome = call => outcome,
                        () = live.ending.cancelled() => return,
                    };
                    answer(&live, id, outcome);
                    drop(permit);
                });
            }
            _ => {}
        }
    }
}

type Answer = Result<variant::Variant, (&'static str, String)>;

async fn call(
    shared: &Shared,
    live: &Live,
    name: &str,
    node: &str,
    value: Bytes,
    timeout: Duration,
) -> Answer {
    let payload = spoken_payload(value).map_err(|text| ("unsupported_value", text))?;
    let reply: Payload = shared
        .cluster
        .call(&live.server, name, node, payload, timeout)
        .await
        .map_err(|error| {
            let code = match &error {
                ClusterError::NoConnection => "no_connection",
                ClusterError::NoProc => "no_proc",
                ClusterError::Timeout => "timeout",
                ClusterError::Failed(_) => "failed",
            };
            (code, error.to_string())
        })?;
    let term = etf::decode(reply).map_err(|error| ("unsupported_term", error.to_string()))?;
    term_to_variant(&term).map_err(|error| ("unsupported_term", error.to_string()))
}

fn answer(live: &Live, id: i64, outcome: Answer) {
    if live.push(messages::answer(id, outcome)).is_err() {
        tracing::debug!(server = %live.server, id, "an answer found no reader");
    }
}
