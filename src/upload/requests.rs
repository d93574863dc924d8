//! The requests of a sink: read from the buffer, call the node, sort the answer. Each is a future that ends in an input
//! of the core.

use super::beam::{self, INGEST};
use super::core::Input;
use super::dead::Redriven;
use super::lane::Extent;
use super::options::SinkOptions;
use super::outcome::{Failure, Outcome, StateOutcome};
use super::postgres::{self, Database};
use crate::buffer::{Buffer, Record, StreamInfo};
use crate::node::Node;
use crate::types::{Scope, Sequence, SinkName, StreamName};
use std::sync::Arc;

/// What is to be uploaded of a stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// What the store holds.
    pub(super) watermark: Sequence,
    /// The records behind this one. What lies between the two is told as dropped.
    pub(super) after: Sequence,
    /// At most so many.
    pub(super) limit: usize,
    /// None after the one that reaches so many bytes.
    pub(super) bytes: usize,
}

/// What a request needs.
#[derive(Clone)]
pub(super) struct Requests {
    pub(super) buffer: Buffer,
    pub(super) node: Node,
    /// That of a sink of kind `postgres`.
    pub(super) database: Option<Arc<Database>>,
    pub(super) options: SinkOptions,
}

impl Requests {
    /// Where a stream stands in the buffer.
    pub(super) fn extent(&self, stream: &StreamName) -> Option<Extent> {
        Some(extent_of(&self.options.name, &self.buffer.stream(stream)?))
    }

    /// Asks for the watermark.
    pub(super) async fn ask(self, node: usize, stream: StreamName) -> Input {
        let origin = self.buffer.origin();
        let outcome = match &self.database {
            Some(database) => database.watermark(origin, &stream).await,
            None => beam::outcome(self.call(node, beam::watermark(origin, &stream)).await),
        };
        match self.extent(&stream) {
            Some(extent) => Input::Asked(stream, extent, outcome),
            None => gone(&stream),
        }
    }

    /// Uploads what `wanted` says.
    pub(super) async fn send(self, node: usize, stream: StreamName, wanted: Wanted) -> Input {
        let mut sent = 0;
        let outcome = self.upload(node, &stream, wanted, &mut sent).await;
        match self.extent(&stream) {
            Some(extent) => Input::Sent(stream, extent, outcome, sent),
            None => gone(&stream),
        }
    }

    async fn upload(
        &self,
        node: usize,
        stream: &StreamName,
        wanted: Wanted,
        sent: &mut u64,
    ) -> Outcome {
        let Wanted {
            watermark,
            after,
            limit,
            bytes,
        } = wanted;
        let records = match self.buffer.read(stream, after + 1, limit, bytes).await {
            Ok(records) => records,
            Err(error) => return Outcome::Failed(Failure::Buffer(error.to_string())),
        };
        // After the read: what was dropped before it is missing in it and must be among these.
        let mut dropped = self.buffer.dropped_ranges(stream);
        let first_readable = self.extent(stream).map_or(0, |extent| extent.first);
        let last = records.last().map(|record| record.seq);
        let last = last.unwrap_or(first_readable.saturating_sub(1).max(after));
        if last <= watermark {
            return Outcome::Failed(Failure::NotDone("nothing could be read".to_owned()));
        }
        if after > watermark {
            dropped.push((watermark + 1, after));
        }
        let records = self.for_this_sink(records, &mut dropped);
        let dropped = apart(dropped, watermark, last);
        *sent = records.iter().map(|r| r.payload.len() as u64).sum();
        let ends = records.first().zip(records.last());
        let ends = ends.map(|(first, last)| (first.seq, last.seq));
        let (origin, name) = (self.buffer.origin(), self.node.name().as_str());
        let outcome = if let Some(database) = &self.database {
            let upload = postgres::Upload {
                origin,
                node: name,
                stream,
                last,
                dropped: &dropped,
                records: &records,
            };
            database.upload(upload).await
        } else {
            let request = beam::upload(beam::Upload {
                origin,
                node: name,
                stream,
                // Where nothing but dropped ranges is told they begin here.
                after: if records.is_empty() { watermark } else { after },
                last,
                dropped,
                records,
            });
            beam::outcome(self.call(node, request).await)
        };
        match outcome {
            Outcome::Failed(Failure::Refused(reason)) => Outcome::Refused {
                reason,
                records: ends,
            },
            outcome => outcome,
        }
    }

    /// Moves the cursor of a stream.
    pub(super) async fn advance(self, stream: StreamName, seq: Sequence) -> Input {
        let advanced = self.buffer.advance(&self.options.name, &stream, seq).await;
        advanced.map_or_else(
            |error| Input::BufferFailed(error.to_string()),
            |()| Input::Time,
        )
    }

