//! Pauses after failures: each twice the one before, at a random moment of their second half, so that many sinks do not
//! come back at once.

use std::time::Duration;

/// How many failures in a row, and what pause follows.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
    random: u64,
}

impl Backoff {
    /// No failure yet. `seed` may be any number.
    pub(super) fn new(min: Duration, max: Duration, seed: u64) -> Self {
        Self {
            min,
            max,
            failures: 0,
            random: seed | 1,
        }
    }

    /// One more failure: how long to pause.
    pub(super) fn fail(&mut self) -> Duration {
        let whole = self
            .min
            .saturating_mul(1 << self.failures.min(20))
            .min(self.max);
        self.failures = self.failures.saturating_add(1);
        whole.mul_f64(0.5 + 0.5 * self.fraction())
    }

    /// It works again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// A number in 0..1 (xorshift: nothing here needs more).
    fn fraction(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_bound_with_jitter_in_their_second_half() {
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(5));
        let mut backoff = Backoff::new(min, max, 42);
        for round in 0..100u32 {
            let whole = (min * (1 << round.min(20))).min(max);
            let pause = backoff.fail();
            assert!(
                pause >= whole / 2 && pause <= whole,
                "{round}: {pause:?} of {whole:?}"
            );
        }
        backoff.reset();
        assert!(backoff.fail() <= min);
    }
}
