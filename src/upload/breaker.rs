//! The circuit breaker of a sink (Nygard, "Release It!"): a destination that fails again and again is left alone for a while,
//! then tried with a single batch.
//!
//! *Closed*: everything is sent; a failure is followed by a short pause, which doubles. After so many failures in a row it
//! *opens*: nothing is sent for a time that doubles with each opening. Then it is *half-open*: one request is under way at
//! most, and the first batch that is stored closes it, while a failure opens it again.
//!
//! An answer that only tells a watermark closes nothing: a database whose disk is full still answers such questions.

use super::backoff::Backoff;
use super::lane::Moment;
use std::time::Duration;

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything is sent.
    Closed,
    /// Nothing is sent for a while.
    Open,
    /// One batch is tried.
    HalfOpen,
}

impl BreakerState {
    /// Its name in replies, events and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerOptions {
    /// So many failures in a row open it.
    pub failures: u32,
    /// How long it stays open the first time; each further time twice as long.
    pub open_min: Duration,
    /// How long it stays open at most.
    pub open_max: Duration,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self {
            failures: 5,
            open_min: Duration::from_secs(1),
            open_max: Duration::from_secs(30),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Breaker {
    threshold: u32,
    state: BreakerState,
    failures: u32,
    /// While it is closed, between failures.
    pauses: Backoff,
    /// While it is open.
    opens: Backoff,
    until: Moment,
}

impl Breaker {
    /// Closed. `pauses` are those between failures while it is.
    pub(super) fn new(options: BreakerOptions, pauses: Backoff, seed: u64) -> Self {
        Self {
            threshold: options.failures.max(1),
            state: BreakerState::Closed,
            failures: 0,
            pauses,
            opens: Backoff::new(options.open_min, options.open_max, seed.rotate_left(32)),
            until: Moment::ZERO,
        }
    }

    /// Where it stands. [`tick`](Self::tick) first.
    pub(super) fn state(&self) -> BreakerState {
        self.state
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Nothing is begun before.
    pub(super) fn until(&self) -> Moment {
        self.until
    }

    /// Time passed.
    pub(super) fn tick(&mut self, now: Moment) {
        if self.state == BreakerState::Open && now >= self.until {
            self.state = BreakerState::HalfOpen;
        }
    }

    /// A request failed. Those that fail within one pause, or late, are one failure.
    pub(super) fn fail(&mut self, now: Moment) {
        self.tick(now);
        if now < self.until {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let opens = self.state == BreakerState::HalfOpen || self.failures >= self.threshold;
        self.until = now
            + if opens {
                self.state = BreakerState::Open;
                self.opens.fail()
            } else {
                self.pauses.fail()
            };
    }

    /// A batch was stored, or an operator wants another try at once.
    pub(super) fn close(&mut self) {
        self.state = BreakerState::Closed;
        self.failures = 0;
        self.pauses.reset();
        self.opens.reset();
        self.until = Moment::ZERO;
    }

    /// Lets one batch through at once, whatever the time.
    pub(super) fn probe(&mut self) {
        if self.state == BreakerState::Open {
            self.state = BreakerState::HalfOpen;
            self.until = Moment::ZERO;
        }
    }

    /// How many requests may be begun beside those under way.
    pub(super) fn room(&self, now: Moment, under_way: usize, in_flight: usize) -> usize {
        match self.state {
            _ if now < self.until => 0,
            BreakerState::Open => 0,
            BreakerState::Closed => in_flight.saturating_sub(under_way),
            BreakerState::HalfOpen => 1usize.saturating_sub(under_way),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn breaker(failures: u32, seed: u64) -> Breaker {
        let options = BreakerOptions {
            failures,
            open_min: Duration::from_millis(200),
            open_max: Duration::from_secs(2),
        };
        let pauses = Backoff::new(Duration::from_millis(10), Duration::from_millis(100), seed);
        Breaker::new(options, pauses, seed)
    }

    #[derive(Debug, Clone)]
    enum Step {
        Wait(u64),
        Begin,
        Fail,
        Store,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (1u64..400).prop_map(Step::Wait),
            Just(Step::Begin),
            Just(Step::Fail),
            Just(Step::Store),
        ];
        prop::collection::vec(step, 1..200)
    }

    proptest! {
        #[test]
        fn it_opens_after_so_many_failures_lets_one_through_and_closes_by_a_success(
            steps in steps(), threshold in 1u32..6, seed in any::<u64>(),
        ) {
            let mut breaker = breaker(threshold, seed);
            let (mut now, mut under_way) = (Moment::ZERO, 0usize);
            for step in steps {
                breaker.tick(now);
                let before = breaker.state();
                match step {
                    Step::Wait(ms) => now += Duration::from_millis(ms),
                    Step::Begin => {
                        let room = breaker.room(now, under_way, 4);
                        prop_assert!(under_way + room <= 4.max(under_way));
                        if before == BreakerState::HalfOpen {
                            prop_assert!(room == 0 || under_way == 0);
                        }
                        prop_assert!(room == 0 || now >= breaker.until());
                        under_way += room.min(1);
                    }
                    Step::Fail if under_way > 0 => {
                        under_way -= 1;
                        let failures = breaker.failures();
                        breaker.fail(now);
                        prop_assert!(breaker.failures() <= failures + 1);
                        // It never opens early, and never stays closed beyond the threshold.
                        prop_assert_eq!(
                            breaker.state() != BreakerState::Closed,
                            before != BreakerState::Closed || breaker.failures() >= threshold
                        );
                        if before == BreakerState::HalfOpen {
                            prop_assert_eq!(breaker.state(), BreakerState::Open);
                            let open = breaker.until().saturating_sub(now);
                            prop_assert!(open >= Duration::from_millis(100) && open <= Duration::from_secs(2));
                        }
                    }
                    Step::Store if under_way > 0 => {
                        under_way -= 1;
                        breaker.close();
                        prop_assert_eq!((breaker.state(), breaker.failures()), (BreakerState::Closed, 0));
                        prop_assert!(breaker.room(now, under_way, 4) == 4 - under_way);
                    }
                    Step::Fail | Step::Store => {}
                }
            }
            // Whatever happened, it ends half-open or closed by time alone.
            breaker.tick(now + Duration::from_secs(2));
            prop_assert_ne!(breaker.state(), BreakerState::Open);
            prop_assert!(breaker.room(now + Duration::from_secs(2), 0, 4) > 0);
        }
    }

    #[test]
    fn each_opening_lasts_longer_up_to_the_bound() {
        let mut breaker = breaker(1, 7);
        let mut now = Moment::ZERO;
        for round in 0..8u32 {
            breaker.fail(now);
            assert_eq!(breaker.state(), BreakerState::Open);
            let whole = Duration::from_millis(200 << round).min(Duration::from_secs(2));
            let open = breaker.until().saturating_sub(now);
            assert!(open >= whole / 2 && open <= whole, "{round}: {open:?}");
            // What comes late while it is open is the same failure.
            breaker.fail(now + open / 2);
            assert_eq!(breaker.until(), now + open);
            now = breaker.until();
            breaker.tick(now);
            assert_eq!(breaker.state(), BreakerState::HalfOpen);
        }
    }

    #[test]
    fn a_probe_needs_no_time() {
        let mut breaker = breaker(1, 7);
        breaker.fail(Moment::ZERO);
        assert_eq!(breaker.room(Moment::ZERO, 0, 4), 0);
        breaker.probe();
        assert_eq!(breaker.room(Moment::ZERO, 0, 4), 1);
    }
}
