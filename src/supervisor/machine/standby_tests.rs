use super::reserve::StandbyInput;
use super::tests::{ms, spec};
use super::*;
use crate::supervisor::spec::{Backoff, Group, Strategy::OneForAll};
use proptest::prelude::*;

fn with_standby() -> ServerSpec {
    ServerSpec {
        standby: 1,
        ..spec(true)
    }
}

struct Rig {
    machine: Machine,
    now: Duration,
}

impl Rig {
    fn of(spec: &ServerSpec) -> Self {
        Self {
            machine: Machine::new(spec, ms(3_000)),
            now: ms(1_000),
        }
    }

    fn put(&mut self, input: Input) -> Vec<Action> {
        self.machine.handle(input, self.now, 0.5)
    }

    fn standby(&mut self, input: StandbyInput) -> Vec<Action> {
        self.put(Input::Standby(input))
    }

    fn tick(&mut self) -> Vec<Action> {
        self.now = self.machine.due().expect("something is due");
        self.put(Input::Tick)
    }

    /// Plays, with a standby that is starting.
    fn playing() -> Self {
        let mut rig = Self::of(&with_standby());
        assert_eq!(rig.put(Input::Start), [Action::Launch]);
        assert_eq!(rig.put(Input::Launched), []);
        assert_eq!(rig.put(Input::Hello { resumed: false }), []);
        assert_eq!(rig.put(Input::Playing), [Action::LaunchStandby]);
        rig
    }

    /// Plays, with one that is ready.
    fn ready() -> Self {
        let mut rig = Self::playing();
        assert_eq!(rig.standby(StandbyInput::Launched), []);
        assert_eq!(rig.machine.standby(), State::Starting);
        assert_eq!(rig.standby(StandbyInput::Hello), []);
        assert_eq!(rig.machine.standby(), State::Standby);
        rig
    }
}

fn crash() -> Input {
    Input::Ended(EndReason::Signal("sigkill".into()))
}

#[test]
fn a_crash_promotes_and_the_place_is_filled_once_the_next_plays_and_the_last_is_gone() {
    let mut rig = Rig::ready();
    assert_eq!(rig.put(crash()), [Action::Promote]);
    assert_eq!(rig.machine.standby(), State::Stopped);
    assert_eq!(rig.put(Input::Launched), []);
    assert_eq!(rig.put(Input::Hello { resumed: false }), []);
    assert_eq!(rig.put(Input::Playing), []);
    assert_eq!(rig.put(Input::Left), [Action::LaunchStandby]);
    assert_eq!(rig.machine.restarts(), 1);
}

#[test]
fn one_that_still_loads_is_not_promoted_and_goes_on_loading() {
    let mut rig = Rig::playing();
    rig.standby(StandbyInput::Launched);
    assert_eq!(rig.put(crash()), [Action::Launch]);
    assert_eq!(rig.standby(StandbyInput::Hello), []);
    assert_eq!(rig.machine.standby(), State::Standby);
    rig.put(Input::Launched);
    rig.put(Input::Hello { resumed: false });
    assert_eq!(rig.put(Input::Playing), []);
}

#[test]
fn a_hang_promotes_at_once_and_counts() {
    let mut rig = Rig::ready();
    let actions = loop {
        let actions = rig.tick();
        if !actions.is_empty() {
            break actions;
        }
    };
    let told = Action::TellHang(ms(2_000));
    let expected = [told, Action::Dump, Action::Abandon, Action::Promote];
    assert_eq!(actions, expected);
    assert_eq!(rig.machine.state(), State::Starting);
    assert_eq!((rig.machine.restarts(), rig.machine.decision()), (1, None));
}

