//! A token bucket: at most so many bytes a second over any while, with a second's worth at once.
//!
//! What will be sent is reserved before and settled after, so that requests side by side do not spend the same bytes. A single
//! record that is larger than what was reserved makes a debt, which is waited off.
//!
//! Architecture Invariant: within any while of t seconds no more than `rate × (t + 1)` bytes are reserved, and what was
//! overdrawn within it.

use super::lane::Moment;
use std::num::NonZeroU64;

/// One byte, in the unit that is counted: so that no nanosecond is lost in rounding.
const BYTE: i128 = 1_000_000_000;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    rate: u64,
    /// Billionths of bytes; below zero there is a debt.
    held: i128,
    at: Moment,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(rate: NonZeroU64) -> Self {
        let rate = rate.get();
        Self {
            rate,
            held: i128::from(rate) * BYTE,
            at: Moment::ZERO,
        }
    }

    fn fill(&mut self, now: Moment) {
        let passed = now.saturating_sub(self.at).as_nanos() as i128;
        self.at = self.at.max(now);
        self.held = (self.held + passed * i128::from(self.rate)).min(self.full());
    }

    fn full(&self) -> i128 {
        i128::from(self.rate) * BYTE
    }

    /// Reserves up to `most` bytes, where at least `least` of them (or a quarter of what it holds at most) are there.
    pub(super) fn reserve(&mut self, now: Moment, least: u64, most: u64) -> Option<u64> {
        self.fill(now);
        let there = u64::try_from(self.held / BYTE).unwrap_or(0);
        if there < self.enough(least) {
            return None;
        }
        let reserved = most.min(there);
        self.held -= i128::from(reserved) * BYTE;
        Some(reserved)
    }

    /// What was reserved was used in part, or overdrawn.
    pub(super) fn settle(&mut self, reserved: u64, used: u64) {
        let back = (i128::from(reserved) - i128::from(used)) * BYTE;
        self.held = (self.held + back).min(self.full());
    }

    /// When [`reserve`](Self::reserve) will give something, if nothing else is reserved.
    pub(super) fn ready_at(&self, least: u64) -> Moment {
        let missing = i128::from(self.enough(least)) * BYTE - self.held;
        let nanos = missing.max(0).div_euclid(i128::from(self.rate)) + 1;
        if missing <= 0 {
            return self.at;
        }
        self.at + Moment::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Many small requests would cost more than waiting a little for a larger one.
    fn enough(&self, least: u64) -> u64 {
        least.min(self.rate / 4).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    proptest! {
        /// In every while between two requests, not only from the beginning on.
        #[test]
        fn no_while_sees_more_than_its_share(
            rate in 1u64..1_000_000,
            steps in prop::collection::vec((0u64..2_000, 1u64..300_000, 0u64..150, any::<bool>()), 1..80),
        ) {
            let mut bucket = Bucket::new(NonZeroU64::new(rate).unwrap());
            let mut now = Moment::ZERO;
            let mut sent: Vec<(Moment, u64, u64)> = Vec::new();
            for (wait_ms, most, share, overdraw) in steps {
                now += Duration::from_millis(wait_ms);
                if let Some(reserved) = bucket.reserve(now, most, most) {
                    prop_assert!(reserved >= 1 && reserved <= most && reserved <= rate);
                    // Less than reserved was used, or one record went beyond it.
                    let used = if overdraw { reserved + share } else { reserved * share.min(100) / 100 };
                    bucket.settle(reserved, used);
                    sent.push((now, used, used.saturating_sub(reserved)));
                }
            }
            for first in 0..sent.len() {
                let (mut total, mut overdrawn) = (0, 0);
                for (at, used, over) in &sent[first..] {
                    total += used;
                    overdrawn += over;
                    let share = rate as f64 * (at.saturating_sub(sent[first].0).as_secs_f64() + 1.0);
                    prop_assert!(total as f64 <= share + overdrawn as f64 + 1.0, "{total} of {share}");
                }
            }
        }

        #[test]
        fn it_says_when_it_is_ready_and_is(
            rate in 1u64..1_000_000, most in 1u64..300_000, debt in 0u64..1_000_000,
        ) {
            let mut bucket = Bucket::new(NonZeroU64::new(rate).unwrap());
            bucket.settle(0, rate + debt);
            let ready = bucket.ready_at(most);
            if let Some(early) = ready.checked_sub(Duration::from_millis(1)) {
                let mut early_bucket = bucket.clone();
                let ahead = rate as f64 / 1000.0 <= 1.0;
                prop_assert!(ahead || early_bucket.reserve(early, most, most).is_none());
            }
            prop_assert!(bucket.reserve(ready, most, most).is_some());
        }
    }
}
