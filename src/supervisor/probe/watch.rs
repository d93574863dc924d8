//! What a series of probes means: pure.

use super::{Asked, ProbeSpec};
use std::time::Duration;

/// Whatever the interval, being late by less is ordinary on a busy machine.
const SLACK: Duration = Duration::from_millis(250);

/// What a probe means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It serves.
    Answers,
    /// It did not answer, which alone says nothing yet.
    Waits,
    /// It has not answered so often in a row, for so long, that it is taken to hang.
    Silent(Duration),
}

/// Counts failures in a row.
#[derive(Debug, Clone)]
pub struct ProbeWatch {
    interval: Duration,
    timeout: Duration,
    needed: u32,
    failures: u32,
    /// Since when nothing was answered, as observed.
    silent_since: Duration,
    ended: Duration,
}

impl ProbeWatch {
    /// A watch that begins now.
    pub fn new(spec: &ProbeSpec, now: Duration) -> Self {
        Self {
            interval: spec.interval,
            timeout: spec.timeout,
            needed: spec.failures.max(1),
            failures: 0,
            silent_since: now,
            ended: now,
        }
    }

    /// Takes one probe.
    pub fn take(&mut self, asked: &Asked) -> Verdict {
        let slack = self.interval.max(SLACK);
        let began_late = asked.began.saturating_sub(self.ended) > self.interval + slack;
        let took_long = asked.ended.saturating_sub(asked.began) > self.timeout + slack;
        self.ended = asked.ended;
        if asked.outcome.is_ok() {
            self.failures = 0;
            self.silent_since = asked.ended;
            return Verdict::Answers;
        }
        if began_late {
            self.failures = 0;
            self.silent_since = asked.began;
        }
        if took_long {
            self.failures = 0;
            self.silent_since = asked.ended;
            return Verdict::Waits;
        }
        self.failures += 1;
        if self.failures < self.needed {
            return Verdict::Waits;
        }
        Verdict::Silent(asked.ended.saturating_sub(self.silent_since))
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProbeKind;
    use super::*;
    use proptest::prelude::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn watch(failures: u32) -> ProbeWatch {
        let spec = ProbeSpec {
            kind: ProbeKind::Tcp,
            address: ([127, 0, 0, 1], 7000).into(),
            interval: ms(1000),
            timeout: ms(500),
            failures,
        };
        ProbeWatch::new(&spec, ms(0))
    }

    fn asked(began: u64, ended: u64, ok: bool) -> Asked {
        Asked {
            began: ms(began),
            ended: ms(ended),
            outcome: if ok { Ok(()) } else { Err("refused".into()) },
        }
    }

    #[test]
    fn failures_in_a_row_are_judged_and_an_answer_ends_the_row() {
        let mut watch = watch(3);
        let mut told = |began, ended, ok| watch.take(&asked(began, ended, ok));
        assert_eq!(told(0, 10, true), Verdict::Answers);
        assert_eq!(told(1010, 1510, false), Verdict::Waits);
        assert_eq!(told(2510, 3010, false), Verdict::Waits);
        assert_eq!(told(4010, 4020, true), Verdict::Answers);
        assert_eq!(told(5020, 5520, false), Verdict::Waits);
        assert_eq!(told(6520, 7020, false), Verdict::Waits);
        assert_eq!(told(8020, 8520, false), Verdict::Silent(ms(4500)));
    }

    #[test]
    fn a_failure_in_which_sidekick_was_stopped_does_not_count_nor_do_those_before_it() {
        let mut during = watch(2);
        assert_eq!(during.take(&asked(0, 500, false)), Verdict::Waits);
        assert_eq!(during.take(&asked(1500, 11_500, false)), Verdict::Waits);
        assert_eq!(during.take(&asked(12_500, 13_000, false)), Verdict::Waits);
        let mut between = watch(2);
        assert_eq!(between.take(&asked(0, 500, false)), Verdict::Waits);
        assert_eq!(between.take(&asked(10_500, 11_000, false)), Verdict::Waits);
        let judged = between.take(&asked(12_000, 12_500, false));
        assert_eq!(judged, Verdict::Silent(ms(2000)));
    }

    proptest! {
        /// Whatever the pauses: it is judged only by as many failures in a row as are needed, all of them observed, and the
        /// silence that is told is never longer than what was seen of it.
        #[test]
        fn only_observed_failures_are_judged(
            needed in 1u32..5,
            story in prop::collection::vec((0u64..20_000, 0u64..20_000, any::<bool>()), 1..60),
        ) {
            let mut watch = watch(needed);
            let (mut now, mut row, mut since) = (0, 0, 0);
            for (pause, took, ok) in story {
                let (began, ended) = (now + pause, now + pause + took);
                let late = pause > 2000;
                let long = took > 1500;
                if late { row = 0; since = began; }
                if ok || long { row = 0; since = ended; } else { row += 1; }
                let verdict = watch.take(&asked(began, ended, ok));
                let expected = if ok {
                    Verdict::Answers
                } else if row >= needed {
                    Verdict::Silent(ms(ended - since))
                } else {
                    Verdict::Waits
                };
                prop_assert_eq!(verdict, expected);
                now = ended;
            }
        }
    }
}