#[test]
fn a_hang_that_would_have_to_wait_or_concerns_a_group_takes_the_long_way() {
    let group = Group {
        name: "g".into(),
        strategy: OneForAll,
    };
    let linked = ServerSpec {
        group: Some(group),
        ..with_standby()
    };
    let never = ServerSpec {
        max_restarts: 0,
        ..with_standby()
    };
    for spec in [linked, never] {
        let mut rig = Rig::ready();
        rig.machine.update(&spec, rig.now);
        rig.machine.linked = spec.is_linked();
        while rig.tick().is_empty() {}
        assert_eq!(rig.machine.state(), State::Unresponsive);
        assert_eq!(rig.machine.decision(), Some(Decision::Hang));
        assert_eq!(rig.machine.standby(), State::Standby);
    }
}

#[test]
fn a_planned_restart_is_a_promotion_and_a_stop_takes_the_standby_along() {
    let mut rig = Rig::ready();
    assert_eq!(rig.put(Input::Restart), [Action::Drain(ms(5_000))]);
    assert_eq!(
        rig.put(Input::Ended(EndReason::Shutdown)),
        [Action::Promote]
    );
    assert_eq!(rig.machine.restarts(), 0);

    let mut rig = Rig::ready();
    let actions = rig.put(Input::Stop);
    assert_eq!(actions, [Action::Drain(ms(5_000)), Action::KillStandby]);
    assert_eq!(rig.standby(StandbyInput::Ended), []);
    assert_eq!(rig.machine.standby(), State::Stopped);
    assert_eq!(rig.put(Input::Ended(EndReason::Shutdown)), []);
}

#[test]
fn a_quarantine_takes_the_standby_along_whatever_it_does() {
    let mut rig = Rig::ready();
    let spec = ServerSpec {
        max_restarts: 0,
        ..with_standby()
    };
    rig.machine.update(&spec, rig.now);
    let actions = rig.put(crash());
    assert_eq!(actions, [Action::TellQuarantine, Action::KillStandby]);

    let mut rig = Rig::playing();
    rig.machine.update(&spec, rig.now);
    assert_eq!(rig.put(crash()), [Action::TellQuarantine]);
    // It is killed as soon as it exists.
    assert_eq!(rig.standby(StandbyInput::Launched), [Action::KillStandby]);
}

#[test]
fn a_standby_that_fails_waits_longer_each_time_and_hurts_nobody() {
    let mut rig = Rig::of(&ServerSpec {
        max_restarts: 0,
        backoff: Backoff {
            initial: ms(0),
            max: ms(1_000),
        },
        ..with_standby()
    });
    rig.put(Input::Start);
    rig.put(Input::Launched);
    assert_eq!(
        rig.put(Input::Hello { resumed: true }),
        [Action::LaunchStandby]
    );
    let mut pauses = Vec::new();
    for _ in 0..6 {
        rig.standby(StandbyInput::Launched);
        assert_eq!(rig.standby(StandbyInput::Ended), []);
        let next = rig.machine.standby_failures().1.expect("backs off");
        pauses.push(next.saturating_sub(rig.now).as_millis());
        rig.now = next;
        // The server itself is well, and whatever happens is the occasion.
        let actions = rig.put(Input::Beat { busy: ms(0) });
        assert_eq!(actions, [Action::LaunchStandby]);
    }
    assert_eq!(pauses, [150, 300, 600, 750, 750, 750]);
    assert_eq!(rig.machine.state(), State::Running);
    assert_eq!(
        (rig.machine.restarts(), rig.machine.standby_failures().0),
        (0, 6)
    );
}

#[test]
fn no_hello_in_time_fails_and_a_lost_connection_may_come_back() {
    let mut rig = Rig::ready();
    rig.standby(StandbyInput::Lost);
    assert_eq!(rig.machine.standby(), State::Starting);
    rig.standby(StandbyInput::Hello);
    assert_eq!(rig.machine.standby(), State::Standby);
    rig.standby(StandbyInput::Lost);
    rig.now += ms(10_000);
    let actions = rig.put(Input::Beat { busy: ms(0) });
    assert_eq!(actions, [Action::KillStandby]);
    rig.standby(StandbyInput::Ended);
    assert_eq!(rig.machine.standby(), State::BackingOff);
}

