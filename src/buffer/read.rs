//! Reading back: events by sequence, state by key. Everything comes from the journal, checked; the index only says where.
//!
//! A segment may be freed while it is read. Its frames then do not pass any more (its id is part of their checksums), and
//! the index knows their new place: so a read that fails looks again before it believes that something is damaged.

use super::ReadError;
use super::index::{Entry, Extent, IndexError, Location, TailRun, keys};
use super::journal::codec::Malformed;
use super::journal::facts;
use super::journal::frame::Kind;
use super::journal::record::{Commit, Moved, Run};
use super::journal::scan::{Next, Scanner};
use super::model::{Record, Restored, StateDelta, TailEvent};
use super::shared::Shared;
use super::tables::{Tables, WINDOW};
use crate::types::{Key, Payload, Revision, Scope, Sequence, SinkName, StreamName, UnixMillis};
use bytes::Bytes;
use std::collections::HashMap;
use std::io;

/// A restored tail is cut to its newest so many bytes.
const TAIL_BYTES: u64 = 64 << 20;
/// So often a read looks again before it calls the index wrong.
const ATTEMPTS: usize = 16;

/// What did not work this time.
pub(super) enum Miss {
    /// The segment was freed meanwhile, or the index is wrong: look again.
    Stale(String),
    Failed(ReadError),
}

impl From<IndexError> for Miss {
    fn from(error: IndexError) -> Self {
        Self::Stale(error.0)
    }
}

/// Each key that a record sets in a scope, and at which revision, with the value.
type Changed<'a> = HashMap<(&'a [u8], Revision), &'a [u8]>;
/// Where an entry's key and its change lie.
pub(super) type Wanted = (Key, Entry);

