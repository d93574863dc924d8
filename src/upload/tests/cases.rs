//! Each rule of the core by one case.

use super::*;

/// A core with one node up and one stream as given, past the question for its watermark.
pub(super) fn at(seen: Extent, watermark: u64) -> (Core, Vec<Action>) {
    at_with(seen, watermark, Some(0))
}

/// Likewise; the sink began there, where it ever had an acknowledgement.
fn at_with(seen: Extent, watermark: u64, began: Option<u64>) -> (Core, Vec<Action>) {
    let memory = Memory {
        store: Some(STORE),
        began: began.map(|seq| (stream("s"), seq)).into_iter().collect(),
    };
    let mut core = Core::new(options(1), memory, 1);
    core.handle(ms(0), Input::Streams(vec![(stream("s"), seen)]));
    let asked = core.handle(ms(0), Input::Up(0));
    assert_eq!(asked, [Action::Ask(0, stream("s"))]);
    let actions = core.handle(ms(1), Input::Asked(stream("s"), seen, stored(watermark)));
    (core, actions)
}

pub(super) fn send(watermark: u64, after: u64, limit: usize) -> Action {
    Action::Send {
        node: 0,
        stream: stream("s"),
        watermark,
        after,
        limit,
        bytes: 1 << 20,
    }
}

#[test]
fn the_watermark_is_asked_before_anything_is_sent() {
    let (_, actions) = at(extent(0, 1, 5), 0);
    assert_eq!(actions, [send(0, 0, 1000)]);
}

#[test]
fn a_store_that_is_ahead_of_the_cursor_advances_it() {
    let (core, actions) = at(extent(2, 1, 5), 5);
    assert_eq!(actions, [Action::Advance(stream("s"), 5)]);
    assert_eq!((core.state(), core.lag_records()), (SinkState::Idle, 0));
}

#[test]
fn without_a_node_it_waits_and_asks_again_once_there_is_one() {
    let (mut core, _) = at(extent(0, 1, 5), 0);
    core.handle(ms(2), Input::Down(0));
    assert_eq!(core.state(), SinkState::Waiting);
    assert_eq!(core.wake_at(), None);
    let lost = Outcome::Failed(Failure::Unknown("gone".into()));
    let nothing = core.handle(ms(3), Input::Sent(stream("s"), extent(0, 1, 5), lost, 0));
    assert_eq!(nothing, []);
    assert_eq!(core.handle(ms(4), Input::Up(0)), []);
    let moment = core.wake_at().expect("the pause ends");
    assert!(moment >= ms(53) && moment <= ms(103), "{moment:?}");
    let asked = core.handle(moment, Input::Time);
    assert_eq!(asked, [Action::Ask(0, stream("s"))]);
}

#[test]
fn a_first_acknowledgement_is_remembered_before_the_cursor_moves() {
    let mut core = Core::new(options(1), None, 1);
    core.handle(ms(0), Input::Up(0));
    let seen = extent(0, 1, 3);
    core.handle(ms(0), Input::Streams(vec![(stream("s"), seen)]));
    let actions = core.handle(ms(0), Input::Asked(stream("s"), seen, stored(3)));
    assert_eq!(
        actions,
        [
            Action::Remember(STORE),
            Action::Begin {
                stream: stream("s"),
                began: 0,
                seq: 3
            }
        ]
    );
}

#[test]
fn what_was_before_the_sink_began_counts_as_dropped() {
    let (_, actions) = at_with(extent(7, 3, 9), 0, None);
    assert_eq!(actions, [send(0, 7, 1000)]);
}

#[test]
fn records_wait_for_company_but_not_long() {
    let (mut core, _) = at(extent(0, 1, 0), 0);
    let grown = Input::Streams(vec![(stream("s"), extent(0, 1, 3))]);
    assert_eq!(core.handle(ms(10), grown), []);
    assert_eq!(core.wake_at(), Some(ms(60)));
    assert_eq!(core.handle(ms(59), Input::Time), []);
    assert_eq!(core.handle(ms(60), Input::Time), [send(0, 0, 1000)]);
    // A full batch does not wait.
    let (mut core, _) = at(extent(0, 1, 0), 0);
    let grown = Input::Streams(vec![(stream("s"), extent(0, 1, 1000))]);
    assert_eq!(core.handle(ms(10), grown), [send(0, 0, 1000)]);
    // What a full upload left behind has waited long enough.
    let sent = Input::Sent(stream("s"), extent(0, 1, 1000), stored(900), 0);
    let actions = core.handle(ms(11), sent);
    assert_eq!(
        actions,
        [Action::Advance(stream("s"), 900), send(900, 900, 1000)]
    );
    // One that is full by its bytes does not wait either.
    let (mut core, _) = at(extent(0, 1, 0), 0);
    let heavy = Extent {
        bytes: 1 << 20,
        ..extent(0, 1, 3)
    };
    let grown = Input::Streams(vec![(stream("s"), heavy)]);
    assert_eq!(core.handle(ms(10), grown), [send(0, 0, 1000)]);
}

