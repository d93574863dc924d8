//! Batches → buffer, pipelined and in order.
//!
//! Batch n + 1 is handed to the buffer while n is still being written, so that one sync covers both. Where the buffer
//! turns one away (full, or too large), those behind it fail for the gap: all unsettled ones are then submitted again
//! from the first, as often as it takes; repeats are harmless by their number.

use super::live::Live;
use super::messages;
use super::reader::Queued;
use super::restore;
use super::server::Shared;
use super::submit::{Rejected, note, session_batch};
use crate::buffer::{AppendError, Committed, Restored, SessionBatch};
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A batch that waits this long while the buffer says it is full means back-pressure.
const LATE: Duration = Duration::from_millis(150);
/// Pause before a full buffer is tried again.
const RETRY: Duration = Duration::from_millis(250);

type Commit = Pin<Box<dyn Future<Output = Result<Committed, AppendError>> + Send>>;

/// A batch that is not settled.
struct Waiting {
    batch: SessionBatch,
    bytes: u64,
    since: Instant,
}

/// Commits one session's batches and says how far it is.
pub struct Committer {
    shared: Arc<Shared>,
    live: Arc<Live>,
    queue: mpsc::Receiver<Queued>,
    give_up: CancellationToken,
    waiting: VecDeque<Waiting>,
    commits: FuturesOrdered<Commit>,
}

/// The session cannot go on.
struct Fatal {
    code: &'static str,
    message: String,
    retry: bool,
}

impl Committer {
    pub fn new(
        shared: Arc<Shared>,
        live: Arc<Live>,
        queue: mpsc::Receiver<Queued>,
        give_up: CancellationToken,
    ) -> Self {
        let (waiting, commits) = (VecDeque::new(), FuturesOrdered::new());
        Self {
            shared,
            live,
            queue,
            give_up,
            waiting,
            commits,
        }
    }

    /// Sends what is to be restored, then commits until the queue ends and everything in it has settled.
    pub async fn run(mut self, restored: Option<Restored>) {
        let give_up = self.give_up.clone();
        let work = async {
            if let Some(restored) = restored {
                restore::send(&self.live, restored).await;
            }
            self.commit_all().await
        };
        let outcome = tokio::select! {
            outcome = work => outcome,
            () = give_up.cancelled() => Ok(()),
        };
        if let Err(fatal) = outcome {
            tracing::warn!(server = %self.live.server, code = fatal.code, message = fatal.message, "a session cannot go on");
            let _ = self
                .live
                .push(messages::refused(fatal.code, &fatal.message, fatal.retry));
        }
        self.live.ending.cancel();
    }

    async fn commit_all(&mut self) -> Result<(), Fatal> {
        let mut look = tokio::time::interval(LATE);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut open = true;
        while open || !self.waiting.is_empty() {
            tokio::select! {
                biased;
                Some(outcome) = self.commits.next(), if !self.commits.is_empty() => {
                    self.settle(outcome).await?;
                }
                queued = self.queue.recv(), if open => match queued {
                    Some((batch, bytes)) => {
                        let (batch, rejected) = session_batch(&self.live, batch);
                        self.tell_rejected(batch.batch, &rejected).await;
                        self.submit(&batch);
                        self.waiting.push_back(Waiting { batch, bytes, since: Instant::now() });
                    }
                    None => open = false,
                },
                _ = look.tick(), if !self.commits.is_empty() => self.look_if_full(),
            }
        }
        Ok(())
    }

    fn submit(&mut self, batch: &SessionBatch) {
        let (buffer, batch) = (self.shared.buffer.clone(), batch.clone());
        self.commits
            .push_back(Box::pin(async move { buffer.commit(batch).await }));
    }

    /// Submits everything unsettled again, from the first.
    fn submit_again(&mut self) {
        self.commits = FuturesOrdered::new();
        for batch in self
            .waiting
            .iter()
            .map(|waiting| waiting.batch.clone())
            .collect::<Vec<_>>()
        {
            self.submit(&batch);
        }
    }

    /// Takes the outcome of the first unsettled batch.
    async fn settle(&mut self, outcome: Result<Committed, AppendError>) -> Result<(), Fatal> {
        match outcome {
            Ok(_) => {
                self.settled();
                Ok(())
            }
            Err(AppendError::Full) => {
                self.set_full(true);
                tokio::time::sleep(RETRY).await;
                self.submit_again();
                Ok(())
            }
            Err(error @ (AppendError::TooLarge { .. } | AppendError::Invalid(_))) => {
                self.replace_first(&error).await;
                Ok(())
            }
            Err(AppendError::StaleEpoch { current }) => Err(Fatal {
                code: "stale_epoch",
                message: format!("epoch {} was followed by epoch {current}", self.live.epoch),
                retry: false,
            }),
            // It is the next one due, and was judged while the one before it still waited for space.
            Err(AppendError::BatchGap { .. }) if self.first_is_due() => {
                self.submit_again();
                Ok(())
            }
            Err(error @ AppendError::BatchGap { .. }) => Err(Fatal {
                code: "batch_gap",
                message: error.to_string(),
                retry: true,
            }),
            Err(error) => Err(Fatal {
                code: "buffer",
                message: error.to_string(),
                retry: true,
            }),
        }
    }

    fn first_is_due(&self) -> bool {
        let due = self.live.progress.borrow().acked + 1;
        self.waiting
            .front()
            .is_some_and(|first| first.batch.batch == due)
    }

    fn settled(&mut self) {
        crate::failpoints::hit("session.committed");
        let Some(first) = self.waiting.pop_front() else {
            return;
        };
        self.live.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.live
            .in_flight_bytes
            .fetch_sub(first.bytes, Ordering::Relaxed);
        self.live.progress.send_modify(|progress| {
            progress.acked = progress.acked.max(first.batch.batch);
            progress.full = false;
        });
    }

    /// A batch that can never be kept is kept as a note of what it was, so that the numbers go on.
    async fn replace_first(&mut self, error: &AppendError) {
        let Some(first) = self.waiting.front_mut() else {
            return;
        };
        let number = first.batch.batch;
        let rejected = vec![Rejected {
            list: "batch",
            index: 0,
            what: error.to_string(),
        }];
        first.batch.events = note(&self.live.server, number, &rejected)
            .into_iter()
            .collect();
        first.batch.changes = Vec::new();
        self.tell_rejected(number, &rejected).await;
        self.submit_again();
    }

    async fn tell_rejected(&mut self, batch: u64, rejected: &[Rejected]) {
        if rejected.is_empty() {
            return;
        }
        tracing::error!(server = %self.live.server, batch, items = rejected.len(), first = rejected[0].what, "data from the game could not be kept");
        let items: Vec<_> = rejected
            .iter()
            .map(|item| (item.list, item.index, item.what.clone()))
            .collect();
        let _ = self.live.out.send(messages::rejected(batch, &items)).await;
    }

    fn look_if_full(&mut self) {
        let Some(first) = self.waiting.front() else {
            return;
        };
        let buffer = &self.shared.buffer;
        let full = |first: &Waiting| {
            let mut events = first.batch.events.iter();
            buffer.info().full || events.any(|(stream, _)| buffer.is_full(stream))
        };
        if first.since.elapsed() > LATE && full(first) {
            self.set_full(true);
        }
    }

    fn set_full(&self, full: bool) {
        self.live.progress.send_if_modified(|progress| {
            let changed = progress.full != full;
            progress.full = full;
            changed
        });
    }
}