impl Shared {
    /// Does `attempt` until it hits.
    pub(super) fn insist<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, Miss>,
    ) -> Result<T, ReadError> {
        if let Some(reason) = self.stopped() {
            return Err(ReadError::Stopped(reason));
        }
        let mut reason = String::new();
        for _ in 0..ATTEMPTS {
            match attempt() {
                Ok(value) => return Ok(value),
                Err(Miss::Failed(error)) => return Err(error),
                Err(Miss::Stale(why)) => reason = why,
            }
        }
        self.doubt_index(&reason);
        Err(ReadError::Stopped(reason))
    }

    /// Events of a stream from a sequence on; at most `limit`, and no more once `max_bytes` are reached.
    pub fn read_events(
        &self,
        stream: &StreamName,
        from: Sequence,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<Record>, ReadError> {
        let mut reading = Reading {
            stream,
            next: from,
            records: Vec::new(),
            bytes: 0,
            limit,
            max_bytes,
        };
        while !reading.is_done() && self.insist(|| self.read_extent(&mut reading))? {}
        Ok(reading.records)
    }

    /// Reads on from the next extent. False at the end of the stream.
    fn read_extent(&self, reading: &mut Reading<'_>) -> Result<bool, Miss> {
        let (at, end) = {
            let tables = self.tables();
            let Some(stream) = tables.stream(reading.stream) else {
                return Err(Miss::Failed(ReadError::UnknownStream(
                    reading.stream.clone(),
                )));
            };
            if reading.next < stream.first && !reading.records.is_empty() {
                // Trimmed while it was read: what is handed out has no gap.
                return Ok(false);
            }
            reading.next = reading.next.max(stream.first);
            if let Some(behind) = stream.behind_gap(reading.next) {
                if !reading.records.is_empty() {
                    return Ok(false);
                }
                reading.next = behind;
            }
            if reading.next >= stream.next {
                return Ok(false);
            }
            let name = reading.stream.as_bytes();
            let found = tables
                .index
                .floor(&keys::extents(name), &keys::extent(name, reading.next))?;
            let (_, value) = found.ok_or_else(|| {
                Miss::Stale(format!(
                    "event {} of stream {} is nowhere",
                    reading.next, reading.stream
                ))
            })?;
            let at = Extent::decode(&value).map_err(IndexError::from)?.at;
            (at, end_of(&tables, at)?)
        };
        let file = self.open_segment(at.segment)?;
        let mut scanner =
            Scanner::new(&file, at.segment, at.offset, end).with_chunk(reading.max_bytes.max(4096));
        let before = reading.next;
        while scanner.offset() < end && scanner.offset() <= at.offset + WINDOW && !reading.is_done()
        {
            let offset = scanner.offset();
            let Next::Frame { head, body, .. } = scanner.next().map_err(|error| self.io(&error))?
            else {
                return Err(self.bad_frame(Location {
                    segment: at.segment,
                    offset,
                }));
            };
            reading.take(head.kind, body).map_err(|reason| {
                self.corrupt(
                    Location {
                        segment: at.segment,
                        offset,
                    },
                    reason,
                )
            })?;
        }
        if reading.next == before {
            return Err(Miss::Stale(format!(
                "event {before} of stream {} is not where the index says",
                reading.stream
            )));
        }
        Ok(true)
    }

    fn open_segment(&self, id: u64) -> Result<std::fs::File, Miss> {
        self.dir.open(id).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Miss::Stale(format!("segment {id:016x} is gone")),
            _ => self.io(&error),
        })
    }

    #[expect(clippy::unused_self, reason = "reads like its neighbours")]
    fn io(&self, error: &io::Error) -> Miss {
        Miss::Failed(ReadError::Io(error.to_string()))
    }

    fn corrupt(&self, at: Location, reason: &str) -> Miss {
        let file = self.dir.file(at.segment);
        Miss::Failed(ReadError::Corrupt {
            file,
            offset: at.offset,
            reason: reason.to_owned(),
        })
    }

    /// A frame did not pass: was the segment freed meanwhile, or is it damaged?
    fn bad_frame(&self, at: Location) -> Miss {
        if self.tables().segments.contains_key(&at.segment) {
            return self.corrupt(at, "a record's checksum is wrong");
        }
        Miss::Stale(format!("segment {:016x} is gone", at.segment))
    }

    /// The value of a key.
    pub fn read_value(&self, scope: &Scope, key: &Key) -> Result<Option<Payload>, ReadError> {
        self.insist(|| {
            let entry = {
                let tables = self.tables();
                let found = tables
                    .index
                    .get(&keys::entry(scope.as_bytes(), key.as_bytes()))?;
                found
                    .map(|value| Entry::decode(&value))
                    .transpose()
                    .map_err(IndexError::from)?
            };
            let Some(entry) = entry.filter(|entry| !entry.deleted) else {
                return Ok(None);
            };
            Ok(self
                .values(scope, vec![(key.clone(), entry)])?
                .pop()
                .map(|(_, value)| value))
        })
    }

    /// All state of a scope, as of one commit.
    pub fn read_state(&self, scope: &Scope) -> Result<Vec<(Key, Payload)>, ReadError> {
        self.insist(|| {
            let entries = entries(&self.tables(), scope)?;
            self.values(
                scope,
                entries
                    .into_iter()
                    .filter(|(_, entry)| !entry.deleted)
                    .collect(),
            )
        })
    }

    /// Reads the values of entries; sorted by key.
    fn values(&self, scope: &Scope, wanted: Vec<Wanted>) -> Result<Vec<(Key, Payload)>, Miss> {
        let mut values = Vec::with_capacity(wanted.len());
        self.each_value(scope, wanted, |key, _, value| values.push((key, value)))?;
        values.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(values)
    }

    /// Reads the values of entries, each record once, in the order of their places.
    pub(super) fn each_value(
        &self,
        scope: &Scope,
        mut wanted: Vec<Wanted>,
        mut take: impl FnMut(Key, Revision, Payload),
    ) -> Result<(), Miss> {
        wanted.sort_unstable_by_key(|(_, entry)| entry.at);
        for of_segment in wanted.chunk_by(|a, b| a.1.at.segment == b.1.at.segment) {
            let segment = of_segment[0].1.at.segment;
            let file = self.open_segment(segment)?;
            let end = end_of(&self.tables(), of_segment[0].1.at)?;
            let mut scanner =
                Scanner::new(&file, segment, of_segment[0].1.at.offset, end).with_chunk(16 << 10);
            for of_record in of_segment.chunk_by(|a, b| a.1.at == b.1.at) {
                let at = of_record[0].1.at;
                scanner.seek(at.offset);
                let Next::Frame { head, body, .. } =
                    scanner.next().map_err(|error| self.io(&error))?
                else {
                    return Err(self.bad_frame(at));
                };
                let found = changes_of(head.kind, body, scope)
                    .map_err(|error| self.corrupt(at, error.0))?;
                for (key, entry) in of_record {
                    let value = found.get(&(key.as_bytes(), entry.rev)).ok_or_else(|| {
                        Miss::Stale(format!(
                            "key {key} of scope {scope} is not where the index says"
                        ))
                    })?;
                    take(key.clone(), entry.rev, Bytes::copy_from_slice(value));
                }
            }
        }
        Ok(())
    }

    /// What a sink lacks of a scope's state; without one all of it.
    pub fn read_delta(
        &self,
        sink: Option<&SinkName>,
        scope: &Scope,
    ) -> Result<Option<StateDelta>, ReadError> {
        self.insist(|| {
            let (epoch, after, rev, entries) = {
                let tables = self.tables();
                let Some(state) = tables.scopes.get(scope) else {
                    return Ok(None);
                };
                let seen = |sink| state.cursors.get(sink).map_or(0, |cursor| cursor.seen);
                let after = sink.map_or(0, seen);
                if after >= state.rev {
                    return Ok(None);
                }
                (state.epoch, after, state.rev, entries(&tables, scope)?)
            };
            let newer = entries.into_iter().filter(|(_, entry)| entry.rev > after);
            let (deleted, put): (Vec<_>, Vec<_>) = newer.partition(|(_, entry)| entry.deleted);
            let put = self.values(scope, put)?;
            let delete = if after == 0 {
                Vec::new()
            } else {
                deleted.into_iter().map(|(key, _)| key).collect()
            };
            Ok(Some(StateDelta {
                epoch,
                after,
                rev,
                put,
                delete,
            }))
        })
    }

    /// The last commit of a scope: its state and the events after the batch that last changed it.
    pub fn read_restored(&self, scope: &Scope) -> Result<Restored, ReadError> {
        let (mut restored, runs, pinned) = self.insist(|| {
            let (restored, entries, runs, pinned) = {
                let tables = self.tables();
                let Some(state) = tables.scopes.get(scope) else {
                    return Ok((Restored::default(), Vec::new(), false));
                };
                let restored = Restored {
                    epoch: state.epoch,
                    batch: state.batch(),
                    last: (state.last != (0, 0)).then_some(state.last),
                    revision: state.rev,
                    ..Restored::default()
                };
                (
                    restored,
                    entries(&tables, scope)?,
                    tail_runs(&tables, scope)?,
                    state.has_point(),
                )
            };
            let state = self.values(
                scope,
                entries
                    .into_iter()
                    .filter(|(_, entry)| !entry.deleted)
                    .collect(),
            )?;
            Ok((Restored { state, ..restored }, runs, pinned))
        })?;
        let mut bytes = 0;
        let newest = runs.iter().rev().take_while(|run| {
            bytes += run.cost;
            bytes <= TAIL_BYTES
        });
        let skipped = runs.len() - newest.count();
        restored.tail_cut = skipped > 0;
        for run in &runs[skipped..] {
            let whole = self.read_tail_run(run, &mut restored.tail)?;
            restored.tail_cut |= pinned && !whole;
        }
        Ok(restored)
    }

    /// Adds a run's events to the tail. False where some are gone.
    fn read_tail_run(&self, run: &TailRun, tail: &mut Vec<TailEvent>) -> Result<bool, ReadError> {
        let Ok(stream) = StreamName::new(Bytes::copy_from_slice(&run.stream)) else {
            return Ok(false);
        };
        let count = run.count as usize;
        let before = tail.len();
        let records = self.read_events(&stream, run.first, count, usize::MAX)?;
        let inside = records
            .into_iter()
            .filter(|record| record.seq < run.first + u64::from(run.count));
        tail.extend(inside.map(
            |Record {
                 seq,
                 at_ms,
                 payload,
             }| TailEvent {
                stream: stream.clone(),
                seq,
                at_ms,
                payload,
            },
        ));
        Ok(tail.len() - before == count)
    }
}