fn refused(seen: Extent, first: u64, last: u64) -> Input {
    let reason = "too_large".to_owned();
    Input::Sent(
        stream("s"),
        seen,
        Outcome::Refused {
            reason,
            records: Some((first, last)),
        },
        0,
    )
}

fn bury(seq: u64) -> Action {
    Action::Bury {
        stream: stream("s"),
        seq,
        reason: "too_large".to_owned(),
        attempts: 3,
    }
}

#[test]
fn a_refused_upload_is_halved_down_to_the_record_which_is_buried_and_passed() {
    let seen = extent(0, 1, 5);
    let (mut core, _) = at(seen, 0);
    assert_eq!(core.handle(ms(2), refused(seen, 1, 5)), [send(0, 0, 2)]);
    assert_eq!(core.handle(ms(2), refused(seen, 1, 2)), [send(0, 0, 1)]);
    // Alone it gets two more tries, with pauses.
    assert_eq!(core.handle(ms(2), refused(seen, 1, 1)), []);
    assert_eq!(core.wake_at(), Some(ms(102)));
    assert_eq!(core.handle(ms(102), Input::Time), [send(0, 0, 1)]);
    assert_eq!(core.handle(ms(102), refused(seen, 1, 1)), []);
    assert_eq!(core.handle(ms(302), Input::Time), [send(0, 0, 1)]);
    assert_eq!(core.handle(ms(302), refused(seen, 1, 1)), [bury(1)]);
    // Nothing of the stream is sent, and no cursor moves, before it is on disk.
    assert_eq!(core.handle(ms(303), Input::Time), []);
    let buried = Input::Buried(stream("s"), 1, Ok(()));
    assert_eq!(core.handle(ms(304), buried), [send(0, 1, 1000)]);
    let actions = core.handle(ms(305), Input::Sent(stream("s"), seen, stored(5), 0));
    assert_eq!(actions, [Action::Advance(stream("s"), 5)]);
    assert_eq!(core.state(), SinkState::Idle);
}

#[test]
fn the_store_is_told_of_a_buried_record_even_where_none_follows() {
    let seen = extent(4, 5, 5);
    let (mut core, _) = at(seen, 4);
    for moment in [2, 102, 302] {
        core.handle(ms(moment), Input::Time);
        core.handle(ms(moment), refused(seen, 5, 5));
    }
    let buried = Input::Buried(stream("s"), 5, Ok(()));
    assert_eq!(core.handle(ms(303), buried), [send(4, 5, 1000)]);
    // The answer is lost: it is asked, and the record is not offered again.
    let lost = Outcome::Failed(Failure::Unknown("gone".into()));
    core.handle(ms(304), Input::Sent(stream("s"), seen, lost, 0));
    let asked = core.handle(core.wake_at().unwrap(), Input::Time);
    assert_eq!(asked, [Action::Ask(0, stream("s"))]);
    let again = core.handle(ms(500), Input::Asked(stream("s"), seen, stored(4)));
    assert_eq!(again, [send(4, 5, 1000)]);
    let actions = core.handle(ms(501), Input::Sent(stream("s"), seen, stored(5), 0));
    assert_eq!(actions, [Action::Advance(stream("s"), 5)]);
    assert_eq!(core.wake_at(), None);
}

#[test]
fn where_there_is_no_place_for_a_refused_record_the_sink_halts_and_a_retry_lifts_it() {
    let seen = extent(0, 1, 1);
    let (mut core, _) = at(seen, 0);
    for moment in [2, 102, 302] {
        core.handle(ms(moment), Input::Time);
        core.handle(ms(moment), refused(seen, 1, 1));
    }
    let full = Err(BuryError::NoPlace("no place".into()));
    core.handle(ms(303), Input::Buried(stream("s"), 1, full));
    assert_eq!(core.state(), SinkState::Halted);
    assert!(
        core.error()
            .unwrap()
            .contains("record 1 of stream s: no place")
    );
    let asked = core.handle(ms(400), Input::Retry);
    assert_eq!(asked, [Action::Ask(0, stream("s"))]);
    assert_eq!(core.state(), SinkState::Uploading);
}

