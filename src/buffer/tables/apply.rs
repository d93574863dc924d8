//! How records take effect.

use super::{ApplyError, Cursor, Open, ScopeState, StreamId, Tables, WINDOW};
use crate::buffer::index::{Entry, Extent, IndexError, Location, Pair, TailRun, keys};
use crate::buffer::journal::facts::{self, Fact, ScopeFact, StreamFact};
use crate::buffer::journal::frame::Kind;
use crate::buffer::journal::record::{Changes, Commit, Moved, MovedEntry, MovedRun, Run, Session};
use crate::types::{Scope, StreamName, UnixMillis};
use bytes::Bytes;

impl Tables {
    /// Lets one record take effect.
    ///
    /// # Errors
    /// Where it contradicts what came before, or where the index fails; the tables are then of no more use.
    pub fn apply(
        &mut self,
        kind: Kind,
        body: &[u8],
        at: Location,
        end: u64,
    ) -> Result<(), ApplyError> {
        self.segments.entry(at.segment).or_default().end = end;
        match kind {
            Kind::Facts => facts::decode(body)?
                .into_iter()
                .try_for_each(|fact| self.apply_fact(fact))?,
            Kind::Commit => self.apply_commit(&Commit::decode(body)?, at)?,
            Kind::Moved => self.apply_moved(&Moved::decode(body)?, at)?,
            Kind::Seal => self.segments.entry(at.segment).or_default().sealed = true,
        }
        self.end = Location {
            segment: at.segment,
            offset: end,
        };
        Ok(())
    }

    fn apply_commit(&mut self, commit: &Commit<'_>, at: Location) -> Result<(), ApplyError> {
        self.clock = self.clock.max(commit.at_ms);
        let changes = commit.changes.as_ref();
        let mut first_last = None;
        for (number, run) in commit.runs.iter().enumerate() {
            let id = self.apply_run(run, commit.at_ms, at)?;
            first_last = Some((run.first, run.last()));
            if let (Some(session), None) = (&commit.session, changes) {
                self.add_tail(session, number as u32, id, run, at)?;
            }
        }
        if let (Some(produced), Some((first, last))) = (&commit.produced, first_last) {
            let key = (
                stream_name(produced.stream)?,
                Bytes::copy_from_slice(produced.name),
            );
            self.count_producer(&key);
            let producing = self.producers.entry(key).or_default();
            producing.used_ms = commit.at_ms;
            producing.push((produced.batch, first, last));
        }
        if let Some(session) = &commit.session {
            let scope = scope_name(session.scope)?;
            let state = self.scope_mut(&scope);
            state.last = (session.epoch, session.batch);
            if changes.is_some() {
                state.point = state.last;
                state.tail.clear();
                self.clear_tails(&scope)?;
            }
        }
        changes.map_or(Ok(()), |changes| self.apply_changes(changes, at))
    }

    fn apply_run(
        &mut self,
        run: &Run<'_>,
        at_ms: UnixMillis,
        at: Location,
    ) -> Result<StreamId, ApplyError> {
        let id = self.stream_id(stream_name(run.stream)?);
        let stream = &mut self.streams[id as usize];
        if run.first != stream.next {
            return Err(ApplyError::Damaged(
                "the sequences of a stream are not consecutive",
            ));
        }
        let before = stream.cost;
        stream.next = run.last() + 1;
        stream.cost += run.cost();
        stream.last_ms = at_ms;
        let grows = grows(&mut stream.live, run, at);
        self.note_run(id, run, at);
        if !grows && self.indexing {
            self.index.put(
                keys::extent(run.stream, run.first),
                Extent { at, before, at_ms }.encode(),
            );
        }
        Ok(id)
    }

    fn note_run(&mut self, id: StreamId, run: &Run<'_>, at: Location) {
        let (newest, cost) = self
            .segments
            .entry(at.segment)
            .or_default()
            .runs
            .entry(id)
            .or_default();
        *newest = run.last().max(*newest);
        *cost += run.cost();
    }

    fn add_tail(
        &mut self,
        session: &Session<'_>,
        number: u32,
        id: StreamId,
        run: &Run<'_>,
        at: Location,
    ) -> Result<(), ApplyError> {
        let state = self.scope_mut(&scope_name(session.scope)?);
        if state.has_point() {
            let first = state.tail.entry(id).or_insert(run.first);
            *first = run.first.min(*first);
        }
        self.segments.entry(at.segment).or_default().tails = true;
        if self.indexing {
            let value = TailRun {
                stream: run.stream.to_vec(),
                first: run.first,
                count: run.count,
                cost: run.cost(),
            };
            self.index.put(
                keys::tail(session.scope, session.epoch, session.batch, number),
                value.encode(),
            );
        }
        Ok(())
    }