#[test]
fn another_spec_starts_stops_or_replaces_it() {
    let mut rig = Rig::ready();
    rig.machine.update(&spec(true), rig.now);
    assert_eq!(rig.put(Input::Tick), [Action::KillStandby]);
    rig.standby(StandbyInput::Ended);
    rig.machine.update(&with_standby(), rig.now);
    assert_eq!(rig.put(Input::Tick), [Action::LaunchStandby]);
    rig.standby(StandbyInput::Launched);
    rig.standby(StandbyInput::Hello);
    assert_eq!(rig.standby(StandbyInput::Outdated), [Action::KillStandby]);
    // Not the old one, nor a new one that is not ready yet.
    rig.put(Input::Restart);
    assert_eq!(rig.standby(StandbyInput::Ended), []);
    assert_eq!(rig.put(Input::Ended(EndReason::Shutdown)), [Action::Launch]);
}

#[derive(Debug, Clone)]
enum Move {
    Input(Input),
    Launch(bool),
    End(usize),
    StandbyLaunch(bool),
    StandbyHello,
    StandbyEnd,
    OldGone,
    Pass(u64),
}

fn moves() -> impl Strategy<Value = Move> {
    let inputs = prop_oneof![
        Just(Input::Start),
        Just(Input::Stop),
        Just(Input::Restart),
        Just(Input::Kill),
        Just(Input::Hello { resumed: false }),
        Just(Input::Playing),
        Just(Input::Beat { busy: ms(0) }),
        Just(Input::Closed),
        Just(Input::Hold),
        Just(Input::Resume),
        Just(Input::Quarantine),
        Just(Input::Standby(StandbyInput::Lost)),
        Just(Input::Standby(StandbyInput::Outdated)),
    ];
    prop_oneof![
        4 => inputs.prop_map(Move::Input),
        3 => any::<bool>().prop_map(Move::Launch),
        1 => (0usize..4).prop_map(Move::End),
        3 => any::<bool>().prop_map(Move::StandbyLaunch),
        3 => Just(Move::StandbyHello),
        1 => Just(Move::StandbyEnd),
        2 => Just(Move::OldGone),
        2 => (0u64..4_000).prop_map(Move::Pass),
    ]
}

/// What exists. `active` processes own the scope, or are about to: that is what the journal fences.
#[derive(Debug, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "one for each thing that exists"
)]
struct World {
    launching: bool,
    active: bool,
    old: bool,
    standby_launching: bool,
    standby: bool,
    ready: bool,
    killed: bool,
    promotions: u32,
}

