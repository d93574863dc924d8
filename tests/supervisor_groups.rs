//! Servers of a group start in order, stop in reverse, and are restarted together as their strategy says; all with real processes.
#![allow(clippy::unwrap_used)]

#[path = "support/supervision.rs"]
mod supervision;

use nix::sys::signal::Signal;
use sidekick::ports::SessionEvent;
use sidekick::supervisor::{
    Backoff, EndReason, EventKind, Group, Restart, ServerSpec, State, Strategy,
};
use std::time::Duration;
use supervision::{House, alive, id, kill, shell};

const POLITE: &str = "trap 'exit 0' TERM; while :; do sleep 0.02; done";

fn member(name: &str, strategy: Strategy, script: &str) -> ServerSpec {
    ServerSpec {
        group: Some(Group {
            name: "zones".into(),
            strategy,
        }),
        max_restarts: 2,
        max_seconds: 60,
        backoff: Backoff {
            initial: Duration::from_millis(10),
            max: Duration::from_millis(20),
        },
        ..shell(name, script)
    }
}

fn three(strategy: Strategy) -> Vec<ServerSpec> {
    ["one", "two", "three"]
        .map(|name| member(name, strategy, POLITE))
        .into()
}

/// Starts and ends as they come, until this one.
async fn story(house: &mut House, last: &str) -> Vec<String> {
    let mut story: Vec<String> = Vec::new();
    while story.last().map(String::as_str) != Some(last) {
        let next = house
            .event(|event| match &event.kind {
                EventKind::Started { .. } => Some(format!("+{}", event.id)),
                EventKind::Ended { .. } => Some(format!("-{}", event.id)),
                _ => None,
            })
            .await;
        story.push(next);
    }
    story
}