    /// Forgets the tail up to the scope's state point.
    fn clear_tails(&mut self, scope: &Scope) -> Result<(), IndexError> {
        if !self.indexing {
            return Ok(());
        }
        let point = self.scopes.get(scope).map_or((0, 0), |state| state.point);
        let to = keys::tail(scope.as_bytes(), point.0, point.1 + 1, 0);
        for (key, _) in self
            .index
            .range(&keys::tails(scope.as_bytes()), &to, usize::MAX)?
        {
            self.index.delete(&key);
        }
        Ok(())
    }

    fn apply_changes(&mut self, changes: &Changes<'_>, at: Location) -> Result<(), ApplyError> {
        self.scope_mut(&scope_name(changes.scope)?).rev = changes.rev;
        changes.iter().try_for_each(|(key, value)| {
            let entry = MovedEntry {
                scope: changes.scope,
                rev: changes.rev,
                key,
                value,
            };
            Ok(self.set_entry(&entry, at)?)
        })
    }

    /// Adds an entry to, or takes it from, the figures of its segment.
    pub fn count_entry(&mut self, entry: &Entry, add: bool) {
        let Some(segment) = self.segments.get_mut(&entry.at.segment) else {
            return;
        };
        if entry.deleted {
            segment.deleted = if add {
                segment.deleted + 1
            } else {
                segment.deleted.saturating_sub(1)
            };
        } else {
            let cost = u64::from(entry.cost);
            for sum in [&mut segment.state_cost, &mut self.state_cost] {
                *sum = if add {
                    *sum + cost
                } else {
                    sum.saturating_sub(cost)
                };
            }
        }
    }

    fn apply_moved(&mut self, moved: &Moved<'_>, at: Location) -> Result<(), ApplyError> {
        moved
            .runs
            .iter()
            .try_for_each(|run| self.apply_moved_run(run, at))?;
        for entry in &moved.entries {
            self.scope_mut(&scope_name(entry.scope)?);
            self.set_entry(entry, at)?;
            if entry.value.is_none() {
                self.forget_before(entry)?;
            }
        }
        Ok(())
    }

    fn apply_moved_run(&mut self, moved: &MovedRun<'_>, at: Location) -> Result<(), ApplyError> {
        let run = &moved.run;
        let id = self.stream_id(stream_name(run.stream)?);
        self.note_run(id, run, at);
        let stream = &mut self.streams[id as usize];
        let grows = grows(&mut stream.moved, run, at);
        // Behind a gap (see `salvage`) there is nothing to find in the old place.
        let behind = run.last() + 1;
        let follows = behind < stream.next && stream.behind_gap(behind).is_none();
        if self.indexing {
            self.redirect(moved, at, grows, follows)?;
        }
        let Some(tag) = &moved.tail else {
            return Ok(());
        };
        let point = self.scope_mut(&scope_name(tag.session.scope)?).point;
        if (tag.session.epoch, tag.session.batch) > point {
            self.add_tail(&tag.session, tag.run, id, run, at)?;
        }
        Ok(())
    }

    /// Lets the index find a moved run in its new place, and what follows it still in the old one.
    fn redirect(
        &mut self,
        moved: &MovedRun<'_>,
        at: Location,
        grows: bool,
        follows: bool,
    ) -> Result<(), IndexError> {
        let run = &moved.run;
        let behind = keys::extent(run.stream, run.last() + 1);
        if follows && self.index.get(&behind)?.is_none() {
            let cover = self.index.floor(&keys::extents(run.stream), &behind)?;
            if let Some((_, value)) = cover {
                self.index.put(behind.clone(), value.into_vec());
            }
        }
        for (key, _) in
            self.index
                .range(&keys::extent(run.stream, run.first), &behind, usize::MAX)?
        {
            self.index.delete(&key);
        }
        if !grows {
            let extent = Extent {
                at,
                before: moved.before,
                at_ms: moved.at_ms,
            };
            self.index
                .put(keys::extent(run.stream, run.first), extent.encode());
        }
        Ok(())
    }

    /// Lets one fact take effect.
    fn apply_fact(&mut self, fact: Fact) -> Result<(), ApplyError> {
        match fact {
            Fact::Reset => self.reset(),
            Fact::Incarnation(n) => self.incarnation = n,
            Fact::Clock(at_ms) => self.clock = self.clock.max(at_ms),
            Fact::Segments(_) => {}
            Fact::Freed(id) => {
                self.segments.remove(&id);
            }
            Fact::Stream(fact) => self.apply_stream(fact)?,
            Fact::Scope(fact) => self.apply_scope(fact)?,
            Fact::Activation {
                scope,
                epoch,
                token,
            } => {
                let state = self.scope_mut(&scope);
                (state.epoch, state.token) = (epoch, Some(token));
            }
            Fact::Cursor { sink, stream, seq } => {
                let id = self.stream_id(stream);
                self.facts_bytes += if self.streams[id as usize].cursors.contains_key(&sink) {
                    0
                } else {
                    64
                };
                let cursor = self.streams[id as usize].cursors.entry(sink).or_default();
                *cursor = Cursor {
                    durable: seq,
                    seen: cursor.seen.max(seq),
                };
                self.trimmable.insert(id);
            }
            Fact::StateCursor { sink, scope, rev } => {
                let cursor = self.scope_mut(&scope).cursors.entry(sink).or_default();
                *cursor = Cursor {
                    durable: rev,
                    seen: cursor.seen.max(rev),
                };
            }
            Fact::Forget(sink) => {
                self.streams.iter_mut().for_each(|stream| {
                    stream.cursors.remove(&sink);
                });
                self.scopes.values_mut().for_each(|scope| {
                    scope.cursors.remove(&sink);
                });
                self.dirty.retain(|(name, _)| *name != sink);
                self.dirty_state.retain(|(name, _)| *name != sink);
                self.trimmable.extend(0..self.streams.len() as StreamId);
            }
            Fact::Parent(origin) => self.parent = Some(origin),
            Fact::Histories(rules) => self.histories = rules,
            Fact::Producer {
                stream,
                name,
                used_ms,
                landed,
            } => {
                let key = (stream, name);
                self.count_producer(&key);
                self.producers
                    .insert(key, super::Producing { used_ms, landed });
            }
        }
        Ok(())
    }

