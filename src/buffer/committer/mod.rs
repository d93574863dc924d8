//! The committer: one thread that numbers, writes, syncs, applies, and only then answers.
//!
//! It takes everything that waits, so that all producers share one `fdatasync`; when nothing waits a lone request is
//! written at once. Requests for which there is no room wait here, in order, without holding up the others.

mod durable;
mod limits;
mod plan;
pub(in crate::buffer) mod queue;
mod room;
mod serve;
mod waiting;

use self::limits::{Fit, Limits};
use self::plan::{Heads, Planner, Updates};
use self::queue::{Command, Reply, Request};
use self::room::Class;
use self::waiting::Waiting;
use crate::buffer::AppendError;
use crate::buffer::journal::facts::Fact;
use crate::buffer::journal::segment::HEADER_BYTES;
use crate::buffer::journal::writer::{Group, Journal};
use crate::buffer::model::{Appended, Committed};
use crate::buffer::shared::Shared;
use crate::buffer::tables::ApplyError;
use crate::types::{Epoch, Revision, StreamName, now_ms};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;

/// A group is written once it is this large.
const GROUP_BYTES: u64 = 4 << 20;
/// Cursors wait this long for a group to travel with.
const CURSOR_WAIT: Duration = Duration::from_millis(50);
/// After a commit the committer stays awake for so long: a producer that waited for it sends its next one about now, and to be
/// woken takes longer than that.
const LINGER: Duration = Duration::from_micros(25);
/// What waits for space is tried again this often at the latest.
const RETRY: Duration = Duration::from_millis(250);
/// The keeper prepares the next segment once this part of the active one is used.
const SPARE_AT: u64 = 2;

/// The committer ends.
pub(in crate::buffer) enum Halt {
    /// It was asked to, or could not begin for want of space.
    Closed,
    /// It must not go on.
    Failed(String),
}

impl From<ApplyError> for Halt {
    fn from(error: ApplyError) -> Self {
        Self::Failed(format!(
            "a record that was just written cannot be applied: {error}"
        ))
    }
}

/// An answer that waits for its group.
enum Answer {
    Appended(Reply<Appended>, Appended),
    Committed(Reply<Committed>, Committed),
    Revision(Reply<Revision>, Revision),
    Epoch(Reply<Epoch>, Epoch),
    Done(Reply<()>),
}

impl Answer {
    /// Tells the caller, if it still waits.
    fn send(self, outcome: &Result<(), AppendError>) {
        fn to<T>(reply: Reply<T>, value: T, outcome: &Result<(), AppendError>) {
            drop(reply.send(outcome.clone().map(|()| value)));
        }
        match self {
            Self::Appended(reply, value) => to(reply, value, outcome),
            Self::Committed(reply, value) => to(reply, value, outcome),
            Self::Revision(reply, value) | Self::Epoch(reply, value) => to(reply, value, outcome),
            Self::Done(reply) => to(reply, (), outcome),
        }
    }
}

/// See the module.
pub(in crate::buffer) struct Committer {
    pub(in crate::buffer) shared: Arc<Shared>,
    pub(in crate::buffer) journal: Journal,
    pub(in crate::buffer) group: Group,
    heads: Heads,
    answers: Vec<(Answer, Vec<OwnedSemaphorePermit>)>,
    waiting: Waiting,
    limits: Limits,
    cursors_due: Option<Instant>,
    /// Something was committed in this round.
    committed: bool,
    /// When it was last tried whether there is space again.
    retried: Instant,
    /// Nobody can ask for anything yet.
    opening: bool,
    /// The first record of the group is a checkpoint, which states what the tables hold anyway.
    pub(in crate::buffer) checkpointed: bool,
}

/// What became of a request.
enum Admitted {
    /// It is in the group, or answered.
    Yes,
    /// There is no room for it now.
    NoRoom(Command),
    /// These streams are at their limit.
    AtLimit(Command, Vec<StreamName>),
}

impl Committer {
    /// A committer that goes on where recovery ended.
    pub fn new(shared: Arc<Shared>, journal: Journal) -> Self {
        Self {
            shared,
            journal,
            group: Group::default(),
            heads: Heads::default(),
            answers: Vec::new(),
            waiting: Waiting::default(),
            limits: Limits::default(),
            cursors_due: None,
            committed: false,
            retried: Instant::now(),
            opening: true,
            checkpointed: false,
        }
    }

    /// Writes what opening has to say, before anyone else writes.
    pub fn start(&mut self, facts: &[Fact], sealed: bool) -> Result<bool, Halt> {
        if sealed && !self.begin_next()? {
            return Ok(false);
        }
        if self.journal.at.offset == HEADER_BYTES {
            self.checkpoint();
        }
        if !self.upkeep(facts)? {
            return Ok(false);
        }
        self.flush()?;
        self.opening = false;
        Ok(true)
    }

