//! The keeper: one thread for everything that no caller waits for. It prepares spare segments, trims streams, frees
//! segments (moving what is still live in them), and writes the index. It sleeps unless there is something to do.
//!
//! Which segment to free: one of which at most a quarter is live; else, where enough of the journal is garbage, the one with
//! the least that is live. A stream that stalls is moved along in this way, and pins no
//! space but its own.

mod stored;

use self::stored::Stored;
use crate::buffer::AppendError;
use crate::buffer::committer::queue::{Command, LiveRecord, Reply, Request};
use crate::buffer::index::{Location, Mark};
use crate::buffer::journal::frame::Kind;
use crate::buffer::journal::scan::{Next, Scanner};
use crate::buffer::journal::segment::{HEADER_BYTES, is_full};
use crate::buffer::options::Keep;
use crate::buffer::shared::{Chores, Shared};
use crate::buffer::tables::{ApplyError, Segment, StreamId};
use crate::types::now_ms;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;

/// The index is written once this many entries changed,
pub(in crate::buffer) const INDEX_ENTRIES: usize = 4096;
/// or this long after the first change.
const INDEX_AFTER: Duration = Duration::from_secs(5);
/// Live records are moved in portions of this size.
const PORTION: u64 = 512 << 10;

/// So many segments are cleaned without the journal getting shorter before that is given up.
const FUTILE: u32 = 4;

/// Why a chore was left.
enum Left {
    /// Something is wrong; the buffer has been stopped.
    Stopped,
    /// No space to move to; later.
    NoRoom,
}

type Chore<T> = Result<T, Left>;

/// See the module.
pub(in crate::buffer) struct Keeper {
    shared: Arc<Shared>,
    stored: Stored,
    /// This much garbage could not be gathered.
    settled: u64,
    /// Streams are looked at this often for events that became too old.
    age_tick: Option<Duration>,
}

impl Keeper {
    /// A keeper for a buffer whose index is stored as of `mark`.
    pub fn new(shared: Arc<Shared>, mark: Option<Mark>) -> Self {
        let rules = shared.options.streams.iter();
        let ages = rules
            .flat_map(|rule| [rule.keep.age, rule.limit.age])
            .flatten();
        let age_tick = ages
            .min()
            .map(|age| (age / 8).clamp(Duration::from_secs(1), Duration::from_secs(60)));
        Self {
            shared,
            stored: Stored::new(mark),
            settled: 0,
            age_tick,
        }
    }

    /// Works until the committer has ended, then puts everything down and releases the directory.
    pub fn run(mut self) {
        loop {
            let due = self.stored.due_in();
            let timeout = [due, self.age_tick].into_iter().flatten().min();
            let waiting_for_index = self.stored.is_due();
            let chores = self.shared.chores(timeout, |chores| {
                let Chores {
                    trim,
                    spare,
                    pressure,
                    drop: _,
                    index,
                    index_now,
                    stop,
                } = *chores;
                trim || spare || pressure || index_now || stop || (index && !waiting_for_index)
            });
            if self.work(chores).is_err() || chores.stop {
                break;
            }
        }
        self.finish();
    }

    fn work(&mut self, chores: Chores) -> Chore<()> {
        if chores.spare {
            self.spare()?;
        }
        if chores.trim || chores.pressure || self.age_tick.is_some() || chores.spare {
            match self.drop_old() {
                Err(Left::NoRoom) => {}
                other => other?,
            }
            self.trim()?;
            match self.free(chores) {
                Err(Left::NoRoom) => {}
                other => other?,
            }
        }
        self.keep_index(chores)
    }

    fn finish(mut self) {
        let orderly = self.shared.failure.borrow().is_none();
        if orderly {
            // What is not written now is replayed at the next opening.
            let _ = self.write_index();
        }
        self.stored.close();
        self.shared.tables().index = super::index::Index::new(super::index::Store::Memory(
            std::collections::BTreeMap::new(),
        ));
        self.shared
            .lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        self.shared.closed.send_replace(true);
    }

    /// Prepares the next segment's file, where the bound allows one more.
    fn spare(&self) -> Chore<()> {
        if self.shared.tables().segments.len() >= self.shared.limits.all {
            return Ok(());
        }
        let _making = self
            .shared
            .spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if self.shared.dir.has_spare() {
            return Ok(());
        }
        match self.shared.dir.make_spare() {
            Err(error) if !is_full(&error) => {
                self.shared
                    .fail(&format!("making a segment failed: {error}"));
                Err(Left::Stopped)
            }
            // Where the device is full the committer meets that itself, and says so.
            _ => Ok(()),
        }
    }