    /// Without those that are offered again to another sink, which this one has already.
    fn for_this_sink(
        &self,
        records: Vec<Record>,
        dropped: &mut Vec<(Sequence, Sequence)>,
    ) -> Vec<Record> {
        let mine = |mut record: Record| {
            let Some(redriven) = Redriven::of(&record.payload) else {
                return Some(record);
            };
            if redriven.sink != self.options.name {
                dropped.push((record.seq, record.seq));
                return None;
            }
            record.payload = redriven.payload;
            Some(record)
        };
        records.into_iter().filter_map(mine).collect()
    }

    /// Uploads the whole of a scope, in place of what the database holds of it.
    pub(super) async fn send_whole(self, node: usize, scope: Scope) -> Input {
        let Some(database) = &self.database else {
            return self.send_state(node, scope, false).await;
        };
        let mut sent = 0;
        let outcome = match self.buffer.whole_state(&scope).await {
            Ok(None) => StateOutcome::Clean,
            Ok(Some(whole)) => {
                sent = whole.put.iter().map(|(_, value)| value.len() as u64).sum();
                let origin = self.buffer.origin();
                database.replace_state(origin, &scope, &whole).await
            }
            Err(error) => StateOutcome::Failed(Failure::Buffer(error.to_string())),
        };
        Input::StateSent(scope, outcome, sent)
    }

    /// Uploads the changes of a scope, where there are any. Where there are none a database may be asked to `prove` that it has them.
    pub(super) async fn send_state(self, node: usize, scope: Scope, prove: bool) -> Input {
        let delta = self.buffer.state_delta(&self.options.name, &scope).await;
        let mut sent = 0;
        let outcome = match delta {
            Ok(None) => match &self.database {
                Some(database) if prove => {
                    let held = self.buffer.state_cursor(&self.options.name, &scope);
                    database
                        .holds_state(self.buffer.origin(), &scope, held)
                        .await
                }
                _ => StateOutcome::Clean,
            },
            Ok(Some(delta)) => {
                sent = delta.put.iter().map(|(_, value)| value.len() as u64).sum();
                let origin = self.buffer.origin();
                if let Some(database) = &self.database {
                    database.upload_state(origin, &scope, &delta).await
                } else {
                    let request = beam::upload_state(origin, &scope, &delta);
                    beam::state_outcome(delta.after, self.call(node, request).await)
                }
            }
            Err(error) => StateOutcome::Failed(Failure::Buffer(error.to_string())),
        };
        Input::StateSent(scope, outcome, sent)
    }

    async fn call(
        &self,
        node: usize,
        request: crate::etf::Term,
    ) -> Result<crate::etf::Term, crate::node::CallError> {
        let timeout = self.options.timeout;
        let node = &self.options.to.nodes()[node];
        self.node.call(INGEST, node, request, timeout).await
    }
}

fn gone(stream: &StreamName) -> Input {
    Input::BufferFailed(format!("stream {stream} is gone"))
}

/// Where a stream stands for this sink.
pub(super) fn extent_of(sink: &SinkName, info: &StreamInfo) -> Extent {
    let cursor = info.cursors.iter().find(|(name, _)| name == sink);
    Extent {
        cursor: cursor.map_or(info.first.saturating_sub(1), |(_, seq)| *seq),
        first: info.first,
        last: info.last,
        bytes: info.bytes,
    }
}

/// The ranges in order, joined where they meet, and cut to what lies above `watermark` and not above `last`.
pub(super) fn apart(
    mut ranges: Vec<(Sequence, Sequence)>,
    watermark: Sequence,
    last: Sequence,
) -> Vec<(Sequence, Sequence)> {
    ranges.sort_unstable();
    let mut joined: Vec<(Sequence, Sequence)> = Vec::new();
    for (from, to) in ranges {
        let (from, to) = (from.max(watermark + 1), to.min(last));
        match joined.last_mut() {
            _ if from > to => {}
            Some(before) if from <= before.1 + 1 => before.1 = before.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::apart;

    #[test]
    fn ranges_are_ordered_joined_and_cut() {
        let ranges = vec![(8, 9), (1, 3), (4, 5), (2, 4), (20, 30), (12, 12)];
        assert_eq!(apart(ranges, 2, 25), [(3, 5), (8, 9), (12, 12), (20, 25)]);
        assert_eq!(apart(vec![(1, 5)], 5, 9), []);
        assert_eq!(apart(vec![(10, 12)], 0, 9), []);
    }
}
