use super::*;
use crate::supervisor::spec::{Group, Strategy::OneForAll};
use crate::types::ServerId;
use proptest::prelude::*;

pub(super) fn spec(session: bool) -> ServerSpec {
    ServerSpec {
        session,
        start_timeout: ms(10_000),
        hang_timeout: Some(ms(2_000)),
        stop_timeout: ms(5_000),
        ..ServerSpec::new(ServerId::new("lobby").expect("valid"), vec!["x".into()])
    }
}

pub(super) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A machine with the time.
struct Rig {
    machine: Machine,
    now: Duration,
}

impl Rig {
    fn new(session: bool) -> Self {
        Self::of(&spec(session))
    }

    fn of(spec: &ServerSpec) -> Self {
        Self {
            machine: Machine::new(spec, ms(3_000)),
            now: ms(1_000),
        }
    }

    fn put(&mut self, input: Input) -> Vec<Action> {
        self.machine.handle(input, self.now, 0.5)
    }

    /// Lets time pass until something is to be done.
    fn next(&mut self) -> Vec<Action> {
        for _ in 0..1_000 {
            self.now = self.machine.due().expect("something is due");
            let actions = self.put(Input::Tick);
            if !actions.is_empty() {
                return actions;
            }
        }
        panic!("ticks without end in {:?}", self.machine);
    }

    fn playing(session: bool) -> Self {
        let mut rig = Self::new(session);
        assert_eq!(rig.put(Input::Start), [Action::Launch]);
        assert_eq!(rig.put(Input::Launched), []);
        if session {
            rig.put(Input::Hello { resumed: false });
            rig.put(Input::Playing);
        }
        assert_eq!(rig.machine.state(), State::Running);
        rig
    }
}

fn crash() -> Input {
    Input::Ended(EndReason::Signal("sigsegv".into()))
}

#[test]
fn a_crash_is_followed_by_a_start_at_once_and_too_many_by_quarantine() {
    let mut rig = Rig::playing(true);
    assert_eq!(rig.put(crash()), [Action::Launch]);
    for _ in 0..2 {
        rig.put(Input::Launched);
        assert_eq!(rig.put(crash()), []);
        assert_eq!(rig.machine.state(), State::BackingOff);
        assert_eq!(rig.next(), [Action::Launch]);
    }
    rig.put(Input::Launched);
    assert_eq!(rig.put(crash()), [Action::TellQuarantine]);
    assert_eq!(rig.machine.state(), State::Quarantined);
    assert_eq!(rig.machine.restarts(), 3);
    assert_eq!(rig.put(Input::Start), [Action::Launch]);
}

#[test]
fn a_quarantine_with_a_time_ends_by_itself() {
    let mut rig = Rig::of(&ServerSpec {
        max_restarts: 0,
        quarantine: Some(ms(60_000)),
        ..spec(false)
    });
    rig.put(Input::Start);
    rig.put(Input::Launched);
    for _ in 0..2 {
        assert_eq!(rig.put(crash()), [Action::TellQuarantine]);
        assert_eq!(rig.machine.next_start(), Some(rig.now + ms(60_000)));
        assert_eq!(rig.next(), [Action::TellRelease, Action::Launch]);
        rig.put(Input::Launched);
    }
}

#[test]
fn silence_is_dumped_then_killed() {
    let mut rig = Rig::playing(true);
    assert_eq!(rig.next(), [Action::TellHang(ms(2_000)), Action::Dump]);
    assert_eq!(
        (rig.machine.state(), rig.machine.decision()),
        (State::Unresponsive, Some(Decision::Hang))
    );
    let dumped = rig.now;
    assert_eq!(rig.next(), [Action::Kill]);
    assert_eq!(rig.now, dumped + ms(3_000));
    assert_eq!(rig.put(Input::Ended(EndReason::Hang)), [Action::Launch]);
    assert_eq!(rig.machine.decision(), None);
}

#[test]
fn without_a_session_no_silence_is_judged() {
    let rig = Rig::playing(false);
    assert_eq!(rig.machine.due(), None);
}

#[test]
fn a_stop_drains_then_asks_then_kills() {
    let mut rig = Rig::playing(true);
    assert_eq!(rig.put(Input::Stop), [Action::Drain(ms(5_000))]);
    let began = rig.now;
    assert_eq!(rig.next(), [Action::Terminate]);
    assert_eq!(rig.now, began + ms(5_000));
    assert_eq!(rig.next(), [Action::Kill]);
    assert_eq!(rig.now, began + ms(7_000));
    assert_eq!(rig.put(Input::Ended(EndReason::Shutdown)), []);
    assert_eq!(rig.machine.state(), State::Stopped);
}

