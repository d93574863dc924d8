//! What a sink makes of the answers it gets.

use super::core::{Action, Core, News};
use super::lane::{Extent, Moment, StreamLane};
use super::options::Destination;
use super::outcome::{BuryError, Failure, Outcome, StateOutcome, StoreId};
use super::status::Halt;
use crate::types::{Scope, Sequence, StreamName};

impl Core {
    /// `sent` is how many bytes were, where the question was not only for the watermark.
    pub(super) fn answered(
        &mut self,
        now: Moment,
        stream: &StreamName,
        extent: Extent,
        outcome: Outcome,
        sent: Option<u64>,
        actions: &mut Vec<Action>,
    ) {
        self.under_way = self.under_way.saturating_sub(1);
        let most = self.options.batch_records;
        let lane = self.lane(stream, extent);
        lane.busy = false;
        lane.see(extent, now);
        let reserved = std::mem::take(&mut lane.reserved);
        let known = lane.watermark;
        match (&outcome, sent) {
            (Outcome::Failed(Failure::Late(_)), Some(1..)) => lane.hope_for_less(),
            (Outcome::Stored { .. }, Some(_)) => lane.hope_for_more(most),
            _ => {}
        }
        if let Some(bucket) = &mut self.bucket {
            bucket.settle(reserved, sent.unwrap_or(0));
        }
        match outcome {
            Outcome::Stored { store, watermark } => {
                if !self.same_store(store, actions) {
                } else if sent.is_some() && known == Some(watermark) {
                    let nothing = "the sink stored nothing".to_owned();
                    self.failed(now, Failure::NotDone(nothing), "");
                } else {
                    self.holds(now, stream, watermark, actions);
                    // An answer to a question proves little (see `breaker`), unless there is nothing to send.
                    if sent.is_some() || self.has_all() {
                        self.succeeded();
                    }
                }
            }
            Outcome::Gap {
                store: Some(store), ..
            } if !self.same_store(store.clone(), actions) => {}
            // It says again what was known when this was sent: sending again would meet the same answer.
            Outcome::Gap { watermark, .. } if known == Some(watermark) => {
                let lane = &self.streams[stream];
                let (from, to) = (watermark + 1, lane.next.max(lane.extent.first) - 1);
                let stream = stream.clone();
                let sink = self.options.name.clone();
                self.halt_with(Halt::Lost {
                    sink,
                    stream,
                    from,
                    to,
                });
            }
            Outcome::Gap { watermark, .. } => self.holds(now, stream, watermark, actions),
            Outcome::Refused { reason, records } => {
                self.refused(now, stream, reason, records, actions);
            }
            Outcome::Failed(failure) => self.failed(now, failure, &format!("stream {stream}")),
        }
    }

    /// The sink refuses what an upload held. It is reachable, so nothing else has to wait.
    fn refused(
        &mut self,
        now: Moment,
        stream: &StreamName,
        reason: String,
        records: Option<(Sequence, Sequence)>,
        actions: &mut Vec<Action>,
    ) {
        self.succeeded();
        let (most, pause) = (self.options.refusals, self.options.pause_min);
        let pause_max = self.options.pause_max;
        let Some(lane) = self.streams.get_mut(stream) else {
            return;
        };
        let seq = match records {
            Some((first, last)) if first == last => first,
            Some((first, last)) => return lane.halve(first, last),
            None => {
                let what = format!("what is told of stream {stream}");
                return self.halt_with(Halt::Refused { what, reason });
            }
        };
        let attempts = lane.refuse(seq);
        if attempts < most {
            // What refuses it may be in the middle of being mended.
            let pause = pause.saturating_mul(1 << (attempts - 1).min(20));
            lane.retry_at = now + pause.min(pause_max);
            return;
        }
        lane.busy = true;
        actions.push(Action::Bury {
            stream: stream.clone(),
            seq,
            reason,
            attempts,
        });
    }

