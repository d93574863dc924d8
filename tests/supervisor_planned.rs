//! Planned restarts: at a time of day and when the last player has left; the clock is the test's own, the processes are real.
#![allow(clippy::unwrap_used)]

#[path = "support/supervision.rs"]
mod supervision;

use sidekick::ports::{Beat, SessionEvent};
use sidekick::supervisor::{
    EndReason, EventKind, Group, ServerSpec, State, Status, Strategy, SupervisorOptions,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use supervision::{House, options, shell};

const POLITE: &str = "trap 'exit 0' TERM; while :; do sleep 0.02; done";
const HOUR_MS: u64 = 3_600_000;
/// Some day, 04:29.
const BEFORE_MS: u64 = 20_000 * 24 * HOUR_MS + 4 * HOUR_MS + 29 * 60_000;

/// Past the time.
const AFTER_MS: u64 = BEFORE_MS + 2 * 60_000;

fn planned(name: &str) -> ServerSpec {
    ServerSpec {
        restart_at: Some(4 * 60 + 30),
        group: Some(Group {
            name: "zones".into(),
            strategy: Strategy::OneForOne,
        }),
        ..shell(name, POLITE)
    }
}

fn in_session(name: &str) -> ServerSpec {
    ServerSpec {
        session: true,
        hang_timeout: None,
        group: None,
        ..planned(name)
    }
}

fn hello(status: &Status) -> SessionEvent {
    SessionEvent::Hello {
        epoch: status.epoch.unwrap(),
        os_pid: status.os_pid.unwrap(),
        engine: "test".into(),
        resumed: false,
        batch: 0,
    }
}

fn beat(players: u64) -> SessionEvent {
    SessionEvent::Beat(Beat {
        players: Some(players),
        ..Beat::default()
    })
}

/// Waits for that start of a server and lets it play.
async fn play(house: &House, name: &str, start_number: u64) -> Status {
    let status = house
        .status(name, |status| {
            status.start_number == start_number && status.os_pid.is_some()
        })
        .await;
    house.say(name, hello(&status));
    house.say(name, SessionEvent::Playing { tick: 1 });
    house.state(name, State::Running).await
}

fn at_clock(dir: &std::path::Path, wall_clock: fn() -> u64) -> SupervisorOptions {
    SupervisorOptions {
        sample_every: Duration::from_millis(20),
        wall_clock,
        ..options(dir)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_their_time_the_members_of_a_group_take_turns_and_what_is_down_stays_down() {
    static NOW_MS: AtomicU64 = AtomicU64::new(BEFORE_MS);
    let dir = tempfile::tempdir().unwrap();
    let options = at_clock(dir.path(), || NOW_MS.load(Ordering::SeqCst));
    let stopped = ServerSpec {
        autostart: false,
        ..planned("three")
    };
    let specs = vec![planned("one"), planned("two"), stopped];
    let mut house = House::with(options, dir.path(), specs).await;
    for name in ["one", "two"] {
        house.state(name, State::Running).await;
    }
    house.events = house.supervisor.events();
    NOW_MS.store(AFTER_MS, Ordering::SeqCst);
    let mut story = Vec::new();
    while story.len() < 4 {
        let next = house
            .event(|event| match &event.kind {
                EventKind::Started { .. } => Some(format!("+{}", event.id)),
                EventKind::Ended { .. } => Some(format!("-{}", event.id)),
                _ => None,
            })
            .await;
        story.push(next);
    }
    // Whose look came first is first; never are both down.
    let (first, second) = (story[0][1..].to_owned(), story[2][1..].to_owned());
    assert_ne!(first, second);
    let expected = [
        format!("-{first}"),
        format!("+{first}"),
        format!("-{second}"),
        format!("+{second}"),
    ];
    assert_eq!(story, expected);
    assert_eq!(house.supervisor.servers()[2].start_number, 0);
    house
        .line("one", |line| line == "planned restart: its time has come")
        .await;
    house.supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_empty_restarts_at_once_or_from_its_time_on() {
    static NOW_MS: AtomicU64 = AtomicU64::new(BEFORE_MS);
    let dir = tempfile::tempdir().unwrap();
    let options = at_clock(dir.path(), || NOW_MS.load(Ordering::SeqCst));
    let when_empty = |name: &str, restart_at| ServerSpec {
        restart_when_empty: true,
        restart_at,
        ..in_session(name)
    };
    let specs = vec![
        when_empty("patient", Some(4 * 60 + 30)),
        when_empty("whenever", None),
    ];
    let house = House::with(options, dir.path(), specs).await;
    play(&house, "patient", 1).await;
    play(&house, "whenever", 1).await;
    for players in [2, 0] {
        house.say("patient", beat(players));
        house.say("whenever", beat(players));
    }
    let again = play(&house, "whenever", 2).await;
    assert_eq!(again.last_exit.unwrap().reason, EndReason::Shutdown);
    assert_eq!(again.restarts, 0, "a planned restart is not counted");

    // Somebody plays when its time comes.
    house.say("patient", beat(1));
    let one_plays = |status: &Status| {
        let beat = status.health.beat.as_ref();
        beat.is_some_and(|beat| beat.players == Some(1))
    };
    house.status("patient", one_plays).await;
    NOW_MS.store(AFTER_MS, Ordering::SeqCst);
    assert_eq!(house.supervisor.servers()[0].start_number, 1);
    house.say("patient", beat(0));
    play(&house, "patient", 2).await;
    house
        .line("patient", |line| line == "planned restart: it is empty")
        .await;
    house.supervisor.shutdown().await;
}