    /// Works until the buffer is closed or has to stop.
    pub fn run(mut self) {
        let halt = loop {
            if let Err(halt) = self.round() {
                break halt;
            }
        };
        let reason = match halt {
            Halt::Closed => {
                let closed = "it was closed".to_owned();
                self.shared.stopped.send_if_modified(|stopped| {
                    stopped.is_none() && stopped.insert(closed.clone()) == &closed
                });
                closed
            }
            Halt::Failed(reason) => {
                self.shared.fail(&reason);
                reason
            }
        };
        let error = AppendError::Stopped(reason);
        self.answer(&Err(error.clone()));
        for command in self
            .waiting
            .take()
            .into_iter()
            .chain(self.shared.queue.close())
        {
            command.refuse(error.clone());
        }
        self.shared.ask(|chores| chores.stop = true);
    }

    fn round(&mut self) -> Result<(), Halt> {
        let mut inbox = VecDeque::new();
        let due = self
            .cursors_due
            .map(|due| due.saturating_duration_since(Instant::now()));
        let full = self.waiting.for_space() || self.shared.full.load(Ordering::Relaxed);
        let retry = full.then_some(RETRY);
        let timeout = [due, retry].into_iter().flatten().min();
        if std::mem::take(&mut self.committed) {
            self.shared.queue.linger(LINGER);
        }
        let nudged = self.shared.queue.take(&mut inbox, timeout);
        if nudged && self.cursors_due.is_none() {
            self.cursors_due = Some(Instant::now() + CURSOR_WAIT);
        }
        if inbox.is_empty()
            || (nudged && (!self.waiting.is_empty() || self.limits.any_full()))
            || (full && self.retried.elapsed() >= RETRY)
            || inbox
                .iter()
                .any(|command| matches!(command.request, Request::Retry))
        {
            self.retry_waiting()?;
        }
        for command in inbox {
            self.take(command)?;
            if self.group.len() >= GROUP_BYTES {
                self.flush()?;
            }
        }
        let due = self.cursors_due.is_some_and(|due| due <= Instant::now());
        if !self.group.is_empty() || due {
            self.cursors()?;
        }
        self.flush()
    }

    fn take(&mut self, command: Command) -> Result<(), Halt> {
        if self.must_wait(&command.request) {
            self.waiting.push(command);
            return Ok(());
        }
        match self.admit(command)? {
            Admitted::Yes => {}
            Admitted::NoRoom(command) => self.no_room(command),
            Admitted::AtLimit(command, streams) => self.waiting.push_at_limit(command, streams),
        }
        Ok(())
    }

    fn admit(&mut self, command: Command) -> Result<Admitted, Halt> {
        let class = match &command.request {
            Request::Append { .. } => Class::Events,
            Request::Batch { batch, .. } if !batch.events.is_empty() => Class::Events,
            _ => Class::State,
        };
        let Command { request, permits } = command;
        match request {
            Request::Append {
                stream,
                payloads,
                producer,
                reply,
            } => {
                let planned = self.plan(class, |planner, group| {
                    planner.append(group, &stream, &payloads, producer.as_ref())
                })?;
                let again = |reply| Request::Append {
                    stream,
                    payloads,
                    producer,
                    reply,
                };
                Ok(self.settle(planned, reply, permits, Answer::Appended, again))
            }
            Request::Batch { batch, reply } => {
                let planned = self.plan(class, |planner, group| planner.batch(group, &batch))?;
                Ok(
                    self.settle(planned, reply, permits, Answer::Committed, |reply| {
                        Request::Batch { batch, reply }
                    }),
                )
            }
            Request::Change {
                scope,
                changes,
                reply,
            } => {
                let planned = self.plan(class, |planner, group| {
                    planner.change(group, &scope, &changes)
                })?;
                Ok(
                    self.settle(planned, reply, permits, Answer::Revision, |reply| {
                        Request::Change {
                            scope,
                            changes,
                            reply,
                        }
                    }),
                )
            }
            Request::Activate {
                scope,
                token,
                reply,
            } => {
                let planned = self.plan(class, |planner, group| {
                    planner.activate(group, &scope, &token)
                })?;
                Ok(
                    self.settle(planned, reply, permits, Answer::Epoch, |reply| {
                        Request::Activate {
                            scope,
                            token,
                            reply,
                        }
                    }),
                )
            }
            other => self.serve(other).map(|()| Admitted::Yes),
        }
    }

