//! The way into the committer: a queue whose bound is kept by permits that each command carries.

use crate::buffer::AppendError;
use crate::buffer::journal::frame::Kind;
use crate::buffer::model::{Appended, Change, Committed, Producer, SessionBatch};
use crate::types::{Epoch, Payload, Revision, Scope, Sequence, SinkName, StreamName, Token};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// The answer to a command, sent once it is durable.
pub(in crate::buffer) type Reply<T> = oneshot::Sender<Result<T, AppendError>>;

/// What the committer does.
pub(in crate::buffer) enum Request {
    Append {
        stream: StreamName,
        payloads: Vec<Payload>,
        producer: Option<Producer>,
        reply: Reply<Appended>,
    },
    Batch {
        batch: SessionBatch,
        reply: Reply<Committed>,
    },
    Change {
        scope: Scope,
        changes: Vec<Change>,
        reply: Reply<Revision>,
    },
    Activate {
        scope: Scope,
        token: Token,
        reply: Reply<Epoch>,
    },
    Forget {
        sink: SinkName,
        reply: Reply<()>,
    },
    /// Live data of a segment, from the keeper.
    Move {
        segment: u64,
        records: Vec<LiveRecord>,
        reply: Reply<()>,
    },
    /// Events in a segment are dropped, as far as their streams' rules allow.
    Drop {
        segment: u64,
        reply: Reply<()>,
    },
    /// Events of a stream up to one are dropped.
    DropTo {
        stream: StreamName,
        newest: Sequence,
        reply: Reply<()>,
    },
    /// A segment is not needed any more.
    Free {
        segment: u64,
        reply: Reply<()>,
    },
    /// There may be space again for what waits.
    Retry,
    /// Ends the committer after all that came before.
    Close {
        reply: Reply<()>,
    },
}

/// A record of which something is still live.
pub(in crate::buffer) struct LiveRecord {
    pub kind: Kind,
    pub offset: u64,
    pub body: Vec<u8>,
}

/// A request and the permits that bound how many there can be.
pub(in crate::buffer) struct Command {
    pub request: Request,
    pub permits: Vec<OwnedSemaphorePermit>,
}

/// The committer has ended.
pub(in crate::buffer) struct Closed;

#[derive(Default)]
struct Inner {
    commands: VecDeque<Command>,
    nudged: bool,
    closed: bool,
}

/// See the module.
#[derive(Default)]
pub(in crate::buffer) struct Queue {
    inner: Mutex<Inner>,
    changed: Condvar,
    /// A command waits.
    filled: AtomicBool,
}

impl Queue {
    /// Adds a command; drops it where the committer has ended.
    pub fn push(&self, command: Command) -> Result<(), Closed> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.closed {
            return Err(Closed);
        }
        inner.commands.push_back(command);
        self.filled.store(true, Ordering::Relaxed);
        self.changed.notify_one();
        Ok(())
    }

    /// Wakes the committer to look at the cursors.
    pub fn nudge(&self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if !inner.nudged {
            inner.nudged = true;
            self.changed.notify_one();
        }
    }

    /// Stays awake until a command waits, at most for so long.
    pub fn linger(&self, at_most: Duration) {
        let began = Instant::now();
        while !self.filled.load(Ordering::Relaxed) && began.elapsed() < at_most {
            std::hint::spin_loop();
        }
    }

    /// Takes all commands into `out`. Waits for one (or a nudge), at most for `timeout`. True where it was nudged.
    pub fn take(&self, out: &mut VecDeque<Command>, timeout: Option<Duration>) -> bool {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |inner: &mut Inner| inner.commands.is_empty() && !inner.nudged;
        let mut inner = match timeout {
            None => self
                .changed
                .wait_while(inner, idle)
                .unwrap_or_else(PoisonError::into_inner),
            Some(timeout) => {
                self.changed
                    .wait_timeout_while(inner, timeout, idle)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        };
        self.filled.store(false, Ordering::Relaxed);
        out.append(&mut inner.commands);
        std::mem::take(&mut inner.nudged)
    }

    /// Waits for a request to close, at most for `timeout`. True where there is one.
    pub fn closing(&self, timeout: Duration) -> bool {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let closing = |inner: &Inner| {
            let mut commands = inner.commands.iter();
            commands.any(|command| matches!(command.request, Request::Close { .. }))
        };
        let (inner, _) = self
            .changed
            .wait_timeout_while(inner, timeout, |inner| !closing(inner))
            .unwrap_or_else(PoisonError::into_inner);
        closing(&inner)
    }

    /// Takes no more; gives what was left.
    pub fn close(&self) -> VecDeque<Command> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.closed = true;
        std::mem::take(&mut inner.commands)
    }
}

impl Command {
    /// Refuses the command.
    pub fn refuse(self, error: AppendError) {
        // A caller that left does not want its answer.
        match self.request {
            Request::Append { reply, .. } => drop(reply.send(Err(error))),
            Request::Batch { reply, .. } => drop(reply.send(Err(error))),
            Request::Change { reply, .. } | Request::Activate { reply, .. } => {
                drop(reply.send(Err(error)));
            }
            Request::Forget { reply, .. }
            | Request::Move { reply, .. }
            | Request::Drop { reply, .. }
            | Request::DropTo { reply, .. }
            | Request::Free { reply, .. }
            | Request::Close { reply } => drop(reply.send(Err(error))),
            Request::Retry => {}
        }
    }
}
