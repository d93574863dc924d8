//! Everything the buffer knows, as of the last durable commit: a pure function of the journal's records.
//!
//! [`Tables::apply`] is the one place where a record takes effect; the committer calls it after the sync, recovery calls it
//! while it replays. So what a running buffer answers and what a reopened one answers cannot differ.

mod apply;
mod history;
mod live;
pub(super) mod retain;

use super::index::{Index, IndexError, Location};
use super::journal::codec::Malformed;
use super::journal::facts::{Fact, Landed, ScopeFact, StreamFact};
use super::model::StreamInfo;
use super::options::{Limit, StateRule};
use crate::types::{
    BatchNumber, Epoch, Origin, Revision, Scope, Sequence, SinkName, StreamName, Token, UnixMillis,
};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// An extent grows over at most this much journal; so this much is read in vain at most.
pub(super) const WINDOW: u64 = 64 << 10;
/// So many batches of a producer are remembered.
pub(super) const LANDED: usize = 8;
/// So many producers survive a checkpoint at most, the most recently used ones.
const PRODUCERS: usize = 4096;

/// Index of a stream in [`Tables::streams`].
pub(super) type StreamId = u32;

/// A record could not take effect.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum ApplyError {
    /// The record contradicts its form or what came before: the journal is damaged.
    #[error("{0}")]
    Damaged(&'static str),
    /// The index is to be rebuilt.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl From<Malformed> for ApplyError {
    fn from(error: Malformed) -> Self {
        Self::Damaged(error.0)
    }
}

/// A sink's place: what it acknowledged, and what of that is in the journal. Only the latter lets trim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Cursor {
    pub durable: u64,
    pub seen: u64,
}

/// An extent that may still grow.
#[derive(Debug, Clone, Copy)]
struct Open {
    at: Location,
    next: Sequence,
}

/// A stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub name: StreamName,
    /// The oldest sequence that is kept.
    pub first: Sequence,
    /// The next to be given.
    pub next: Sequence,
    /// What all its events ever cost in journal bytes.
    pub cost: u64,
    /// Cost up to `first`, to within an extent.
    pub trimmed_cost: u64,
    pub last_ms: UnixMillis,
    pub cursors: BTreeMap<SinkName, Cursor>,
    pub dropped: u64,
    /// Ranges of what was dropped before every sink had it, ascending. Only a salvaged stream has some above `first`.
    pub ranges: Vec<(Sequence, Sequence)>,
    live: Option<Open>,
    moved: Option<Open>,
}

impl Stream {
    fn new(name: StreamName) -> Self {
        Self {
            name,
            first: 1,
            next: 1,
            cost: 0,
            trimmed_cost: 0,
            last_ms: 0,
            cursors: BTreeMap::new(),
            dropped: 0,
            ranges: Vec::new(),
            live: None,
            moved: None,
        }
    }

    /// The newest sequence (0: none).
    pub fn last(&self) -> Sequence {
        self.next - 1
    }

    /// Where a sequence was lost (see `salvage`): the next one that may be there.
    pub fn behind_gap(&self, seq: Sequence) -> Option<Sequence> {
        let holding = self
            .ranges
            .iter()
            .find(|(from, to)| (*from..=*to).contains(&seq));
        holding.map(|(_, to)| to + 1)
    }

    /// Cost of what is kept.
    pub fn live_cost(&self) -> u64 {
        if self.first == self.next {
            0
        } else {
            self.cost.saturating_sub(self.trimmed_cost)
        }
    }

    /// What a fact says of it.
    pub fn stated(&self) -> StreamFact {
        StreamFact {
            name: self.name.clone(),
            first: self.first,
            next: self.next,
            cost: self.cost,
            dropped: self.dropped,
            ranges: self.ranges.clone(),
        }
    }

    fn fact(&self) -> Fact {
        Fact::Stream(self.stated())
    }

    /// What every sink has (all before the oldest event, where there are none).
    pub fn acknowledged(&self) -> Sequence {
        let seen = self.cursors.values().map(|cursor| cursor.seen).min();
        seen.unwrap_or(0).max(self.first - 1)
    }

    /// What is known of it, for others.
    pub fn info(&self, limit: Limit, full: bool) -> StreamInfo {
        StreamInfo {
            name: self.name.clone(),
            first: self.first,
            last: self.last(),
            bytes: self.live_cost(),
            cursors: self
                .cursors
                .iter()
                .map(|(sink, cursor)| (sink.clone(), cursor.seen))
                .collect(),
            dropped: self.dropped,
            limit,
            full,
        }
    }
}

/// A scope of state and its owner.
#[derive(Debug, Default)]
pub(super) struct ScopeState {
    pub epoch: Epoch,
    pub token: Option<Token>,
    /// The last batch committed, of any epoch; `(0, 0)`: none.
    pub last: (Epoch, BatchNumber),
    pub rev: Revision,
    /// The batch that last changed state; `(0, 0)`: none.
    pub point: (Epoch, BatchNumber),
    /// First event after `point`, per stream.
    pub tail: BTreeMap<StreamId, Sequence>,
    pub cursors: BTreeMap<SinkName, Cursor>,
}

