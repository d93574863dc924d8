//! Limits of single streams: what a stream may hold that its sinks lack, and what an append meets there.
//!
//! What a group adds counts as if it were durable, so that many appends in one group cannot pass a limit together.

use super::plan::{Updates, push_facts};
use super::{Committer, Halt};
use crate::buffer::AppendError;
use crate::buffer::index::IndexError;
use crate::buffer::journal::facts::{Fact, StreamFact};
use crate::buffer::options::{Limit, WhenFull};
use crate::buffer::tables::{Stream, retain::dropped_to};
use crate::types::{Sequence, StreamName};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A stream that comes and goes at its limit is told of this often.
const TELL: Duration = Duration::from_secs(60);

/// What the committer remembers of streams with limits.
#[derive(Default)]
pub(super) struct Limits {
    /// From which event on sinks lack a stream, and what it had cost before.
    floors: HashMap<StreamName, (Sequence, u64)>,
    /// Streams at their limit, and how far their sinks were when they met it.
    full: HashMap<StreamName, Sequence>,
    told: HashMap<StreamName, Instant>,
}

impl Limits {
    /// Whether a stream is at its limit.
    pub fn any_full(&self) -> bool {
        !self.full.is_empty()
    }
}

/// Whether a plan is within the limits of its streams.
pub(super) enum Fit {
    /// It is, perhaps after facts that drop events, which stand in the group now.
    Fits,
    /// Only once the group so far is durable can be said what to drop.
    GroupFirst,
    /// It is not, and is not to wait.
    Refused(AppendError),
    /// It has to wait for these.
    AtLimit(Vec<StreamName>),
}

/// What a stream holds that its sinks lack, the group included.
#[derive(Default)]
struct Held {
    count: u64,
    cost: u64,
}

/// What a plan adds to a stream with a limit.
struct Added {
    stream: StreamName,
    count: u64,
    cost: u64,
    limit: Limit,
    when_full: WhenFull,
    held: Held,
}

impl Added {
    /// Whether it would be too much even for an empty stream.
    fn never_fits(&self) -> Option<AppendError> {
        if self.limit.count.is_some_and(|count| self.count > count) {
            return Some(AppendError::Invalid(
                "more events at once than the stream's limit; send fewer at once or raise its [[stream]] limit",
            ));
        }
        let limit = self.limit.bytes.filter(|bytes| self.cost > *bytes)?;
        Some(AppendError::TooLarge {
            bytes: self.cost,
            limit,
        })
    }

    fn too_many(&self) -> bool {
        let sum = self.held.count + self.count;
        self.limit.count.is_some_and(|most| sum > most)
    }

    fn too_much(&self) -> bool {
        let sum = self.held.cost + self.cost;
        self.limit.bytes.is_some_and(|most| sum > most)
    }
}

impl Committer {
    /// Holds a plan, whose records stand in the group already, against the limits of its streams.
    pub(super) fn within_limits(&mut self, updates: &mut Updates) -> Result<Fit, Halt> {
        let mut over: Vec<Added> = Vec::new();
        for mut added in self.added(updates) {
            if let Some(error) = added.never_fits() {
                return Ok(Fit::Refused(error));
            }
            added.held = self.held(&added.stream)?;
            if added.too_many() || added.too_much() {
                self.met(&added.stream);
                over.push(added);
            }
        }
        if over.iter().any(|added| added.when_full == WhenFull::Reject) {
            return Ok(Fit::Refused(AppendError::Full));
        }
        let blocks = |added: &&Added| added.when_full == WhenFull::Block;
        if over.iter().any(|added| blocks(&added)) {
            // Without a sink it is `keep` that makes room, once somebody looks.
            self.shared.ask(|chores| chores.trim = true);
            let streams = over.iter().filter(blocks);
            return Ok(Fit::AtLimit(
                streams.map(|added| added.stream.clone()).collect(),
            ));
        }
        let mut facts = Vec::new();
        for added in &over {
            match self.dropping(added)? {
                Some(fact) => facts.push(fact),
                None => return Ok(Fit::GroupFirst),
            }
        }
        updates.starts.clone_from(&facts);
        let facts: Vec<Fact> = facts.into_iter().map(Fact::Stream).collect();
        push_facts(&mut self.group, &facts);
        Ok(Fit::Fits)
    }