#[test]
fn a_drained_game_that_stays_is_asked_soon_and_one_without_a_session_at_once() {
    let mut rig = Rig::playing(true);
    rig.put(Input::Stop);
    rig.put(Input::Drained);
    let drained = rig.now;
    assert_eq!(rig.next(), [Action::Terminate]);
    assert_eq!(rig.now, drained + DRAINED_GRACE);

    let mut rig = Rig::playing(true);
    rig.put(Input::Stop);
    assert_eq!(rig.put(Input::CannotDrain), [Action::Terminate]);
    assert_eq!(Rig::playing(false).put(Input::Stop), [Action::Terminate]);
}

#[test]
fn a_stop_during_a_launch_stops_what_comes_of_it() {
    let mut rig = Rig::new(true);
    rig.put(Input::Start);
    assert_eq!(rig.put(Input::Stop), []);
    assert_eq!(rig.machine.state(), State::Stopping);
    assert_eq!(rig.put(Input::Launched), [Action::Terminate]);
    assert_eq!(rig.put(Input::Ended(EndReason::Shutdown)), []);
    assert_eq!(rig.machine.state(), State::Stopped);
    rig.put(Input::Start);
    rig.put(Input::Stop);
    rig.put(Input::LaunchFailed);
    assert_eq!(rig.machine.state(), State::Stopped);
}

#[test]
fn a_restart_is_a_stop_with_a_start_that_is_not_counted() {
    let mut rig = Rig::playing(false);
    assert_eq!(rig.put(Input::Restart), [Action::Terminate]);
    assert_eq!(rig.put(Input::Ended(EndReason::Shutdown)), [Action::Launch]);
    assert_eq!(rig.machine.restarts(), 0);
    // A stop that comes later wins.
    let mut rig = Rig::playing(false);
    rig.put(Input::Restart);
    rig.put(Input::Stop);
    assert_eq!(rig.put(Input::Ended(EndReason::Shutdown)), []);
}

#[test]
fn an_adopted_process_has_the_time_of_a_start_to_come_back() {
    let mut rig = Rig::new(true);
    rig.put(Input::Adopted);
    assert_eq!(rig.machine.state(), State::Running);
    assert_eq!(rig.machine.due(), Some(rig.now + ms(10_000)));
    rig.put(Input::Hello { resumed: true });
    rig.put(Input::Beat { busy: ms(0) });
    assert_eq!(rig.machine.state(), State::Running);
    // It had played: its end is a crash, not a failed start.
    assert_eq!(rig.put(crash()), [Action::Launch]);
}

fn inputs() -> impl Strategy<Value = Input> {
    prop_oneof![
        Just(Input::Start),
        Just(Input::Stop),
        Just(Input::Restart),
        Just(Input::Kill),
        Just(Input::Exit(ExitRequest::Shutdown)),
        Just(Input::Exit(ExitRequest::Kill)),
        Just(Input::Exit(ExitRequest::Other)),
        Just(Input::Hello { resumed: false }),
        Just(Input::Hello { resumed: true }),
        Just(Input::Playing),
        (0u64..500).prop_map(|busy| Input::Beat { busy: ms(busy) }),
        Just(Input::Drained),
        Just(Input::Closed),
        Just(Input::Tick),
        Just(Input::Hold),
        Just(Input::Resume),
        Just(Input::Quarantine),
    ]
}

#[derive(Debug, Clone)]
enum Move {
    Input(Input),
    /// The launch under way succeeds or fails; the process ends in one of some ways.
    Launch(bool),
    End(usize),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Move> {
    prop_oneof![
        3 => inputs().prop_map(Move::Input),
        2 => any::<bool>().prop_map(Move::Launch),
        1 => (0usize..4).prop_map(Move::End),
        2 => (0u64..4_000).prop_map(Move::Pass),
    ]
}

/// The world around the machine: what exists.
#[derive(Default)]
struct World {
    launching: bool,
    process: bool,
}

impl World {
    fn act(&mut self, rig: &mut Rig, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Launch => {
                    assert!(!self.launching && !self.process, "a second process");
                    self.launching = true;
                }
                Action::Drain(_) => {
                    let more = rig.put(Input::CannotDrain);
                    self.act(rig, more);
                }
                Action::Terminate | Action::Dump | Action::Kill => {
                    assert!(self.process, "a signal to nobody");
                }
                Action::Abandon | Action::Promote | Action::LaunchStandby | Action::KillStandby => {
                    panic!("there is no standby")
                }
                Action::TellHang(_)
                | Action::TellQuarantine
                | Action::TellRelease
                | Action::TellGroup => {}
            }
        }
    }
}