    /// A record lies among the dead letters, or cannot.
    pub(super) fn buried(
        &mut self,
        stream: &StreamName,
        seq: Sequence,
        outcome: Result<(), BuryError>,
    ) {
        let most = self.options.batch_records;
        let Some(lane) = self.streams.get_mut(stream) else {
            return;
        };
        lane.busy = false;
        match outcome {
            Ok(()) => lane.bury(seq, most),
            Err(BuryError::NoPlace(reason)) => self.halt_with(Halt::Refused {
                what: format!("record {seq} of stream {stream}"),
                reason,
            }),
            Err(BuryError::Buffer(reason)) => self.halt_with(Halt::Buffer(reason)),
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
        // A store that never saw the stream gets it from where this sink began; else it goes on where the store stands. One that
        // acknowledged some and holds nothing of it any more has not "never seen" it.
        let began = self.began.get(stream).copied();
        let held = match began {
            None if watermark == 0 => cursor,
            began => watermark.max(began.unwrap_or(0)),
        };
        let resume = lane.resume(held);
        if held < cursor && resume < first {
            let (from, to) = (held + 1, cursor.min(first - 1));
            return self.halt_with(Halt::Lost {
                sink: self.options.name.clone(),
                stream: stream.clone(),
                from,
                to,
            });
        }
        if lane.goes_back(resume - 1) {
            actions.push(Action::Tell(News::Back {
                stream: stream.clone(),
                held,
                acknowledged: cursor,
            }));
        }
        if lane.begun_in == self.drain {
            lane.proved = (self.drain, watermark);
        }
        lane.go_on(watermark, held, self.options.batch_records);
        // What was there when the request began has waited long enough.
        lane.ripe = held < lane.last_at_begin;
        lane.waiting = (held < last).then_some(now);
        if watermark > cursor {
            lane.extent.cursor = watermark;
            self.acknowledged += watermark - cursor;
            let (stream, seq) = (stream.clone(), watermark);
            actions.push(if began.is_some() {
                Action::Advance(stream, seq)
            } else {
                self.began.insert(stream.clone(), cursor);
                Action::Begin {
                    stream,
                    began: cursor,
                    seq,
                }
            });
        }
    }

    pub(super) fn state_answered(
        &mut self,
        now: Moment,
        scope: &Scope,
        outcome: StateOutcome,
        sent: u64,
        actions: &mut Vec<Action>,
    ) {
        self.under_way = self.under_way.saturating_sub(1);
        let replaces = matches!(self.options.to, Destination::Postgres(_));
        let lane = self.scopes.entry(scope.clone()).or_default();
        lane.busy = false;
        let reserved = std::mem::take(&mut lane.reserved);
        if let Some(bucket) = &mut self.bucket {
            bucket.settle(reserved, sent);
        }
        match outcome {
            StateOutcome::Clean => {
                lane.settled_in = lane.asked_in;
                self.accepted(scope, actions);
                // Nothing waits, and every stream was answered: there is nothing left to prove the sink by.
                let known = |lane: &StreamLane| lane.watermark.is_some();
                if self.has_all() && self.streams.values().all(known) {
                    self.succeeded();
                }
            }
            StateOutcome::Stored { store, rev } => {
                lane.settled_in = lane.asked_in;
                lane.refused_at = None;
                lane.whole = false;
                if self.same_store(store, actions) {
                    self.succeeded();
                    self.accepted(scope, actions);
                    actions.push(Action::AdvanceState(scope.clone(), rev));
                }
            }
            // An upload whose answer was lost went through: go on behind it.
            StateOutcome::Gap { after, rev } if rev > after && lane.refused_at != Some(rev) => {
                lane.refused_at = Some(rev);
                lane.dirty = Some(now);
                actions.push(Action::AdvanceState(scope.clone(), rev));
            }
            // Nothing is lost: all of it is here, and a database takes it in place of what it has.
            StateOutcome::Gap { after, rev } if rev < after && replaces && !lane.whole => {
                lane.whole = true;
                lane.dirty = Some(Moment::ZERO);
                actions.push(Action::Tell(News::StateBack {
                    scope: scope.clone(),
                    held: rev,
                    acknowledged: after,
                }));
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
            StateOutcome::Failed(Failure::Refused(reason)) => {
                self.state_refused(now, scope, reason, actions);
            }
            StateOutcome::Failed(failure) => {
                lane.dirty = Some(now);
                self.failed(now, failure, &format!("state of {scope}"));
            }
        }
    }

    /// The sink refuses what a scope holds. It is reachable, so only that scope waits: a later value may be taken, or what refuses
    /// this one may be mended.
    fn state_refused(
        &mut self,
        now: Moment,
        scope: &Scope,
        reason: String,
        actions: &mut Vec<Action>,
    ) {
        self.succeeded();
        let (most, pause) = (self.options.refusals, self.options.pause_min);
        let pause_max = self.options.pause_max;
        let lane = self.scopes.entry(scope.clone()).or_default();
        let attempts = lane.refuse(scope, reason.clone());
        let pause = pause.saturating_mul(1 << (attempts - 1).min(20));
        // What was said before a drain began is no answer to it.
        let unasked = self.draining && lane.asked_in < self.drain;
        lane.retry_at = if unasked {
            now
        } else {
            now + pause.min(pause_max)
        };
        // It has waited for others long enough.
        lane.dirty = Some(Moment::ZERO);
        if attempts == most {
            actions.push(Action::Tell(News::Refused(scope.clone(), reason, attempts)));
        }
    }

    /// The sink has all of a scope.
    fn accepted(&mut self, scope: &Scope, actions: &mut Vec<Action>) {
        let lane = self.scopes.entry(scope.clone()).or_default();
        if lane.accept() >= self.options.refusals {
            actions.push(Action::Tell(News::Taken(scope.clone())));
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

    /// Nothing waits to be sent.
    fn has_all(&self) -> bool {
        let idle = self.scopes.values().all(|lane| lane.dirty.is_none());
        idle && self.streams.values().all(|lane| lane.pending() == 0)
    }

    fn succeeded(&mut self) {
        self.breaker.close();
        // A halted sink goes on saying why, whatever else was under way succeeds.
        if self.halt.is_none() {
            self.error = None;
        }
    }

    fn failed(&mut self, now: Moment, failure: Failure, what: &str) {
        match failure {
            Failure::NotDone(reason) | Failure::Unknown(reason) | Failure::Late(reason) => {
                // Another node may answer where this one does not.
                if let Some(target) = self.target {
                    self.preferred = (target + 1) % self.options.to.count();
                }
                self.retarget();
                self.breaker.fail(now);
                self.error = Some(reason);
            }
            Failure::Refused(reason) | Failure::Fatal(reason) => self.halt_with(Halt::Refused {
                what: what.to_owned(),
                reason,
            }),
            Failure::Buffer(reason) => self.halt_with(Halt::Buffer(reason)),
        }
    }
}
