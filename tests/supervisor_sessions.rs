//! Servers with a session: hello, play, heartbeats, hangs, draining. The sessions are played by the test.
#![allow(clippy::unwrap_used)]

#[path = "support/supervision.rs"]
mod supervision;

use nix::sys::signal::Signal;
use sidekick::ports::{Beat, SessionEvent};
use sidekick::supervisor::{Backoff, EndReason, EventKind, ServerSpec, State, SupervisorError};
use std::sync::atomic::Ordering;
use std::time::Duration;
use supervision::{House, eventually, id, kill, shell};

fn session(script: &str) -> ServerSpec {
    ServerSpec {
        session: true,
        start_timeout: Duration::from_secs(60),
        hang_timeout: Some(Duration::from_millis(400)),
        backoff: Backoff {
            initial: Duration::from_millis(10),
            max: Duration::from_millis(20),
        },
        ..shell("lobby", script)
    }
}

fn hello(epoch: u64) -> SessionEvent {
    SessionEvent::Hello {
        epoch,
        os_pid: 1,
        engine: "4.6.3".into(),
        resumed: false,
        batch: 0,
    }
}

fn beat(busy_ms: u64) -> SessionEvent {
    SessionEvent::Beat(Beat {
        tick: 9,
        busy_ms,
        ..Beat::default()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_is_done_at_the_first_tick_and_a_restart_is_measured_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let spec = ServerSpec {
        autostart: false,
        hang_timeout: None,
        ..session("exec sleep 1000")
    };
    let mut house = House::open(dir.path(), vec![spec]).await;
    let lobby = id("lobby");
    let supervisor = house.supervisor.clone();
    let start = tokio::spawn(async move { supervisor.start_server(&lobby).await });
    let first = house.started().await;
    house.say("lobby", hello(1));
    let status = house
        .status("lobby", |status| status.session.is_some())
        .await;
    assert_eq!((status.state, status.epoch), (State::Starting, Some(1)));
    assert!(!start.is_finished());
    house.say("lobby", SessionEvent::Playing { tick: 0 });
    house.say("lobby", SessionEvent::Ready);
    start.await.unwrap().unwrap();
    house
        .status("lobby", |status| {
            status.session.as_ref().is_some_and(|session| session.ready)
        })
        .await;

    kill(first, Signal::SIGKILL);
    house.say("lobby", SessionEvent::Closed);
    house.started().await;
    // Words of the old process after its end are nothing to the new one.
    house.say("lobby", beat(0));
    house.say("lobby", hello(1));
    house.say("lobby", hello(2));
    house.say("lobby", SessionEvent::Playing { tick: 77 });
    let (tick, since_exit) = house
        .event(|event| match event.kind {
            EventKind::Playing {
                tick,
                since_exit,
                start_number: 2,
                ..
            } => Some((tick, since_exit)),
            _ => None,
        })
        .await;
    assert_eq!(tick, 77);
    let timings = house.state("lobby", State::Running).await.timings;
    assert_eq!(timings.exit_to_playing, since_exit);
    assert!(
        timings.exit_to_detected <= timings.exit_to_spawned
            && timings.exit_to_spawned <= since_exit
    );
    assert_eq!(
        *house.sessions.expected.lock().unwrap(),
        [(id("lobby"), 1), (id("lobby"), 2)]
    );
    assert_eq!(*house.sessions.closed.lock().unwrap(), [id("lobby")]);
    house.supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_a_hang_that_is_dumped_then_killed_and_announced_work_is_not() {
    let dir = tempfile::tempdir().unwrap();
    // Deaf to SIGSEGV, so that SIGKILL has to follow.
    let mut house = House::open(
        dir.path(),
        vec![session(
            "trap 'echo dumped' SEGV; while :; do sleep 0.05; done",
        )],
    )
    .await;
    let pid = house.started().await;
    house.say("lobby", hello(1));
    house.say("lobby", SessionEvent::Playing { tick: 1 });
    house.say("lobby", beat(900));
    let began = std::time::Instant::now();
    let silent = house
        .event(|event| match event.kind {
            EventKind::Hang { silent, .. } => Some(silent),
            _ => None,
        })
        .await;
    assert!(
        began.elapsed() >= Duration::from_millis(1250),
        "announced work was not respected: {:?}",
        began.elapsed()
    );
    assert!(silent >= Duration::from_millis(1300));
    assert_eq!(
        house.supervisor.server(&id("lobby")).unwrap().state,
        State::Unresponsive
    );
    house.line("lobby", |line| line == "dumped").await;
    let reason = house
        .event(|event| match &event.kind {
            EventKind::Ended { reason, os_pid, .. } => Some((reason.clone(), *os_pid)),
            _ => None,
        })
        .await;
    assert_eq!(reason, (EndReason::Hang, pid));
    let number = house
        .event(|event| match event.kind {
            EventKind::CrashBundle { number, .. } => Some(number),
            _ => None,
        })
        .await;
    let bundle = house.supervisor.crash(&id("lobby"), number).await.unwrap();
    assert_eq!(
        (bundle["reason"].as_str(), bundle["decision"].as_str()),
        (Some("hang"), Some("hang"))
    );
    assert_eq!(bundle["exit"]["end"]["signalled"]["signal"], 9);
    assert_eq!(bundle["beats"][0]["tick"], 9);
    house
        .status("lobby", |status| status.start_number == 2)
        .await;
    house.supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_hello_in_time_is_a_failed_start_that_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let script = "echo 'SCRIPT ERROR: Parse Error: Expected x.' >&2; \
                  echo '   at: GDScript::reload (res://main.gd:7)' >&2; exec sleep 1000";
    let spec = ServerSpec {
        start_timeout: Duration::from_millis(300),
        max_restarts: 1,
        max_seconds: 60,
        autostart: false,
        ..session(script)
    };
    let house = House::open(dir.path(), vec![spec]).await;
    match house.supervisor.start_server(&id("lobby")).await {
        Err(SupervisorError::StartFailed { message, .. }) => {
            assert!(
                message.contains("no hello within 300ms: SCRIPT ERROR: Parse Error: Expected x."),
                "{message}"
            );
            assert!(message.contains("res://main.gd:7"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    let status = house.state("lobby", State::Quarantined).await;
    let last = status.last_exit.unwrap();
    assert_eq!((last.reason, status.restarts), (EndReason::Hang, 1));
    assert!(last.detail.unwrap().contains("Parse Error"));
    let bundle = supervision::eventually_async(|| house.supervisor.crash(&status.id, 2)).await;
    assert_eq!(bundle["decision"], "start_timeout");
    assert!(
        bundle["output"]["parse_errors"][0]
            .as_str()
            .unwrap()
            .contains("main.gd:7")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_drains_first_and_escalates_only_where_that_is_not_enough() {
    let dir = tempfile::tempdir().unwrap();
    let go = dir.path().join("go");
    let script = format!(
        "trap '' TERM; while [ ! -e {} ]; do sleep 0.02; done; exit 0",
        go.display()
    );
    let spec = ServerSpec {
        stop_timeout: Duration::from_secs(20),
        hang_timeout: None,
        ..session(&script)
    };
    let mut house = House::open(dir.path(), vec![spec]).await;
    house.sessions.drains.store(true, Ordering::Relaxed);
    house.started().await;
    house.say("lobby", hello(1));
    house.say("lobby", SessionEvent::Playing { tick: 1 });
    house.state("lobby", State::Running).await;
    let (supervisor, lobby) = (house.supervisor.clone(), id("lobby"));
    let drain = tokio::spawn(async move { supervisor.drain_server(&lobby).await });
    house.state("lobby", State::Stopping).await;
    eventually(|| (*house.sessions.drained.lock().unwrap() == [id("lobby")]).then_some(())).await;
    // The game ends by itself once it has drained.
    std::fs::write(&go, "").unwrap();
    house.say("lobby", SessionEvent::Drained);
    drain.await.unwrap().unwrap();
    let status = house.supervisor.server(&id("lobby")).unwrap();
    assert_eq!(
        (status.state, status.last_exit.unwrap().reason),
        (State::Stopped, EndReason::Shutdown)
    );

    // One that neither drains nor heeds SIGTERM is killed after stop_timeout.
    std::fs::remove_file(&go).unwrap();
    let deaf = ServerSpec {
        stop_timeout: Duration::from_millis(200),
        hang_timeout: None,
        ..session(&script)
    };
    let deaf = ServerSpec {
        id: id("deaf"),
        ..deaf
    };
    house.supervisor.start_child(deaf).await.unwrap();
    house.status("deaf", |status| status.os_pid.is_some()).await;
    house.say("deaf", hello(1));
    house.say("deaf", SessionEvent::Playing { tick: 1 });
    house.state("deaf", State::Running).await;
    house.supervisor.stop_server(&id("deaf")).await.unwrap();
    let status = house.supervisor.server(&id("deaf")).unwrap();
    assert_eq!(
        (status.state, status.last_exit.unwrap().reason),
        (State::Stopped, EndReason::Shutdown)
    );
    assert!(
        house
            .supervisor
            .crashes(&id("deaf"))
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_lost_and_comes_back_is_no_hang() {
    let dir = tempfile::tempdir().unwrap();
    let spec = ServerSpec {
        start_timeout: Duration::from_secs(2),
        ..session("exec sleep 1000")
    };
    let mut house = House::open(dir.path(), vec![spec]).await;
    let pid = house.started().await;
    house.say("lobby", hello(1));
    house.say("lobby", SessionEvent::Playing { tick: 1 });
    house.say("lobby", SessionEvent::Closed);
    house
        .status("lobby", |status| {
            status.state == State::Running && status.session.is_none()
        })
        .await;
    // sleep: silence is the subject, longer than the hang timeout and shorter than a start may take.
    tokio::time::sleep(Duration::from_millis(800)).await;
    house.say(
        "lobby",
        SessionEvent::Hello {
            epoch: 1,
            os_pid: pid,
            engine: "4.6".into(),
            resumed: true,
            batch: 4,
        },
    );
    let status = house
        .status("lobby", |status| status.session.is_some())
        .await;
    assert_eq!((status.state, status.os_pid), (State::Running, Some(pid)));
    // Back, but silent: now it is one.
    house
        .event(|event| matches!(event.kind, EventKind::Hang { .. }).then_some(()))
        .await;
    house.supervisor.shutdown().await;
}
