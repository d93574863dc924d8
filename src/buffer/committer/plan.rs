//! From requests to records: numbering, fencing and recognising repeats.
//!
//! A plan is made against the tables (what is durable) and the *heads* (what earlier requests of the same group will have
//! changed). It only reads; the committer accepts it once there is room for its records.

use crate::buffer::AppendError;
use crate::buffer::journal::facts::{self, Fact, Landed, StreamFact};
use crate::buffer::journal::frame::Kind;
use crate::buffer::journal::record::{self, NewChange, NewRun, Produced, Session, encode_commit};
use crate::buffer::journal::writer::{Group, max_checkpoint};
use crate::buffer::model::{Appended, Change, Committed, Producer, SessionBatch};
use crate::buffer::options::Options;
use crate::buffer::tables::{Producing, ScopeState, Tables};
use crate::types::{
    BatchNumber, Epoch, Payload, Revision, Scope, Sequence, StreamName, Token, UnixMillis,
};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};

/// What matters of a scope for numbering.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::buffer) struct ScopeHead {
    epoch: Epoch,
    last: (Epoch, BatchNumber),
    rev: Revision,
}

impl ScopeHead {
    fn batch(&self) -> BatchNumber {
        if self.last.0 == self.epoch {
            self.last.1
        } else {
            0
        }
    }
}

impl From<&ScopeState> for ScopeHead {
    fn from(state: &ScopeState) -> Self {
        Self {
            epoch: state.epoch,
            last: state.last,
            rev: state.rev,
        }
    }
}

/// What the group so far will have changed, once it is durable.
#[derive(Default)]
pub(in crate::buffer) struct Heads {
    streams: HashMap<StreamName, Sequence>,
    scopes: HashMap<Scope, ScopeHead>,
    producers: HashMap<(StreamName, Bytes), Producing>,
    facts_bytes: u64,
    /// Of streams with a limit: what the group adds to their cost, and where they begin if it drops events.
    costs: HashMap<StreamName, u64>,
    starts: HashMap<StreamName, StreamFact>,
}

/// Changes to the heads, to be accepted with the records.
#[derive(Default)]
pub(in crate::buffer) struct Updates {
    streams: Vec<(StreamName, Sequence)>,
    scope: Option<(Scope, ScopeHead)>,
    producer: Option<((StreamName, Bytes), Producing)>,
    facts_bytes: u64,
    /// Of streams with a limit: number and cost of each run.
    pub added: Vec<(StreamName, u64, u64)>,
    /// Streams of which the group drops events, as they are then.
    pub starts: Vec<StreamFact>,
}

/// A plan: the answer once durable, and the changes to the heads. Its records stand in the group already.
pub(in crate::buffer) type Plan<T> = Result<(T, Updates), AppendError>;

/// What plans are made against.
pub(in crate::buffer) struct Planner<'a> {
    pub tables: &'a Tables,
    pub heads: &'a Heads,
    pub options: &'a Options,
    pub now_ms: UnixMillis,
}

impl Heads {
    /// The plan's records will be written.
    pub fn accept(&mut self, updates: Updates) {
        self.streams.extend(updates.streams);
        self.scopes.extend(updates.scope);
        self.producers.extend(updates.producer);
        self.facts_bytes += updates.facts_bytes;
        for (stream, _, cost) in updates.added {
            *self.costs.entry(stream).or_default() += cost;
        }
        for start in updates.starts {
            self.starts.insert(start.name.clone(), start);
        }
    }

    /// The next sequence of a stream, and what the group adds to its cost, where it has it.
    pub fn of_stream(&self, stream: &StreamName) -> (Option<Sequence>, u64) {
        let cost = self.costs.get(stream).copied().unwrap_or(0);
        (self.streams.get(stream).copied(), cost)
    }

    /// A stream of which the group drops events.
    pub fn start(&self, stream: &StreamName) -> Option<&StreamFact> {
        self.starts.get(stream)
    }

    /// The group is durable: the tables say it all.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Planner<'_> {
    fn next(&self, stream: &StreamName) -> Option<Sequence> {
        let head = self.heads.streams.get(stream).copied();
        head.or_else(|| self.tables.stream(stream).map(|stream| stream.next))
    }

    fn scope(&self, scope: &Scope) -> Option<ScopeHead> {
        let head = self.heads.scopes.get(scope).copied();
        head.or_else(|| self.tables.scopes.get(scope).map(ScopeHead::from))
    }

    /// Refuses new names once the checkpoint would outgrow its share of a segment.
    fn room_for_name(&self, added: u64) -> Result<u64, AppendError> {
        if self.tables.facts_bytes + self.heads.facts_bytes + added
            > max_checkpoint(self.options.segment_bytes)
        {
            return Err(AppendError::Invalid(
                "too many streams, scopes, producers and cursors for this segment size",
            ));
        }
        Ok(added)
    }

