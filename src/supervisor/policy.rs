//! The restart policy: pure, so that it can be checked against a model.
//!
//! *Intensity* is OTP's: every restart is counted; more than `max_restarts` within the last `max_seconds` (both ends included)
//! quarantine the server, where OTP's supervisor would give up and take its siblings along. *Pauses* are ours: OTP has none.
//! The first restart after a stable run is immediate, each further one waits twice as long as the one before, less a
//! random part of up to a half (so that servers that fell together do not start together), up to the configured maximum. A run is
//! stable once it has lasted `max_seconds`, or the longest pause if that is more.

use super::spec::{Backoff, Restart, ServerSpec};
use super::status::EndReason;
use std::collections::VecDeque;
use std::time::Duration;

/// What is to happen after an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Start again after this pause.
    Restart(Duration),
    /// Stay down.
    Stay,
    /// Stay down: too many restarts.
    Quarantine,
}

/// The memory of the policy of one server. Times are on any one monotonic clock.
#[derive(Debug, Clone)]
pub struct Policy {
    restart: Restart,
    max_restarts: usize,
    period: Duration,
    backoff: Backoff,
    recent: VecDeque<Duration>,
    streak: u32,
}

impl Policy {
    /// The policy of a spec, with nothing counted.
    pub fn new(spec: &ServerSpec) -> Self {
        let mut policy = Self {
            restart: spec.restart,
            max_restarts: 0,
            period: Duration::ZERO,
            backoff: spec.backoff,
            recent: VecDeque::new(),
            streak: 0,
        };
        policy.update(spec);
        policy
    }

    /// Other numbers from now on; what was counted stays.
    pub fn update(&mut self, spec: &ServerSpec) {
        self.restart = spec.restart;
        self.max_restarts = spec.max_restarts as usize;
        self.period = Duration::from_secs(spec.max_seconds.into());
        self.backoff = spec.backoff;
    }

    /// Whether that is its restart type.
    pub fn is(&self, restart: Restart) -> bool {
        self.restart == restart
    }

    /// Whether an end of that reason asks for a restart; `failed` where the process never played.
    pub fn wants(&self, reason: Option<&EndReason>, failed: bool) -> bool {
        let orderly = matches!(reason, Some(EndReason::Normal | EndReason::Shutdown));
        match self.restart {
            Restart::Permanent => true,
            Restart::Transient => failed || !orderly,
            Restart::Temporary => false,
        }
    }

    /// Forgets what was counted: somebody started the server by hand.
    pub fn reset(&mut self) {
        self.recent.clear();
        self.streak = 0;
    }

    /// A process ended. `ran` is how long it had played (or run, without a session), `jitter` a random number in 0..1.
    pub fn ended(
        &mut self,
        now: Duration,
        reason: &EndReason,
        ran: Duration,
        jitter: f64,
    ) -> Verdict {
        if !self.wants(Some(reason), false) {
            return Verdict::Stay;
        }
        self.ran(ran);
        self.restart(now, jitter)
    }

    /// Something ran for that long: long enough, and the next pause is the first again.
    pub fn ran(&mut self, ran: Duration) {
        if ran >= self.period.max(self.backoff.max) {
            self.streak = 0;
        }
    }

    /// No process came about, or it never played. Counts as a restart like any other, but is never repeated at once.
    pub fn failed_start(&mut self, now: Duration, jitter: f64) -> Verdict {
        if !self.wants(None, true) {
            return Verdict::Stay;
        }
        self.streak = self.streak.max(1);
        self.restart(now, jitter)
    }