impl ScopeState {
    /// Whether a batch has changed state, so that the tail after it is needed.
    pub fn has_point(&self) -> bool {
        self.point != (0, 0)
    }

    /// The last batch of the current epoch.
    pub fn batch(&self) -> BatchNumber {
        if self.last.0 == self.epoch {
            self.last.1
        } else {
            0
        }
    }
}

/// A segment of the journal.
#[derive(Debug, Default)]
pub(super) struct Segment {
    /// Where its last applied frame ends.
    pub end: u64,
    pub sealed: bool,
    /// Per stream with events in it: the newest of them, and their cost.
    pub runs: BTreeMap<StreamId, (Sequence, u64)>,
    /// Cost of the state entries in it that are still the newest of their key.
    pub state_cost: u64,
    /// Newest changes of their key that are removals.
    pub deleted: u32,
    /// Has events that were once part of a tail.
    pub tails: bool,
}

/// What a producer takes in a checkpoint.
fn producer_bytes(stream: &StreamName, name: &[u8]) -> u64 {
    64 + (name.len() + stream.as_bytes().len()) as u64 + 24 * LANDED as u64
}

/// Where the last batches of a producer landed.
#[derive(Debug, Clone, Default)]
pub(super) struct Producing {
    pub used_ms: UnixMillis,
    pub landed: Vec<Landed>,
}

impl Producing {
    /// Notes one more.
    pub fn push(&mut self, landed: Landed) {
        if self.landed.len() >= LANDED {
            self.landed.remove(0);
        }
        self.landed.push(landed);
    }
}

/// See the module.
pub(super) struct Tables {
    pub origin: Origin,
    /// The buffer that this one was salvaged from.
    pub parent: Option<Origin>,
    pub incarnation: u64,
    /// The time of the last commit; no later one is earlier.
    pub clock: UnixMillis,
    /// Number of the last commit.
    pub commit: u64,
    /// Where the journal ends.
    pub end: Location,
    pub streams: Vec<Stream>,
    pub by_name: HashMap<StreamName, StreamId>,
    pub scopes: BTreeMap<Scope, ScopeState>,
    pub producers: HashMap<(StreamName, Bytes), Producing>,
    pub segments: BTreeMap<u64, Segment>,
    pub index: Index,
    /// Off while records are replayed that the index already reflects.
    pub indexing: bool,
    /// How many earlier values of keys are kept, by scope.
    pub histories: Vec<StateRule>,
    /// Earlier values in the index.
    pub pasts: u64,
    /// Live cost of all state, earlier values included.
    pub state_cost: u64,
    /// About the size of a checkpoint.
    pub facts_bytes: u64,
    /// Cursors that are further than the journal knows.
    pub dirty: BTreeSet<(SinkName, StreamName)>,
    pub dirty_state: BTreeSet<(SinkName, Scope)>,
    /// Streams that may be trimmed further.
    pub trimmable: BTreeSet<StreamId>,
}

impl Tables {
    /// Nothing known yet.
    pub fn new(origin: Origin, index: Index, indexing: bool) -> Self {
        Self {
            origin,
            parent: None,
            incarnation: 0,
            clock: 0,
            commit: 0,
            end: Location {
                segment: 0,
                offset: 0,
            },
            streams: Vec::new(),
            by_name: HashMap::new(),
            scopes: BTreeMap::new(),
            producers: HashMap::new(),
            segments: BTreeMap::new(),
            index,
            indexing,
            histories: Vec::new(),
            pasts: 0,
            state_cost: 0,
            facts_bytes: 0,
            dirty: BTreeSet::new(),
            dirty_state: BTreeSet::new(),
            trimmable: BTreeSet::new(),
        }
    }

    /// A new segment, empty so far.
    pub fn begin_segment(&mut self, id: u64, end: u64) {
        self.segments.insert(
            id,
            Segment {
                end,
                ..Segment::default()
            },
        );
        self.end = Location {
            segment: id,
            offset: end,
        };
    }

    /// A stream by its name.
    pub fn stream(&self, name: &StreamName) -> Option<&Stream> {
        self.by_name.get(name).map(|id| &self.streams[*id as usize])
    }

    /// A stream's id, made where it is new.
    pub fn stream_id(&mut self, name: StreamName) -> StreamId {
        if let Some(id) = self.by_name.get(&name) {
            return *id;
        }
        let id = self.streams.len() as StreamId;
        self.facts_bytes += 64 + name.as_bytes().len() as u64;
        self.streams.push(Stream::new(name.clone()));
        self.by_name.insert(name, id);
        id
    }

