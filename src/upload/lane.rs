//! What is known of one stream or one scope on its way to a sink.

use crate::types::{Revision, Scope, Sequence};
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
    /// Most records in the next upload: fewer while the sink refuses one of them.
    pub(super) limit: usize,
    /// Most records in an upload of which an answer can be hoped for: half of what got none, and twice what was stored.
    hoped: usize,
    /// The end of what the sink refused: one up to here cannot be stored.
    suspect: Option<Sequence>,
    /// The record that was refused alone, and how often.
    refused: Option<(Sequence, u32)>,
    /// A refused record is not sent again before.
    pub(super) retry_at: Moment,
    /// The range above the watermark that lies in the dead letters, or was given up, and of which the store has yet to be told.
    dead: Option<(Sequence, Sequence)>,
    /// The store went back to here, behind what it had acknowledged, and that was told.
    back: Option<Sequence>,
    /// Bytes reserved for the request under way.
    pub(super) reserved: u64,
    /// The drain during which the request under way began.
    pub(super) begun_in: u64,
    /// The latest drain during which the store told what it holds, and what it told.
    pub(super) proved: (u64, Sequence),
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
            hoped: limit,
            suspect: None,
            refused: None,
            retry_at: Moment::ZERO,
            dead: None,
            back: None,
            reserved: 0,
            begun_in: 0,
            proved: (0, 0),
        }
    }

    /// A request about it begins.
    pub(super) fn begin(&mut self, drain: u64) {
        self.busy = true;
        self.last_at_begin = self.extent.last;
        self.begun_in = drain;
    }

    /// The store holds everything up to `watermark`, and `held` counts as held: what to send next.
    pub(super) fn go_on(&mut self, watermark: Sequence, held: Sequence, most: usize) {
        self.watermark = Some(watermark);
        self.dead = self.dead.filter(|(_, to)| *to > watermark);
        self.next = self.resume(held);
        self.suspect = self.suspect.filter(|end| *end >= self.next);
        let most = most.min(self.hoped);
        self.limit = match self.suspect {
            // One of these is it: halved until it is alone.
            Some(end) => ((end - held).div_ceil(2) as usize).clamp(1, most),
            None => most,
        };
    }

    /// The store holds less than it acknowledged, or still less than was told: whether that is news.
    pub(super) fn goes_back(&mut self, held: Sequence) -> bool {
        if held >= self.extent.cursor {
            self.back = None;
            return false;
        }
        let news = self.back.is_none_or(|told| held < told);
        if news {
            self.back = Some(held);
        }
        news
    }

    /// An upload failed, perhaps as it takes too long: the next one is smaller.
    pub(super) fn hope_for_less(&mut self) {
        let sent = (self.last_at_begin + 1).saturating_sub(self.next);
        let sent = usize::try_from(sent).unwrap_or(usize::MAX).min(self.limit);
        self.hoped = (sent / 2).max(1);
    }

    /// One was stored: the next one may be larger.
    pub(super) fn hope_for_more(&mut self, most: usize) {
        self.hoped = self.hoped.saturating_mul(2).min(most);
    }

    /// The sink refuses one of several records.
    pub(super) fn halve(&mut self, first: Sequence, last: Sequence) {
        self.suspect = Some(last);
        self.limit = ((last - first).div_ceil(2)).max(1) as usize;
    }

    /// The sink refused this record alone: how often by now.
    pub(super) fn refuse(&mut self, seq: Sequence) -> u32 {
        let times = match self.refused {
            Some((before, times)) if before == seq => times + 1,
            _ => 1,
        };
        self.refused = Some((seq, times));
        self.limit = 1;
        times
    }

    /// This record lies in the dead letters: it is passed, and the store is told that it is missing on purpose.
    pub(super) fn bury(&mut self, seq: Sequence, most: usize) {
        self.dead = match self.dead {
            Some((from, to)) if to + 1 >= self.next && to < seq => Some((from, seq)),
            _ => Some((self.next, seq)),
        };
        self.next = seq + 1;
        self.suspect = None;
        self.refused = None;
        self.limit = most.min(self.hoped);
        self.ripe = true;
    }

    /// These are lost, and an operator gives them up: passed like dead letters.
    pub(super) fn give_up(&mut self, from: Sequence, to: Sequence) {
        self.dead = Some((from, to));
    }

    /// The next sequence that can be sent to a store that holds everything up to `held`.
    pub(super) fn resume(&self, held: Sequence) -> Sequence {
        match self.dead {
            Some((from, to)) if (from..=to).contains(&(held + 1)) => to + 1,
            _ => held + 1,
        }
    }

    /// Whether the store has to be told of a dead letter even where no record follows.
    pub(super) fn tells_dead(&self) -> bool {
        self.dead.is_some_and(|(_, to)| to + 1 == self.next)
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

    /// When the next upload is due; none where there is nothing to send. It is at once where so many bytes wait, as far as records
    /// are alike.
    pub(super) fn due(&self, age: Duration, bytes: u64) -> Option<Moment> {
        if self.tells_dead() {
            return Some(self.retry_at);
        }
        if self.next > self.extent.last {
            return None;
        }
        let waiting = self.waiting.unwrap_or_default();
        let count = self.extent.last - self.next + 1;
        let full = count >= self.limit as u64 || self.pending_bytes() >= bytes;
        let due = if self.ripe || full {
            Moment::ZERO
        } else {
            waiting + age
        };
        Some(due.max(self.retry_at))
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
    /// Bytes reserved for the request under way.
    pub(super) reserved: u64,
    /// The store lost some of it, and gets the whole.
    pub(super) whole: bool,
    /// What the sink refuses in it, while it does.
    pub(super) refusal: Option<Refusal>,
    /// Refused changes are not sent again before.
    pub(super) retry_at: Moment,
}

/// A sink does not take the state of a scope, for what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What it said last.
    pub(super) reason: String,
    /// The same, with what it is about.
    pub(super) told: String,
    /// How often, in a row.
    pub(super) attempts: u32,
    /// The latest drain during which it said so.
    pub(super) said_in: u64,
}

impl StateLane {
    /// The sink refused it: how often by now.
    pub(super) fn refuse(&mut self, scope: &Scope, reason: String) -> u32 {
        let before = self.refusal.as_ref().map_or(0, |refusal| refusal.attempts);
        let attempts = before.saturating_add(1);
        self.refusal = Some(Refusal {
            told: format!("the sink refuses the state of {scope}: {reason}"),
            reason,
            attempts,
            said_in: self.asked_in,
        });
        attempts
    }

    /// The sink takes it: how often it had refused it before.
    pub(super) fn accept(&mut self) -> u32 {
        self.retry_at = Moment::ZERO;
        self.refusal.take().map_or(0, |refusal| refusal.attempts)
    }
}
