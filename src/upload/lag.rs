//! How far sinks are behind, stream by stream.

use crate::buffer::{Buffer, StreamInfo};
use crate::types::{Sequence, SinkName, StreamName, UnixMillis, now_ms};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// More are forgotten together; they cost a read each to learn again.
const KNOWN_MAX: usize = 4096;

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
#[derive(Default)]
pub(super) struct Ages {
    known: Mutex<HashMap<(StreamName, SinkName), (Sequence, UnixMillis)>>,
}

impl Ages {
    /// How far each sink with a cursor is behind.
    pub(super) async fn lags(&self, buffer: &Buffer, info: &StreamInfo) -> Vec<Lag> {
        let mut lags = Vec::with_capacity(info.cursors.len());
        for (sink, cursor) in &info.cursors {
            let (records, bytes) = behind(info, *cursor);
            let age_ms = if records == 0 {
                0
            } else {
                self.age(buffer, info, sink, *cursor).await
            };
            let sink = sink.clone();
            lags.push(Lag {
                sink,
                records,
                bytes,
                age_ms,
            });
        }
        lags
    }

    async fn age(
        &self,
        buffer: &Buffer,
        info: &StreamInfo,
        sink: &SinkName,
        cursor: Sequence,
    ) -> u64 {
        let oldest = (cursor + 1).max(info.first);
        let key = (info.name.clone(), sink.clone());
        let known = self.known().get(&key).copied();
        let at_ms = match known {
            Some((seq, at_ms)) if seq == oldest => at_ms,
            _ => {
                let read = buffer.read(&info.name, oldest, 1, 1).await;
                let Some(at_ms) = read.ok().and_then(|read| Some(read.first()?.at_ms)) else {
                    // Trimmed or dropped since.
                    return 0;
                };
                let mut known = self.known();
                if known.len() >= KNOWN_MAX {
                    known.clear();
                }
                known.insert(key, (oldest, at_ms));
                at_ms
            }
        };
        now_ms().saturating_sub(at_ms)
    }

    fn known(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<(StreamName, SinkName), (Sequence, UnixMillis)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records and bytes behind a cursor.
fn behind(info: &StreamInfo, cursor: Sequence) -> (u64, u64) {
    let records = info.last.saturating_sub(cursor);
    let readable = (info.last + 1).saturating_sub(info.first).max(1);
    let share = u128::from(info.bytes) * u128::from(records.min(readable));
    (records, (share / u128::from(readable)) as u64)
}