    /// A scope, made where it is new.
    pub fn scope_mut(&mut self, scope: &Scope) -> &mut ScopeState {
        if !self.scopes.contains_key(scope) {
            self.facts_bytes += 160 + scope.as_bytes().len() as u64;
        }
        self.scopes.entry(scope.clone()).or_default()
    }

    /// Whether any cursor of this sink is known.
    pub fn knows_sink(&self, sink: &SinkName) -> bool {
        self.streams
            .iter()
            .any(|stream| stream.cursors.contains_key(sink))
            || self
                .scopes
                .values()
                .any(|scope| scope.cursors.contains_key(sink))
    }

    /// All facts, for the head of the newest segment; forgets the producers that were not used for longest.
    pub fn checkpoint(&mut self, producers_bytes: u64) -> Vec<Fact> {
        self.evict_producers(producers_bytes);
        let ids = self.segments.keys().copied().collect();
        let mut facts = vec![
            Fact::Reset,
            Fact::Incarnation(self.incarnation),
            Fact::Clock(self.clock),
            Fact::Segments(ids),
        ];
        facts.extend(self.parent.map(Fact::Parent));
        if !self.histories.is_empty() {
            facts.push(Fact::Histories(self.histories.clone()));
        }
        for stream in &self.streams {
            facts.push(stream.fact());
            facts.extend(stream.cursors.iter().map(|(sink, cursor)| Fact::Cursor {
                sink: sink.clone(),
                stream: stream.name.clone(),
                seq: cursor.durable,
            }));
        }
        for (scope, state) in &self.scopes {
            facts.push(self.scope_fact(scope, state));
            facts.extend(
                state
                    .cursors
                    .iter()
                    .map(|(sink, cursor)| Fact::StateCursor {
                        sink: sink.clone(),
                        scope: scope.clone(),
                        rev: cursor.durable,
                    }),
            );
        }
        facts.extend(
            self.producers
                .iter()
                .map(|((stream, name), producing)| Fact::Producer {
                    stream: stream.clone(),
                    name: name.clone(),
                    used_ms: producing.used_ms,
                    landed: producing.landed.clone(),
                }),
        );
        facts
    }

    /// A record was written that states only what is known.
    pub fn extend_to(&mut self, segment: u64, end: u64) {
        self.segments.entry(segment).or_default().end = end;
        self.end = Location {
            segment,
            offset: end,
        };
    }

    /// The cursors that moved since they were last asked for.
    pub fn dirty_cursors(&mut self) -> Vec<Fact> {
        let (streams, scopes) = (
            std::mem::take(&mut self.dirty),
            std::mem::take(&mut self.dirty_state),
        );
        let streams = streams.into_iter().filter_map(|(sink, stream)| {
            let seq = self.stream(&stream)?.cursors.get(&sink)?.seen;
            Some(Fact::Cursor { sink, stream, seq })
        });
        let scopes = scopes.into_iter().filter_map(|(sink, scope)| {
            let rev = self.scopes.get(&scope)?.cursors.get(&sink)?.seen;
            Some(Fact::StateCursor { sink, scope, rev })
        });
        streams.chain(scopes).collect()
    }

    /// The cursors of these facts could not be written.
    pub fn redirty(&mut self, facts: &[Fact]) {
        for fact in facts {
            match fact {
                Fact::Cursor { sink, stream, .. } => {
                    self.dirty.insert((sink.clone(), stream.clone()));
                }
                Fact::StateCursor { sink, scope, .. } => {
                    self.dirty_state.insert((sink.clone(), scope.clone()));
                }
                _ => {}
            }
        }
    }

    fn scope_fact(&self, scope: &Scope, state: &ScopeState) -> Fact {
        let name = |id: &StreamId| self.streams[*id as usize].name.clone();
        Fact::Scope(ScopeFact {
            scope: scope.clone(),
            epoch: state.epoch,
            token: state.token.clone(),
            last: state.last,
            rev: state.rev,
            point: state.point,
            tail: state
                .tail
                .iter()
                .map(|(id, first)| (name(id), *first))
                .collect(),
        })
    }

    /// Forgets the producers that were not used for longest, until the others are few enough and take no more than `budget` in a
    /// checkpoint.
    fn evict_producers(&mut self, budget: u64) {
        let keys = self.producers.keys();
        let all: u64 = keys
            .map(|(stream, name)| producer_bytes(stream, name))
            .sum();
        if self.producers.len() <= PRODUCERS && all <= budget {
            return;
        }
        let mut by_use: Vec<_> = self
            .producers
            .iter()
            .map(|(key, producing)| (producing.used_ms, key.clone()))
            .collect();
        by_use.sort_unstable_by(|a, b| b.cmp(a));
        let mut bytes = 0;
        for (n, (_, key)) in by_use.into_iter().enumerate() {
            let own = producer_bytes(&key.0, &key.1);
            bytes += own;
            if n >= PRODUCERS || bytes > budget {
                self.producers.remove(&key);
                self.facts_bytes = self.facts_bytes.saturating_sub(own);
            }
        }
    }
}