/// A read in progress.
struct Reading<'a> {
    stream: &'a StreamName,
    next: Sequence,
    records: Vec<Record>,
    bytes: usize,
    limit: usize,
    max_bytes: usize,
}

impl Reading<'_> {
    fn is_done(&self) -> bool {
        self.records.len() >= self.limit || self.bytes >= self.max_bytes
    }

    fn take(&mut self, kind: Kind, body: &[u8]) -> Result<(), &'static str> {
        match kind {
            Kind::Facts | Kind::Seal => {}
            Kind::Commit => {
                let commit = Commit::decode(body).map_err(|error| error.0)?;
                commit
                    .runs
                    .iter()
                    .for_each(|run| self.take_run(run, commit.at_ms));
            }
            Kind::Moved => {
                let moved = Moved::decode(body).map_err(|error| error.0)?;
                moved
                    .runs
                    .iter()
                    .for_each(|moved| self.take_run(&moved.run, moved.at_ms));
            }
        }
        Ok(())
    }

    fn take_run(&mut self, run: &Run<'_>, at_ms: UnixMillis) {
        if run.stream != self.stream.as_bytes() || !(run.first..=run.last()).contains(&self.next) {
            return;
        }
        for (seq, payload) in run.from(self.next).events().take(run.count as usize) {
            if self.is_done() {
                return;
            }
            self.records.push(Record {
                seq,
                at_ms,
                payload: Bytes::copy_from_slice(payload),
            });
            self.bytes += payload.len();
            self.next = seq + 1;
        }
    }
}

