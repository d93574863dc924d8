//! The standby as a pure state machine: one more process of the same command, which has loaded everything and waits.
//!
//! ```text
//! Empty ─▶ Launching ─▶ Loading ─▶ Ready ─▶ promoted: Empty again, and refilled
//!   ▲          └─ fails ──┴─ ends ──┴─▶ BackingOff ─▶ Launching
//!   └── Stopping ◀── no longer wanted
//! ```
//!
//! Its failures have pauses of their own and count nowhere else: a standby that cannot start must neither spin nor take the
//! server that plays into quarantine.

use super::Action;
use crate::supervisor::spec::{Backoff, ServerSpec};
use crate::supervisor::status::State;
use std::time::Duration;

/// The shortest pause after a failure, whatever `backoff` says: nobody waits for a standby.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// A standby that was ready for so long fails for another reason than the one before.
const STABLE: Duration = Duration::from_secs(30);

/// What happened to the standby.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandbyInput {
    /// Its process was executed.
    Launched,
    /// No process came about.
    LaunchFailed,
    /// A process of an earlier sidekick was found.
    Adopted,
    /// It has loaded everything and waits.
    Hello,
    /// Its connection ended; it comes back, or its process ends.
    Lost,
    /// Its process ended.
    Ended,
    /// It is not the process that a later spec wants.
    Outdated,
}

/// What the server wants of its standby.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    /// There is to be none.
    None,
    /// Keep what is there.
    Keep,
    /// There is to be one.
    Fill,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Empty,
    BackingOff {
        until: Duration,
    },
    /// `unwanted`: it is killed as soon as it exists.
    Launching {
        unwanted: bool,
    },
    Loading {
        deadline: Duration,
    },
    Ready {
        since: Duration,
    },
    /// Killed; `failed`, because it did not say hello in time.
    Stopping {
        failed: bool,
    },
}

/// The standby of one server.
#[derive(Debug, Clone)]
pub(super) struct Reserve {
    wanted: bool,
    /// Nothing of the process whose place the last standby took is left: its place is that of the next.
    room: bool,
    start_timeout: Duration,
    backoff: Backoff,
    phase: Phase,
    streak: u32,
}

impl Reserve {
    pub fn new(spec: &ServerSpec) -> Self {
        Self {
            wanted: spec.has_standby(),
            room: true,
            start_timeout: spec.start_timeout,
            backoff: spec.backoff,
            phase: Phase::Empty,
            streak: 0,
        }
    }

    pub fn update(&mut self, spec: &ServerSpec) {
        self.wanted = spec.has_standby();
        self.start_timeout = spec.start_timeout;
        self.backoff = spec.backoff;
    }

    /// Where it is, as others see it; [`State::Stopped`] where there is none.
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Empty => State::Stopped,
            Phase::BackingOff { .. } => State::BackingOff,
            Phase::Launching { .. } | Phase::Loading { .. } => State::Starting,
            Phase::Ready { .. } => State::Standby,
            Phase::Stopping { .. } => State::Stopping,
        }
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.streak
    }

    /// When its next start is due.
    pub fn next_start(&self) -> Option<Duration> {
        match self.phase {
            Phase::BackingOff { until } => Some(until),
            _ => None,
        }
    }

    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready { .. })
    }

    /// When a tick is wanted. A start that is due waits while the server itself does not play.
    pub fn due(&self, demand: Demand) -> Option<Duration> {
        match self.phase {
            Phase::BackingOff { until } => Some(until).filter(|_| demand == Demand::Fill),
            Phase::Loading { deadline } => Some(deadline),
            _ => None,
        }
    }

    /// It becomes the server: true where there was one that is ready. What follows concerns the next one.
    pub fn take(&mut self) -> bool {
        let ready = self.wanted && self.is_ready();
        if ready {
            self.phase = Phase::Empty;
            self.streak = 0;
            self.room = false;
        }
        ready
    }

    /// The process before is gone.
    pub fn make_room(&mut self) {
        self.room = true;
    }

    pub fn has_room(&self) -> bool {
        self.room
    }

    /// Does what is wanted of it.
    pub fn follow(&mut self, demand: Demand, now: Duration) -> Vec<Action> {
        match (if self.wanted { demand } else { Demand::None }, self.phase) {
            (Demand::None, _) => self.discard(),
            (Demand::Fill, Phase::Empty) => self.launch(),
            (Demand::Fill, Phase::BackingOff { until }) if until <= now => self.launch(),
            (_, Phase::Loading { deadline }) if deadline <= now => {
                self.phase = Phase::Stopping { failed: true };
                vec![Action::KillStandby]
            }
            _ => Vec::new(),
        }
    }

    pub fn handle(&mut self, input: StandbyInput, now: Duration, jitter: f64) -> Vec<Action> {
        let deadline = now + self.start_timeout;
        match (input, self.phase) {
            (StandbyInput::Launched, Phase::Launching { unwanted: true }) => {
                self.phase = Phase::Stopping { failed: false };
                return vec![Action::KillStandby];
            }
            (StandbyInput::LaunchFailed, Phase::Launching { unwanted: true })
            | (StandbyInput::Ended, Phase::Stopping { failed: false }) => {
                self.phase = Phase::Empty;
            }
            (StandbyInput::Launched, Phase::Launching { .. })
            | (StandbyInput::Adopted, Phase::Empty)
            | (StandbyInput::Lost, Phase::Ready { .. }) => {
                self.phase = Phase::Loading { deadline };
            }
            (StandbyInput::Hello, Phase::Loading { .. }) => {
                self.phase = Phase::Ready { since: now };
            }
            (StandbyInput::LaunchFailed, Phase::Launching { .. })
            | (
                StandbyInput::Ended,
                Phase::Loading { .. } | Phase::Ready { .. } | Phase::Stopping { failed: true },
            ) => self.fail(now, jitter),
            (StandbyInput::Outdated, _) => return self.discard(),
            _ => {}
        }
        Vec::new()
    }

    fn launch(&mut self) -> Vec<Action> {
        self.phase = Phase::Launching { unwanted: false };
        vec![Action::LaunchStandby]
    }

    fn discard(&mut self) -> Vec<Action> {
        match &mut self.phase {
            Phase::Launching { unwanted } => *unwanted = true,
            Phase::Stopping { failed } => *failed = false,
            Phase::BackingOff { .. } => self.phase = Phase::Empty,
            Phase::Loading { .. } | Phase::Ready { .. } => {
                self.phase = Phase::Stopping { failed: false };
                return vec![Action::KillStandby];
            }
            Phase::Empty => {}
        }
        self.streak = 0;
        Vec::new()
    }

    fn fail(&mut self, now: Duration, jitter: f64) {
        if matches!(self.phase, Phase::Ready { since } if now.saturating_sub(since) >= STABLE) {
            self.streak = 0;
        }
        let doubled = 2u32.saturating_pow(self.streak);
        let first = self.backoff.initial.max(PAUSE_MIN);
        let full = first
            .saturating_mul(doubled)
            .min(self.backoff.max.max(first));
        let pause = full.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0);
        self.streak = self.streak.saturating_add(1);
        self.phase = Phase::BackingOff { until: now + pause };
    }
}
