//! How far sinks are behind, stream by stream.

use super::sink::is_uploaded;
use crate::buffer::{Buffer, StreamInfo};
use crate::types::{Revision, Scope, Sequence, SinkName, StreamName, UnixMillis, now_ms};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// More are forgotten together; they cost a read each to learn again. Some 100 bytes each.
const KNOWN_MAX: usize = 65_536;
/// How often it is looked at how old lags are, where nobody asks: a sink that stands still has no event at which to tell it.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How far a sink is behind in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    /// The sink.
    pub sink: SinkName,
    /// Records that it has not acknowledged.
    pub records: u64,
    /// Their payload bytes, as far as records are alike.
    pub bytes: u64,
    /// How long ago the oldest of them was committed; 0 where there is none.
    pub age_ms: u64,
}

/// When the oldest records that sinks lack were committed. It changes only as a cursor moves, so that it is rarely read.
pub(super) struct Ages {
    buffer: Buffer,
    sinks: Vec<SinkName>,
    known: Mutex<Known>,
    /// The same over all streams, as last looked at: none for a sink that lacks nothing.
    oldest: Mutex<HashMap<SinkName, UnixMillis>>,
    /// Scopes whose state waits.
    waiting: Mutex<Waiting>,
}

/// By sink and scope: the revision that the sink holds, and since when it was seen to lack a later one. State has no time of its own,
/// so this is as exact as looks are frequent, and begins with sidekick.
type Waiting = HashMap<(SinkName, Scope), (Revision, UnixMillis)>;

/// The oldest record that a sink lacks in a stream, and when it was committed.
type Known = HashMap<(StreamName, SinkName), (Sequence, UnixMillis)>;

impl Ages {
    /// For the records of whoever has a cursor, and the state of these sinks.
    pub(super) fn new(buffer: Buffer, sinks: Vec<SinkName>) -> Self {
        Self {
            buffer,
            sinks,
            known: Mutex::default(),
            oldest: Mutex::default(),
            waiting: Mutex::default(),
        }
    }

