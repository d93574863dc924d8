//! What a group does when a member ends: pure, so that it can be checked against a model of OTP's supervisor.
//!
//! Intensity is counted for the group, as in OTP: each failure that makes it restart is one, however many members that takes. A
//! member that fails before the group came to start it again belongs to the restart under way. Where OTP's supervisor would end
//! itself the group is quarantined, all of it.

use crate::supervisor::policy::{Policy, Verdict};
use crate::supervisor::spec::{Restart, ServerSpec, Strategy};
use crate::types::ServerId;
use std::collections::VecDeque;
use std::time::Duration;

/// One thing to be done to one member; the next follows when it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Start it for the first time.
    Begin(ServerId),
    /// Stop it, to be started again.
    Hold(ServerId),
    /// Start what was held.
    Resume(ServerId),
    /// Stop it for good: quarantine.
    GiveUp(ServerId),
    /// Its planned restart.
    Restart(ServerId),
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This.
    Do(Order),
    /// Nothing before that moment, or a failure.
    Wait(Duration),
    /// Nothing.
    Idle,
}

/// The memory of one group.
#[derive(Debug, Clone)]
pub struct Conductor {
    strategy: Strategy,
    policy: Policy,
    quarantine: Option<Duration>,
    stop: VecDeque<ServerId>,
    give_up: VecDeque<ServerId>,
    /// Members are started again from then on.
    resume_at: Option<Duration>,
    resume: VecDeque<ServerId>,
    begin: VecDeque<ServerId>,
    restart: VecDeque<ServerId>,
    /// When the quarantine ends by itself.
    release_at: Option<Duration>,
    /// Since when nothing is to be done; `None` in the middle of a restart.
    steady_since: Option<Duration>,
}

impl Conductor {
    /// A group whose numbers are those of its first member.
    pub fn new(first: &ServerSpec) -> Self {
        let mut conductor = Self {
            strategy: Strategy::OneForOne,
            policy: Policy::new(first),
            quarantine: None,
            stop: VecDeque::new(),
            give_up: VecDeque::new(),
            resume_at: None,
            resume: VecDeque::new(),
            begin: VecDeque::new(),
            restart: VecDeque::new(),
            release_at: None,
            steady_since: None,
        };
        conductor.update(first);
        conductor
    }

    /// Other numbers from now on; what was counted stays.
    pub fn update(&mut self, first: &ServerSpec) {
        let group = first.group.as_ref();
        self.strategy = group.map_or(Strategy::OneForOne, |group| group.strategy);
        self.quarantine = first.quarantine;
        // Each member knows by its own restart type whether it is to be restarted; the group counts.
        self.policy.update(&ServerSpec {
            restart: Restart::Permanent,
            ..first.clone()
        });
    }

    /// These are to be started for the first time.
    pub fn begin(&mut self, ids: Vec<ServerId>) {
        self.begin.extend(ids);
    }

    /// These are to be restarted, as it was planned.
    pub fn restart(&mut self, ids: Vec<ServerId>) {
        self.restart.extend(ids);
    }

    /// A member ended and is to be started again. `members` are all, in their order; `jitter` is a random number in 0..1.
    pub fn failed(&mut self, id: &ServerId, members: &[ServerId], now: Duration, jitter: f64) {
        let Some(at) = members.iter().position(|member| member == id) else {
            return;
        };
        if self.resume.contains(id) || self.give_up.contains(id) {
            return;
        }
        let verdict = match self.steady_since {
            Some(since) => {
                self.policy.ran(now.saturating_sub(since));
                self.policy.restart(now, jitter)
            }
            None => self.policy.failed_start(now, jitter),
        };
        self.steady_since = None;
        self.stop.clear();
        self.resume.clear();
        match verdict {
            Verdict::Restart(pause) => {
                let affected = match self.strategy {
                    Strategy::OneForOne => &members[at..=at],
                    Strategy::RestForOne => &members[at..],
                    Strategy::OneForAll => members,
                };
                self.stop.extend(affected.iter().rev().cloned());
                self.resume.extend(affected.iter().cloned());
                self.resume_at = Some(now + pause);
                self.begin.retain(|begun| begun != id);
                self.restart.retain(|planned| !affected.contains(planned));
            }
            Verdict::Quarantine | Verdict::Stay => {
                self.begin.clear();
                self.restart.clear();
                self.give_up.extend(members.iter().rev().cloned());
                self.release_at = self.quarantine.map(|cool| now + cool);
            }
        }
    }

    /// What is to be done now that all before is done.
    pub fn next(&mut self, members: &[ServerId], now: Duration) -> Next {
        if let Some(id) = self.stop.pop_front() {
            return Next::Do(Order::Hold(id));
        }
        if let Some(id) = self.give_up.pop_front() {
            return Next::Do(Order::GiveUp(id));
        }
        if !self.resume.is_empty() {
            match self.resume_at.filter(|at| *at > now) {
                Some(at) => return Next::Wait(at),
                None => self.resume_at = None,
            }
        }
        if let Some(id) = self.resume.pop_front() {
            return Next::Do(Order::Resume(id));
        }
        if let Some(id) = self.begin.pop_front() {
            return Next::Do(Order::Begin(id));
        }
        if let Some(id) = self.restart.pop_front() {
            return Next::Do(Order::Restart(id));
        }
        self.steady_since = self.steady_since.or(Some(now));
        match self.release_at {
            Some(at) if at > now => Next::Wait(at),
            Some(_) => {
                self.release_at = None;
                self.steady_since = None;
                self.resume.extend(members.iter().cloned());
                self.next(members, now)
            }
            None => Next::Idle,
        }
    }
}