    /// What a plan adds, each stream once.
    fn added(&self, updates: &Updates) -> Vec<Added> {
        let mut sums: Vec<Added> = Vec::new();
        for (stream, count, cost) in &updates.added {
            if let Some(sum) = sums.iter_mut().find(|sum| sum.stream == *stream) {
                (sum.count, sum.cost) = (sum.count + count, sum.cost + cost);
                continue;
            }
            let rule = self.shared.options.rule(stream);
            sums.push(Added {
                stream: stream.clone(),
                count: *count,
                cost: *cost,
                limit: rule.limit,
                when_full: rule.when_full,
                held: Held::default(),
            });
        }
        sums
    }

    fn held(&mut self, stream: &StreamName) -> Result<Held, Halt> {
        let (head, group_cost) = self.heads.of_stream(stream);
        let tables = self.shared.tables();
        let Some(id) = tables.by_name.get(stream).copied() else {
            return Ok(Held {
                count: head.map_or(0, |next| next - 1),
                cost: group_cost,
            });
        };
        let state = &tables.streams[id as usize];
        let start = self.heads.start(stream).map_or(1, |start| start.first);
        let floor = start.max(state.acknowledged() + 1);
        let known = self.limits.floors.get(stream);
        let before = if let Some((_, before)) = known.filter(|(at, _)| *at == floor) {
            *before
        } else {
            let before = tables.cost_before(id, floor);
            let before = before.map_err(|error| self.doubt(&error))?;
            self.limits.floors.insert(stream.clone(), (floor, before));
            before
        };
        Ok(Held {
            count: head.unwrap_or(state.next) - floor,
            cost: (state.cost + group_cost).saturating_sub(before),
        })
    }

    /// What the stream is once enough of its oldest events are dropped. `None` where some of them are in the group.
    fn dropping(&self, added: &Added) -> Result<Option<StreamFact>, Halt> {
        let (head, group_cost) = self.heads.of_stream(&added.stream);
        let tables = self.shared.tables();
        let Some(id) = tables.by_name.get(&added.stream).copied() else {
            return Ok(None);
        };
        let state = &tables.streams[id as usize];
        let before = self.heads.start(&added.stream).cloned();
        let mut fact = before.unwrap_or_else(|| state.stated());
        fact.next = head.unwrap_or(state.next) + added.count;
        fact.cost = state.cost + group_cost + added.cost;
        let most = added.limit.count.unwrap_or(u64::MAX);
        let mut first = fact.first.max(fact.next.saturating_sub(most));
        if added.too_much() {
            let spare = fact.cost - added.limit.bytes.unwrap_or(0).min(fact.cost);
            let found = tables.extent_at_cost(id, fact.first, spare);
            let (behind, cost) = found.map_err(|error| self.doubt(&error))?;
            if cost < spare {
                return Ok(None);
            }
            first = first.max(behind);
        }
        Ok((first <= state.next).then(|| dropped_to(state, fact, first - 1)))
    }

    fn doubt(&self, error: &IndexError) -> Halt {
        self.shared.doubt_index(&error.0);
        Halt::Failed(error.to_string())
    }

    /// A stream met its limit.
    fn met(&mut self, stream: &StreamName) {
        if self.limits.full.contains_key(stream) {
            return;
        }
        let mark = self.mark(stream);
        self.limits.full.insert(stream.clone(), mark);
        self.shared.full_streams().insert(stream.clone());
        let now = Instant::now();
        let told = self.limits.told.get(stream);
        if told.is_none_or(|told| now - *told >= TELL) {
            self.limits.told.insert(stream.clone(), now);
            let when_full = self.shared.options.rule(stream).when_full;
            tracing::warn!(%stream, ?when_full, "a stream is at its limit, because a sink lags behind");
        }
        self.shared.committed.send_modify(|_| ());
    }

    /// How far the sinks of a stream are; without sinks, where it begins unless its own drops move that.
    fn mark(&self, stream: &StreamName) -> Sequence {
        let drops = self.shared.options.rule(stream).when_full == WhenFull::DropOldest;
        let tables = self.shared.tables();
        tables.stream(stream).map_or(0, |state: &Stream| {
            let seen = state.cursors.values().map(|cursor| cursor.seen).min();
            seen.unwrap_or(if drops { 0 } else { state.first })
        })
    }

    /// Streams whose sinks went on, and at whose limit nothing waits, are not full any more.
    pub(super) fn look_at_limits(&mut self) {
        let full = self.limits.full.iter();
        let relieved: Vec<StreamName> = full
            .filter(|(stream, mark)| !self.waiting.holds(stream) && self.mark(stream) > **mark)
            .map(|(stream, _)| stream.clone())
            .collect();
        if relieved.is_empty() {
            return;
        }
        for stream in relieved {
            self.limits.full.remove(&stream);
            self.shared.full_streams().remove(&stream);
        }
        self.shared.committed.send_modify(|_| ());
    }
}