    /// The next sequence of a stream; a new one gets the cursors of all sinks that read it.
    fn number(
        &self,
        stream: &StreamName,
        updates: &mut Updates,
        facts: &mut Vec<Fact>,
    ) -> Result<Sequence, AppendError> {
        if let Some((_, next)) = updates
            .streams
            .iter()
            .rev()
            .find(|(name, _)| name == stream)
        {
            return Ok(*next);
        }
        if let Some(next) = self.next(stream) {
            return Ok(next);
        }
        let sinks = self.options.sinks.iter().filter(|sink| sink.reads(stream));
        let before = facts.len();
        facts.extend(sinks.map(|sink| Fact::Cursor {
            sink: sink.name.clone(),
            stream: stream.clone(),
            seq: 0,
        }));
        updates.facts_bytes += self.room_for_name(
            64 + stream.as_bytes().len() as u64 + 64 * (facts.len() - before) as u64,
        )?;
        Ok(1)
    }

    /// Notes a run of a stream whose appends a limit bounds.
    fn note_run<'p>(
        &self,
        stream: &StreamName,
        payloads: impl ExactSizeIterator<Item = &'p Payload>,
        updates: &mut Updates,
    ) {
        if self.options.rule(stream).limit.bounds_appends() {
            let count = payloads.len() as u64;
            let bytes: u64 = payloads.map(|payload| payload.len() as u64 + 4).sum();
            let cost = record::run_cost(stream.as_bytes(), bytes);
            updates.added.push((stream.clone(), count, cost));
        }
    }

    /// Consecutive events of one stream, exactly once per producer's batch.
    pub fn append(
        &self,
        group: &mut Group,
        stream: &StreamName,
        payloads: &[Payload],
        producer: Option<&Producer>,
    ) -> Plan<Appended> {
        if payloads.is_empty() {
            return Err(AppendError::Invalid("nothing to append"));
        }
        let mut updates = Updates::default();
        let producing = producer
            .map(|producer| self.producing(stream, producer))
            .transpose()?;
        if let Some(Repeat::Landed((_, first, last))) = producing {
            return Ok((
                Appended {
                    first,
                    last,
                    repeated: true,
                },
                updates,
            ));
        }
        let mut facts = Vec::new();
        let first = self.number(stream, &mut updates, &mut facts)?;
        let last = first + payloads.len() as u64 - 1;
        let tag = producer.map(|producer| Produced {
            stream: stream.as_bytes(),
            name: &producer.name,
            batch: producer.batch,
        });
        group.push(Kind::Commit, |out| {
            let run = NewRun {
                stream: stream.as_bytes(),
                first,
                payloads: payloads.iter().map(|payload| &payload[..]),
            };
            encode_commit(out, self.now_ms, None, tag, vec![run], None);
        });
        push_facts(group, &facts);
        updates.streams.push((stream.clone(), last + 1));
        self.note_run(stream, payloads.iter(), &mut updates);
        if let (Some(producer), Some(Repeat::New(mut producing))) = (producer, producing) {
            if producing.landed.is_empty() {
                updates.facts_bytes += self
                    .room_for_name(256 + (producer.name.len() + stream.as_bytes().len()) as u64)?;
            }
            producing.push((producer.batch, first, last));
            updates.producer = Some(((stream.clone(), producer.name.clone()), producing));
        }
        Ok((
            Appended {
                first,
                last,
                repeated: false,
            },
            updates,
        ))
    }

    fn producing(&self, stream: &StreamName, producer: &Producer) -> Result<Repeat, AppendError> {
        if producer.name.is_empty() || producer.name.len() > 255 {
            return Err(AppendError::Invalid(
                "a producer's name is 1 to 255 bytes long",
            ));
        }
        let key = (stream.clone(), producer.name.clone());
        let known = self
            .heads
            .producers
            .get(&key)
            .or_else(|| self.tables.producers.get(&key));
        let Some(producing) = known else {
            return Ok(Repeat::New(Producing::default()));
        };
        if let Some(landed) = producing
            .landed
            .iter()
            .find(|(batch, ..)| *batch == producer.batch)
        {
            return Ok(Repeat::Landed(*landed));
        }
        match producing.landed.last() {
            Some((last, ..)) if producer.batch < *last => {
                Err(AppendError::BatchTooOld { last: *last })
            }
            _ => Ok(Repeat::New(producing.clone())),
        }
    }

    /// A session's batch: events and state changes as one record, exactly once and in order.
    pub fn batch(&self, group: &mut Group, batch: &SessionBatch) -> Plan<Committed> {
        let mut updates = Updates::default();
        let mut head = self.scope(&batch.scope).unwrap_or_default();
        if head.epoch != batch.epoch || batch.epoch == 0 {
            return Err(AppendError::StaleEpoch {
                current: head.epoch,
            });
        }
        if batch.batch <= head.batch() {
            return Ok((
                Committed {
                    repeated: true,
                    batch: head.batch(),
                    revision: head.rev,
                },
                updates,
            ));
        }
        if batch.batch != head.batch() + 1 {
            return Err(AppendError::BatchGap {
                expected: head.batch() + 1,
            });
        }
        head.last = (batch.epoch, batch.batch);
        let changes = newest(&batch.changes);
        head.rev += u64::from(!changes.is_empty());
        let mut facts = Vec::new();
        let runs = self.runs(&batch.events, &mut updates, &mut facts)?;
        let session = Session {
            scope: batch.scope.as_bytes(),
            epoch: batch.epoch,
            batch: batch.batch,
        };
        group.push(Kind::Commit, |out| {
            let changes =
                (!changes.is_empty()).then_some((batch.scope.as_bytes(), head.rev, &changes[..]));
            encode_commit(out, self.now_ms, Some(session), None, runs, changes);
        });
        push_facts(group, &facts);
        updates.scope = Some((batch.scope.clone(), head));
        Ok((
            Committed {
                repeated: false,
                batch: batch.batch,
                revision: head.rev,
            },
            updates,
        ))
    }

    /// Neighbouring events of one stream become one run, so that their order across streams stays.
    fn runs<'e>(
        &self,
        events: &'e [(StreamName, Payload)],
        updates: &mut Updates,
        facts: &mut Vec<Fact>,
    ) -> Result<Vec<NewRun<'e, impl ExactSizeIterator<Item = &'e [u8]> + use<'e>>>, AppendError>
    {
        let mut runs = Vec::new();
        for neighbours in events.chunk_by(|a, b| a.0 == b.0) {
            let stream = &neighbours[0].0;
            let first = self.number(stream, updates, facts)?;
            updates
                .streams
                .push((stream.clone(), first + neighbours.len() as u64));
            self.note_run(
                stream,
                neighbours.iter().map(|(_, payload)| payload),
                updates,
            );
            runs.push(NewRun {
                stream: stream.as_bytes(),
                first,
                payloads: neighbours.iter().map(|(_, payload)| &payload[..]),
            });
        }
        Ok(runs)
    }

    /// State changes from outside a session.
    pub fn change(&self, group: &mut Group, scope: &Scope, changes: &[Change]) -> Plan<Revision> {
        let changes = newest(changes);
        if changes.is_empty() {
            return Err(AppendError::Invalid("nothing to change"));
        }
        let (mut head, facts_bytes) = self.scope_or_new(scope)?;
        head.rev += 1;
        group.push(Kind::Commit, |out| {
            let runs: Vec<NewRun<'_, std::iter::Empty<&[u8]>>> = Vec::new();
            encode_commit(
                out,
                self.now_ms,
                None,
                None,
                runs,
                Some((scope.as_bytes(), head.rev, &changes)),
            );
        });
        Ok((
            head.rev,
            Updates {
                scope: Some((scope.clone(), head)),
                facts_bytes,
                ..Updates::default()
            },
        ))
    }

    /// The next epoch of a scope.
    pub fn activate(&self, group: &mut Group, scope: &Scope, token: &Token) -> Plan<Epoch> {
        if token.expose().is_empty() || token.expose().len() > 1024 {
            return Err(AppendError::Invalid("a token is 1 to 1024 bytes long"));
        }
        let (mut head, facts_bytes) = self.scope_or_new(scope)?;
        head.epoch += 1;
        push_facts(
            group,
            &[Fact::Activation {
                scope: scope.clone(),
                epoch: head.epoch,
                token: token.clone(),
            }],
        );
        Ok((
            head.epoch,
            Updates {
                scope: Some((scope.clone(), head)),
                facts_bytes,
                ..Updates::default()
            },
        ))
    }

    fn scope_or_new(&self, scope: &Scope) -> Result<(ScopeHead, u64), AppendError> {
        match self.scope(scope) {
            Some(head) => Ok((head, 0)),
            None => Ok((
                ScopeHead::default(),
                self.room_for_name(160 + scope.as_bytes().len() as u64)?,
            )),
        }
    }
}

enum Repeat {
    Landed(Landed),
    New(Producing),
}

/// Of several changes to one key the last.
fn newest(changes: &[Change]) -> Vec<NewChange<'_>> {
    let newest: BTreeMap<&[u8], Option<&[u8]>> = changes
        .iter()
        .map(|change| match change {
            Change::Put(key, value) => (key.as_bytes(), Some(&value[..])),
            Change::Delete(key) => (key.as_bytes(), None),
        })
        .collect();
    newest.into_iter().collect()
}

/// Adds a facts record, where there are any.
pub(in crate::buffer) fn push_facts(group: &mut Group, facts: &[Fact]) {
    if !facts.is_empty() {
        group.push(Kind::Facts, |out| facts::encode(facts, out));
    }
}