    /// Trims every stream as far as cursors, state points and limits allow.
    fn trim(&self) -> Chore<()> {
        let now_ms = now_ms();
        let mut ids: Vec<(StreamId, Keep)> = {
            let mut tables = self.shared.tables();
            let moved = std::mem::take(&mut tables.trimmable);
            let rule = |id: StreamId| {
                self.shared
                    .options
                    .rule(&tables.streams[id as usize].name)
                    .keep
            };
            (0..tables.streams.len() as StreamId)
                .map(|id| (id, rule(id)))
                .filter(|(id, keep)| keep.is_set() || moved.contains(id))
                .collect()
        };
        let mut trimmed = false;
        while let Some((id, keep)) = ids.pop() {
            let mut tables = self.shared.tables();
            let before = tables.streams[id as usize].first;
            let more = tables.trim(id, keep, now_ms);
            trimmed |= tables.streams[id as usize].first != before;
            drop(tables);
            if more.map_err(|error| self.index_failed(&error))? {
                ids.push((id, keep));
            }
        }
        if trimmed && !self.shared.full_streams().is_empty() {
            // A stream without sinks is relieved by what was trimmed.
            self.push(Request::Retry);
        }
        self.shared.committed.send_modify(|_| ());
        Ok(())
    }

    /// Drops what is older than its stream's limit and was not acknowledged. (What was, is trimmed by `keep`.)
    fn drop_old(&self) -> Chore<()> {
        let rules = &self.shared.options.streams;
        if rules.iter().all(|rule| rule.limit.age.is_none()) {
            return Ok(());
        }
        let now_ms = now_ms();
        let count = self.shared.tables().streams.len() as StreamId;
        let mut ids: Vec<StreamId> = (0..count).collect();
        while let Some(id) = ids.pop() {
            let (stream, newest, more) = {
                let tables = self.shared.tables();
                let stream = &tables.streams[id as usize];
                let Some(age) = self.shared.options.rule(&stream.name).limit.age else {
                    continue;
                };
                let young = tables.young_from(id, age, now_ms);
                let (from, more) = young.map_err(|error| self.index_failed(&error))?;
                if from <= stream.acknowledged() + 1 {
                    continue;
                }
                (stream.name.clone(), from - 1, more)
            };
            self.ask(|reply| Request::DropTo {
                stream,
                newest,
                reply,
            })?;
            ids.extend(more.then_some(id));
        }
        Ok(())
    }

    /// Frees segments until none is worth it.
    fn free(&mut self, chores: Chores) -> Chore<()> {
        let (mut count, mut futile) = (self.shared.tables().segments.len(), 0);
        while let Some(id) = self.pick(chores.pressure) {
            self.clean(id)?;
            self.release(id)?;
            let now = self.shared.tables().segments.len();
            futile = if now < count { 0 } else { futile + 1 };
            count = count.min(now);
            if futile > FUTILE {
                // Live data is counted a little too low, or it would shrink by now. Not again before more has died.
                self.settled = self.shared.tables().garbage();
                // Nor now: what was acknowledged meanwhile is trimmed first, or this might go on for ever.
                break;
            }
        }
        if chores.drop && self.shared.full.load(Ordering::Relaxed) {
            if let Some(id) = self.pick_drop() {
                self.ask(|reply| Request::Drop { segment: id, reply })?;
                self.clean(id)?;
                self.release(id)?;
            }
        }
        if chores.pressure {
            self.push(Request::Retry);
        }
        Ok(())
    }

    /// The sealed segment that is freed with the least effort, if it is worth it.
    fn pick(&mut self, pressure: bool) -> Option<u64> {
        let shared = Arc::clone(&self.shared);
        let tables = shared.tables();
        let active = tables.end.segment;
        let segment_bytes = self.shared.options.segment_bytes;
        let live = |segment: &Segment| tables.live_events(segment) + segment.state_cost;
        let sealed = || {
            tables
                .segments
                .iter()
                .filter(|(id, segment)| **id != active && segment.sealed)
        };
        let idle = |segment: &Segment| live(segment) <= segment.end / 4;
        if let Some((id, _)) = sealed().find(|(_, segment)| idle(segment)) {
            return Some(*id);
        }
        let (enough, share) = if pressure {
            (segment_bytes, 90)
        } else {
            (4 * segment_bytes, 50)
        };
        let garbage = tables.garbage();
        self.settled = self.settled.min(garbage);
        if garbage < enough + self.settled {
            return None;
        }
        let effort = |segment: &Segment| live(segment) * 100 / segment.end.max(1);
        sealed()
            .map(|(id, segment)| (effort(segment), *id))
            .min()
            .filter(|(effort, _)| *effort <= share)
            .map(|(_, id)| id)
    }

