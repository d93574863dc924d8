//! The handle by which all others use the buffer. Clones are cheap and share one committer.

use super::committer::queue::{Command, Reply, Request};
use super::lanes::Lane;
use super::shared::Shared;
use super::{
    Activated, AppendError, Appended, Change, Committed, Info, Producer, ReadError, Record,
    Restored, SessionBatch, StateDelta, StreamInfo,
};
use crate::types::{
    Epoch, Key, Origin, Payload, Revision, Scope, Sequence, SinkName, StreamName, Token,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{oneshot, watch};

/// A clonable handle to an open buffer. Where the last one is dropped without [`close`](Buffer::close) the buffer closes by
/// itself, a little later.
#[derive(Clone)]
pub struct Buffer {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) shared: Arc<Shared>,
    pub(super) origin: Origin,
    pub(super) incarnation: u64,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let (reply, _) = oneshot::channel();
        drop(self.shared.queue.push(Command {
            request: Request::Close { reply },
            permits: Vec::new(),
        }));
    }
}

impl Buffer {
    fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// The identity of the buffer's directory.
    pub fn origin(&self) -> Origin {
        self.inner.origin
    }

    /// How often the buffer was opened, this time included.
    pub fn incarnation(&self) -> u64 {
        self.inner.incarnation
    }

    async fn request<T>(
        &self,
        lane: &Lane,
        bytes: usize,
        request: impl FnOnce(Reply<T>) -> Request,
    ) -> Result<T, AppendError> {
        if let Some(reason) = self.shared().stopped() {
            return Err(AppendError::Stopped(reason));
        }
        let permits = lane.enter(bytes).await;
        let (reply, answer) = oneshot::channel();
        if self
            .shared()
            .queue
            .push(Command {
                request: request(reply),
                permits,
            })
            .is_err()
        {
            let reason = self
                .shared()
                .stopped()
                .unwrap_or_else(|| "it was closed".to_owned());
            return Err(AppendError::Stopped(reason));
        }
        answer
            .await
            .unwrap_or_else(|_| Err(AppendError::Stopped("the committer has ended".to_owned())))
    }

    /// Appends events to a stream, atomically; returns once they are on disk. With a producer's number a repeat is
    /// answered, not applied again. Once it was polled it may happen even if the future is dropped.
    ///
    /// # Errors
    /// [`AppendError::Full`] where the stream's rule rejects; see there for the others.
    pub async fn append(
        &self,
        stream: &StreamName,
        payloads: Vec<Payload>,
        producer: Option<Producer>,
    ) -> Result<Appended, AppendError> {
        let bytes = payloads.iter().map(|payload| payload.len() + 4).sum();
        let stream = stream.clone();
        let lane = self.shared().append_lane(&stream);
        self.request(&lane, bytes, |reply| Request::Append {
            stream,
            payloads,
            producer,
            reply,
        })
        .await
    }

    /// Commits a session's batch, atomically; returns once it is on disk. Batches of a session may be in flight together, if
    /// they are sent (first polled) in order.
    ///
    /// # Errors
    /// [`AppendError::StaleEpoch`] and [`AppendError::BatchGap`] change nothing; see there for the others.
    pub async fn commit(&self, batch: SessionBatch) -> Result<Committed, AppendError> {
        let events: usize = batch
            .events
            .iter()
            .map(|(_, payload)| payload.len() + 4)
            .sum();
        let changes: usize = batch.changes.iter().map(change_bytes).sum();
        let lane = self.shared().batch_lane(&batch.scope);
        self.request(&lane, events + changes, |reply| Request::Batch {
            batch,
            reply,
        })
        .await
    }

