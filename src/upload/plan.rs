//! What a sink begins next, and when.

use super::breaker::BreakerState;
use super::core::{Action, Core};
use super::lane::{Moment, StateLane, StreamLane};
use crate::types::{Scope, StreamName};
use std::time::Duration;

enum Due {
    Stream(StreamName),
    Scope(Scope),
}

impl Core {
    /// Begins whatever is due and may be under way.
    pub(super) fn plan(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let Some(node) = self.target else { return };
        if self.halt.is_some() {
            return;
        }
        let (under_way, most) = (self.under_way, self.options.in_flight);
        let free = self.breaker.room(now, under_way, most);
        if free == 0 {
            return;
        }
        let mut due = self.due(now);
        if due.len() > free {
            // Each lane gets its turn where not all can have one at once.
            let start = self.turn % due.len();
            due.rotate_left(start);
            due.truncate(free);
            self.turn = self.turn.wrapping_add(free);
        }
        for lane in due {
            let begun = match lane {
                Due::Stream(stream) => self.begin_stream(now, node, stream),
                Due::Scope(scope) => self.begin_scope(now, node, scope),
            };
            if let Some(action) = begun {
                self.under_way += 1;
                actions.push(action);
            }
        }
    }

    fn due(&self, now: Moment) -> Vec<Due> {
        let streams = self.streams.iter().filter(|(name, lane)| {
            let due = self.stream_due(name, lane);
            !lane.busy && due.is_some_and(|moment| moment <= now)
        });
        let scopes = self.scopes.iter().filter(|(_, lane)| {
            let due = self.scope_due(lane);
            !lane.busy && due.is_some_and(|moment| moment <= now)
        });
        streams
            .map(|(stream, _)| Due::Stream(stream.clone()))
            .chain(scopes.map(|(scope, _)| Due::Scope(scope.clone())))
            .collect()
    }

    /// When the next request of a stream may begin; none where nothing is to be sent or asked.
    fn stream_due(&self, name: &StreamName, lane: &StreamLane) -> Option<Moment> {
        if lane.watermark.is_none() || self.wants_proof(name, lane) {
            return Some(lane.retry_at);
        }
        lane.due(
            self.aged(self.options.batch_age),
            self.options.batch_bytes as u64,
        )
    }

    fn scope_due(&self, lane: &StateLane) -> Option<Moment> {
        Some((lane.dirty? + self.aged(self.options.state_age)).max(lane.retry_at))
    }

    /// How long something waits for company: not at all in a drain.
    fn aged(&self, age: Duration) -> Duration {
        if self.draining { Duration::ZERO } else { age }
    }

    /// Whether a drain has yet to hear from the store what it holds of a stream.
    fn wants_proof(&self, name: &StreamName, lane: &StreamLane) -> bool {
        self.draining && lane.proved.0 < self.drain && self.goals.contains_key(name)
    }

    fn begin_stream(&mut self, now: Moment, node: usize, stream: StreamName) -> Option<Action> {
        let drain = self.drain;
        let batch_bytes = self.options.batch_bytes as u64;
        let lane = self.streams.get_mut(&stream).expect("it was found due");
        let sends = lane.next <= lane.extent.last || lane.tells_dead();
        let Some(watermark) = lane.watermark.filter(|_| sends) else {
            lane.begin(drain);
            return Some(Action::Ask(node, stream));
        };
        let bytes = match &mut self.bucket {
            Some(bucket) => bucket.reserve(now, batch_bytes, batch_bytes)?,
            None => batch_bytes,
        };
        lane.begin(drain);
        lane.reserved = bytes;
        Some(Action::Send {
            node,
            watermark,
            after: lane.next - 1,
            limit: lane.limit,
            bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
            stream,
        })
    }

    fn begin_scope(&mut self, now: Moment, node: usize, scope: Scope) -> Option<Action> {
        let batch_bytes = self.options.batch_bytes as u64;
        let reserved = match &mut self.bucket {
            Some(bucket) => bucket.reserve(now, batch_bytes, batch_bytes)?,
            None => 0,
        };
        let lane = self.scopes.get_mut(&scope).expect("it was found due");
        lane.busy = true;
        lane.dirty = None;
        lane.asked_in = self.drain;
        lane.reserved = reserved;
        Some(if lane.whole {
            Action::SendWhole(node, scope)
        } else {
            Action::SendState(node, scope)
        })
    }

    /// When to look again if nothing else happens.
    pub(super) fn wake_at(&self) -> Option<Moment> {
        if self.halt.is_some() || self.target.is_none() {
            return None;
        }
        let until = self.breaker.until();
        // Once it may begin at all: an answer to what is under way may have to come first.
        if self.breaker.state() != BreakerState::Open
            && self
                .breaker
                .room(until, self.under_way, self.options.in_flight)
                == 0
        {
            return None;
        }
        let batch_bytes = self.options.batch_bytes as u64;
        let bucket = self.bucket.as_ref();
        let ready = bucket.map_or(Moment::ZERO, |bucket| bucket.ready_at(batch_bytes));
        let streams = self.streams.iter().filter(|(_, lane)| !lane.busy);
        let streams = streams.filter_map(|(name, lane)| {
            let moment = self.stream_due(name, lane)?;
            let asks = lane.watermark.is_none();
            Some(if asks { moment } else { moment.max(ready) })
        });
        let scopes = self.scopes.values().filter(|lane| !lane.busy);
        let scopes = scopes.filter_map(|lane| Some(self.scope_due(lane)?.max(ready)));
        streams.chain(scopes).min().map(|moment| moment.max(until))
    }
}
