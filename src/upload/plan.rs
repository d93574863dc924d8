//! What a sink begins next, and when.

use super::core::{Action, Core};
use super::lane::Moment;
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
        if self.halt.is_some() || now < self.paused_until {
            return;
        }
        let free = self.options.in_flight.saturating_sub(self.under_way);
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
        self.under_way += due.len();
        for lane in due {
            actions.push(match lane {
                Due::Stream(stream) => self.begin_stream(node, stream),
                Due::Scope(scope) => self.begin_scope(node, scope),
            });
        }
    }

    fn due(&self, now: Moment) -> Vec<Due> {
        let age = if self.draining {
            Duration::ZERO
        } else {
            self.options.batch_age
        };
        let streams = self.streams.iter().filter(|(_, lane)| {
            !lane.busy
                && (lane.watermark.is_none() || lane.due(age).is_some_and(|moment| moment <= now))
        });
        let age = if self.draining {
            Duration::ZERO
        } else {
            self.options.state_age
        };
        let scopes = self
            .scopes
            .iter()
            .filter(|(_, lane)| !lane.busy && lane.dirty.is_some_and(|moment| moment + age <= now));
        streams
            .map(|(stream, _)| Due::Stream(stream.clone()))
            .chain(scopes.map(|(scope, _)| Due::Scope(scope.clone())))
            .collect()
    }

    fn begin_stream(&mut self, node: usize, stream: StreamName) -> Action {
        let lane = self.streams.get_mut(&stream).expect("it was found due");
        lane.busy = true;
        lane.last_at_begin = lane.extent.last;
        match lane.watermark {
            None => Action::Ask(node, stream),
            Some(watermark) => Action::Send {
                node,
                watermark,
                after: lane.next - 1,
                limit: lane.limit,
                stream,
            },
        }
    }

    fn begin_scope(&mut self, node: usize, scope: Scope) -> Action {
        let lane = self.scopes.get_mut(&scope).expect("it was found due");
        lane.busy = true;
        lane.dirty = None;
        lane.asked_in = self.drain;
        Action::SendState(node, scope)
    }

    /// When to look again if nothing else happens.
    pub(super) fn wake_at(&self) -> Option<Moment> {
        if self.halt.is_some() || self.target.is_none() || self.under_way >= self.options.in_flight
        {
            return None;
        }
        let streams = self
            .streams
            .values()
            .filter(|lane| !lane.busy)
            .filter_map(|lane| {
                if lane.watermark.is_none() {
                    Some(Moment::ZERO)
                } else {
                    lane.due(self.options.batch_age)
                }
            });
        let scopes = self.scopes.values().filter(|lane| !lane.busy);
        let scopes = scopes.filter_map(|lane| Some(lane.dirty? + self.options.state_age));
        streams
            .chain(scopes)
            .min()
            .map(|moment| moment.max(self.paused_until))
    }
}
