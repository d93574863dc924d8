//! The life of one server as a pure state machine: `(state, input, now) → (state, actions)`.
//!
//! ```text
//!             ┌────────────── policy: restart ───────────────┐
//!  Stopped ─▶ Launching ─▶ Awaiting ─▶ Running ─▶ Unresponsive │
//!     ▲          │            │           │  SIGSEGV, SIGKILL │
//!     │          └── fails ───┴── ends ───┴───────────────────┴─▶ BackingOff | Stopped | Quarantined
//!     └────────── Stopping: drain, SIGTERM, SIGKILL ◀── requests
//! ```
//!
//! A server with a standby ([`reserve`]) that is ready is not launched but promoted: the standby becomes its process. After a
//! hang that happens before the old process is dead, which is why promotion fences it.
//!
//! The actor feeds it and does what it says; nothing here knows of processes, sockets or clocks.

mod group;
mod input;
mod reserve;
#[cfg(test)]
mod standby_tests;
mod stop;
mod succession;
#[cfg(test)]
mod tests;

pub use input::{Action, Decision, Input};
pub use reserve::StandbyInput;

use super::ExitRequest;
use super::hang::HangWatch;
use super::policy::{Policy, Verdict};
use super::spec::ServerSpec;
use super::status::{EndReason, State};
use reserve::Reserve;
use std::time::Duration;

/// A game that said it has drained gets this long to end by itself.
const DRAINED_GRACE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone)]
enum Phase {
    /// `finished`: it ended by itself and its restart type wants it no more.
    Stopped {
        finished: bool,
    },
    Quarantined {
        until: Option<Duration>,
    },
    BackingOff {
        until: Duration,
    },
    /// Waits for its group to start it again.
    Held,
    Launching,
    /// A process exists that does not play yet; or one that plays whose session was lost (`lost`).
    Awaiting {
        deadline: Option<Duration>,
        lost: bool,
    },
    Running {
        watch: Option<Box<HangWatch>>,
    },
    Unresponsive {
        kill_at: Duration,
    },
    Stopping {
        step: Step,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    /// A launch is under way; the process is stopped as soon as it exists.
    Launch {
        kill: bool,
    },
    Drain {
        term_at: Duration,
        kill_at: Duration,
    },
    Term {
        kill_at: Duration,
    },
    Kill,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Policy,
    Stay,
    Start,
    /// The group starts it again.
    Hold,
    /// The group gave up.
    Quarantine,
}

/// The machine of one server.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools)] // Each is a fact for itself, and any mixture of them happens.
pub struct Machine {
    session: bool,
    /// Without a session: it is asked whether it serves.
    probed: bool,
    linked: bool,
    quarantine: Option<Duration>,
    busy_max: Duration,
    connected: bool,
    start_timeout: Duration,
    hang_timeout: Option<Duration>,
    hang_grace: Duration,
    stop_timeout: Duration,
    policy: Policy,
    phase: Phase,
    after: After,
    decision: Option<Decision>,
    playing_since: Option<Duration>,
    restarts: u64,
    reserve: Reserve,
}

impl Machine {
    /// A stopped server.
    pub fn new(spec: &ServerSpec, hang_grace: Duration) -> Self {
        Self {
            session: spec.session,
            probed: spec.is_probed(),
            linked: spec.is_linked(),
            quarantine: spec.quarantine,
            busy_max: spec.busy_max,
            connected: false,
            start_timeout: spec.start_timeout,
            hang_timeout: spec.hang_timeout.filter(|_| spec.session),
            hang_grace,
            stop_timeout: spec.stop_timeout,
            policy: Policy::new(spec),
            phase: Phase::Stopped { finished: false },
            after: After::Policy,
            decision: None,
            playing_since: None,
            restarts: 0,
            reserve: Reserve::new(spec),
        }
    }

    /// Where it is, as others see it.
    pub fn state(&self) -> State {
        match &self.phase {
            Phase::Stopped { .. } => State::Stopped,
            Phase::Quarantined { .. } => State::Quarantined,
            Phase::BackingOff { .. } | Phase::Held => State::BackingOff,
            Phase::Launching | Phase::Awaiting { lost: false, .. } => State::Starting,
            Phase::Awaiting { lost: true, .. } | Phase::Running { .. } => State::Running,
            Phase::Unresponsive { .. } => State::Unresponsive,
            Phase::Stopping { .. } => State::Stopping,
        }
    }

    /// Our decision about the process that runs.
    pub fn decision(&self) -> Option<Decision> {
        self.decision
    }

    /// Restarts by policy.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// When the next start is due, while backing off or in a quarantine that ends.
    pub fn next_start(&self) -> Option<Duration> {
        match self.phase {
            Phase::BackingOff { until } => Some(until),
            Phase::Quarantined { until } => until,
            _ => None,
        }
    }