    /// Looks every few seconds and sets the gauges of the sinks, until told to stop or until nobody else holds the ages.
    pub(super) fn watch(self: &Arc<Self>, stopped: CancellationToken) {
        // Held while it sleeps, it would keep a buffer open that nobody uses any more.
        let ages = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(LOOK_EVERY);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = stopped.cancelled() => return,
                    _ = ticks.tick() => {}
                }
                let Some(ages) = ages.upgrade() else { return };
                ages.look().await;
                for sink in &ages.sinks {
                    let seconds = ages.age_ms(sink) as f64 / 1000.0;
                    metrics::gauge!("sidekick_sink_lag_seconds", "sink" => sink.to_string())
                        .set(seconds);
                }
            }
        });
    }

    /// Looks at all streams how old the lag of each sink is.
    pub(super) async fn look(&self) {
        let mut oldest: HashMap<SinkName, UnixMillis> = HashMap::new();
        for info in self.buffer.streams() {
            for (sink, cursor) in &info.cursors {
                if let Some(at_ms) = self.oldest_of(&info, sink, *cursor).await {
                    let before = oldest.entry(sink.clone()).or_insert(at_ms);
                    *before = at_ms.min(*before);
                }
            }
        }
        for ((sink, _), (_, since_ms)) in self.look_at_state() {
            let before = oldest.entry(sink).or_insert(since_ms);
            *before = since_ms.min(*before);
        }
        *lock(&self.oldest) = oldest;
    }

    /// Which scopes wait, and since when.
    fn look_at_state(&self) -> Waiting {
        let mut waiting = lock(&self.waiting);
        let before = std::mem::take(&mut *waiting);
        for sink in &self.sinks {
            for (scope, rev, held) in self.buffer.revisions(sink) {
                if rev <= held || !is_uploaded(&scope) {
                    continue;
                }
                let key = (sink.clone(), scope);
                let since = before.get(&key).filter(|(then, _)| *then == held);
                let since = since.map_or_else(now_ms, |(_, since)| *since);
                waiting.insert(key, (held, since));
            }
        }
        waiting.clone()
    }

    /// The sinks that run.
    pub(super) fn sinks(&self) -> &[SinkName] {
        &self.sinks
    }

    /// Scopes of which a sink lacks the newest state, by the last look.
    pub(super) fn scopes(&self, sink: &SinkName) -> u64 {
        let waiting = lock(&self.waiting);
        waiting.keys().filter(|(of, _)| of == sink).count() as u64
    }

    /// How long ago the oldest record that a sink lacks was committed, or for how long state of it has been waiting, by the last look; 0 where it lacked none.
    pub(super) fn age_ms(&self, sink: &SinkName) -> u64 {
        let at_ms = lock(&self.oldest).get(sink).copied();
        at_ms.map_or(0, |at_ms| now_ms().saturating_sub(at_ms))
    }

    /// How far each sink with a cursor is behind.
    pub(super) async fn lags(&self, info: &StreamInfo) -> Vec<Lag> {
        let mut lags = Vec::with_capacity(info.cursors.len());
        for (sink, cursor) in &info.cursors {
            let (records, bytes) = behind(info, *cursor);
            let at_ms = self.oldest_of(info, sink, *cursor).await;
            lags.push(Lag {
                sink: sink.clone(),
                records,
                bytes,
                age_ms: at_ms.map_or(0, |at_ms| now_ms().saturating_sub(at_ms)),
            });
        }
        lags
    }

    /// When the oldest record of a stream that a sink lacks was committed; none where it lacks none, or they were trimmed since.
    async fn oldest_of(
        &self,
        info: &StreamInfo,
        sink: &SinkName,
        cursor: Sequence,
    ) -> Option<UnixMillis> {
        if info.last <= cursor {
            return None;
        }
        let oldest = (cursor + 1).max(info.first);
        let key = (info.name.clone(), sink.clone());
        let known = lock(&self.known).get(&key).copied();
        if let Some((_, at_ms)) = known.filter(|(seq, _)| *seq == oldest) {
            return Some(at_ms);
        }
        let read = self.buffer.read(&info.name, oldest, 1, 1).await;
        let at_ms = read.ok().and_then(|read| Some(read.first()?.at_ms))?;
        let mut known = lock(&self.known);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(key, (oldest, at_ms));
        Some(at_ms)
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records and bytes behind a cursor.
pub(super) fn behind(info: &StreamInfo, cursor: Sequence) -> (u64, u64) {
    let records = info.last.saturating_sub(cursor);
    let readable = (info.last + 1).saturating_sub(info.first).max(1);
    let share = u128::from(info.bytes) * u128::from(records.min(readable));
    (records, (share / u128::from(readable)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::{Change, Options, SinkRule, Start};
    use crate::types::Key;
    use bytes::Bytes;

    #[tokio::test]
    async fn the_age_is_that_of_the_oldest_record_that_a_sink_lacks() {
        let dir = tempfile::tempdir().unwrap();
        let (sink, stream) = (
            SinkName::try_from("db").unwrap(),
            StreamName::try_from("events").unwrap(),
        );
        let mut options = Options::new(dir.path().join("buffer"));
        options.sinks = vec![SinkRule {
            name: sink.clone(),
            patterns: vec!["*".to_owned()],
            start: Start::First,
        }];
        let buffer = tokio::task::spawn_blocking(|| Buffer::open(options).unwrap());
        let buffer = buffer.await.unwrap();
        let payloads = vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")];
        buffer.append(&stream, payloads, None).await.unwrap();
        let ages = Ages::new(buffer.clone(), vec![sink.clone()]);
        assert_eq!(ages.age_ms(&sink), 0, "nobody has looked yet");
        ages.look().await;
        let read = buffer.read(&stream, 1, 1, 1).await.unwrap();
        assert_eq!(lock(&ages.oldest).get(&sink), Some(&read[0].at_ms));
        // As old as if it had been committed a minute ago.
        lock(&ages.oldest).insert(sink.clone(), now_ms() - 60_000);
        assert!(ages.age_ms(&sink) >= 60_000);
        buffer.advance(&sink, &stream, 2).await.unwrap();
        ages.look().await;
        assert_eq!(ages.age_ms(&sink), 0, "it lacks nothing");

        // State waits too; our own is nobody's business.
        let change = async |scope: &str| {
            let put = Change::Put(Key::try_from("k").unwrap(), Bytes::from_static(b"v"));
            let scope = Scope::try_from(scope).unwrap();
            buffer.change(&scope, vec![put]).await.unwrap()
        };
        change(".sidekick.sinks").await;
        ages.look().await;
        assert_eq!((ages.scopes(&sink), ages.age_ms(&sink)), (0, 0));
        change("lobby").await;
        ages.look().await;
        let (lobby, long_ago) = (Scope::try_from("lobby").unwrap(), now_ms() - 60_000);
        lock(&ages.waiting).insert((sink.clone(), lobby.clone()), (0, long_ago));
        // A later value does not make it younger, what the sink takes does.
        let rev = change("lobby").await;
        ages.look().await;
        assert!(ages.age_ms(&sink) >= 60_000);
        assert_eq!(ages.scopes(&sink), 1);
        buffer.advance_state(&sink, &lobby, rev - 1).await.unwrap();
        ages.look().await;
        assert!(ages.age_ms(&sink) < 60_000);
        buffer.advance_state(&sink, &lobby, rev).await.unwrap();
        ages.look().await;
        assert_eq!((ages.scopes(&sink), ages.age_ms(&sink)), (0, 0));
        drop(ages);
        buffer.close().await;
    }
}
