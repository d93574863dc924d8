use super::*;
use crate::types::ServerId;

fn schedule(at: Option<u16>, when_empty: bool) -> Schedule {
    let id = ServerId::new("x").expect("valid");
    let mut schedule = Schedule::default();
    schedule.update(&ServerSpec {
        restart_at: at,
        restart_when_empty: when_empty,
        ..ServerSpec::new(id, vec!["x".into()])
    });
    schedule
}

const fn at(day: u64, hour: u64, minute: u64) -> u64 {
    20_000 * DAY_MS + day * DAY_MS + (hour * 60 + minute) * MINUTE_MS
}

#[test]
fn the_time_counts_once_a_day_also_when_it_was_slept_over() {
    let mut schedule = schedule(Some(4 * 60 + 30), false);
    let looks = [
        (at(0, 4, 0), false),
        (at(0, 4, 29), false),
        (at(0, 4, 30), true),
        (at(0, 4, 30) + 1, false),
        (at(0, 23, 59), false),
        (at(1, 4, 29), false),
        // Asleep over two of them.
        (at(3, 1, 0), true),
        (at(3, 4, 29), false),
        (at(3, 4, 31), true),
    ];
    for (now, restart) in looks {
        assert_eq!(schedule.look(now), restart, "at {}", now - at(0, 0, 0));
    }
    schedule.started(at(4, 5, 0));
    assert!(!schedule.look(at(4, 5, 1)), "it passed before the start");
    schedule.started(at(5, 4, 29));
    assert!(schedule.look(at(5, 4, 31)), "it passed after the start");
}

#[test]
fn midnight_is_a_time_and_a_clock_set_back_is_none() {
    let mut schedule = schedule(Some(0), false);
    assert!(!schedule.look(at(1, 23, 59)));
    assert!(schedule.look(at(2, 0, 0)));
    assert!(!schedule.look(at(1, 12, 0)));
    assert!(!schedule.look(at(1, 12, 1)));
}

#[test]
fn empty_again_after_players_is_a_reason() {
    let mut schedule = schedule(None, true);
    let beats = [
        (Some(0), false),
        (None, false),
        (Some(2), false),
        (None, false),
        (Some(0), true),
        (Some(0), false),
    ];
    for (players, restart) in beats {
        assert_eq!(schedule.beat(players), restart, "{players:?}");
        assert!(!schedule.look(at(0, 4, 0)));
    }
}

#[test]
fn with_both_it_waits_from_its_time_on_until_it_is_empty() {
    let mut schedule = schedule(Some(4 * 60 + 30), true);
    assert!(!schedule.look(at(0, 4, 0)));
    for players in [0, 3, 0] {
        assert!(!schedule.beat(Some(players)), "not yet");
    }
    assert!(!schedule.beat(Some(3)));
    assert!(!schedule.look(at(0, 4, 31)), "somebody plays");
    assert!(!schedule.beat(None), "who knows");
    assert!(schedule.beat(Some(0)));
    assert!(!schedule.beat(Some(0)), "once");
    assert!(
        schedule.look(at(1, 4, 31)),
        "it is empty when its time comes"
    );
}
