//! The decisions of a sink, without any IO: `(state, input) → (state, actions)`.
//!
//! What the store holds of a stream is either known (it answered on this connection) or asked before anything is sent. An
//! unknown outcome makes it unknown again; nothing is ever guessed. One request of each stream and scope is under way at
//! most, so that order within it keeps itself.
//!
//! Architecture Invariant: a cursor advances to what a store said it holds, and to nothing else.

use super::backoff::Backoff;
use super::lane::{Extent, Moment, StateLane, StreamLane};
use super::options::SinkOptions;
use super::outcome::{Failure, Outcome, StateOutcome, StoreId};
use super::status::Halt;
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
    /// Answer to [`Action::Send`], likewise.
    Sent(StreamName, Extent, Outcome),
    /// Answer to [`Action::SendState`].
    StateSent(Scope, StateOutcome),
    /// Our own buffer failed.
    BufferFailed(String),
    /// Everything there is now shall be sent without waiting for more.
    Drain,
    /// The drain is over, done or not.
    DrainOver,
    /// Nothing but that time passed.
    Time,
}

/// What the shell shall do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Ask the node for the watermark.
    Ask(usize, StreamName),
    /// Send up to `limit` records behind `after`. Where that is above the watermark, what lies between was never this
    /// sink's, and counts as dropped.
    Send {
        node: usize,
        stream: StreamName,
        watermark: Sequence,
        after: Sequence,
        limit: usize,
    },
    /// Send the changes of a scope, where there are any.
    SendState(usize, Scope),
    /// Remember for good which store acknowledges; before any advance.
    Remember(StoreId),
    /// The sink holds the stream up to here.
    Advance(StreamName, Sequence),
    /// The sink holds the state up to here.
    AdvanceState(Scope, Revision),
}

/// The state of a sink.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) options: SinkOptions,
    pub(super) up: Vec<bool>,
    preferred: usize,
    pub(super) target: Option<usize>,
    pub(super) store: Option<StoreId>,
    pub(super) streams: BTreeMap<StreamName, StreamLane>,
    pub(super) scopes: BTreeMap<Scope, StateLane>,
    pub(super) under_way: usize,
    pub(super) backoff: Backoff,
    pub(super) paused_until: Moment,
    pub(super) error: Option<String>,
    pub(super) halt: Option<Halt>,
    pub(super) draining: bool,
    pub(super) drain: u64,
    pub(super) goals: BTreeMap<StreamName, Sequence>,
    pub(super) acknowledged: u64,
    pub(super) turn: usize,
}

impl Core {
    /// A sink before it has seen anything; `store` is what it remembers from before.
    pub(super) fn new(options: SinkOptions, store: Option<StoreId>, seed: u64) -> Self {
        Self {
            up: vec![false; options.to.count()],
            preferred: 0,
            target: None,
            store,
            streams: BTreeMap::new(),
            scopes: BTreeMap::new(),
            under_way: 0,
            backoff: Backoff::new(options.pause_min, options.pause_max, seed),
            paused_until: Moment::ZERO,
            error: None,
            halt: None,
            draining: false,
            drain: 0,
            goals: BTreeMap::new(),
            acknowledged: 0,
            turn: 0,
            options,
        }
    }