    /// Counts a restart that is wanted.
    pub fn restart(&mut self, now: Duration, jitter: f64) -> Verdict {
        let pause = self.pause(jitter);
        self.streak = self.streak.saturating_add(1);
        while self
            .recent
            .front()
            .is_some_and(|at| *at + self.period < now)
        {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        if self.recent.len() > self.max_restarts {
            self.recent.clear();
            self.streak = 0;
            return Verdict::Quarantine;
        }
        Verdict::Restart(pause)
    }

    fn pause(&self, jitter: f64) -> Duration {
        if self.streak == 0 {
            return Duration::ZERO;
        }
        let doubled = 2u32.saturating_pow(self.streak - 1);
        let full = self
            .backoff
            .initial
            .saturating_mul(doubled)
            .min(self.backoff.max);
        full.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ServerId;
    use proptest::prelude::*;

    fn policy(restart: Restart, max_restarts: u32, max_seconds: u32) -> Policy {
        let id = ServerId::new("x").expect("valid");
        Policy::new(&ServerSpec {
            restart,
            max_restarts,
            max_seconds,
            backoff: Backoff {
                initial: Duration::from_millis(200),
                max: Duration::from_secs(3),
            },
            ..ServerSpec::new(id, vec!["x".into()])
        })
    }

    fn crash() -> EndReason {
        EndReason::Signal("sigsegv".into())
    }

    #[test]
    fn restart_types_are_those_of_otp() {
        let table = [
            (Restart::Permanent, EndReason::Normal, true),
            (Restart::Permanent, EndReason::Shutdown, true),
            (Restart::Permanent, crash(), true),
            (Restart::Transient, EndReason::Normal, false),
            (Restart::Transient, EndReason::Shutdown, false),
            (Restart::Transient, EndReason::ExitStatus(3), true),
            (Restart::Transient, EndReason::Hang, true),
            (Restart::Transient, EndReason::Unknown, true),
            (Restart::Temporary, crash(), false),
            (Restart::Temporary, EndReason::Normal, false),
        ];
        for (restart, reason, again) in table {
            let verdict = policy(restart, 3, 5).ended(Duration::ZERO, &reason, Duration::ZERO, 0.0);
            assert_eq!(verdict != Verdict::Stay, again, "{restart:?} {reason:?}");
        }
    }

    #[test]
    fn pauses_double_and_a_stable_run_resets_them() {
        let mut policy = policy(Restart::Permanent, 100, 5);
        let mut pauses = Vec::new();
        for second in 0..6 {
            match policy.ended(
                Duration::from_secs(second),
                &crash(),
                Duration::from_secs(1),
                0.0,
            ) {
                Verdict::Restart(pause) => pauses.push(pause.as_millis()),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(pauses, [0, 200, 400, 800, 1600, 3000]);
        let stable = policy.ended(
            Duration::from_secs(60),
            &crash(),
            Duration::from_secs(5),
            0.0,
        );
        assert_eq!(stable, Verdict::Restart(Duration::ZERO));
        assert_eq!(
            policy.failed_start(Duration::from_secs(61), 1.0),
            Verdict::Restart(Duration::from_millis(100))
        );
    }

    #[test]
    fn a_start_that_fails_is_never_repeated_at_once() {
        let verdict = policy(Restart::Permanent, 3, 5).failed_start(Duration::ZERO, 0.0);
        assert_eq!(verdict, Verdict::Restart(Duration::from_millis(200)));
    }

    /// OTP's documentation, word for word: "If more than `MaxR` number of restarts occur in the last `MaxT` seconds, the
    /// supervisor terminates". The model keeps every restart for ever and counts.
    #[derive(Default)]
    struct Model(Vec<u64>);

    impl Model {
        fn gives_up(&mut self, now_ms: u64, max_restarts: u32, max_seconds: u32) -> bool {
            self.0.push(now_ms);
            let from = now_ms.saturating_sub(u64::from(max_seconds) * 1000);
            let within = self.0.iter().filter(|at| **at >= from).count();
            let gives_up = within > max_restarts as usize;
            if gives_up {
                self.0.clear();
            }
            gives_up
        }
    }

    proptest! {
        #[test]
        fn intensity_is_that_of_the_model(
            max_restarts in 0u32..6,
            max_seconds in 1u32..10,
            gaps in proptest::collection::vec((0u64..4_000, any::<bool>(), 0.0f64..1.0), 0..60),
        ) {
            let mut policy = policy(Restart::Permanent, max_restarts, max_seconds);
            let mut model = Model::default();
            let mut now_ms = 0;
            for (gap_ms, failed, jitter) in gaps {
                now_ms += gap_ms;
                let now = Duration::from_millis(now_ms);
                let verdict = if failed {
                    policy.failed_start(now, jitter)
                } else {
                    policy.ended(now, &crash(), Duration::from_millis(gap_ms), jitter)
                };
                let quarantined = verdict == Verdict::Quarantine;
                prop_assert_eq!(quarantined, model.gives_up(now_ms, max_restarts, max_seconds));
                if let Verdict::Restart(pause) = verdict {
                    prop_assert!(pause <= Duration::from_secs(3));
                    prop_assert!(!failed || pause >= Duration::from_millis(100));
                }
                prop_assert!(policy.recent.len() <= max_restarts as usize);
            }
        }
    }
}
