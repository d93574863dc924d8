//! What the handle, the committer and the keeper share.

use super::committer::queue::Queue;
use super::journal::segment::SegmentDir;
use super::lanes::{Lane, Lanes};
use super::lock::DirLock;
use super::model::{Opened, StreamInfo};
use super::options::{Options, WhenFull};
use super::tables::{Stream, Tables};
use crate::types::{Scope, StreamName};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// What the keeper has been asked to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "chores are independent of each other"
)]
pub(super) struct Chores {
    /// Cursors moved or segments filled: something may go.
    pub trim: bool,
    /// A spare segment would be welcome.
    pub spare: bool,
    /// There is no space for what waits: free what can be freed.
    pub pressure: bool,
    /// ... and drop what may be dropped.
    pub drop: bool,
    /// Something changed that the stored index does not have.
    pub index: bool,
    /// Write the index now.
    pub index_now: bool,
    /// Finish.
    pub stop: bool,
}

/// Bounds that the options imply, in segments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub events: usize,
    pub state: usize,
    pub all: usize,
}

impl Limits {
    /// The limits for options that were checked.
    pub fn new(options: &Options) -> Self {
        let segment = options.segment_bytes;
        let all = (options.max_bytes / segment) as usize;
        let reserve = options
            .reserve_bytes
            .min(options.max_bytes / 4)
            .div_ceil(segment) as usize;
        Self {
            events: all.saturating_sub(1 + reserve).max(2),
            state: all - 1,
            all,
        }
    }
}

/// See the module.
pub(super) struct Shared {
    pub options: Options,
    pub limits: Limits,
    pub dir: SegmentDir,
    pub opened: Opened,
    pub queue: Queue,
    lanes: Lanes,
    pub controls: Lane,
    pub committed: watch::Sender<u64>,
    pub failure: watch::Sender<Option<String>>,
    pub full: AtomicBool,
    /// Streams at their own limit.
    full_streams: Mutex<HashSet<StreamName>>,
    /// Held while the spare segment is made or taken.
    pub spare: Mutex<()>,
    pub lock: Mutex<Option<DirLock>>,
    /// Why nothing is accepted any more.
    pub stopped: watch::Sender<Option<String>>,
    /// Both threads have ended and the directory is released.
    pub closed: watch::Sender<bool>,
    tables: Mutex<Tables>,
    chores: Mutex<Chores>,
    chore: Condvar,
}

impl Shared {
    pub fn new(
        options: Options,
        dir: SegmentDir,
        tables: Tables,
        lock: DirLock,
        opened: Opened,
    ) -> Self {
        Self {
            limits: Limits::new(&options),
            options,
            dir,
            opened,
            queue: Queue::default(),
            lanes: Lanes::default(),
            controls: Lane::default(),
            committed: watch::Sender::new(tables.commit),
            failure: watch::Sender::new(None),
            full: AtomicBool::new(false),
            full_streams: Mutex::default(),
            spare: Mutex::new(()),
            lock: Mutex::new(Some(lock)),
            stopped: watch::Sender::new(None),
            closed: watch::Sender::new(false),
            tables: Mutex::new(tables),
            chores: Mutex::new(Chores::default()),
            chore: Condvar::new(),
        }
    }

    /// The tables. A panic while they were held leaves them as of some record; the thread that panicked has stopped the
    /// buffer, so nothing is built on them.
    pub fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The way in for appends to a stream. Where they may have to wait for this stream alone, it is the stream's own.
    pub fn append_lane(&self, stream: &StreamName) -> Arc<Lane> {
        let rule = self.options.rule(stream);
        if rule.limit.bounds_appends() && rule.when_full == WhenFull::Block {
            self.lanes.of_stream(stream)
        } else {
            self.lanes.appends()
        }
    }

    /// The way in for a session's batches. Where they may have to wait for a stream's limit, it is the session's own.
    pub fn batch_lane(&self, scope: &Scope) -> Arc<Lane> {
        if self.options.has_limits() {
            self.lanes.of_scope(scope)
        } else {
            self.lanes.batches()
        }
    }

    /// The streams that are at their own limit.
    pub fn full_streams(&self) -> MutexGuard<'_, HashSet<StreamName>> {
        self.full_streams
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a stream, for others.
    pub fn stream_info(&self, stream: &Stream, full: &HashSet<StreamName>) -> StreamInfo {
        let limit = self.options.rule(&stream.name).limit;
        stream.info(limit, full.contains(&stream.name))
    }

    /// Asks the keeper for something.
    pub fn ask(&self, add: impl FnOnce(&mut Chores)) {
        let mut chores = self.chores.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *chores;
        add(&mut chores);
        if *chores != before {
            self.chore.notify_one();
        }
    }

    /// Waits for chores `urgent` enough, at most for `timeout`, and takes all.
    pub fn chores(&self, timeout: Option<Duration>, urgent: impl Fn(&Chores) -> bool) -> Chores {
        let chores = self.chores.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |chores: &mut Chores| !urgent(chores);
        let mut chores = match timeout {
            None => self
                .chore
                .wait_while(chores, idle)
                .unwrap_or_else(PoisonError::into_inner),
            Some(timeout) => {
                self.chore
                    .wait_timeout_while(chores, timeout, idle)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        };
        std::mem::take(&mut chores)
    }

    /// Stops for good: nothing more is acknowledged.
    pub fn fail(&self, reason: &str) {
        tracing::error!(reason, "the buffer has stopped; sidekick must be restarted");
        self.stopped.send_if_modified(|stopped| {
            stopped.is_none() && stopped.insert(reason.to_owned()) == reason
        });
        self.failure.send_replace(Some(reason.to_owned()));
    }

    /// The index answered wrongly: stops, so that the next start rebuilds it.
    pub fn doubt_index(&self, reason: &str) {
        let _ = std::fs::write(
            super::journal::recovery::doubt_file(&self.options.dir),
            reason,
        );
        self.fail(&format!(
            "the index disagrees with the journal ({reason}); the next start rebuilds it"
        ));
    }

    /// Why the buffer does not answer, where it does not.
    pub fn stopped(&self) -> Option<String> {
        self.stopped.borrow().clone()
    }

    /// Notes whether the buffer is full, and says so when that changes.
    pub fn set_full(&self, full: bool, why: &str) {
        if self.full.swap(full, Ordering::Relaxed) != full {
            if full {
                tracing::warn!(
                    why,
                    "the buffer is full: events wait, are refused or dropped as configured"
                );
            } else {
                tracing::info!("the buffer has space again");
            }
            self.committed.send_modify(|_| ());
        }
    }
}