    /// The oldest segment with events that may be dropped.
    fn pick_drop(&self) -> Option<u64> {
        let tables = self.shared.tables();
        let active = tables.end.segment;
        let droppable =
            |segment: &Segment| !tables.droppable(segment, &self.shared.options).is_empty();
        tables
            .segments
            .iter()
            .find(|(id, segment)| **id != active && droppable(segment))
            .map(|(id, _)| *id)
    }

    /// Where a segment ends, if anything in it is still live.
    fn live_end(&self, id: u64) -> Option<u64> {
        let tables = self.shared.tables();
        let segment = tables.segments.get(&id)?;
        let live = segment.state_cost != 0
            || segment.deleted != 0
            || segment.tails
            || tables.live_events(segment) != 0;
        live.then_some(segment.end)
    }

    /// Moves everything out of a segment that is still live.
    fn clean(&self, id: u64) -> Chore<()> {
        let Some(end) = self.live_end(id) else {
            return Ok(());
        };
        let fail = |reason: String| {
            self.shared.fail(&reason);
            Left::Stopped
        };
        let file = self
            .shared
            .dir
            .open(id)
            .map_err(|error| fail(format!("reading segment {id:016x} failed: {error}")))?;
        let mut scanner = Scanner::new(&file, id, HEADER_BYTES, end);
        let (mut records, mut bytes) = (Vec::new(), 0);
        loop {
            let next = scanner
                .next()
                .map_err(|error| fail(format!("reading segment {id:016x} failed: {error}")))?;
            let Next::Frame { offset, head, body } = next else {
                break;
            };
            if self.is_live(
                head.kind,
                body,
                Location {
                    segment: id,
                    offset,
                },
            )? {
                bytes += body.len() as u64;
                records.push(LiveRecord {
                    kind: head.kind,
                    offset,
                    body: body.to_vec(),
                });
            }
            if bytes >= PORTION {
                bytes = 0;
                let portion = std::mem::take(&mut records);
                self.ask(|reply| Request::Move {
                    segment: id,
                    records: portion,
                    reply,
                })?;
            }
        }
        if scanner.offset() != end {
            return Err(fail(format!(
                "segment {id:016x} is damaged at byte {}",
                scanner.offset()
            )));
        }
        if records.is_empty() {
            Ok(())
        } else {
            self.ask(|reply| Request::Move {
                segment: id,
                records,
                reply,
            })
        }
    }

    fn is_live(&self, kind: Kind, body: &[u8], at: Location) -> Chore<bool> {
        match self.shared.tables().live_parts(kind, body, at) {
            Ok(live) => Ok(!live.runs.is_empty() || !live.entries.is_empty()),
            Err(ApplyError::Index(error)) => Err(self.index_failed(&error)),
            Err(ApplyError::Damaged(reason)) => {
                self.shared.fail(&format!(
                    "segment {:016x} is damaged at byte {}: {reason}",
                    at.segment, at.offset
                ));
                Err(Left::Stopped)
            }
        }
    }

    /// Takes a segment out of the journal: first the record that says so, then its file.
    fn release(&mut self, id: u64) -> Chore<()> {
        // A stored index whose position is in no segment any more would have to be rebuilt at the next opening.
        if self.stored.mark.is_some_and(|mark| mark.end.segment <= id) {
            self.write_index()?;
        }
        self.ask(|reply| Request::Free { segment: id, reply })?;
        let keep_spare = self.shared.tables().segments.len() < self.shared.limits.all;
        let _taking = self
            .shared
            .spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.shared.dir.retire(id, keep_spare) {
            self.shared
                .fail(&format!("removing segment {id:016x} failed: {error}"));
            return Err(Left::Stopped);
        }
        Ok(())
    }

    fn push(&self, request: Request) {
        // A committer that has ended takes no more; the next chore is then to stop.
        drop(self.shared.queue.push(Command {
            request,
            permits: Vec::new(),
        }));
    }

    fn ask(&self, request: impl FnOnce(Reply<()>) -> Request) -> Chore<()> {
        let (reply, answer) = oneshot::channel();
        self.push(request(reply));
        match answer.blocking_recv() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(AppendError::Full)) => Err(Left::NoRoom),
            _ => Err(Left::Stopped),
        }
    }
}
