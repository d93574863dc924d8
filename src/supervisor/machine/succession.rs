//! The server and its standby: what is wanted of it, and when it takes over.

use super::reserve::Demand;
use super::{Action, After, Decision, Machine, Phase};
use crate::supervisor::policy::Verdict;
use crate::supervisor::status::{EndReason, State};
use std::time::Duration;

impl Machine {
    /// Where its standby is; [`State::Stopped`] where there is none.
    pub fn standby(&self) -> State {
        self.reserve.state()
    }

    /// How often starts of the standby failed in a row, and when the next is due.
    pub fn standby_failures(&self) -> (u32, Option<Duration>) {
        (self.reserve.failures(), self.reserve.next_start())
    }

    /// Whether a standby may be there in this phase.
    pub fn keeps_standby(&self) -> bool {
        self.demand() != Demand::None
    }

    /// A standby is started once the server plays, kept over its restarts, and stopped with it.
    pub(super) fn demand(&self) -> Demand {
        match self.phase {
            Phase::Stopped { .. } | Phase::Quarantined { .. } => Demand::None,
            Phase::Stopping { .. } if matches!(self.after, After::Stay | After::Quarantine) => {
                Demand::None
            }
            Phase::Running { .. } if self.reserve.has_room() => Demand::Fill,
            _ => Demand::Keep,
        }
    }

    /// SIGSEGV first: Godot prints the script line in which it hangs. SIGKILL for those who do not die of it. A standby that is
    /// ready does not wait for that.
    pub(super) fn unresponsive(
        &mut self,
        decision: Decision,
        silent: Duration,
        now: Duration,
        jitter: f64,
    ) -> Vec<Action> {
        let mut actions = vec![Action::TellHang(silent), Action::Dump];
        if decision == Decision::Hang && self.restarts_at_once(now, jitter) {
            self.restarts += 1;
            actions.push(Action::Abandon);
            actions.extend(self.launch());
            return actions;
        }
        self.decision = Some(decision);
        self.phase = Phase::Unresponsive {
            kill_at: now + self.hang_grace,
        };
        actions
    }

    /// Whether a hang can be answered by the standby now; counted as a restart where it is. Of a group that is restarted
    /// together the others are stopped first, so there is nothing to hurry for.
    fn restarts_at_once(&mut self, now: Duration, jitter: f64) -> bool {
        let mut policy = self.policy.clone();
        let ran = self.ran(now);
        let verdict = policy.ended(now, &EndReason::Hang, ran, jitter);
        let at_once =
            !self.linked && self.reserve.is_ready() && verdict == Verdict::Restart(Duration::ZERO);
        if at_once {
            self.policy = policy;
        }
        at_once
    }

    pub(super) fn ran(&self, now: Duration) -> Duration {
        self.playing_since
            .map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }
}
