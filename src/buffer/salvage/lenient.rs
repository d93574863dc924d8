//! Tables that take gaps.

use crate::buffer::index::{Index, Location, Store};
use crate::buffer::journal::frame::Kind;
use crate::buffer::journal::record::Commit;
use crate::buffer::tables::retain::add_range;
use crate::buffer::tables::{Stream, Tables};
use crate::types::{Origin, Revision, Scope, Sequence, StreamName};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};

/// A stream with more gaps than this begins behind its oldest ones.
const GAPS: usize = 1000;

/// Ascending, disjoint ranges of sequences.
pub(super) type Ranges = Vec<(Sequence, Sequence)>;

/// What the records say, as far as they go.
pub(super) struct Lenient {
    pub tables: Tables,
}

impl Default for Lenient {
    fn default() -> Self {
        let index = Index::new(Store::Memory(BTreeMap::new()));
        Self {
            tables: Tables::new(Origin::from_bytes([0; 16]), index, false),
        }
    }
}

impl Lenient {
    /// Lets a record take effect, whatever is missing before it. False where it says nothing usable or nothing new.
    pub fn apply(&mut self, kind: Kind, body: &[u8], at: Location, end: u64) -> bool {
        if kind == Kind::Commit {
            let Ok(commit) = Commit::decode(body) else {
                return false;
            };
            for run in &commit.runs {
                let Some(name) = stream_name(run.stream) else {
                    return false;
                };
                let next = self.tables.stream(&name).map_or(1, |stream| stream.next);
                if run.first < next {
                    return false;
                }
                if run.first > next {
                    let id = self.tables.stream_id(name);
                    self.tables.streams[id as usize].next = run.first;
                }
            }
        }
        self.tables.apply(kind, body, at, end).is_ok()
    }
}

/// By scope and key: the revisions that count, each with whether it is a removal, later whether it is the newest.
pub(super) type Values = HashMap<(Box<[u8]>, Box<[u8]>), BTreeMap<Revision, bool>>;

/// What the new journal is to hold.
pub(super) struct Plan {
    pub tables: Tables,
    pub values: Values,
}

/// Gives a stream the bounds and gaps of what is present of it; returns the new gaps.
pub(super) fn settle(stream: &mut Stream, present: &[(Sequence, Sequence)]) -> Ranges {
    let newest = present.last().map_or(0, |(_, to)| *to);
    stream.next = stream.next.max(newest + 1);
    let acknowledged = stream
        .cursors
        .values()
        .map(|cursor| cursor.durable)
        .min()
        .unwrap_or(0);
    let (mut missing, mut at) = (Ranges::new(), stream.first);
    let end = (stream.next, stream.next);
    for (from, to) in present.iter().copied().chain([end]) {
        if at < from {
            // A gap of an earlier salvage is no news.
            let added = add_range(&mut stream.ranges, at, from - 1);
            if added > 0 {
                missing.push((at, from - 1));
                stream.dropped += added.min(from.saturating_sub(at.max(acknowledged + 1)));
            }
        }
        at = at.max(to + 1);
    }
    if stream.ranges.len() > GAPS {
        let behind = stream.ranges[stream.ranges.len() - GAPS].1 + 1;
        missing.push((stream.first, behind - 1));
        stream.dropped += add_range(&mut stream.ranges, stream.first, behind - 1);
        stream.first = stream.first.max(behind);
    }
    if let Some(behind) = stream.behind_gap(stream.first) {
        stream.first = behind;
    }
    missing
}

pub(super) fn stream_name(name: &[u8]) -> Option<StreamName> {
    StreamName::new(Bytes::copy_from_slice(name)).ok()
}

pub(super) fn scope_name(name: &[u8]) -> Option<Scope> {
    Scope::new(Bytes::copy_from_slice(name)).ok()
}
