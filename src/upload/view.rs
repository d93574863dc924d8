//! What others may know of a sink's core.

use super::breaker::BreakerState;
use super::core::{Core, StateGoal};
use super::drain::{DrainReport, ScopeProof, StreamProof};
use super::lane::{Refusal, StateLane, StreamLane};
use super::outcome::StoreId;
use super::status::{RefusedScope, SinkState};
use crate::types::{Scope, SinkName, StreamName};

/// Scopes whose refusal one status tells.
const REFUSED_TOLD: usize = 64;

impl Core {
    /// Whether everything that was there when the last drain began is stored, by what the store itself said since.
    pub(super) fn drained(&self) -> bool {
        self.goals.keys().all(|stream| self.stream_drained(stream)) && self.state_drained()
    }

    /// Whether the store said that it holds a stream up to where the drain wants it.
    fn stream_drained(&self, stream: &StreamName) -> bool {
        let goal = self.goals[stream];
        self.streams.get(stream).is_some_and(|lane| {
            let proved = lane.proved.0 >= self.drain && !lane.tells_dead();
            proved && lane.extent.cursor >= goal && lane.next > goal
        })
    }

    fn state_drained(&self) -> bool {
        self.scopes
            .values()
            .all(|lane| lane.settled_in >= self.drain)
    }

    /// Whether all that a drain lacks is state that the sink refused once more since it began.
    pub(super) fn drain_is_refused(&self) -> bool {
        let settled = |lane: &StateLane| lane.settled_in >= self.drain;
        let refused = |lane: &StateLane| {
            let refusal = lane.refusal.as_ref();
            refusal.is_some_and(|refusal| refusal.said_in >= self.drain)
        };
        let mut scopes = self.scopes.values();
        !self.state_drained()
            && self.goals.keys().all(|stream| self.stream_drained(stream))
            && scopes.all(|lane| settled(lane) || refused(lane))
    }

    /// The scopes whose state waits because the sink refused it time and again.
    pub(super) fn refused_scopes(&self) -> Vec<RefusedScope> {
        let refused = self.refusals().map(|(scope, refusal)| RefusedScope {
            scope: scope.clone(),
            error: refusal.reason.clone(),
            attempts: refusal.attempts,
        });
        refused.take(REFUSED_TOLD).collect()
    }

    /// Refusals that came often enough to be told.
    fn refusals(&self) -> impl Iterator<Item = (&Scope, &Refusal)> {
        let refused = self
            .scopes
            .iter()
            .filter_map(|(scope, lane)| Some((scope, lane.refusal.as_ref()?)));
        refused.filter(|(_, refusal)| refusal.attempts >= self.options.refusals)
    }

    /// What the store holds of what the last drain is about, and what it lacks.
    pub(super) fn proof(&self, sink: SinkName) -> DrainReport {
        let streams = self.goals.iter().map(|(stream, last)| StreamProof {
            stream: stream.clone(),
            last: *last,
            watermark: self
                .streams
                .get(stream)
                .filter(|lane| lane.proved.0 >= self.drain)
                .map(|lane| lane.proved.1),
            stored: self.stream_drained(stream),
            acknowledged: self
                .streams
                .get(stream)
                .is_some_and(|lane| lane.extent.cursor >= *last),
        });
        let scopes = self.state_goals.iter().map(|goal| {
            let StateGoal { scope, rev, held } = goal;
            let lane = self.scopes.get(scope);
            let stored = lane.is_some_and(|lane| lane.settled_in >= self.drain);
            ScopeProof {
                scope: scope.clone(),
                rev: *rev,
                stored,
                acknowledged: stored || held >= rev,
            }
        });
        DrainReport {
            sink,
            stored: self.drained(),
            streams: streams.collect(),
            scopes: scopes.collect(),
            error: self.error().map(str::to_owned),
        }
    }

    /// What the sink does now.
    pub(super) fn state(&self) -> SinkState {
        if self.halt.is_some() {
            SinkState::Halted
        } else if self.target.is_none() {
            SinkState::Waiting
        } else if self.error.is_some() {
            SinkState::BackingOff
        } else if self.under_way > 0 || self.lag_records() > 0 {
            SinkState::Uploading
        } else {
            SinkState::Idle
        }
    }

    /// The node uploads go to.
    pub(super) fn target(&self) -> Option<usize> {
        self.target
    }

    /// The store that acknowledges.
    pub(super) fn store(&self) -> Option<&StoreId> {
        self.store.as_ref()
    }

    /// Why it stopped, what went wrong last, or what it refuses.
    pub(super) fn error(&self) -> Option<&str> {
        let refused = || {
            self.refusals()
                .next()
                .map(|(_, refusal)| refusal.told.as_str())
        };
        self.error.as_deref().or_else(refused)
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.breaker.failures()
    }

    /// Where the circuit breaker stands.
    pub(super) fn breaker(&self) -> BreakerState {
        self.breaker.state()
    }

    /// Records acknowledged since the start.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Records that are not acknowledged.
    pub(super) fn lag_records(&self) -> u64 {
        self.streams.values().map(StreamLane::pending).sum()
    }

    /// Their payload bytes, roughly.
    pub(super) fn lag_bytes(&self) -> u64 {
        self.streams.values().map(StreamLane::pending_bytes).sum()
    }
}
