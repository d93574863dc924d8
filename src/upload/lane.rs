//! What is known of one stream or one scope on its way to a sink.

use crate::types::{Revision, Sequence};
use std::time::Duration;

/// A moment on a monotonic clock, since the sink started.
pub(super) type Moment = Duration;

/// Where a stream stands in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// The last sequence this sink acknowledged.
    pub(super) cursor: Sequence,
    /// The oldest readable sequence.
    pub(super) first: Sequence,
    /// The newest sequence ever given.
    pub(super) last: Sequence,
    /// Payload bytes readable.
    pub(super) bytes: u64,
}

/// One stream on its way.
#[derive(Debug, Clone)]
pub(super) struct StreamLane {
    /// Where it stands in the buffer, as last seen.
    pub(super) extent: Extent,
    /// What the store holds, where that is known for sure.
    pub(super) watermark: Option<Sequence>,
    /// The next sequence to send (meaningful where the watermark is known).
    pub(super) next: Sequence,
    /// A request is under way.
    pub(super) busy: bool,
    /// The newest sequence when the request under way began.
    pub(super) last_at_begin: Sequence,
    /// Since when something waits to be sent.
    pub(super) waiting: Option<Moment>,
    /// What waits has waited long enough.
    pub(super) ripe: bool,
    /// Most records in the next upload: halved where the sink refuses one.
    pub(super) limit: usize,
}

impl StreamLane {
    pub(super) fn new(extent: Extent, limit: usize) -> Self {
        Self {
            extent,
            watermark: None,
            next: extent.cursor + 1,
            busy: false,
            last_at_begin: 0,
            waiting: None,
            ripe: false,
            limit,
        }
    }

    /// Takes a look at the buffer; looks may arrive out of order, but none of the figures ever falls.
    pub(super) fn see(&mut self, extent: Extent, now: Moment) {
        self.extent.cursor = self.extent.cursor.max(extent.cursor);
        self.extent.first = self.extent.first.max(extent.first);
        self.extent.last = self.extent.last.max(extent.last);
        self.extent.bytes = extent.bytes;
        if self.pending() > 0 && self.waiting.is_none() {
            self.waiting = Some(now);
        }
    }

    /// How many sequences the last request was about.
    pub(super) fn tried(&self) -> u64 {
        (self.last_at_begin + 1)
            .saturating_sub(self.next)
            .min(self.limit as u64)
    }

    /// Records that the sink lacks.
    pub(super) fn pending(&self) -> u64 {
        let stored = self.next.saturating_sub(1).min(self.extent.cursor);
        self.extent.last.saturating_sub(stored)
    }

    /// Their payload bytes, as far as records are alike.
    pub(super) fn pending_bytes(&self) -> u64 {
        let readable = (self.extent.last + 1)
            .saturating_sub(self.extent.first)
            .max(1);
        let share = u128::from(self.extent.bytes) * u128::from(self.pending().min(readable));
        (share / u128::from(readable)) as u64
    }

    /// When the next upload is due; none where there is nothing to send.
    pub(super) fn due(&self, age: Duration) -> Option<Moment> {
        if self.next > self.extent.last {
            return None;
        }
        let waiting = self.waiting.unwrap_or_default();
        let count = self.extent.last - self.next + 1;
        Some(if self.ripe || count >= self.limit as u64 {
            Moment::ZERO
        } else {
            waiting + age
        })
    }
}

/// One state scope on its way.
#[derive(Debug, Clone, Default)]
pub(super) struct StateLane {
    /// A request is under way.
    pub(super) busy: bool,
    /// Since when it may have changed.
    pub(super) dirty: Option<Moment>,
    /// The drain during which the request under way began.
    pub(super) asked_in: u64,
    /// The latest drain during which it was found whole in the store.
    pub(super) settled_in: u64,
    /// The stored revision that the last refused changes met, so that the same refusal twice is seen.
    pub(super) refused_at: Option<Revision>,
}