/// Where what was applied of a segment ends.
fn end_of(tables: &Tables, at: Location) -> Result<u64, Miss> {
    let segment = tables.segments.get(&at.segment);
    segment
        .map(|segment| segment.end)
        .ok_or_else(|| Miss::Stale(format!("segment {:016x} is gone", at.segment)))
}

fn entries(tables: &Tables, scope: &Scope) -> Result<Vec<Wanted>, Miss> {
    let prefix = keys::entries(scope.as_bytes());
    let found = tables.index.prefix(&prefix)?;
    let decoded = found.iter().map(|(key, value)| {
        let key = facts::key(&key[prefix.len()..])?;
        Ok((key, Entry::decode(value)?))
    });
    decoded
        .collect::<Result<_, Malformed>>()
        .map_err(|error| IndexError::from(error).into())
}

fn tail_runs(tables: &Tables, scope: &Scope) -> Result<Vec<TailRun>, Miss> {
    let found = tables.index.prefix(&keys::tails(scope.as_bytes()))?;
    let runs = found
        .iter()
        .map(|(_, value)| TailRun::decode(value))
        .collect::<Result<_, _>>();
    runs.map_err(|error| IndexError::from(error).into())
}

/// The changes of a record to one scope: each key that is set, with revision and value. (A moved record may hold several
/// revisions of a key.)
fn changes_of<'a>(kind: Kind, body: &'a [u8], scope: &Scope) -> Result<Changed<'a>, Malformed> {
    let scope = scope.as_bytes();
    Ok(match kind {
        Kind::Facts | Kind::Seal => HashMap::new(),
        Kind::Commit => {
            let changes = Commit::decode(body)?
                .changes
                .filter(|changes| changes.scope == scope);
            changes
                .iter()
                .flat_map(|c| {
                    c.iter()
                        .filter_map(|(key, value)| Some(((key, c.rev), value?)))
                })
                .collect()
        }
        Kind::Moved => {
            let entries = Moved::decode(body)?
                .entries
                .into_iter()
                .filter(|entry| entry.scope == scope);
            entries
                .filter_map(|entry| Some(((entry.key, entry.rev), entry.value?)))
                .collect()
        }
    })
}
