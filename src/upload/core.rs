//! The decisions of a sink, without any IO: `(state, input) → (state, actions)`.
//!
//! What the store holds of a stream is either known (it answered on this connection) or asked before anything is sent. An
//! unknown outcome makes it unknown again; nothing is ever guessed. One request of each stream and scope is under way at
//! most, so that order within it keeps itself.
//!
//! A record that the sink refuses for what it holds is found by halving the batch, offered alone a few times, and then put among
//! the dead letters; the store is told of it as dropped. State that it refuses waits, scope by scope, as a later value takes its
//! place (docs/adr/0021-dead-letters.md).
//!
//! Architecture Invariant: a cursor advances to what a store said it holds, and to nothing else. A record is passed only once it
//! is stored, told as dropped, or lies on disk among the dead letters.

use super::backoff::Backoff;
use super::breaker::Breaker;
use super::bucket::Bucket;
use super::lane::{Extent, Moment, StateLane, StreamLane};
use super::memory::Memory;
use super::options::SinkOptions;
use super::outcome::{BuryError, Outcome, StateOutcome, StoreId};
use super::status::{Halt, Loss};
use crate::types::{Revision, Scope, Sequence, StreamName};
use std::collections::BTreeMap;

/// What the core learns.
#[derive(Debug, Clone)]
pub(super) enum Input {
    /// The node with this index in the sink's list is connected.
    Up(usize),
    /// It is not, or no longer.
    Down(usize),
    /// Where these streams stand in the buffer.
    Streams(Vec<(StreamName, Extent)>),
    /// The state of these scopes may have changed.
    Scopes(Vec<Scope>),
    /// Answer to [`Action::Ask`], with a look at the buffer taken after it.
    Asked(StreamName, Extent, Outcome),
    /// Answer to [`Action::Send`], likewise, and how many bytes of payload were sent.
    Sent(StreamName, Extent, Outcome, u64),
    /// Answer to [`Action::SendState`], and how many bytes were sent.
    StateSent(Scope, StateOutcome, u64),
    /// Answer to [`Action::Bury`]: the record lies on disk among the dead letters, or why it does not.
    Buried(StreamName, Sequence, Result<(), BuryError>),
    /// Our own buffer failed.
    BufferFailed(String),
    /// Everything there is now, with the state at these revisions, shall be sent without waiting for more, and the store be
    /// asked whether it holds it.
    Drain(Vec<StateGoal>),
    /// The drain is over, done or not.
    DrainOver,
    /// Whatever is open, paused or halted shall be tried at once.
    Retry,
    /// One batch shall be tried at once where the breaker is open.
    Probe,
    /// Nothing but that time passed.
    Time,
}

/// What the shell shall do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Ask the node for the watermark.
    Ask(usize, StreamName),
    /// Send up to `limit` records and `bytes` behind `after`. Where that is above the watermark, what lies between was
    /// never this sink's or lies among the dead letters, and counts as dropped.
    Send {
        node: usize,
        stream: StreamName,
        watermark: Sequence,
        after: Sequence,
        limit: usize,
        bytes: usize,
    },
    /// Put this record among the dead letters, as the sink refused it so often with these words.
    Bury {
        stream: StreamName,
        seq: Sequence,
        reason: String,
        attempts: u32,
    },
    /// Send the changes of a scope, where there are any.
    SendState(usize, Scope),
    /// Send the whole of a scope, in place of whatever the store holds of it.
    SendWhole(usize, Scope),
    /// Remember for good which store acknowledges; before any advance.
    Remember(StoreId),
    /// The sink holds the stream up to here.
    Advance(StreamName, Sequence),
    /// The same for the first time: remember for good that it began behind `began`, then advance.
    Begin {
        stream: StreamName,
        began: Sequence,
        seq: Sequence,
    },
    /// The sink holds the state up to here.
    AdvanceState(Scope, Revision),
    /// Tell people.
    Tell(News),
}

/// What people are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// The store holds only so much of a stream of which it had acknowledged more, which it is given again.
    Back {
        stream: StreamName,
        held: Sequence,
        acknowledged: Sequence,
    },
    /// It holds only this revision of a scope of which it had acknowledged a later one, and is given the whole.
    StateBack {
        scope: Scope,
        held: Revision,
        acknowledged: Revision,
    },
    /// The sink refused the state of this scope so often with these words, so that the scope waits.
    Refused(Scope, String, u32),
    /// It takes it again.
    Taken(Scope),
}

/// A scope in a drain.
#[derive(Debug, Clone)]
pub(super) struct StateGoal {
    pub(super) scope: Scope,
    /// Its revision when the drain began.
    pub(super) rev: Revision,
    /// What the store had acknowledged of it by then.
    pub(super) held: Revision,
}

/// The state of a sink.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) options: SinkOptions,
    pub(super) up: Vec<bool>,
    pub(super) preferred: usize,
    pub(super) target: Option<usize>,
    pub(super) store: Option<StoreId>,
    /// Where the sink began in each stream of which the store ever acknowledged something.
    pub(super) began: BTreeMap<StreamName, Sequence>,
    pub(super) streams: BTreeMap<StreamName, StreamLane>,
    pub(super) scopes: BTreeMap<Scope, StateLane>,
    pub(super) under_way: usize,
    pub(super) breaker: Breaker,
    pub(super) bucket: Option<Bucket>,
    pub(super) error: Option<String>,
    pub(super) halt: Option<Halt>,
    pub(super) draining: bool,
    pub(super) drain: u64,
    pub(super) goals: BTreeMap<StreamName, Sequence>,
    pub(super) state_goals: Vec<StateGoal>,
    pub(super) acknowledged: u64,
    pub(super) turn: usize,
}

