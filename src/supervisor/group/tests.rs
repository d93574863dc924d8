//! Groups against a model of OTP's `supervisor`, written from its documentation and its source (stdlib 6): restart types, reasons,
//! intensity, strategies, starts that fail, and deaths at the same moment.

use super::*;
use crate::supervisor::machine::{Action, Input, Machine};
use crate::supervisor::spec::{Backoff, Group, Restart, Strategy};
use crate::supervisor::status::EndReason;
use proptest::prelude::*;

const PERIOD_MS: u64 = 5_000;

/// What both are told: who dies, of what, how long after the event before, and whose next starts fail.
#[derive(Debug, Clone)]
struct Event {
    gap_ms: u64,
    deaths: Vec<(usize, EndReason)>,
    fails: Vec<(usize, u8)>,
}

/// OTP's supervisor. With `one_for_one` our servers count for themselves, which is a supervisor for each.
pub(super) struct Otp {
    strategy: Strategy,
    types: Vec<Restart>,
    max_restarts: usize,
    pub(super) alive: Vec<bool>,
    /// Temporary children whose specification is gone.
    removed: Vec<bool>,
    /// By counter: child, or the group at 0.
    restarts: Vec<Vec<u64>>,
    pub(super) gave_up: Vec<bool>,
    pub(super) fails: Vec<u8>,
    pub(super) log: Vec<String>,
}

impl Otp {
    pub(super) fn new(strategy: Strategy, types: &[Restart], max_restarts: u32) -> Self {
        let count = types.len();
        Self {
            strategy,
            types: types.to_vec(),
            max_restarts: max_restarts as usize,
            alive: vec![true; count],
            removed: vec![false; count],
            restarts: vec![Vec::new(); count],
            gave_up: vec![false; count],
            fails: vec![0; count],
            log: Vec::new(),
        }
    }

    fn counter(&self, child: usize) -> usize {
        if self.strategy == Strategy::OneForOne {
            child
        } else {
            0
        }
    }

    /// "If more than `MaxR` number of restarts occur in the last `MaxT` seconds, the supervisor terminates all the child processes and
    /// then itself."
    fn may_restart(&mut self, child: usize, now: u64) -> bool {
        let counter = self.counter(child);
        let restarts = &mut self.restarts[counter];
        restarts.push(now);
        restarts.retain(|at| at + PERIOD_MS >= now);
        restarts.len() <= self.max_restarts
    }

    fn terminate(&mut self, child: usize) {
        if std::mem::take(&mut self.alive[child]) {
            self.log.push(format!("stop {child}"));
        }
        self.removed[child] |= self.types[child] == Restart::Temporary;
    }

    fn start(&mut self, child: usize) -> bool {
        self.log.push(format!("start {child}"));
        let fails = self.fails[child] > 0;
        self.fails[child] = self.fails[child].saturating_sub(1);
        self.alive[child] = !fails;
        !fails
    }

    fn restart(&mut self, first: usize, now: u64) {
        let mut child = first;
        loop {
            let all = self.types.len();
            let range = match self.strategy {
                Strategy::OneForOne => child..child + 1,
                Strategy::RestForOne => child..all,
                Strategy::OneForAll => 0..all,
            };
            if !self.may_restart(child, now) {
                let ended = if self.strategy == Strategy::OneForOne {
                    child..child + 1
                } else {
                    0..all
                };
                for child in ended.rev() {
                    self.terminate(child);
                    self.gave_up[child] = true;
                }
                return;
            }
            range.clone().rev().for_each(|child| self.terminate(child));
            let mut started = range
                .filter(|child| !self.removed[*child])
                .collect::<Vec<_>>();
            started.retain(|child| self.types[*child] != Restart::Temporary);
            match started.into_iter().find(|child| !self.start(*child)) {
                // `{try_again, Id}`: the one that failed is restarted in its turn.
                Some(failed) => child = failed,
                None => return,
            }
        }
    }

    pub(super) fn die(&mut self, deaths: &[(usize, EndReason)], now: u64) {
        let mut signals: Vec<_> = deaths
            .iter()
            .filter(|(child, _)| std::mem::take(&mut self.alive[*child]))
            .collect();
        while !signals.is_empty() {
            let (child, reason) = signals.remove(0);
            let orderly = matches!(reason, EndReason::Normal | EndReason::Shutdown);
            let wanted = match self.types[*child] {
                Restart::Permanent => true,
                Restart::Transient => !orderly,
                Restart::Temporary => false,
            };
            self.removed[*child] |= self.types[*child] == Restart::Temporary;
            if wanted {
                self.restart(*child, now);
                // An exit signal of a child that it terminated or started again meanwhile is taken with it.
                signals.retain(|(other, _)| !self.alive[*other] && !self.gave_up[*other]);
            }
        }
    }
}

