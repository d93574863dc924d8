//! Requests that wait: for space, or because a stream is at its limit. They wait in order, and nothing that must come after
//! one of them overtakes it.

use super::queue::{Command, Request};
use super::room::Class;
use super::{Admitted, Committer, Halt};
use crate::buffer::AppendError;
use crate::buffer::options::WhenFull;
use crate::types::{Scope, StreamName};
use std::collections::{HashSet, VecDeque};
use std::sync::atomic::Ordering;
use std::time::Instant;

/// See the module.
#[derive(Default)]
pub(super) struct Waiting {
    commands: VecDeque<Command>,
    /// Something waits for space, so that no event may overtake it.
    for_space: bool,
    /// Streams at whose limit something waits.
    streams: HashSet<StreamName>,
    /// Sessions of which a batch waits.
    scopes: HashSet<Scope>,
}

impl Waiting {
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    pub fn for_space(&self) -> bool {
        self.for_space
    }

    /// Whether something waits at the limit of this stream.
    pub fn holds(&self, stream: &StreamName) -> bool {
        self.streams.contains(stream)
    }

    /// A request that must not overtake another.
    pub fn push(&mut self, command: Command) {
        if let Request::Batch { batch, .. } = &command.request {
            self.scopes.insert(batch.scope.clone());
        }
        self.commands.push_back(command);
    }

    /// A request for which these streams have no room.
    pub fn push_at_limit(&mut self, command: Command, streams: Vec<StreamName>) {
        self.streams.extend(streams);
        self.push(command);
    }

    fn push_for_space(&mut self, command: Command) {
        self.for_space = true;
        self.push(command);
    }

    /// Takes all.
    pub fn take(&mut self) -> VecDeque<Command> {
        std::mem::take(self).commands
    }
}

impl Committer {
    /// Whether a request would overtake one that waits: for space any event, at a stream's limit an event of that stream, and
    /// anything of the same session.
    pub(super) fn must_wait(&self, request: &Request) -> bool {
        if self.waiting.is_empty() {
            return false;
        }
        let Waiting {
            for_space,
            streams,
            scopes,
            ..
        } = &self.waiting;
        match request {
            Request::Append { stream, .. } => {
                streams.contains(stream)
                    || (*for_space
                        && self.shared.options.rule(stream).when_full != WhenFull::Reject)
            }
            Request::Batch { batch, .. } => {
                (*for_space && !batch.events.is_empty())
                    || scopes.contains(&batch.scope)
                    || batch
                        .events
                        .iter()
                        .any(|(stream, _)| streams.contains(stream))
            }
            _ => false,
        }
    }

    /// Lets everything go on that can.
    pub(super) fn retry_waiting(&mut self) -> Result<(), Halt> {
        self.retried = Instant::now();
        let mut again = self.waiting.take();
        while let Some(command) = again.pop_front() {
            if self.must_wait(&command.request) {
                self.waiting.push(command);
                continue;
            }
            match self.admit(command)? {
                Admitted::Yes => {}
                Admitted::AtLimit(command, streams) => self.waiting.push_at_limit(command, streams),
                Admitted::NoRoom(command) => {
                    self.pressure(&command);
                    self.waiting.push_for_space(command);
                    again
                        .drain(..)
                        .for_each(|command| self.waiting.push(command));
                    return Ok(());
                }
            }
        }
        self.look_at_limits();
        if self.shared.full.load(Ordering::Relaxed)
            && self.may_roll(Class::Events)
            && self.prepare()?
        {
            self.shared.set_full(false, "");
        }
        Ok(())
    }

    /// A request met a full buffer.
    pub(super) fn no_room(&mut self, command: Command) {
        self.shared
            .set_full(true, "max_bytes or the device is used up");
        self.pressure(&command);
        let rule = |stream| self.shared.options.rule(stream).when_full;
        let waits = match &command.request {
            Request::Append { stream, .. } => rule(stream) != WhenFull::Reject,
            Request::Batch { batch, .. } => batch
                .events
                .iter()
                .all(|(stream, _)| rule(stream) != WhenFull::Reject),
            Request::Activate { .. } => true,
            _ => false,
        };
        if waits {
            self.waiting.push_for_space(command);
        } else {
            command.refuse(AppendError::Full);
        }
    }

    /// Asks the keeper for space.
    fn pressure(&self, command: &Command) {
        let drops = |stream| self.shared.options.rule(stream).when_full == WhenFull::DropOldest;
        let drop = match &command.request {
            Request::Append { stream, .. } => drops(stream),
            Request::Batch { batch, .. } => batch.events.iter().any(|(stream, _)| drops(stream)),
            _ => false,
        };
        self.shared.ask(|chores| {
            chores.pressure = true;
            chores.drop |= drop;
        });
    }
}