#[test]
fn answers_to_questions_do_not_close_the_breaker_a_stored_batch_does() {
    let seen = extent(0, 1, 5);
    let (mut core, _) = at(seen, 0);
    let mut now = ms(1);
    let lost = || Outcome::Failed(Failure::NotDone("disk full".into()));
    for round in 1..=7 {
        core.handle(now, Input::Sent(stream("s"), seen, lost(), 0));
        assert_eq!(core.failures(), round);
        let open = core.breaker() == BreakerState::Open;
        assert_eq!(open, round >= 5, "{round}");
        now = core.wake_at().unwrap();
        assert_eq!(core.handle(now, Input::Time), [Action::Ask(0, stream("s"))]);
        let half = core.breaker() == BreakerState::HalfOpen;
        assert_eq!(half, round >= 5, "{round}");
        // It reads, but it does not write.
        let actions = core.handle(now, Input::Asked(stream("s"), seen, stored(0)));
        assert_eq!(actions, [send(0, 0, 1000)]);
    }
    core.handle(now, Input::Sent(stream("s"), seen, stored(5), 0));
    assert_eq!((core.breaker(), core.failures()), (BreakerState::Closed, 0));
    assert_eq!(core.error(), None);
}

#[test]
fn half_open_lets_one_batch_through_whatever_else_waits() {
    let mut core = Core::new(options(1), Some(STORE), 1);
    let names: Vec<_> = (0..9).map(|n| stream(&format!("s{n}"))).collect();
    let seen = extent(0, 1, 5);
    let all = names.iter().map(|name| (name.clone(), seen)).collect();
    core.handle(ms(0), Input::Streams(all));
    let mut asked = core.handle(ms(0), Input::Up(0));
    assert_eq!(asked.len(), 9);
    let lost = || Outcome::Failed(Failure::Unknown("gone".into()));
    while core.breaker() != BreakerState::Open {
        for action in std::mem::take(&mut asked) {
            let Action::Ask(_, name) = action else {
                panic!("{action:?}")
            };
            core.handle(
                core.wake_at().unwrap_or_default(),
                Input::Asked(name, seen, lost()),
            );
        }
        asked = core.handle(core.wake_at().unwrap(), Input::Time);
        if core.breaker() == BreakerState::HalfOpen {
            break;
        }
    }
    let [Action::Ask(_, name)] = &asked[..] else {
        panic!("{asked:?}")
    };
    let now = core.wake_at().unwrap_or(ms(60_000));
    let one = core.handle(now, Input::Asked(name.clone(), seen, stored(0)));
    assert_eq!(one.len(), 1, "{one:?}");
    // What it is: a batch, or another question. Once a batch is stored all others go.
    let mut actions = one;
    while core.breaker() == BreakerState::HalfOpen {
        assert_eq!(actions.len(), 1, "{actions:?}");
        let input = match actions.remove(0) {
            Action::Ask(_, name) => Input::Asked(name, seen, stored(0)),
            Action::Send { stream, .. } => Input::Sent(stream, seen, stored(5), 0),
            other => panic!("{other:?}"),
        };
        actions = core.handle(now, input);
    }
    assert!(actions.len() > 7, "{actions:?}");
}

#[test]
fn a_limit_spreads_the_bytes_over_time() {
    let mut core = Core::new(
        SinkOptions {
            max_bytes_per_second: NonZeroU64::new(1000),
            ..options(1)
        },
        Some(STORE),
        1,
    );
    let seen = extent(0, 1, 100);
    core.handle(ms(0), Input::Streams(vec![(stream("s"), seen)]));
    core.handle(ms(0), Input::Up(0));
    let actions = core.handle(ms(0), Input::Asked(stream("s"), seen, stored(0)));
    let [Action::Send { bytes: 1000, .. }] = &actions[..] else {
        panic!("{actions:?}")
    };
    let actions = core.handle(ms(10), Input::Sent(stream("s"), seen, stored(10), 1000));
    assert!(
        matches!(&actions[..], [Action::Begin { seq: 10, .. }]),
        "{actions:?}"
    );
    // A quarter of a second's worth is worth a request.
    let moment = core.wake_at().unwrap();
    assert!(moment > ms(249) && moment <= ms(251), "{moment:?}");
    let actions = core.handle(moment, Input::Time);
    let [Action::Send { bytes: 250, .. }] = &actions[..] else {
        panic!("{actions:?}")
    };
}