    /// Makes the next epoch of a scope, whose owner will show `token`; returns once it is on disk. From then on batches of
    /// earlier epochs are refused.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn activate(&self, scope: &Scope, token: Token) -> Result<Epoch, AppendError> {
        let scope = scope.clone();
        self.request(&self.shared().controls, 0, |reply| Request::Activate {
            scope,
            token,
            reply,
        })
        .await
    }

    /// The last activation of a scope.
    pub fn activation(&self, scope: &Scope) -> Option<Activated> {
        let tables = self.shared().tables();
        let state = tables.scopes.get(scope)?;
        Some(Activated {
            epoch: state.epoch,
            token: state.token.clone()?,
        })
    }

    /// Changes a scope's state from outside a session, atomically; does not move its state point.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn change(
        &self,
        scope: &Scope,
        changes: Vec<Change>,
    ) -> Result<Revision, AppendError> {
        let bytes = changes.iter().map(change_bytes).sum();
        let scope = scope.clone();
        self.request(&self.shared().controls, bytes, |reply| Request::Change {
            scope,
            changes,
            reply,
        })
        .await
    }

    /// Runs a read on a thread that may block.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Shared) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let shared = Arc::clone(&self.inner.shared);
        let joined = tokio::task::spawn_blocking(move || read(&shared)).await;
        joined.unwrap_or_else(|error| Err(ReadError::Io(format!("the read did not end: {error}"))))
    }

    /// The last commit of a scope: its state, and the events after the batch that last changed state.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn restore(&self, scope: &Scope) -> Result<Restored, ReadError> {
        let scope = scope.clone();
        self.blocking(move |shared| shared.read_restored(&scope))
            .await
    }

    /// The value of a key.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn get_state(&self, scope: &Scope, key: &Key) -> Result<Option<Payload>, ReadError> {
        let (scope, key) = (scope.clone(), key.clone());
        self.blocking(move |shared| shared.read_value(&scope, &key))
            .await
    }

    /// All values of a scope as of one commit, by key.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn state(&self, scope: &Scope) -> Result<Vec<(Key, Payload)>, ReadError> {
        let scope = scope.clone();
        self.blocking(move |shared| shared.read_state(&scope)).await
    }

    /// All scopes there ever were.
    pub fn scopes(&self) -> Vec<Scope> {
        self.shared().tables().scopes.keys().cloned().collect()
    }

    /// All scopes there ever were, each with the revision of its state, and the one that a sink acknowledged (0: none).
    pub fn revisions(&self, sink: &SinkName) -> Vec<(Scope, Revision, Revision)> {
        let tables = self.shared().tables();
        let scopes = tables.scopes.iter().map(|(scope, state)| {
            let held = state.cursors.get(sink).map_or(0, |cursor| cursor.seen);
            (scope.clone(), state.rev, held)
        });
        scopes.collect()
    }

    /// The revision of a scope that a sink acknowledged; 0 where it acknowledged none.
    pub fn state_cursor(&self, sink: &SinkName, scope: &Scope) -> Revision {
        let tables = self.shared().tables();
        let state = tables.scopes.get(scope);
        let cursor = state.and_then(|state| state.cursors.get(sink));
        cursor.map_or(0, |cursor| cursor.seen)
    }

    /// Events of a stream from a sequence on (or from the oldest there is): at most `limit`, and none after the one that
    /// reaches `max_bytes`. Consecutive; empty at the end.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read(
        &self,
        stream: &StreamName,
        from: Sequence,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<Record>, ReadError> {
        let stream = stream.clone();
        self.blocking(move |shared| shared.read_events(&stream, from, limit, max_bytes))
            .await
    }

    /// All streams there ever were, by name.
    pub fn streams(&self) -> Vec<StreamInfo> {
        let full = self.shared().full_streams();
        let mut streams: Vec<StreamInfo> = self
            .shared()
            .tables()
            .streams
            .iter()
            .map(|stream| self.shared().stream_info(stream, &full))
            .collect();
        streams.sort_by(|a, b| a.name.cmp(&b.name));
        streams
    }

    /// One stream.
    pub fn stream(&self, stream: &StreamName) -> Option<StreamInfo> {
        let full = self.shared().full_streams();
        self.shared()
            .tables()
            .stream(stream)
            .map(|stream| self.shared().stream_info(stream, &full))
    }

    /// Whether a stream is at its own limit.
    pub fn is_full(&self, stream: &StreamName) -> bool {
        self.shared().full_streams().contains(stream)
    }

    /// A sink has everything of a stream up to `seq`. Takes effect at once; reaches the journal within 50 ms or with the next
    /// commit, and only then lets trim. A crash in between forgets it. Never goes back.
    ///
    /// # Errors
    /// Where the sink or stream is unknown, or `seq` is beyond the stream's end.
    #[expect(
        clippy::unused_async,
        reason = "callers must not rely on it being immediate"
    )]
    pub async fn advance(
        &self,
        sink: &SinkName,
        stream: &StreamName,
        seq: Sequence,
    ) -> Result<(), AppendError> {
        let mut tables = self.shared().tables();
        let configured = self
            .shared()
            .options
            .sinks
            .iter()
            .any(|rule| rule.name == *sink && rule.reads(stream));
        let id = *tables
            .by_name
            .get(stream)
            .ok_or_else(|| AppendError::UnknownStream(stream.clone()))?;
        let state = &mut tables.streams[id as usize];
        if seq > state.last() {
            return Err(AppendError::BeyondEnd { last: state.last() });
        }
        if !configured && !state.cursors.contains_key(sink) {
            return Err(AppendError::UnknownSink);
        }
        let cursor = state.cursors.entry(sink.clone()).or_default();
        if seq > cursor.seen {
            cursor.seen = seq;
            tables.dirty.insert((sink.clone(), stream.clone()));
            drop(tables);
            self.shared().queue.nudge();
        }
        Ok(())
    }

    /// Ranges of events that were dropped before every sink had them.
    pub fn dropped_ranges(&self, stream: &StreamName) -> Vec<(Sequence, Sequence)> {
        self.shared()
            .tables()
            .stream(stream)
            .map_or(Vec::new(), |stream| stream.ranges.clone())
    }

    /// What a sink lacks of a scope's state; `None` where it has all. Only the newest value of each key.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn state_delta(
        &self,
        sink: &SinkName,
        scope: &Scope,
    ) -> Result<Option<StateDelta>, ReadError> {
        let (sink, scope) = (sink.clone(), scope.clone());
        self.blocking(move |shared| shared.read_delta(Some(&sink), &scope))
            .await
    }

    /// The same for one that has nothing: all of a scope's state.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn whole_state(&self, scope: &Scope) -> Result<Option<StateDelta>, ReadError> {
        let scope = scope.clone();
        self.blocking(move |shared| shared.read_delta(None, &scope))
            .await
    }

    /// A sink has a scope's state up to a revision. Like [`advance`](Self::advance).
    ///
    /// # Errors
    /// Where the sink is unknown, or the revision is beyond the scope's.
    #[expect(
        clippy::unused_async,
        reason = "callers must not rely on it being immediate"
    )]
    pub async fn advance_state(
        &self,
        sink: &SinkName,
        scope: &Scope,
        rev: Revision,
    ) -> Result<(), AppendError> {
        let mut tables = self.shared().tables();
        if !self
            .shared()
            .options
            .sinks
            .iter()
            .any(|rule| rule.name == *sink)
            && !tables.knows_sink(sink)
        {
            return Err(AppendError::UnknownSink);
        }
        let last = tables.scopes.get(scope).map_or(0, |state| state.rev);
        if rev > last {
            return Err(AppendError::BeyondEnd { last });
        }
        let cursor = tables
            .scope_mut(scope)
            .cursors
            .entry(sink.clone())
            .or_default();
        if rev > cursor.seen {
            cursor.seen = rev;
            tables.dirty_state.insert((sink.clone(), scope.clone()));
            drop(tables);
            self.shared().queue.nudge();
        }
        Ok(())
    }

    /// Forgets a sink's cursors, so that they pin nothing any more. For sinks that are not configured any longer.
    ///
    /// # Errors
    /// Where no cursor of it is known.
    pub async fn forget_sink(&self, sink: &SinkName) -> Result<(), AppendError> {
        let sink = sink.clone();
        self.request(&self.shared().controls, 0, |reply| Request::Forget {
            sink,
            reply,
        })
        .await
    }

    /// Ticks with every durable commit (and when a stream was trimmed or [`Info::full`] changed); the value is the commit's number.
    pub fn committed(&self) -> watch::Receiver<u64> {
        self.shared().committed.subscribe()
    }

    /// Figures of the whole buffer.
    pub fn info(&self) -> Info {
        let shared = self.shared();
        let spare = u64::from(shared.dir.has_spare());
        let streams_full = shared.full_streams().len() as u64;
        let tables = shared.tables();
        let segments = tables.segments.len() as u64 + spare;
        Info {
            bytes: segments * shared.options.segment_bytes,
            max_bytes: shared.options.max_bytes,
            segments,
            full: shared.full.load(Ordering::Relaxed),
            streams: tables.streams.len() as u64,
            streams_full,
            scopes: tables.scopes.len() as u64,
            commits: tables.commit,
            dropped: tables.streams.iter().map(|stream| stream.dropped).sum(),
            state_bytes: tables.state_cost,
            opened: shared.opened.clone(),
        }
    }

    /// Becomes `Some` once an error made it unsafe to go on: nothing is acknowledged any more, and the process should end and
    /// be started again.
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.shared().failure.subscribe()
    }

    /// Writes what is left, stores the index, releases the directory. Requests made after this are refused.
    pub async fn close(&self) {
        let (reply, answer) = oneshot::channel();
        let request = Request::Close { reply };
        if self
            .shared()
            .queue
            .push(Command {
                request,
                permits: Vec::new(),
            })
            .is_ok()
        {
            // An error means that it had stopped already.
            let _ = answer.await;
        }
        let mut closed = self.shared().closed.subscribe();
        // The sender lives as long as `self`.
        let _ = closed.wait_for(|closed| *closed).await;
    }
}

fn change_bytes(change: &Change) -> usize {
    change.key().as_bytes().len()
        + if let Change::Put(_, value) = change {
            value.len() + 8
        } else {
            8
        }
}