impl World {
    fn act(&mut self, rig: &mut Rig, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Launch => {
                    assert!(!self.launching && !self.active, "a second active one");
                    self.launching = true;
                }
                Action::Promote => {
                    assert!(!self.launching && !self.active, "two active ones: {self:?}");
                    assert!(
                        self.standby && self.ready && !self.killed,
                        "not ready: {self:?}"
                    );
                    (self.standby, self.ready, self.launching) = (false, false, true);
                    self.promotions += 1;
                    if !self.old {
                        rig.put(Input::Left);
                    }
                }
                Action::Abandon => {
                    assert!(self.active && !self.old, "nobody to abandon: {self:?}");
                    (self.active, self.old) = (false, true);
                }
                Action::LaunchStandby => {
                    assert!(!self.standby && !self.standby_launching, "a second standby");
                    assert!(!self.old, "its place is taken");
                    assert!(self.active, "before the server plays");
                    self.standby_launching = true;
                }
                Action::KillStandby => {
                    assert!(self.standby && !self.killed, "nobody to kill: {self:?}");
                    self.killed = true;
                }
                Action::Drain(_) => {
                    let more = rig.put(Input::CannotDrain);
                    self.act(rig, more);
                }
                Action::Terminate | Action::Dump | Action::Kill => assert!(self.active),
                Action::TellHang(_)
                | Action::TellQuarantine
                | Action::TellRelease
                | Action::TellGroup => {}
            }
        }
    }

    fn step(&mut self, rig: &mut Rig, step: Move) {
        let actions = match step {
            Move::Input(input) => {
                if input == Input::Standby(StandbyInput::Lost) {
                    self.ready = false;
                }
                rig.put(input)
            }
            Move::Launch(works) if self.launching => {
                (self.launching, self.active) = (false, works);
                rig.put(if works {
                    Input::Launched
                } else {
                    Input::LaunchFailed
                })
            }
            Move::End(way) if self.active => {
                self.active = false;
                let reasons = [
                    EndReason::Normal,
                    EndReason::ExitStatus(3),
                    EndReason::Hang,
                    EndReason::Unknown,
                ];
                rig.put(Input::Ended(reasons[way].clone()))
            }
            Move::StandbyLaunch(works) if self.standby_launching => {
                self.standby_launching = false;
                (self.standby, self.ready, self.killed) = (works, false, false);
                rig.standby(if works {
                    StandbyInput::Launched
                } else {
                    StandbyInput::LaunchFailed
                })
            }
            Move::StandbyHello if self.standby && !self.killed => {
                self.ready = true;
                rig.standby(StandbyInput::Hello)
            }
            Move::StandbyEnd if self.standby => {
                (self.standby, self.ready) = (false, false);
                rig.standby(StandbyInput::Ended)
            }
            Move::OldGone if self.old => {
                self.old = false;
                rig.put(Input::Left)
            }
            Move::Pass(time) => {
                rig.now += ms(time);
                rig.put(Input::Tick)
            }
            _ => return,
        };
        self.act(rig, actions);
    }
}

proptest! {
    #[test]
    fn no_order_of_things_makes_two_active_ones_promotes_one_that_is_not_ready_or_leaves_a_standby(
        linked in any::<bool>(),
        steps in proptest::collection::vec(moves(), 0..120),
    ) {
        let group = Group { name: "g".into(), strategy: OneForAll };
        let group = linked.then_some(group);
        let mut rig = Rig::of(&ServerSpec { group, max_restarts: 50, ..with_standby() });
        let mut world = World::default();
        for step in steps {
            world.step(&mut rig, step);
            prop_assert_eq!(rig.machine.state().is_up(), world.launching || world.active);
            // It never asks for ticks in vain, which would be a loop.
            if let Some(due) = rig.machine.due().filter(|due| *due <= rig.now) {
                let before = format!("{:?}", rig.machine);
                let actions = rig.put(Input::Tick);
                let moved = !actions.is_empty() || format!("{:?}", rig.machine) != before;
                prop_assert!(moved, "due at {:?} for nothing in {}", due, before);
                world.act(&mut rig, actions);
            }
        }
        // From anywhere: started and left alone for a while it plays with a standby that is ready.
        for step in [Move::Launch(true), Move::End(1), Move::Input(Input::Stop), Move::Launch(true), Move::End(0),
            Move::StandbyLaunch(true), Move::StandbyEnd, Move::OldGone, Move::Input(Input::Start), Move::Launch(true),
            Move::Input(Input::Hello { resumed: true }), Move::StandbyLaunch(true), Move::StandbyHello] {
            world.step(&mut rig, step);
        }
        prop_assert_eq!(rig.machine.state(), State::Running, "{:?}", rig.machine);
        prop_assert_eq!(rig.machine.standby(), State::Standby, "{:?} {:?}", rig.machine, world);
        // And a stop leaves neither.
        for step in [Move::Input(Input::Stop), Move::End(0), Move::StandbyEnd] {
            world.step(&mut rig, step);
        }
        prop_assert_eq!((rig.machine.state(), rig.machine.standby()), (State::Stopped, State::Stopped));
        prop_assert_eq!(rig.machine.due(), None);
    }
}