#[test]
fn a_sink_that_stores_nothing_is_paused_not_flooded() {
    let seen = extent(0, 1, 5);
    let (mut core, _) = at(seen, 0);
    assert_eq!(
        core.handle(ms(2), Input::Sent(stream("s"), seen, stored(0), 0)),
        []
    );
    assert_eq!(core.state(), SinkState::BackingOff);
}

#[test]
fn an_unknown_outcome_goes_to_the_next_node_and_asks_there() {
    let mut core = Core::new(options(3), Some(STORE), 1);
    let seen = extent(0, 1, 5);
    core.handle(ms(0), Input::Streams(vec![(stream("s"), seen)]));
    core.handle(ms(0), Input::Up(0));
    core.handle(ms(0), Input::Up(2));
    let timeout = Outcome::Failed(Failure::Unknown("no answer in time".into()));
    core.handle(ms(10_000), Input::Asked(stream("s"), seen, timeout));
    assert_eq!(
        (core.target(), core.state()),
        (Some(2), SinkState::BackingOff)
    );
    let moment = core.wake_at().unwrap();
    let asked = core.handle(moment, Input::Time);
    assert_eq!(asked, [Action::Ask(2, stream("s"))]);
    core.handle(moment, Input::Asked(stream("s"), seen, stored(5)));
    assert_eq!(core.state(), SinkState::Idle);
    assert_eq!(core.error(), None);
}

#[test]
fn no_more_than_the_bound_is_under_way_and_each_stream_gets_its_turn() {
    let mut core = Core::new(options(1), Some(STORE), 1);
    let names: Vec<_> = (0..40).map(|n| stream(&format!("s{n:02}"))).collect();
    let seen = names.iter().map(|name| (name.clone(), extent(0, 1, 5)));
    core.handle(ms(0), Input::Streams(seen.collect()));
    let mut under_way = core.handle(ms(0), Input::Up(0));
    assert_eq!(under_way.len(), 16);
    let mut asked = Vec::new();
    while let Some(Action::Ask(_, name)) = under_way.pop() {
        asked.push(name.clone());
        let more = core.handle(ms(1), Input::Asked(name, extent(0, 1, 5), stored(5)));
        under_way.extend(more.into_iter().filter(|a| matches!(a, Action::Ask(..))));
    }
    asked.sort();
    assert_eq!(asked, names);
}

#[test]
fn state_is_coalesced_and_one_upload_is_under_way_per_scope() {
    let mut core = Core::new(options(1), Some(STORE), 1);
    core.handle(ms(0), Input::Up(0));
    let dirty = || Input::Scopes(vec![scope("lobby")]);
    assert_eq!(core.handle(ms(0), dirty()), []);
    assert_eq!(core.handle(ms(50), dirty()), []);
    let send = [Action::SendState(0, scope("lobby"))];
    assert_eq!(core.handle(ms(100), Input::Time), send);
    assert_eq!(core.handle(ms(150), dirty()), []);
    let rev = StateOutcome::Stored {
        store: STORE,
        rev: 7,
    };
    let actions = core.handle(ms(160), Input::StateSent(scope("lobby"), rev, 0));
    assert_eq!(actions, [Action::AdvanceState(scope("lobby"), 7)]);
    assert_eq!(core.wake_at(), Some(ms(250)));
    assert_eq!(core.handle(ms(250), Input::Time), send);
}

#[test]
fn state_whose_answer_was_lost_goes_on_behind_it_and_lost_state_halts() {
    let mut core = Core::new(options(1), Some(STORE), 1);
    core.handle(ms(0), Input::Up(0));
    let gap = |after, rev| Input::StateSent(scope("z"), StateOutcome::Gap { after, rev }, 0);
    core.handle(ms(0), Input::Scopes(vec![scope("z")]));
    core.handle(ms(100), Input::Time);
    let actions = core.handle(ms(101), gap(3, 5));
    assert_eq!(actions, [Action::AdvanceState(scope("z"), 5)]);
    core.handle(ms(300), Input::Time);
    core.handle(ms(301), gap(5, 2));
    assert_eq!(core.state(), SinkState::Halted);
    assert!(core.error().unwrap().contains("revision 2"));
}