    fn settle<T>(
        &mut self,
        planned: Planned<T>,
        reply: Reply<T>,
        permits: Vec<OwnedSemaphorePermit>,
        answer: impl FnOnce(Reply<T>, T) -> Answer,
        again: impl FnOnce(Reply<T>) -> Request,
    ) -> Admitted {
        match planned {
            Planned::Accepted(value) => self.answers.push((answer(reply, value), permits)),
            Planned::Refused(error) => drop(reply.send(Err(error))),
            Planned::NoRoom => {
                return Admitted::NoRoom(Command {
                    request: again(reply),
                    permits,
                });
            }
            Planned::AtLimit(streams) => {
                let request = again(reply);
                return Admitted::AtLimit(Command { request, permits }, streams);
            }
        }
        Admitted::Yes
    }

    /// Plans until the records have room: in this group, in the next, or in the next segment.
    fn plan<T>(
        &mut self,
        class: Class,
        mut plan: impl FnMut(&Planner<'_>, &mut Group) -> Result<(T, Updates), AppendError>,
    ) -> Result<Planned<T>, Halt> {
        loop {
            let (count, before) = (self.group.count(), self.group.len());
            let planned = {
                let tables = self.shared.tables();
                let now_ms = now_ms().max(tables.clock);
                plan(
                    &Planner {
                        tables: &tables,
                        heads: &self.heads,
                        options: &self.shared.options,
                        now_ms,
                    },
                    &mut self.group,
                )
            };
            let (value, mut updates) = match planned {
                Ok(planned) => planned,
                Err(error) => {
                    self.group.truncate(count);
                    return Ok(Planned::Refused(error));
                }
            };
            let (bytes, limit) = (self.group.len() - before, self.journal.max_record());
            if bytes > limit {
                self.group.truncate(count);
                return Ok(Planned::Refused(AppendError::TooLarge { bytes, limit }));
            }
            match self.within_limits(&mut updates)? {
                Fit::Fits => {}
                Fit::GroupFirst => {
                    self.group.truncate(count);
                    self.flush()?;
                    continue;
                }
                Fit::Refused(error) => {
                    self.group.truncate(count);
                    return Ok(Planned::Refused(error));
                }
                Fit::AtLimit(streams) => {
                    self.group.truncate(count);
                    return Ok(Planned::AtLimit(streams));
                }
            }
            let added = self.group.len() - before;
            if added == 0 || (self.may_use(class) && self.journal.fits(self.group.len())) {
                self.heads.accept(updates);
                return Ok(Planned::Accepted(value));
            }
            self.group.truncate(count);
            if self.journal.fits(before + added) || !self.make_room(class, added)? {
                return Ok(Planned::NoRoom);
            }
        }
    }

    /// Adds the cursors that moved since.
    pub(in crate::buffer) fn cursors(&mut self) -> Result<(), Halt> {
        self.cursors_due = None;
        let facts = self.shared.tables().dirty_cursors();
        if !facts.is_empty() && !self.upkeep(&facts)? {
            // They are only behind; the next round tries again.
            self.shared.tables().redirty(&facts);
            self.cursors_due = Some(Instant::now() + RETRY);
        }
        Ok(())
    }

    /// Writes the group, makes it durable, lets it take effect, answers.
    pub(in crate::buffer) fn flush(&mut self) -> Result<(), Halt> {
        if !self.group.is_empty() {
            self.write()?;
            let mut tables = self.shared.tables();
            let base = tables.end;
            debug_assert_eq!(
                base.segment, self.journal.at.segment,
                "a group lies in the active segment"
            );
            for (n, (kind, body, at, end)) in self.group.records(base).enumerate() {
                if n == 0 && self.checkpointed {
                    tables.extend_to(at.segment, end);
                } else {
                    tables.apply(kind, body, at, end)?;
                }
            }
            self.checkpointed = false;
            tables.commit = self.journal.commit;
            let trim = !tables.trimmable.is_empty();
            let index_now = tables.index.pending() > crate::buffer::keeper::INDEX_ENTRIES;
            drop(tables);
            // Those who wait come first; all that follows wakes others.
            self.answer(&Ok(()));
            let spare = self.journal.at.offset > self.shared.options.segment_bytes / SPARE_AT;
            self.shared.ask(|chores| {
                chores.trim |= trim;
                chores.spare |= spare;
                chores.index = true;
                chores.index_now |= index_now;
            });
            self.group.clear();
            self.heads.clear();
            self.shared.committed.send_replace(self.journal.commit);
            self.committed = true;
        }
        self.answer(&Ok(()));
        Ok(())
    }

    /// Answers everything that waited for the group.
    fn answer(&mut self, outcome: &Result<(), AppendError>) {
        self.answers
            .drain(..)
            .for_each(|(answer, _permits)| answer.send(outcome));
    }

    /// Answers a request that has no plan, once it is durable.
    pub(in crate::buffer) fn done(&mut self, reply: Reply<()>) {
        self.answers.push((Answer::Done(reply), Vec::new()));
    }
}

enum Planned<T> {
    Accepted(T),
    Refused(AppendError),
    NoRoom,
    AtLimit(Vec<StreamName>),
}
