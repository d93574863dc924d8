//! What others may know of a sink's core.

use super::core::Core;
use super::lane::StreamLane;
use super::outcome::StoreId;
use super::status::SinkState;
use crate::types::{Sequence, StreamName};

impl Core {
    /// Whether everything that was there when the last drain began is stored.
    pub(super) fn drained(&self) -> bool {
        let stored = |(stream, goal): (&StreamName, &Sequence)| {
            self.streams
                .get(stream)
                .is_some_and(|lane| lane.extent.cursor >= *goal && lane.next > *goal)
        };
        self.goals.iter().all(stored)
            && self
                .scopes
                .values()
                .all(|lane| lane.settled_in >= self.drain)
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

    /// Why it stopped, or what went wrong last.
    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.backoff.failures()
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
