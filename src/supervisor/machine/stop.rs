//! The ways to an end that somebody wants: drain, SIGTERM, SIGKILL.

use super::{Action, After, DRAINED_GRACE, Decision, Machine, Phase, Step};
use std::time::Duration;

impl Machine {
    pub(super) fn stop(
        &mut self,
        after: After,
        decision: Option<Decision>,
        now: Duration,
    ) -> Vec<Action> {
        match self.phase {
            Phase::Stopped { .. } => return Vec::new(),
            Phase::Quarantined { .. } | Phase::BackingOff { .. } | Phase::Held => {
                if after == After::Stay {
                    self.phase = Phase::Stopped { finished: false };
                }
                return Vec::new();
            }
            Phase::Stopping { .. } => {
                // A later wish counts, but neither an exit signal nor the group undoes a stop.
                let of_group = matches!(after, After::Hold | After::Quarantine);
                if after != After::Policy && !(of_group && self.after == After::Stay) {
                    self.after = after;
                }
                return Vec::new();
            }
            Phase::Unresponsive { .. } => return self.kill(Decision::Hang, after),
            Phase::Launching => {
                self.phase = Phase::Stopping {
                    step: Step::Launch { kill: false },
                };
            }
            Phase::Awaiting { .. } | Phase::Running { .. } => {}
        }
        self.after = after;
        self.decision = self.decision.or(decision);
        match self.phase {
            Phase::Stopping { .. } => Vec::new(),
            _ => self.drain_or_terminate(now),
        }
    }

    pub(super) fn drain_or_terminate(&mut self, now: Duration) -> Vec<Action> {
        if !self.connected {
            return self.terminate(now);
        }
        let term_at = now + self.stop_timeout;
        let kill_at = term_at + self.stop_timeout.min(DRAINED_GRACE);
        self.phase = Phase::Stopping {
            step: Step::Drain { term_at, kill_at },
        };
        vec![Action::Drain(self.stop_timeout)]
    }

    pub(super) fn drained(&mut self, now: Duration) -> Vec<Action> {
        if let Phase::Stopping {
            step: Step::Drain { term_at, kill_at },
        } = self.phase
        {
            let term_at = term_at.min(now + DRAINED_GRACE);
            self.phase = Phase::Stopping {
                step: Step::Drain { term_at, kill_at },
            };
        }
        Vec::new()
    }

    /// SIGTERM; what remains of the patience until SIGKILL depends on what was tried before.
    pub(super) fn terminate(&mut self, now: Duration) -> Vec<Action> {
        let kill_at = match self.phase {
            Phase::Stopping {
                step: Step::Drain { term_at, kill_at },
            } if term_at <= now => kill_at.max(now),
            Phase::Stopping {
                step: Step::Term { .. } | Step::Kill,
            } => return Vec::new(),
            _ => now + self.stop_timeout,
        };
        self.phase = Phase::Stopping {
            step: Step::Term { kill_at },
        };
        vec![Action::Terminate]
    }

    pub(super) fn kill(&mut self, decision: Decision, after: After) -> Vec<Action> {
        match &mut self.phase {
            Phase::Stopped { .. }
            | Phase::Quarantined { .. }
            | Phase::BackingOff { .. }
            | Phase::Held => Vec::new(),
            Phase::Launching => {
                self.phase = Phase::Stopping {
                    step: Step::Launch { kill: true },
                };
                self.decision = Some(decision);
                self.after = after;
                Vec::new()
            }
            Phase::Stopping {
                step: Step::Launch { kill },
            } => {
                *kill = true;
                Vec::new()
            }
            Phase::Stopping { step } => {
                *step = Step::Kill;
                vec![Action::Kill]
            }
            Phase::Awaiting { .. } | Phase::Running { .. } | Phase::Unresponsive { .. } => {
                self.decision = self.decision.or(Some(decision));
                self.after = after;
                self.phase = Phase::Stopping { step: Step::Kill };
                vec![Action::Kill]
            }
        }
    }
}