    /// Takes in what happened and says what to do.
    pub(super) fn handle(&mut self, now: Moment, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
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
                self.answered(now, &stream, extent, outcome, false, &mut actions);
            }
            Input::Sent(stream, extent, outcome) => {
                self.answered(now, &stream, extent, outcome, true, &mut actions);
            }
            Input::StateSent(scope, outcome) => {
                self.state_answered(now, &scope, outcome, &mut actions);
            }
            Input::BufferFailed(reason) => self.halt_with(Halt::Buffer(reason)),
            Input::Drain => self.begin_drain(now),
            Input::DrainOver => self.draining = false,
            Input::Time => {}
        }
        self.plan(now, &mut actions);
        actions
    }

    fn lane(&mut self, stream: &StreamName, extent: Extent) -> &mut StreamLane {
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
    fn retarget(&mut self) {
        let count = self.options.to.count();
        self.target = (0..count)
            .map(|step| (self.preferred + step) % count)
            .find(|&node| self.up[node]);
        for lane in self.streams.values_mut() {
            lane.watermark = None;
        }
    }

    fn begin_drain(&mut self, now: Moment) {
        self.draining = true;
        self.drain += 1;
        self.goals = self
            .streams
            .iter()
            .map(|(stream, lane)| (stream.clone(), lane.extent.last))
            .collect();
        for lane in self.scopes.values_mut() {
            lane.dirty.get_or_insert(now);
        }
    }

    fn answered(
        &mut self,
        now: Moment,
        stream: &StreamName,
        extent: Extent,
        outcome: Outcome,
        sent: bool,
        actions: &mut Vec<Action>,
    ) {
        self.under_way = self.under_way.saturating_sub(1);
        let lane = self.lane(stream, extent);
        lane.busy = false;
        lane.see(extent, now);
        match outcome {
            Outcome::Stored { store, watermark } => {
                let stuck = sent && lane.watermark == Some(watermark);
                if !self.same_store(store, actions) {
                } else if stuck {
                    self.failed(
                        now,
                        Failure::NotDone("the sink stored nothing".to_owned()),
                        "",
                    );
                } else {
                    self.succeeded();
                    self.holds(now, stream, watermark, actions);
                }
            }
            // It says again what was known when this was sent: sending again would meet the same answer.
            Outcome::Gap { watermark } if lane.watermark == Some(watermark) => {
                let (from, to) = (watermark + 1, lane.next.max(lane.extent.first) - 1);
                let stream = stream.clone();
                self.halt_with(Halt::Lost { stream, from, to });
            }
            Outcome::Gap { watermark } => self.holds(now, stream, watermark, actions),
            Outcome::Failed(Failure::Refused(_)) if sent && lane.tried() > 1 => {
                lane.limit = (lane.tried() / 2) as usize;
            }
            Outcome::Failed(failure) => self.failed(now, failure, &format!("stream {stream}")),
        }
    }

    /// The store said what it holds of a stream.
    fn holds(
        &mut self,
        now: Moment,
        stream: &StreamName,
        watermark: Sequence,
        actions: &mut Vec<Action>,
    ) {
        let Some(lane) = self.streams.get_mut(stream) else {
            return;
        };
        let Extent {
            cursor,
            first,
            last,
            ..
        } = lane.extent;
        if watermark > last {
            let stream = stream.clone();
            return self.halt_with(Halt::BeyondEnd {
                stream,
                watermark,
                last,
            });
        }
        if watermark > 0 && watermark < cursor && watermark + 1 < first {
            let (from, to) = (watermark + 1, first - 1);
            return self.halt_with(Halt::Lost {
                stream: stream.clone(),
                from,
                to,
            });
        }
        // A store that never saw the stream gets it from where this sink began; else it goes on where the store stands.
        let held = if watermark == 0 { cursor } else { watermark };
        lane.limit = self.options.batch_records;
        lane.watermark = Some(watermark);
        lane.next = held + 1;
        // What was there when the request began has waited long enough.
        lane.ripe = held < lane.last_at_begin;
        lane.waiting = (held < last).then_some(now);
        if watermark > cursor {
            lane.extent.cursor = watermark;
            self.acknowledged += watermark - cursor;
            actions.push(Action::Advance(stream.clone(), watermark));
        }
    }

    fn state_answered(
        &mut self,
        now: Moment,
        scope: &Scope,
        outcome: StateOutcome,
        actions: &mut Vec<Action>,
    ) {
        self.under_way = self.under_way.saturating_sub(1);
        let lane = self.scopes.entry(scope.clone()).or_default();
        lane.busy = false;
        match outcome {
            StateOutcome::Clean => lane.settled_in = lane.asked_in,
            StateOutcome::Stored { store, rev } => {
                lane.settled_in = lane.asked_in;
                lane.refused_at = None;
                if self.same_store(store, actions) {
                    self.succeeded();
                    actions.push(Action::AdvanceState(scope.clone(), rev));
                }
            }
            // An upload whose answer was lost went through: go on behind it.
            StateOutcome::Gap { after, rev } if rev > after && lane.refused_at != Some(rev) => {
                lane.refused_at = Some(rev);
                lane.dirty = Some(now);
                actions.push(Action::AdvanceState(scope.clone(), rev));
            }
            StateOutcome::Gap { after, rev } => self.halt_with(Halt::StateLost {
                scope: scope.to_string(),
                stored: rev,
                acknowledged: after,
            }),
            StateOutcome::StaleEpoch { stored } => self.halt_with(Halt::StaleEpoch {
                scope: scope.to_string(),
                stored,
            }),
            StateOutcome::Failed(failure) => {
                lane.dirty = Some(now);
                self.failed(now, failure, &format!("state of {scope}"));
            }
        }
    }

    /// Whether the store is the one of before; halts where it is not.
    fn same_store(&mut self, found: StoreId, actions: &mut Vec<Action>) -> bool {
        match &self.store {
            None => {
                actions.push(Action::Remember(found.clone()));
                self.store = Some(found);
                true
            }
            Some(expected) if *expected == found => true,
            Some(expected) => {
                let text = |id: &StoreId| String::from_utf8_lossy(id).into_owned();
                let (expected, found) = (text(expected), text(&found));
                self.halt_with(Halt::StoreChanged { expected, found });
                false
            }
        }
    }

    fn succeeded(&mut self) {
        self.backoff.reset();
        self.paused_until = Moment::ZERO;
        // A halted sink goes on saying why, whatever else was under way succeeds.
        if self.halt.is_none() {
            self.error = None;
        }
    }

    fn failed(&mut self, now: Moment, failure: Failure, what: &str) {
        match failure {
            Failure::NotDone(reason) | Failure::Unknown(reason) => {
                // Another node may answer where this one does not.
                if let Some(target) = self.target {
                    self.preferred = (target + 1) % self.options.to.count();
                }
                self.retarget();
                self.pause(now, reason);
            }
            Failure::Refused(reason) => self.halt_with(Halt::Refused {
                what: what.to_owned(),
                reason,
            }),
            Failure::Buffer(reason) => self.halt_with(Halt::Buffer(reason)),
        }
    }

    fn pause(&mut self, now: Moment, reason: String) {
        // Requests that failed together are one failure.
        if now >= self.paused_until {
            self.paused_until = now + self.backoff.fail();
        }
        self.error = Some(reason);
    }

    /// Stops for good; the first reason stays.
    pub(super) fn halt_with(&mut self, halt: Halt) {
        if self.halt.is_none() {
            self.error = Some(halt.to_string());
            self.halt = Some(halt);
        }
    }
}