    /// When [`Input::Tick`] is wanted.
    pub fn due(&self) -> Option<Duration> {
        let standby = self.reserve.due(self.demand());
        self.own_due().into_iter().chain(standby).min()
    }

    fn own_due(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Stopped { .. } | Phase::Launching | Phase::Held => None,
            // A whole group is released together.
            Phase::Quarantined { until } => until.filter(|_| !self.linked),
            Phase::BackingOff { until } => Some(*until),
            Phase::Awaiting { deadline, .. } => *deadline,
            Phase::Running { watch } => watch.as_ref().map(|watch| watch.due()),
            Phase::Unresponsive { kill_at } => Some(*kill_at),
            Phase::Stopping { step } => match step {
                Step::Drain { term_at: at, .. } | Step::Term { kill_at: at } => Some(*at),
                Step::Launch { .. } | Step::Kill => None,
            },
        }
    }

    /// Takes one input. `jitter` is a random number in 0..1.
    pub fn handle(&mut self, input: Input, now: Duration, jitter: f64) -> Vec<Action> {
        let mut actions = self.step(input, now, jitter);
        actions.extend(self.reserve.follow(self.demand(), now));
        actions
    }

    fn step(&mut self, input: Input, now: Duration, jitter: f64) -> Vec<Action> {
        match input {
            Input::Start => self.start(),
            Input::Stop => self.stop(After::Stay, Some(Decision::Shutdown), now),
            Input::Restart => self.restart(now),
            Input::Kill | Input::Exit(ExitRequest::Kill) => {
                self.kill(Decision::Killed, After::Policy)
            }
            Input::Exit(ExitRequest::Shutdown) => {
                self.stop(After::Policy, Some(Decision::Shutdown), now)
            }
            Input::Exit(ExitRequest::Other) => {
                self.stop(After::Policy, Some(Decision::Killed), now)
            }
            Input::Hold => self.hold(now),
            Input::Resume => self.resume(),
            Input::Quarantine => self.give_up(now),
            Input::Launched => self.launched(now),
            Input::Adopted => self.adopted(now),
            Input::LaunchFailed => self.launch_failed(now, jitter),
            Input::Hello { .. } | Input::Playing | Input::Beat { .. } | Input::Closed => {
                self.session_event(&input, now);
                Vec::new()
            }
            Input::Silent(silent) => self.silent(silent, now, jitter),
            Input::Drained => self.drained(now),
            Input::CannotDrain => self.terminate(now),
            Input::Ended(reason) => self.ended(&reason, now, jitter),
            Input::Tick => self.tick(now, jitter),
            Input::Standby(input) => self.reserve.handle(input, now, jitter),
            Input::Left => {
                self.reserve.make_room();
                Vec::new()
            }
        }
    }