#[test]
fn a_drain_waits_for_nothing_and_is_done_once_the_store_says_so() {
    let (mut core, _) = at(extent(0, 1, 0), 0);
    core.handle(ms(10), Input::Streams(vec![(stream("s"), extent(0, 1, 3))]));
    core.handle(ms(10), Input::Scopes(vec![scope("z")]));
    let goal = StateGoal {
        scope: scope("z"),
        rev: 1,
        held: 0,
    };
    let mut actions = core.handle(ms(10), Input::Drain(vec![goal]));
    actions.sort_by_key(|action| matches!(action, Action::SendState(..)));
    assert_eq!(
        actions,
        [send(0, 0, 1000), Action::SendState(0, scope("z"))]
    );
    assert!(!core.drained());
    core.handle(ms(11), Input::StateSent(scope("z"), StateOutcome::Clean, 0));
    assert!(!core.drained());
    let missing = core.proof(SinkName::try_from("khepri").unwrap());
    assert_eq!(missing.streams[0].watermark, None);
    assert_eq!(
        (missing.streams[0].last, missing.streams[0].stored),
        (3, false)
    );
    assert!(missing.scopes[0].stored && !missing.stored);
    // What came after the drain began is not its concern.
    core.handle(
        ms(12),
        Input::Sent(stream("s"), extent(0, 1, 9), stored(3), 0),
    );
    assert!(core.drained());
    let proof = core.proof(SinkName::try_from("khepri").unwrap());
    assert_eq!((proof.stored, proof.streams[0].watermark), (true, Some(3)));
}

#[test]
fn a_drain_asks_the_store_anew_though_all_is_acknowledged() {
    let seen = extent(5, 1, 5);
    let (mut core, _) = at(seen, 5);
    let asked = core.handle(ms(10), Input::Drain(Vec::new()));
    assert_eq!(asked, [Action::Ask(0, stream("s"))]);
    assert!(
        !core.drained(),
        "what it said before the drain proves nothing"
    );
    core.handle(ms(11), Input::Asked(stream("s"), seen, stored(5)));
    assert!(core.drained());
    assert_eq!(core.wake_at(), None);
}

#[test]
fn a_scope_that_is_refused_waits_alone_and_is_told_once_until_a_retry_or_a_drain() {
    let (mut core, _) = at(extent(5, 1, 5), 5);
    let refuse = |core: &mut Core, now| {
        let refused = StateOutcome::Failed(Failure::Refused("no such hat".into()));
        core.handle(now, Input::StateSent(scope("z"), refused, 0))
    };
    let sent = [Action::SendState(0, scope("z"))];
    core.handle(ms(2), Input::Scopes(vec![scope("z")]));
    let mut now = ms(102);
    for attempt in 1..=3 {
        assert_eq!(core.handle(now, Input::Time), sent);
        let told = refuse(&mut core, now);
        let third = Action::Tell(News::Refused(scope("z"), "no such hat".into(), 3));
        assert_eq!(told, if attempt == 3 { vec![third] } else { vec![] });
        now = core.wake_at().expect("it is tried again");
    }
    assert_eq!(now, ms(102 + 100 + 200 + 400), "ever more rarely");
    assert_eq!(core.state(), SinkState::Idle);
    let told = "the sink refuses the state of z: no such hat";
    assert_eq!(core.error(), Some(told));
    assert_eq!(core.refused_scopes().len(), 1);
    let more = Input::Streams(vec![(stream("s"), extent(5, 1, 2000))]);
    assert_eq!(core.handle(ms(410), more), [send(5, 5, 1000)]);
    assert_eq!(core.handle(ms(411), Input::Retry).last(), sent.last());
    assert_eq!(refuse(&mut core, ms(412)), [], "it was told");
    let rev = StateOutcome::Stored {
        store: STORE,
        rev: 9,
    };
    let drained = core.handle(ms(413), Input::Drain(Vec::new()));
    assert_eq!(drained.last(), sent.last(), "a drain does not wait");
    let taken = core.handle(ms(414), Input::StateSent(scope("z"), rev, 0));
    let advance = Action::AdvanceState(scope("z"), 9);
    assert_eq!(taken, [Action::Tell(News::Taken(scope("z"))), advance]);
    assert_eq!((core.error(), core.refused_scopes()), (None, vec![]));
}