    fn count_producer(&mut self, key: &(StreamName, Bytes)) {
        if !self.producers.contains_key(key) {
            self.facts_bytes += super::producer_bytes(&key.0, &key.1);
        }
    }

    fn reset(&mut self) {
        self.producers.clear();
        self.histories.clear();
        self.streams
            .iter_mut()
            .for_each(|stream| stream.cursors.clear());
        self.scopes
            .values_mut()
            .for_each(|scope| scope.cursors.clear());
        let streams: u64 = self
            .streams
            .iter()
            .map(|stream| 64 + stream.name.as_bytes().len() as u64)
            .sum();
        let scopes: u64 = self
            .scopes
            .keys()
            .map(|scope| 160 + scope.as_bytes().len() as u64)
            .sum();
        self.facts_bytes = streams + scopes;
    }

    fn apply_stream(&mut self, fact: StreamFact) -> Result<(), IndexError> {
        let id = self.stream_id(fact.name);
        let clock = self.clock;
        let stream = &mut self.streams[id as usize];
        (stream.next, stream.cost) = (fact.next, fact.cost);
        (stream.dropped, stream.ranges) = (fact.dropped, fact.ranges);
        if stream.last_ms == 0 {
            stream.last_ms = clock;
        }
        self.trimmable.insert(id);
        self.set_first(id, fact.first)
    }

    fn apply_scope(&mut self, fact: ScopeFact) -> Result<(), ApplyError> {
        let mut tail = std::collections::BTreeMap::new();
        for (stream, first) in fact.tail {
            tail.insert(self.stream_id(stream), first);
        }
        let state = self.scope_mut(&fact.scope);
        let cursors = std::mem::take(&mut state.cursors);
        *state = ScopeState {
            epoch: fact.epoch,
            token: fact.token,
            last: fact.last,
            rev: fact.rev,
            point: fact.point,
            tail,
            cursors,
        };
        if state.has_point() {
            self.clear_tails(&fact.scope)?;
        }
        Ok(())
    }

    /// From here on records change the index too.
    pub fn start_indexing(&mut self) -> Result<(), IndexError> {
        self.indexing = true;
        // The index may lack extents that were trimmed since; so none of those seen so far grows any further.
        self.streams
            .iter_mut()
            .for_each(|stream| (stream.live, stream.moved) = (None, None));
        let scopes: Vec<Scope> = self
            .scopes
            .iter()
            .filter(|(_, state)| state.has_point())
            .map(|(scope, _)| scope.clone())
            .collect();
        scopes.iter().try_for_each(|scope| self.clear_tails(scope))
    }

    /// Counts state entries that the index brought along. A doubt is an error.
    pub fn count_entries(&mut self, entries: &[Pair]) -> Result<(), IndexError> {
        for (_, value) in entries {
            let entry = Entry::decode(value)?;
            if !self.segments.contains_key(&entry.at.segment) {
                return Err(IndexError(format!(
                    "an entry points to segment {}, which is gone",
                    entry.at.segment
                )));
            }
            self.count_entry(&entry, true);
        }
        Ok(())
    }
}

/// Whether a run continues an extent; notes it either way.
fn grows(open: &mut Option<Open>, run: &Run<'_>, at: Location) -> bool {
    let next = run.last() + 1;
    if let Some(open) = open {
        if open.next == run.first
            && open.at.segment == at.segment
            && at.offset - open.at.offset < WINDOW
        {
            open.next = next;
            return true;
        }
    }
    *open = Some(Open { at, next });
    false
}

pub(super) fn stream_name(name: &[u8]) -> Result<StreamName, ApplyError> {
    StreamName::new(Bytes::copy_from_slice(name))
        .map_err(|_| ApplyError::Damaged("a bad stream name"))
}

fn scope_name(name: &[u8]) -> Result<Scope, ApplyError> {
    Scope::new(Bytes::copy_from_slice(name)).map_err(|_| ApplyError::Damaged("a bad scope name"))
}