    fn start(&mut self) -> Vec<Action> {
        match self.phase {
            Phase::Stopped { .. }
            | Phase::Quarantined { .. }
            | Phase::BackingOff { .. }
            | Phase::Held => {
                self.policy.reset();
                self.launch()
            }
            Phase::Stopping { .. } => {
                self.after = After::Start;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn launch(&mut self) -> Vec<Action> {
        self.phase = Phase::Launching;
        self.after = After::Policy;
        self.decision = None;
        self.playing_since = None;
        self.connected = false;
        if self.reserve.take() {
            return vec![Action::Promote];
        }
        vec![Action::Launch]
    }

    fn restart(&mut self, now: Duration) -> Vec<Action> {
        if self.state().is_up() {
            self.stop(After::Start, Some(Decision::Shutdown), now)
        } else {
            self.start()
        }
    }

    fn launched(&mut self, now: Duration) -> Vec<Action> {
        match self.phase {
            Phase::Stopping {
                step: Step::Launch { kill: true },
            } => {
                self.phase = Phase::Stopping { step: Step::Kill };
                vec![Action::Kill]
            }
            Phase::Stopping { .. } => self.terminate(now),
            _ => {
                self.after = After::Policy;
                self.decision = None;
                if self.session || self.probed {
                    let deadline = Some(now + self.start_timeout);
                    self.phase = Phase::Awaiting {
                        deadline,
                        lost: false,
                    };
                } else {
                    self.playing(now);
                }
                Vec::new()
            }
        }
    }

    /// It plays as far as we know; its session, or its first answer, has to come back in the time a start may take.
    fn adopted(&mut self, now: Duration) -> Vec<Action> {
        let actions = self.launched(now);
        if self.session || self.probed {
            self.playing_since = Some(now);
            self.lose_session(now);
        }
        actions
    }

    fn lose_session(&mut self, now: Duration) {
        let judged = self.hang_timeout.is_some() || self.probed;
        let deadline = judged.then(|| now + self.start_timeout);
        self.phase = Phase::Awaiting {
            deadline,
            lost: true,
        };
    }

    fn launch_failed(&mut self, now: Duration, jitter: f64) -> Vec<Action> {
        self.connected = false;
        match self.after {
            After::Policy if self.linked => self.tell_group(self.policy.wants(None, true)),
            After::Policy => {
                let verdict = self.policy.failed_start(now, jitter);
                self.follow(verdict, now)
            }
            After::Hold | After::Quarantine => self.grouped(now),
            // A start that was asked for again meanwhile would fail in the same way: the policy's pauses apply to it too.
            After::Stay | After::Start => {
                self.phase = Phase::Stopped { finished: false };
                Vec::new()
            }
        }
    }

    pub(super) fn playing(&mut self, now: Duration) {
        self.playing_since = self.playing_since.or(Some(now));
        let watch = self
            .hang_timeout
            .map(|timeout| Box::new(HangWatch::new(timeout, now)));
        self.phase = Phase::Running { watch };
    }

    fn session_event(&mut self, input: &Input, now: Duration) {
        match input {
            Input::Hello { .. } => self.connected = true,
            Input::Closed => self.connected = false,
            _ => {}
        }
        match (input, &mut self.phase) {
            (Input::Hello { resumed: true } | Input::Playing, Phase::Awaiting { .. }) => {
                self.playing(now);
            }
            (Input::Hello { resumed: false }, Phase::Awaiting { deadline, .. }) => {
                *deadline = Some(now + self.start_timeout);
            }
            (
                Input::Beat { busy },
                Phase::Awaiting {
                    deadline: Some(deadline),
                    ..
                },
            ) => {
                *deadline = (*deadline).max(now + (*busy).min(self.busy_max));
            }
            (Input::Beat { busy }, Phase::Running { watch: Some(watch) }) => {
                watch.beat(now, (*busy).min(self.busy_max));
            }
            (Input::Closed, Phase::Running { .. }) => self.lose_session(now),
            _ => {}
        }
    }

    fn ended(&mut self, reason: &EndReason, now: Duration, jitter: f64) -> Vec<Action> {
        self.connected = false;
        let never_played = self.playing_since.is_none();
        let ran = self.ran(now);
        match self.after {
            After::Stay => {
                self.phase = Phase::Stopped { finished: false };
                Vec::new()
            }
            After::Start => self.launch(),
            After::Hold | After::Quarantine => self.grouped(now),
            After::Policy => {
                let failed_start = never_played
                    && self.decision != Some(Decision::Shutdown)
                    && *reason != EndReason::Normal;
                if self.linked {
                    return self.tell_group(self.policy.wants(Some(reason), failed_start));
                }
                let verdict = if failed_start {
                    self.policy.failed_start(now, jitter)
                } else {
                    self.policy.ended(now, reason, ran, jitter)
                };
                self.follow(verdict, now)
            }
        }
    }

    fn follow(&mut self, verdict: Verdict, now: Duration) -> Vec<Action> {
        match verdict {
            Verdict::Restart(pause) => {
                self.restarts += 1;
                if pause.is_zero() {
                    return self.launch();
                }
                self.phase = Phase::BackingOff { until: now + pause };
                Vec::new()
            }
            Verdict::Stay => {
                self.phase = Phase::Stopped { finished: true };
                Vec::new()
            }
            Verdict::Quarantine => self.quarantined(now),
        }
    }

    fn quarantined(&mut self, now: Duration) -> Vec<Action> {
        let until = self.quarantine.map(|cool| now + cool);
        self.phase = Phase::Quarantined { until };
        vec![Action::TellQuarantine]
    }

    fn tick(&mut self, now: Duration, jitter: f64) -> Vec<Action> {
        if self.own_due().is_none_or(|due| due > now) {
            return Vec::new();
        }
        match &mut self.phase {
            Phase::BackingOff { .. } => self.launch(),
            Phase::Quarantined { .. } => {
                let mut actions = self.launch();
                actions.insert(0, Action::TellRelease);
                actions
            }
            Phase::Awaiting { lost, .. } => {
                let decision = if *lost {
                    Decision::Hang
                } else {
                    Decision::StartTimeout
                };
                let silent = self.start_timeout;
                self.unresponsive(decision, silent, now, jitter)
            }
            Phase::Running { watch } => match watch.as_mut().and_then(|watch| watch.check(now)) {
                Some(silent) => self.unresponsive(Decision::Hang, silent, now, jitter),
                None => Vec::new(),
            },
            Phase::Unresponsive { .. } => self.kill(Decision::Hang, After::Policy),
            Phase::Stopping {
                step: Step::Drain { .. },
            } => self.terminate(now),
            Phase::Stopping {
                step: Step::Term { .. },
            } => self.kill(Decision::Shutdown, self.after),
            _ => Vec::new(),
        }
    }

    /// Its probes fail. A start has its own deadline, and what is being ended is past judging.
    fn silent(&mut self, silent: Duration, now: Duration, jitter: f64) -> Vec<Action> {
        match self.phase {
            Phase::Running { .. } => self.unresponsive(Decision::Hang, silent, now, jitter),
            _ => Vec::new(),
        }
    }
}
