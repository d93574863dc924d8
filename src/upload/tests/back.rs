//! A store that holds less than it acknowledged, or is another one.

use super::cases::{at, send};
use super::*;

fn back(held: u64, acknowledged: u64) -> Action {
    Action::Tell(News::Back {
        stream: stream("s"),
        held,
        acknowledged,
    })
}

#[test]
fn another_store_halts_the_sink() {
    let (mut core, _) = at(extent(0, 1, 5), 0);
    let other = Outcome::Stored {
        store: Bytes::from_static(b"store-2"),
        watermark: 5,
    };
    let actions = core.handle(ms(2), Input::Sent(stream("s"), extent(0, 1, 5), other, 0));
    assert_eq!(actions, []);
    assert_eq!(core.state(), SinkState::Halted);
    assert!(core.error().unwrap().contains("store-2 instead of store-1"));
    assert_eq!(core.handle(ms(9999), Input::Time), []);
}

#[test]
fn a_store_that_holds_more_than_was_written_halts_the_sink() {
    let (core, actions) = at(extent(0, 1, 5), 6);
    assert_eq!(actions, []);
    assert_eq!(core.state(), SinkState::Halted);
    assert!(core.error().unwrap().contains("only 5 were ever written"));
}

#[test]
fn a_store_that_lost_records_gets_them_again_while_they_are_here() {
    let (core, actions) = at(extent(8, 3, 9), 2);
    assert_eq!(actions, [back(2, 8), send(2, 2, 1000)]);
    assert_eq!(core.lag_records(), 7);
    let (core, actions) = at(extent(8, 4, 9), 2);
    assert_eq!(actions, []);
    assert!(core.error().unwrap().contains("from 3 to 3"));
}

#[test]
fn the_same_gap_twice_halts_the_sink_a_new_one_does_not() {
    let seen = extent(5, 1, 9);
    let (mut core, _) = at(seen, 5);
    let gap = |watermark| {
        Input::Sent(
            stream("s"),
            seen,
            Outcome::Gap {
                store: None,
                watermark,
            },
            0,
        )
    };
    assert_eq!(core.handle(ms(2), gap(3)), [back(3, 5), send(3, 3, 1000)]);
    assert_eq!(core.handle(ms(3), gap(3)), []);
    assert_eq!(core.state(), SinkState::Halted);
}

/// A core that has acknowledged all of a stream of which it began behind `began`, with these records left here.
fn acknowledged(from: u64, cursor: u64, first: u64) -> Core {
    let mut core = Core::new(options(1), Some(STORE), 1);
    let seen = extent(from, 1, cursor);
    core.handle(ms(0), Input::Streams(vec![(stream("s"), seen)]));
    core.handle(ms(0), Input::Up(0));
    let actions = core.handle(ms(1), Input::Asked(stream("s"), seen, stored(cursor)));
    let first_time = Action::Begin {
        stream: stream("s"),
        began: from,
        seq: cursor,
    };
    assert_eq!(actions, [first_time]);
    let trimmed = extent(cursor, first, cursor);
    core.handle(ms(2), Input::Streams(vec![(stream("s"), trimmed)]));
    core
}

#[test]
fn a_store_that_lost_all_of_a_stream_is_none_that_never_saw_it() {
    // All of it is here yet: told, and sent again from where the sink began.
    let mut core = acknowledged(2, 9, 1);
    assert_eq!(
        core.handle(ms(10), Input::Drain(Vec::new())),
        [Action::Ask(0, stream("s"))]
    );
    let answer = Input::Asked(stream("s"), extent(9, 1, 9), stored(0));
    assert_eq!(core.handle(ms(11), answer), [back(2, 9), send(0, 2, 1000)]);
    assert!(!core.drained());
    let again = Input::Sent(stream("s"), extent(9, 1, 9), stored(5), 0);
    assert_eq!(core.handle(ms(12), again), [send(5, 5, 1000)], "told once");
    core.handle(
        ms(13),
        Input::Sent(stream("s"), extent(9, 1, 9), stored(9), 0),
    );
    assert!(core.drained());
    // Some of it is gone: the sink halts, and a drain does not say that all is stored.
    let mut core = acknowledged(2, 9, 6);
    core.handle(ms(10), Input::Drain(Vec::new()));
    let answer = Input::Asked(stream("s"), extent(9, 6, 9), stored(0));
    assert_eq!(core.handle(ms(11), answer), []);
    assert!(core.error().unwrap().contains("from 3 to 5"));
    assert!(!core.drained());
    // It remembers that when it begins anew.
    let memory = Memory {
        store: Some(STORE),
        began: [(stream("s"), 2)].into(),
    };
    let mut core = Core::new(options(1), memory, 1);
    let seen = extent(9, 6, 9);
    core.handle(ms(0), Input::Streams(vec![(stream("s"), seen)]));
    core.handle(ms(0), Input::Up(0));
    core.handle(ms(1), Input::Asked(stream("s"), seen, stored(0)));
    assert_eq!(core.state(), SinkState::Halted);
}

#[test]
fn a_drain_is_not_done_where_another_store_answers() {
    let seen = extent(5, 1, 5);
    let (mut core, _) = at(seen, 5);
    core.handle(ms(10), Input::Drain(Vec::new()));
    let other = Outcome::Stored {
        store: StoreId::from_static(b"another"),
        watermark: 0,
    };
    core.handle(ms(11), Input::Asked(stream("s"), seen, other));
    assert_eq!(core.state(), SinkState::Halted);
    assert!(!core.drained());
}

#[test]
fn what_a_store_lost_is_given_up_by_an_operator_alone_and_the_store_is_told() {
    let mut core = acknowledged(2, 9, 10);
    assert_eq!(core.accept_loss(), None, "it has not halted");
    core.handle(ms(10), Input::Drain(Vec::new()));
    let seen = extent(9, 10, 9);
    core.handle(ms(11), Input::Asked(stream("s"), seen, stored(4)));
    assert_eq!(core.state(), SinkState::Halted);
    assert!(core.error().unwrap().contains("--accept-loss"));
    // Tried again it says the same; given up the store hears of it, though no record follows.
    let asks = [Action::Ask(0, stream("s"))];
    assert_eq!(core.handle(ms(12), Input::Retry), asks);
    core.handle(ms(13), Input::Asked(stream("s"), seen, stored(4)));
    assert_eq!(core.state(), SinkState::Halted);
    let loss = core.accept_loss().unwrap();
    assert_eq!((loss.from, loss.to), (5, 9));
    assert_eq!(core.handle(ms(14), Input::Retry), asks);
    let told = core.handle(ms(15), Input::Asked(stream("s"), seen, stored(4)));
    assert_eq!(told, [send(4, 9, 1000)]);
    assert!(!core.drained(), "it does not know yet");
    assert_eq!(
        core.handle(ms(16), Input::Sent(stream("s"), seen, stored(9), 0)),
        []
    );
    assert!(core.drained());
}
