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
mod tests;
