//! Judging silence: only time that was observed counts.
//!
//! A check that comes much later than it was due means that sidekick itself was stopped or starved; then nobody can say whether
//! the game was silent, and the interval starts again.

use std::time::Duration;

/// Checks per hang timeout.
const CHECKS: u32 = 4;
/// Longest pause between checks.
const EVERY_MAX: Duration = Duration::from_secs(1);

/// Watches the heartbeats of one process. Times are on any one monotonic clock.
#[derive(Debug, Clone)]
pub struct HangWatch {
    timeout: Duration,
    every: Duration,
    /// Longer silence was announced, until it is used up.
    grace: Duration,
    silent: Duration,
    checked: Duration,
}

impl HangWatch {
    /// A watch that begins now.
    pub fn new(timeout: Duration, now: Duration) -> Self {
        Self {
            timeout,
            every: (timeout / CHECKS).clamp(Duration::from_millis(1), EVERY_MAX),
            grace: Duration::ZERO,
            silent: Duration::ZERO,
            checked: now,
        }
    }

    /// The main loop is alive; it announced that it may be silent for `busy`.
    pub fn beat(&mut self, now: Duration, busy: Duration) {
        self.silent = Duration::ZERO;
        self.grace = busy;
        self.checked = self.checked.max(now);
    }

    /// When to check next.
    pub fn due(&self) -> Duration {
        let left = (self.timeout + self.grace).saturating_sub(self.silent);
        self.checked + left.min(self.every)
    }

    /// A check: the observed silence, where it is too long.
    pub fn check(&mut self, now: Duration) -> Option<Duration> {
        let late = now.saturating_sub(self.due());
        if late > self.every.max(Duration::from_millis(250)) {
            self.silent = Duration::ZERO;
        } else {
            self.silent += now.saturating_sub(self.checked);
        }
        self.checked = now;
        (self.silent >= self.timeout + self.grace).then_some(self.silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Checks whenever one is due until the watch judges or the time is up.
    fn judged_at(watch: &mut HangWatch, until: Duration) -> Option<Duration> {
        while watch.due() <= until {
            let now = watch.due();
            if watch.check(now).is_some() {
                return Some(now);
            }
        }
        None
    }

    #[test]
    fn silence_is_judged_exactly_at_the_timeout() {
        let mut watch = HangWatch::new(ms(2000), ms(0));
        watch.beat(ms(300), Duration::ZERO);
        assert_eq!(judged_at(&mut watch, ms(9000)), Some(ms(2300)));
    }

    #[test]
    fn beats_and_announced_work_hold_the_judgement_off() {
        let mut watch = HangWatch::new(ms(2000), ms(0));
        for at in (0..10_000).step_by(250) {
            assert_eq!(judged_at(&mut watch, ms(at)), None);
            watch.beat(ms(at), Duration::ZERO);
        }
        watch.beat(ms(10_000), ms(5_000));
        assert_eq!(judged_at(&mut watch, ms(60_000)), Some(ms(17_000)));
    }

    proptest! {
        /// However late the checks come and whenever beats do: what is judged is a silence that was long enough, that was real,
        /// and of which every part was observed.
        #[test]
        fn only_observed_silence_is_judged(
            timeout in 500u64..5_000,
            story in prop::collection::vec((0u64..12_000, any::<bool>(), 0u64..3_000), 1..80),
        ) {
            let mut watch = HangWatch::new(ms(timeout), ms(0));
            let tolerated = watch.every.max(ms(250));
            // Since the last beat; and since the last time that sidekick came so late that it cannot know.
            let (mut now, mut beaten, mut blind, mut busy) = (ms(0), ms(0), ms(0), ms(0));
            for (late, beats, announced) in story {
                let due = watch.due();
                // Mostly in time, sometimes stopped for seconds.
                let late = ms(if late < 6_000 { late / 40 } else { late });
                now = now.max(due) + late;
                if now.saturating_sub(due) > tolerated {
                    blind = now;
                }
                if let Some(silent) = watch.check(now) {
                    prop_assert!(silent >= ms(timeout) + busy);
                    prop_assert!(silent <= now.saturating_sub(beaten.max(blind)));
                    break;
                }
                if beats {
                    (beaten, busy) = (now, ms(announced));
                    watch.beat(now, busy);
                }
            }
        }
    }

    #[test]
    fn time_that_was_not_observed_does_not_count() {
        let mut watch = HangWatch::new(ms(2000), ms(0));
        assert_eq!(watch.check(ms(500)), None);
        assert_eq!(watch.check(ms(1000)), None);
        // sidekick was stopped for ten seconds.
        assert_eq!(watch.check(ms(11_500)), None);
        assert_eq!(judged_at(&mut watch, ms(60_000)), Some(ms(13_500)));
    }
}
