//! What may go: trim points, drops, and which segment is worth freeing.

use super::{Segment, Stream, StreamId, Tables};
use crate::buffer::index::{Extent, IndexError, keys};
use crate::buffer::journal::facts::{Fact, StreamFact};
use crate::buffer::options::{Keep, Options, WhenFull};
use crate::types::{Sequence, UnixMillis};
use std::time::Duration;

/// Extents looked at, and index entries removed, in one step; more waits for the next.
const STEP: usize = 1024;
/// Extents looked at together where the wanted one is most probably among the first.
const NEXT: usize = 16;
/// A range list longer than this merges its oldest two. Contiguous drops share a range, so it takes a strange life to get there.
const RANGES: usize = 1024;

impl Tables {
    /// Trims a stream to the least of cursors, state points and limits. True where another step would find more.
    pub fn trim(
        &mut self,
        id: StreamId,
        keep: Keep,
        now_ms: UnixMillis,
    ) -> Result<bool, IndexError> {
        let first = self.streams[id as usize].first;
        let (kept_from, more) = self.kept_from(id, keep, now_ms, first)?;
        let pinned_from = self.pinned_from(id);
        let stream = &self.streams[id as usize];
        let first = match (stream.cursors.is_empty(), keep.is_set()) {
            (true, false) => stream.first,
            (_, true) => pinned_from.min(kept_from),
            (_, false) => pinned_from,
        };
        self.set_first(id, first.clamp(stream.first, stream.next))?;
        Ok(more)
    }

    /// The oldest event that a sink or a restore still needs.
    fn pinned_from(&self, id: StreamId) -> Sequence {
        let stream = &self.streams[id as usize];
        let acknowledged = stream
            .cursors
            .values()
            .map(|cursor| cursor.durable + 1)
            .min()
            .unwrap_or(stream.next);
        let scopes = self.scopes.values().filter(|scope| scope.has_point());
        let tail = scopes
            .filter_map(|scope| scope.tail.get(&id).copied())
            .min()
            .unwrap_or(stream.next);
        acknowledged.min(tail)
    }

    /// The oldest event from `first` on that is within all limits, to within an extent.
    fn kept_from(
        &self,
        id: StreamId,
        keep: Keep,
        now_ms: UnixMillis,
        first: Sequence,
    ) -> Result<(Sequence, bool), IndexError> {
        let stream = &self.streams[id as usize];
        let mut from = keep
            .count
            .map_or(first, |count| stream.next.saturating_sub(count));
        if keep.bytes.is_none() && keep.age.is_none() {
            return Ok((from, false));
        }
        let spare_cost = keep
            .bytes
            .map_or(0, |bytes| stream.cost.saturating_sub(bytes));
        let too_old_ms = keep
            .age
            .map_or(0, |age| now_ms.saturating_sub(age.as_millis() as u64));
        if keep.age.is_some() && stream.last_ms < too_old_ms {
            return Ok((stream.next, false));
        }
        let name = stream.name.as_bytes();
        let behind = keys::extent(name, first + 1);
        let extents = self.index.range(
            &behind,
            &crate::buffer::index::after_prefix(&keys::extents(name)),
            STEP,
        )?;
        let mut more = extents.len() == STEP;
        for (key, value) in &extents {
            let extent = Extent::decode(value)?;
            // All before this extent costs no more than may go, or is no younger than this extent's first event.
            if (keep.bytes.is_some() && extent.before <= spare_cost)
                || (keep.age.is_some() && extent.at_ms < too_old_ms)
            {
                from = from.max(keys::extent_first(key));
            } else {
                more = false;
                break;
            }
        }
        Ok((from, more))
    }

    /// Moves the start of a stream forward.
    pub fn set_first(&mut self, id: StreamId, first: Sequence) -> Result<(), IndexError> {
        let stream = &mut self.streams[id as usize];
        if first <= stream.first {
            return Ok(());
        }
        stream.first = first;
        let oldest = stream
            .cursors
            .values()
            .map(|cursor| cursor.durable)
            .min()
            .unwrap_or(u64::MAX);
        stream.ranges.retain(|(_, to)| *to > oldest || *to >= first);
        if self.indexing {
            self.forget_extents(id)
        } else {
            Ok(())
        }
    }

    /// Removes the extents that hold nothing but trimmed events.
    pub fn forget_extents(&mut self, id: StreamId) -> Result<(), IndexError> {
        let stream = &mut self.streams[id as usize];
        let (name, first) = (stream.name.as_bytes(), stream.first);
        let extents = keys::extents(name);
        // The extent that would have grown may be among those that go.
        stream.moved = None;
        let to = if first == stream.next {
            stream.trimmed_cost = stream.cost;
            stream.live = None;
            crate::buffer::index::after_prefix(&extents)
        } else {
            let Some((key, value)) = self.index.floor(&extents, &keys::extent(name, first))? else {
                return Ok(());
            };
            stream.trimmed_cost = Extent::decode(&value)?.before;
            key.into_vec()
        };
        for (key, _) in self.index.range(&extents, &to, usize::MAX)? {
            self.index.delete(&key);
        }
        Ok(())
    }

    /// Whether the index knows where the oldest kept event of a stream lies.
    pub fn covers(&self, id: StreamId) -> Result<bool, IndexError> {
        let stream = &self.streams[id as usize];
        let name = stream.name.as_bytes();
        Ok(stream.first == stream.next
            || self
                .index
                .floor(&keys::extents(name), &keys::extent(name, stream.first))?
                .is_some())
    }