/// Ours: machines, and the conductor where the strategy needs one. Nothing takes time but pauses, of which there are none.
pub(super) struct Ours {
    members: Vec<ServerId>,
    machines: Vec<Machine>,
    conductor: Conductor,
    failed: Vec<ServerId>,
    pub(super) fails: Vec<u8>,
    now: Duration,
    pub(super) log: Vec<String>,
}

impl Ours {
    pub(super) fn new(strategy: Strategy, types: &[Restart], max_restarts: u32) -> Self {
        let specs: Vec<ServerSpec> = types
            .iter()
            .enumerate()
            .map(|(n, restart)| ServerSpec {
                session: false,
                restart: *restart,
                max_restarts,
                max_seconds: (PERIOD_MS / 1000) as u32,
                backoff: Backoff {
                    initial: Duration::ZERO,
                    max: Duration::ZERO,
                },
                group: Some(Group {
                    name: "g".into(),
                    strategy,
                }),
                ..ServerSpec::new(
                    ServerId::new(&format!("m{n}")).expect("valid"),
                    vec!["x".into()],
                )
            })
            .collect();
        let mut ours = Self {
            members: specs.iter().map(|spec| spec.id.clone()).collect(),
            machines: specs
                .iter()
                .map(|spec| Machine::new(spec, Duration::ZERO))
                .collect(),
            conductor: Conductor::new(&specs[0]),
            failed: Vec::new(),
            fails: vec![0; types.len()],
            now: Duration::ZERO,
            log: Vec::new(),
        };
        ours.conductor.begin(ours.members.clone());
        ours.settle();
        ours.log.clear();
        ours
    }