proptest! {
    #[test]
    fn no_order_of_things_makes_two_processes_spins_or_escapes_a_stop(
        session in any::<bool>(),
        linked in any::<bool>(),
        quarantine in proptest::option::of(Just(ms(9_000))),
        steps in proptest::collection::vec(steps(), 0..80),
    ) {
        let group = Group { name: "g".into(), strategy: OneForAll };
        let group = linked.then_some(group);
        let mut rig = Rig::of(&ServerSpec { quarantine, group, ..spec(session) });
        let mut world = World::default();
        for step in steps {
            let actions = match step {
                Move::Input(input) => rig.put(input),
                Move::Launch(works) if world.launching => {
                    world = World { launching: false, process: works };
                    rig.put(if works { Input::Launched } else { Input::LaunchFailed })
                }
                Move::End(way) if world.process => {
                    world.process = false;
                    let reasons = [EndReason::Normal, EndReason::ExitStatus(3), EndReason::Hang, EndReason::Unknown];
                    rig.put(Input::Ended(reasons[way].clone()))
                }
                Move::Pass(time) => {
                    rig.now += ms(time);
                    rig.put(Input::Tick)
                }
                Move::Launch(_) | Move::End(_) => continue,
            };
            world.act(&mut rig, actions);
            prop_assert_eq!(rig.machine.state().is_up(), world.launching || world.process);
        }
        // A stop ends it, whatever went before, if the world at least obeys SIGKILL.
        let actions = rig.put(Input::Stop);
        world.act(&mut rig, actions);
        if world.launching {
            world = World { launching: false, process: true };
            let actions = rig.put(Input::Launched);
            world.act(&mut rig, actions);
        }
        let mut rounds = 0;
        while world.process {
            rounds += 1;
            prop_assert!(rounds < 100, "no SIGKILL in {:?}", rig.machine);
            if let Some(due) = rig.machine.due() {
                rig.now = rig.now.max(due);
            }
            let actions = rig.put(Input::Tick);
            let killing = matches!(rig.machine.phase, Phase::Stopping { step: Step::Kill });
            world.act(&mut rig, actions);
            if killing {
                world.process = false;
                prop_assert_eq!(rig.put(Input::Ended(EndReason::Shutdown)), []);
            }
        }
        prop_assert_eq!(rig.machine.state(), State::Stopped);
        prop_assert_eq!(rig.machine.due(), None);
    }
}

fn probed() -> Rig {
    let probe = crate::supervisor::spec::ProbeSpec {
        kind: crate::supervisor::spec::ProbeKind::Tcp,
        address: ([127, 0, 0, 1], 7000).into(),
        interval: ms(1_000),
        timeout: ms(1_000),
        failures: 3,
    };
    Rig::of(&ServerSpec {
        probe: Some(probe),
        ..spec(false)
    })
}

#[test]
fn a_probed_server_starts_until_it_answers_and_hangs_when_it_no_longer_does() {
    let mut rig = probed();
    rig.put(Input::Start);
    rig.put(Input::Launched);
    assert_eq!(rig.machine.state(), State::Starting);
    assert_eq!(
        rig.put(Input::Silent(ms(3_000))),
        [],
        "a start has its own time"
    );
    rig.put(Input::Playing);
    assert_eq!(
        (rig.machine.state(), rig.machine.due()),
        (State::Running, None)
    );
    let told = rig.put(Input::Silent(ms(3_000)));
    assert_eq!(told, [Action::TellHang(ms(3_000)), Action::Dump]);
    assert_eq!(rig.machine.decision(), Some(Decision::Hang));
    assert_eq!(rig.put(Input::Silent(ms(4_000))), [], "once");
    assert_eq!(rig.next(), [Action::Kill]);
}

#[test]
fn a_probed_server_that_never_answers_is_a_failed_start() {
    let mut rig = probed();
    rig.put(Input::Start);
    rig.put(Input::Launched);
    let begun = rig.now;
    assert_eq!(rig.next()[1], Action::Dump);
    assert_eq!(rig.now.saturating_sub(begun), ms(10_000));
    assert_eq!(rig.machine.decision(), Some(Decision::StartTimeout));
    let mut adopted = probed();
    adopted.put(Input::Adopted);
    assert_eq!(adopted.machine.state(), State::Running);
    assert_eq!(adopted.next()[1], Action::Dump);
    assert_eq!(adopted.machine.decision(), Some(Decision::Hang));
}

#[test]
fn without_its_probe_a_start_is_over() {
    let mut rig = probed();
    rig.put(Input::Start);
    rig.put(Input::Launched);
    rig.machine.update(&spec(false), rig.now);
    assert_eq!(
        (rig.machine.state(), rig.machine.due()),
        (State::Running, None)
    );
}

#[test]
fn announced_work_is_bounded() {
    let mut rig = Rig::of(&ServerSpec {
        busy_max: ms(5_000),
        ..spec(true)
    });
    rig.put(Input::Start);
    rig.put(Input::Launched);
    rig.put(Input::Hello { resumed: false });
    rig.put(Input::Playing);
    let begun = rig.now;
    rig.put(Input::Beat {
        busy: ms(86_400_000),
    });
    assert!(matches!(rig.next()[0], Action::TellHang(_)));
    assert_eq!(rig.now.saturating_sub(begun), ms(7_000));
}