/// Their pids once all play; events are those after that.
async fn all_running(house: &mut House) -> Vec<u32> {
    let mut pids = Vec::new();
    for name in ["one", "two", "three"] {
        pids.push(house.state(name, State::Running).await.os_pid.unwrap());
    }
    house.events = house.supervisor.events();
    pids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_waits_until_the_one_before_plays() {
    let dir = tempfile::tempdir().unwrap();
    let mut specs = three(Strategy::OneForOne);
    specs[0].session = true;
    specs[0].hang_timeout = None;
    let house = House::open(dir.path(), specs).await;
    let first = house.status("one", |status| status.os_pid.is_some()).await;
    let hello = SessionEvent::Hello {
        epoch: first.epoch.unwrap(),
        os_pid: first.os_pid.unwrap(),
        engine: "test".into(),
        resumed: false,
        batch: 0,
    };
    house.say("one", hello);
    house.status("one", |status| status.session.is_some()).await;
    // It has said hello and does not play yet: nobody else has been started.
    for name in ["two", "three"] {
        let status = house.supervisor.server(&id(name)).unwrap();
        assert_eq!((status.state, status.start_number), (State::Stopped, 0));
    }
    house.say("one", SessionEvent::Playing { tick: 1 });
    let three = house.state("three", State::Running).await;
    let two = house.state("two", State::Running).await;
    assert!(two.since_ms <= three.since_ms);
    house.supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_after_the_one_that_crashed_are_restarted_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut house = House::open(dir.path(), three(Strategy::RestForOne)).await;
    let before = all_running(&mut house).await;
    kill(before[1], Signal::SIGKILL);
    let story = story(&mut house, "+three").await;
    assert_eq!(story, ["-two", "-three", "+two", "+three"]);
    let after = all_running(&mut house).await;
    assert_eq!(before[0], after[0], "the first plays on");
    assert!(!alive(before[1]) && !alive(before[2]));
    let [two, three] = ["two", "three"].map(|name| house.supervisor.server(&id(name)).unwrap());
    assert_eq!(
        two.last_exit.unwrap().reason,
        EndReason::Signal("sigkill".into())
    );
    assert_eq!(three.last_exit.unwrap().reason, EndReason::Shutdown);
    house.supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_are_restarted_but_who_was_stopped_by_hand_and_too_often_quarantines_all() {
    let dir = tempfile::tempdir().unwrap();
    let mut house = House::open(dir.path(), three(Strategy::OneForAll)).await;
    all_running(&mut house).await;
    house.supervisor.stop_server(&id("one")).await.unwrap();
    let mut pid = house.state("three", State::Running).await.os_pid.unwrap();
    for _ in 0..2 {
        kill(pid, Signal::SIGKILL);
        let old = pid;
        let again = house
            .status("three", |status| {
                status.state == State::Running && status.os_pid.is_some_and(|pid| pid != old)
            })
            .await;
        pid = again.os_pid.unwrap();
        assert_eq!(
            house.supervisor.server(&id("one")).unwrap().state,
            State::Stopped
        );
    }
    assert_eq!(house.state("two", State::Running).await.start_number, 3);
    kill(pid, Signal::SIGKILL);
    for name in ["two", "three"] {
        let status = house.state(name, State::Quarantined).await;
        assert_eq!(status.os_pid, None);
        house
            .line(name, |line| {
                line.contains("its group: more than 2 restarts")
            })
            .await;
    }
    assert_eq!(
        house.supervisor.server(&id("one")).unwrap().state,
        State::Stopped
    );
    house.supervisor.start_server(&id("two")).await.unwrap();
    house.supervisor.shutdown().await;
    assert_eq!(supervision::marked(dir.path()), [] as [u32; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_cannot_start_takes_its_group_into_quarantine_and_time_lets_it_out() {
    let dir = tempfile::tempdir().unwrap();
    let flag = dir.path().join("fixed");
    let script = format!("[ -e {} ] || exit 7; {POLITE}", flag.display());
    let quarantine = Some(Duration::from_secs(1));
    let mut specs = three(Strategy::OneForAll);
    specs[2] = member("three", Strategy::OneForAll, &script);
    specs.push(ServerSpec {
        restart: Restart::Temporary,
        ..member("guest", Strategy::OneForAll, POLITE)
    });
    let specs = specs
        .into_iter()
        .map(|spec| ServerSpec { quarantine, ..spec })
        .collect();
    let mut house = House::open(dir.path(), specs).await;
    for name in ["one", "two", "three"] {
        house.state(name, State::Quarantined).await;
    }
    assert!(house.supervisor.server(&id("one")).unwrap().start_number >= 2);
    std::fs::write(&flag, "").unwrap();
    all_running(&mut house).await;
    house.supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_stop_in_reverse_others_side_by_side_and_a_hurry_kills() {
    let dir = tempfile::tempdir().unwrap();
    let deaf = |name: &str| ServerSpec {
        stop_timeout: Duration::from_secs(600),
        ..shell(name, "trap '' TERM; echo up; while :; do sleep 0.02; done")
    };
    let mut specs = three(Strategy::OneForOne);
    specs.insert(0, deaf("deaf"));
    specs.push(deaf("deafer"));
    let mut house = House::open(dir.path(), specs).await;
    all_running(&mut house).await;
    for name in ["deaf", "deafer"] {
        house.line(name, |line| line == "up").await;
    }
    let supervisor = house.supervisor.clone();
    let ending = tokio::spawn(async move { supervisor.shutdown().await });
    let story = story(&mut house, "-one").await;
    let ends: Vec<_> = story.iter().filter(|word| word.starts_with('-')).collect();
    assert_eq!(ends, ["-three", "-two", "-one"]);
    // Each is patient for ten minutes, and none waits for the other.
    for name in ["deaf", "deafer"] {
        house.state(name, State::Stopping).await;
    }
    house.shutdown.signal();
    house.shutdown.signal();
    tokio::time::timeout(supervision::PATIENCE, ending)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(supervision::marked(dir.path()), [] as [u32; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_ended_while_no_sidekick_ran_restarts_its_group() {
    let dir = tempfile::tempdir().unwrap();
    let mut house = House::open(dir.path(), three(Strategy::RestForOne)).await;
    let before = all_running(&mut house).await;
    house.supervisor.leave().await;
    kill(before[1], Signal::SIGKILL);
    supervision::eventually(|| (!alive(before[1])).then_some(())).await;
    let mut house = House::open(dir.path(), three(Strategy::RestForOne)).await;
    let changed = house
        .status("three", |status| {
            status.state == State::Running && status.os_pid.is_some_and(|pid| pid != before[2])
        })
        .await;
    let after = all_running(&mut house).await;
    assert_eq!((after[0], Some(after[2])), (before[0], changed.os_pid));
    assert_ne!(after[1], before[1]);
    house.supervisor.shutdown().await;
    assert_eq!(supervision::marked(dir.path()), [] as [u32; 0]);
}
