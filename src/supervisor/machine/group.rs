//! What a group asks of its member, and what changes while it runs.

use super::{Action, After, Decision, Machine, Phase};
use crate::supervisor::spec::{Restart, ServerSpec};
use std::time::Duration;

impl Machine {
    /// Other numbers from now on. Given while a process exists, they must be of the same kind of process.
    pub fn update(&mut self, spec: &ServerSpec, now: Duration) {
        self.session = spec.session;
        self.probed = spec.is_probed();
        self.busy_max = spec.busy_max;
        self.linked = spec.is_linked();
        self.quarantine = spec.quarantine;
        self.start_timeout = spec.start_timeout;
        self.stop_timeout = spec.stop_timeout;
        self.policy.update(spec);
        self.reserve.update(spec);
        let hang_timeout = spec.hang_timeout.filter(|_| spec.session);
        let judged_anew = hang_timeout != self.hang_timeout;
        self.hang_timeout = hang_timeout;
        match &mut self.phase {
            Phase::Running { .. } if judged_anew => self.playing(now),
            // What it waited for is asked no more.
            Phase::Awaiting { .. } if !self.session && !self.probed => self.playing(now),
            // The group that it waited for restarts nobody any more.
            Phase::Held if !self.linked => self.phase = Phase::BackingOff { until: now },
            _ => {}
        }
    }

    /// It stops with others of its group and waits until the group starts it again. A temporary one is not started again.
    pub(super) fn hold(&mut self, now: Duration) -> Vec<Action> {
        if self.policy.is(Restart::Temporary) {
            return self.stop(After::Stay, Some(Decision::Shutdown), now);
        }
        if let Phase::BackingOff { .. } = self.phase {
            self.phase = Phase::Held;
        }
        self.stop(After::Hold, Some(Decision::Shutdown), now)
    }

    /// The group starts what it held, what it had quarantined, and, as OTP does, what had ended in order. What was stopped by
    /// hand stays stopped.
    pub(super) fn resume(&mut self) -> Vec<Action> {
        match self.phase {
            Phase::Held => {
                self.restarts += 1;
                self.launch()
            }
            Phase::Stopped { finished: true } if !self.policy.is(Restart::Temporary) => {
                self.launch()
            }
            Phase::Quarantined { .. } => {
                let mut actions = self.launch();
                actions.insert(0, Action::TellRelease);
                actions
            }
            _ => Vec::new(),
        }
    }

    /// The group was restarted too often.
    pub(super) fn give_up(&mut self, now: Duration) -> Vec<Action> {
        match self.phase {
            Phase::Stopped { .. } | Phase::Quarantined { .. } => Vec::new(),
            Phase::Held | Phase::BackingOff { .. } => self.quarantined(now),
            _ => self.stop(After::Quarantine, Some(Decision::Shutdown), now),
        }
    }

    /// It ended as its group wanted.
    pub(super) fn grouped(&mut self, now: Duration) -> Vec<Action> {
        if self.after == After::Quarantine {
            return self.quarantined(now);
        }
        self.phase = Phase::Held;
        Vec::new()
    }

    /// It ended by itself: the group decides what follows, unless nothing does.
    pub(super) fn tell_group(&mut self, wanted: bool) -> Vec<Action> {
        if wanted {
            self.phase = Phase::Held;
            return vec![Action::TellGroup];
        }
        self.phase = Phase::Stopped { finished: true };
        Vec::new()
    }
}