    /// The oldest event that is not too old, to within an extent. True where another look would find a later one.
    pub fn young_from(
        &self,
        id: StreamId,
        age: Duration,
        now_ms: UnixMillis,
    ) -> Result<(Sequence, bool), IndexError> {
        let young = Keep {
            age: Some(age),
            ..Keep::default()
        };
        let from = self.streams[id as usize].acknowledged() + 1;
        self.kept_from(id, young, now_ms, from)
    }

    /// About what a stream had cost before a sequence that it holds or that is its next: up to an extent less.
    pub fn cost_before(&self, id: StreamId, seq: Sequence) -> Result<u64, IndexError> {
        let stream = &self.streams[id as usize];
        if seq >= stream.next {
            return Ok(stream.cost);
        }
        let name = stream.name.as_bytes();
        let found = self
            .index
            .floor(&keys::extents(name), &keys::extent(name, seq))?;
        let (_, value) = found
            .ok_or_else(|| IndexError(format!("event {seq} of {} is nowhere", stream.name)))?;
        Ok(Extent::decode(&value)?.before)
    }

    /// The first extent behind `seq` before which a stream had cost at least so much: where it begins, and what it had
    /// cost. Its end, where there is none.
    pub fn extent_at_cost(
        &self,
        id: StreamId,
        seq: Sequence,
        cost: u64,
    ) -> Result<(Sequence, u64), IndexError> {
        let stream = &self.streams[id as usize];
        let name = stream.name.as_bytes();
        let end = crate::buffer::index::after_prefix(&keys::extents(name));
        let mut from = keys::extent(name, seq + 1);
        loop {
            let extents = self.index.range(&from, &end, NEXT)?;
            for (key, value) in &extents {
                let before = Extent::decode(value)?.before;
                if before >= cost {
                    return Ok((keys::extent_first(key), before));
                }
            }
            match extents.last() {
                Some((key, _)) if extents.len() == NEXT => {
                    from = keys::extent(name, keys::extent_first(key) + 1);
                }
                _ => return Ok((stream.next, stream.cost)),
            }
        }
    }

    /// What it takes to drop the events of a segment that their streams' rules allow to drop: the streams as they are then.
    pub fn droppable(&self, segment: &Segment, options: &Options) -> Vec<Fact> {
        let dropped = segment.runs.iter().filter_map(|(id, (newest, _))| {
            let stream = &self.streams[*id as usize];
            let allowed = options.rule(&stream.name).when_full == WhenFull::DropOldest;
            (allowed && *newest >= stream.first)
                .then(|| Fact::Stream(dropped_to(stream, stream.stated(), *newest)))
        });
        dropped.collect()
    }

    /// The current facts about the streams that have events in a segment.
    pub fn stream_facts(&self, segment: &Segment) -> Vec<Fact> {
        segment
            .runs
            .keys()
            .map(|id| self.streams[*id as usize].fact())
            .collect()
    }

    /// Cost of the events in a segment that are still kept (whole runs count even where only their end is).
    pub fn live_events(&self, segment: &Segment) -> u64 {
        let live = segment
            .runs
            .iter()
            .filter(|(id, (newest, _))| *newest >= self.streams[**id as usize].first);
        live.map(|(_, (_, cost))| cost).sum()
    }

    /// Journal bytes that nothing needs any more.
    pub fn garbage(&self) -> u64 {
        let used: u64 = self.segments.values().map(|segment| segment.end).sum();
        let live: u64 = self.streams.iter().map(Stream::live_cost).sum();
        used.saturating_sub(live + self.state_cost)
    }
}

/// What the stream is once its events up to `newest` are dropped, given what it was before.
pub(in crate::buffer) fn dropped_to(
    stream: &Stream,
    mut fact: StreamFact,
    newest: Sequence,
) -> StreamFact {
    let acknowledged = stream
        .cursors
        .values()
        .map(|cursor| cursor.seen)
        .min()
        .unwrap_or(0);
    let lost_from = fact.first.max(acknowledged + 1);
    if lost_from <= newest {
        fact.dropped += add_range(&mut fact.ranges, lost_from, newest);
        if fact.ranges.len() > RANGES {
            fact.ranges.remove(0);
        }
    }
    fact.first = newest + 1;
    fact
}

/// Adds a range to ascending, disjoint ones and joins what meets; gives how many sequences are new.
pub(in crate::buffer) fn add_range(
    ranges: &mut Vec<(Sequence, Sequence)>,
    from: Sequence,
    to: Sequence,
) -> u64 {
    let start = ranges.partition_point(|(_, end)| *end + 1 < from);
    let end = ranges.partition_point(|(begin, _)| *begin <= to.saturating_add(1));
    let joined = ranges[start..end].iter().fold((from, to), |joined, old| {
        (joined.0.min(old.0), joined.1.max(old.1))
    });
    let held: u64 = ranges[start..end].iter().map(|(a, b)| b + 1 - a).sum();
    ranges.splice(start..end, [joined]);
    joined.1 + 1 - joined.0 - held
}

#[cfg(test)]
mod tests {
    use super::add_range;

    #[test]
    fn ranges_join_where_they_meet() {
        let mut ranges = vec![(5, 9), (20, 29)];
        assert_eq!(add_range(&mut ranges, 1, 3), 3);
        assert_eq!(ranges, [(1, 3), (5, 9), (20, 29)]);
        assert_eq!(add_range(&mut ranges, 4, 4), 1);
        assert_eq!(ranges, [(1, 9), (20, 29)]);
        assert_eq!(add_range(&mut ranges, 6, 8), 0);
        assert_eq!(add_range(&mut ranges, 8, 40), 21);
        assert_eq!(ranges, [(1, 40)]);
        assert_eq!(add_range(&mut ranges, 42, 43), 2);
        assert_eq!(ranges, [(1, 40), (42, 43)]);
    }
}