    fn put(&mut self, member: usize, input: Input) {
        for action in self.machines[member].handle(input, self.now, 0.5) {
            match action {
                Action::Launch => {
                    self.log.push(format!("start {member}"));
                    let fails = self.fails[member] > 0;
                    self.fails[member] = self.fails[member].saturating_sub(1);
                    let outcome = if fails {
                        Input::LaunchFailed
                    } else {
                        Input::Launched
                    };
                    self.put(member, outcome);
                }
                Action::Terminate => {
                    self.log.push(format!("stop {member}"));
                    self.put(member, Input::Ended(EndReason::Shutdown));
                }
                Action::TellGroup => self.failed.push(self.members[member].clone()),
                Action::TellQuarantine | Action::TellRelease => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn settle(&mut self) {
        loop {
            for id in std::mem::take(&mut self.failed) {
                self.conductor.failed(&id, &self.members, self.now, 0.5);
            }
            let (id, input) = match self.conductor.next(&self.members, self.now) {
                Next::Do(Order::Begin(id)) => (id, Input::Start),
                Next::Do(Order::Hold(id)) => (id, Input::Hold),
                Next::Do(Order::Resume(id)) => (id, Input::Resume),
                Next::Do(Order::GiveUp(id)) => (id, Input::Quarantine),
                Next::Do(Order::Restart(id)) => (id, Input::Restart),
                Next::Wait(at) => panic!("nothing is to be waited for until {at:?}"),
                Next::Idle => return,
            };
            let member = self.members.iter().position(|member| *member == id);
            self.put(member.expect("a member"), input);
        }
    }

    pub(super) fn die(&mut self, deaths: &[(usize, EndReason)]) {
        let mut running = self.all(State::Running);
        for (member, reason) in deaths {
            // Nobody dies twice at the same moment.
            if std::mem::take(&mut running[*member]) {
                self.put(*member, Input::Ended(reason.clone()));
            }
        }
        self.settle();
    }

    pub(super) fn all(&self, state: State) -> Vec<bool> {
        self.machines.iter().map(|m| m.state() == state).collect()
    }
}

fn events() -> impl Strategy_<Value = Vec<Event>> {
    let reason = prop_oneof![
        Just(EndReason::Normal),
        Just(EndReason::Shutdown),
        Just(EndReason::ExitStatus(3)),
        Just(EndReason::Signal("sigsegv".into())),
        Just(EndReason::Hang),
    ];
    let deaths = proptest::collection::vec((0usize..5, reason), 1..3);
    let fails = proptest::collection::vec((0usize..5, 0u8..3), 0..2);
    let event = (0u64..4_000, deaths, fails).prop_map(|(gap_ms, deaths, fails)| Event {
        gap_ms,
        deaths,
        fails,
    });
    proptest::collection::vec(event, 0..25)
}

use proptest::strategy::Strategy as Strategy_;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn groups_do_what_otps_supervisor_does(
        strategy in prop_oneof![
            Just(Strategy::OneForOne), Just(Strategy::RestForOne), Just(Strategy::OneForAll),
        ],
        types in proptest::collection::vec(
            prop_oneof![
                4 => Just(Restart::Permanent), 2 => Just(Restart::Transient), 1 => Just(Restart::Temporary),
            ], 1..6),
        max_restarts in 0u32..5,
        events in events(),
    ) {
        let count = types.len();
        let mut ours = Ours::new(strategy, &types, max_restarts);
        let mut otp = Otp::new(strategy, &types, max_restarts);
        let mut now = 0;
        for event in events {
            now += event.gap_ms;
            ours.now = Duration::from_millis(now);
            let deaths: Vec<_> = event.deaths.into_iter().filter(|(m, _)| *m < count).collect();
            for (member, fails) in event.fails.into_iter().filter(|(m, _)| *m < count) {
                otp.fails[member] = fails;
                ours.fails[member] = fails;
            }
            otp.die(&deaths, now);
            ours.die(&deaths);
            prop_assert_eq!(&ours.all(State::Running), &otp.alive, "who runs, {:?}", deaths);
            let gave_up = otp.gave_up.iter().any(|gave_up| *gave_up);
            let quarantined = ours.all(State::Quarantined).contains(&true);
            prop_assert_eq!(quarantined, gave_up, "giving up, {:?}", deaths);
            // At once OTP finishes one restart before it looks at the next exit; ours takes both into one.
            if deaths.len() == 1 {
                prop_assert_eq!(&ours.log, &otp.log, "order of starts and stops, {:?}", deaths);
            }
            // Which of its members were down already when a group gives up has no counterpart.
            if gave_up {
                break;
            }
            ours.log.clear();
            otp.log.clear();
            ours.fails.clone_from(&otp.fails);
        }
    }
}

fn rest_for_one() -> Ours {
    Ours::new(Strategy::RestForOne, &[Restart::Permanent; 3], 1)
}

const CRASH: EndReason = EndReason::ExitStatus(1);

#[test]
fn who_was_stopped_by_hand_stays_stopped_when_its_group_restarts() {
    let mut ours = rest_for_one();
    ours.put(2, Input::Stop);
    ours.log.clear();
    ours.die(&[(0, CRASH)]);
    assert_eq!(ours.log, ["stop 1", "start 0", "start 1"]);
    assert_eq!(ours.machines[2].state(), State::Stopped);
}

#[test]
fn a_quarantine_of_a_group_ends_for_all_at_once_after_its_time() {
    let mut ours = rest_for_one();
    let first = ServerSpec {
        quarantine: Some(Duration::from_secs(60)),
        max_restarts: 0,
        group: Some(Group {
            name: "g".into(),
            strategy: Strategy::RestForOne,
        }),
        ..ServerSpec::new(ours.members[0].clone(), vec!["x".into()])
    };
    ours.conductor.update(&first);
    ours.put(1, Input::Ended(CRASH));
    let failed = ours.failed.remove(0);
    ours.conductor.failed(&failed, &ours.members, ours.now, 0.5);
    for member in [2, 1, 0] {
        let id = ours.members[member].clone();
        let next = ours.conductor.next(&ours.members, ours.now);
        assert_eq!(next, Next::Do(Order::GiveUp(id)));
        ours.put(member, Input::Quarantine);
    }
    assert_eq!(ours.all(State::Quarantined), [true; 3]);
    let release = Duration::from_secs(60);
    assert_eq!(
        ours.conductor.next(&ours.members, ours.now),
        Next::Wait(release)
    );
    // One of them is started by hand and fails meanwhile: the numbers count anew, the release stays.
    ours.put(2, Input::Start);
    ours.now = release;
    ours.log.clear();
    ours.settle();
    assert_eq!(ours.all(State::Running), [true; 3]);
    assert_eq!(ours.log, ["start 0", "start 1"]);
}

#[test]
fn pauses_grow_with_each_failure_and_a_steady_time_resets_them() {
    let mut ours = rest_for_one();
    let spec = ServerSpec {
        max_restarts: 100,
        backoff: Backoff {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(10),
        },
        ..ServerSpec::new(ours.members[0].clone(), vec!["x".into()])
    };
    ours.conductor.update(&spec);
    let mut pauses = Vec::new();
    for gap_s in [0, 1, 1, 60] {
        ours.now += Duration::from_secs(gap_s);
        ours.conductor
            .failed(&ours.members[0], &ours.members, ours.now, 0.0);
        loop {
            match ours.conductor.next(&ours.members, ours.now) {
                Next::Do(_) => {}
                Next::Wait(at) => {
                    pauses.push(at.saturating_sub(ours.now).as_secs());
                    ours.now = at;
                }
                Next::Idle => break,
            }
        }
    }
    assert_eq!(
        pauses,
        [1, 2],
        "none before the first, none after 60 s in order"
    );
}