impl Core {
    /// A sink before it has seen anything, with what it remembers from before.
    pub(super) fn new(options: SinkOptions, memory: impl Into<Memory>, seed: u64) -> Self {
        let Memory { store, began } = memory.into();
        Self {
            up: vec![false; options.to.count()],
            preferred: 0,
            target: None,
            store,
            began,
            streams: BTreeMap::new(),
            scopes: BTreeMap::new(),
            under_way: 0,
            breaker: Breaker::new(
                options.breaker,
                Backoff::new(options.pause_min, options.pause_max, seed),
                seed,
            ),
            bucket: options.max_bytes_per_second.map(Bucket::new),
            error: None,
            halt: None,
            draining: false,
            drain: 0,
            goals: BTreeMap::new(),
            state_goals: Vec::new(),
            acknowledged: 0,
            turn: 0,
            options,
        }
    }

    /// Takes in what happened and says what to do.
    pub(super) fn handle(&mut self, now: Moment, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        self.breaker.tick(now);
        match input {
            Input::Up(node) => self.connection(node, true),
            Input::Down(node) => self.connection(node, false),
            Input::Streams(seen) => {
                for (stream, extent) in seen {
                    self.lane(&stream, extent).see(extent, now);
                }
            }
            Input::Scopes(scopes) => {
                for scope in scopes {
                    self.scopes
                        .entry(scope)
                        .or_default()
                        .dirty
                        .get_or_insert(now);
                }
            }
            Input::Asked(stream, extent, outcome) => {
                self.answered(now, &stream, extent, outcome, None, &mut actions);
            }
            Input::Sent(stream, extent, outcome, bytes) => {
                self.answered(now, &stream, extent, outcome, Some(bytes), &mut actions);
            }
            Input::StateSent(scope, outcome, bytes) => {
                self.state_answered(now, &scope, outcome, bytes, &mut actions);
            }
            Input::Buried(stream, seq, outcome) => self.buried(&stream, seq, outcome),
            Input::BufferFailed(reason) => self.halt_with(Halt::Buffer(reason)),
            Input::Drain(revisions) => self.begin_drain(now, revisions),
            Input::DrainOver => self.draining = false,
            Input::Retry => self.retry(),
            Input::Probe => self.breaker.probe(),
            Input::Time => {}
        }
        self.plan(now, &mut actions);
        actions
    }

    pub(super) fn lane(&mut self, stream: &StreamName, extent: Extent) -> &mut StreamLane {
        let limit = self.options.batch_records;
        self.streams
            .entry(stream.clone())
            .or_insert_with(|| StreamLane::new(extent, limit))
    }

    fn connection(&mut self, node: usize, up: bool) {
        if self.up[node] == up {
            return;
        }
        self.up[node] = up;
        if self.target.is_none_or(|target| target == node) {
            self.retarget();
        }
    }

    /// Picks the next connected node, from the preferred one on. What another node's store holds is asked anew.
    pub(super) fn retarget(&mut self) {
        let count = self.options.to.count();
        self.target = (0..count)
            .map(|step| (self.preferred + step) % count)
            .find(|&node| self.up[node]);
        for lane in self.streams.values_mut() {
            lane.watermark = None;
        }
    }

    /// Closes the breaker and lifts a halt; whatever was checked is checked anew, so that a halt with a reason comes back.
    fn retry(&mut self) {
        self.breaker.close();
        if matches!(self.halt, Some(Halt::Buffer(_))) {
            return;
        }
        self.halt = None;
        self.error = None;
        for lane in self.streams.values_mut() {
            lane.retry_at = Moment::ZERO;
        }
        for lane in self.scopes.values_mut() {
            lane.retry_at = Moment::ZERO;
        }
        self.retarget();
    }

    /// An operator gives up what the sink halted over: it goes on behind that, and tells the store that it is missing on purpose.
    pub(super) fn accept_loss(&mut self) -> Option<Loss> {
        let Some(Halt::Lost {
            stream, from, to, ..
        }) = &self.halt
        else {
            return None;
        };
        let loss = Loss {
            stream: stream.clone(),
            from: *from,
            to: *to,
        };
        let lane = self.streams.get_mut(&loss.stream)?;
        lane.give_up(loss.from, loss.to);
        Some(loss)
    }

    fn begin_drain(&mut self, now: Moment, revisions: Vec<StateGoal>) {
        self.draining = true;
        self.drain += 1;
        self.state_goals = revisions;
        self.goals = self
            .streams
            .iter()
            .map(|(stream, lane)| (stream.clone(), lane.extent.last))
            .collect();
        for lane in self.scopes.values_mut() {
            lane.dirty.get_or_insert(now);
            lane.retry_at = Moment::ZERO;
        }
    }

    /// Stops for good; the first reason stays.
    pub(super) fn halt_with(&mut self, halt: Halt) {
        if self.halt.is_none() {
            self.error = Some(halt.to_string());
            self.halt = Some(halt);
        }
    }
}
