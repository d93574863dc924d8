//! A server that ends is dealt with as its spec says, and every number of it can be seen.
#![allow(clippy::unwrap_used)]

#[path = "support/supervision.rs"]
mod supervision;

use nix::sys::signal::Signal;
use sidekick::supervisor::{
    Backoff, EndReason, EventKind, ExitRequest, Restart, ServerSpec, State, SupervisorError,
};
use std::time::Duration;
use supervision::{House, alive, id, kill, shell};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_comes_back_each_time_and_the_times_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let spec = ServerSpec {
        max_restarts: 100,
        backoff: Backoff {
            initial: Duration::ZERO,
            max: Duration::ZERO,
        },
        ..shell("lobby", "exec sleep 1000")
    };
    let mut house = House::open(dir.path(), vec![spec]).await;
    let mut pid = house.state("lobby", State::Running).await.os_pid.unwrap();
    let mut detected = Vec::new();
    let mut spawned = Vec::new();
    for _ in 0..9 {
        let before = sidekick::guard::clock::monotonic_ns();
        kill(pid, Signal::SIGKILL);
        let at = house
            .event(|event| match &event.kind {
                EventKind::Ended { reason, .. } => {
                    assert_eq!(*reason, EndReason::Signal("sigkill".into()));
                    Some(event.at_ns)
                }
                _ => None,
            })
            .await;
        detected.push(Duration::from_nanos(at - before));
        let (new, since) = house
            .event(|event| match event.kind {
                EventKind::Started {
                    os_pid, since_exit, ..
                } => Some((os_pid, since_exit)),
                _ => None,
            })
            .await;
        assert_ne!(new, pid);
        spawned.extend(since);
        pid = new;
    }
    detected.sort();
    println!("exit to detected {detected:?}, to spawned {spawned:?}");
    assert_eq!(
        spawned.len(),
        9,
        "each start after an end tells how long it took"
    );
    // How quick that is, is measured by scripts/bench and never asserted here: other tests share the cores.
    let status = house.state("lobby", State::Running).await;
    assert_eq!((status.restarts, status.start_number), (9, 10));
    house.supervisor.stop_server(&id("lobby")).await.unwrap();
    assert!(!alive(pid));
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_types_decide_what_follows_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let table = [
        ("fine", Restart::Transient, "exit 0", EndReason::Normal),
        (
            "never",
            Restart::Temporary,
            "exit 3",
            EndReason::ExitStatus(3),
        ),
    ];
    let specs = table
        .iter()
        .map(|(name, restart, script, _)| ServerSpec {
            restart: *restart,
            ..shell(name, script)
        })
        .collect();
    let house = House::open(dir.path(), specs).await;
    for (name, _, _, reason) in table {
        let status = house
            .status(name, |status| {
                status.last_exit.is_some() && !status.state.is_up()
            })
            .await;
        assert_eq!(status.state, State::Stopped, "{name}");
        assert_eq!(status.last_exit.unwrap().reason, reason, "{name}");
        assert_eq!(status.restarts, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loop_ends_in_quarantine_with_bundles_and_a_start_releases_it() {
    let dir = tempfile::tempdir().unwrap();
    let flag = dir.path().join("fixed");
    let script = format!(
        "echo last words >&2; [ -e {} ] && exec sleep 1000; exit 3",
        flag.display()
    );
    let spec = ServerSpec {
        backoff: Backoff {
            initial: Duration::from_millis(10),
            max: Duration::from_millis(50),
        },
        ..shell("lobby", &script)
    };
    let house = House::open(dir.path(), vec![spec]).await;
    let status = house.state("lobby", State::Quarantined).await;
    assert_eq!(status.restarts, 3);
    assert_eq!(status.last_exit.unwrap().reason, EndReason::ExitStatus(3));
    let lobby = id("lobby");
    let crashes = supervision::eventually_async(|| async {
        let crashes = house.supervisor.crashes(&lobby).await.unwrap();
        (crashes.len() == 4).then_some(crashes)
    })
    .await;
    assert_eq!(crashes[3].reason, "exit_status 3");
    let bundle = house
        .supervisor
        .crash(&lobby, crashes[3].number)
        .await
        .unwrap();
    assert_eq!(bundle["exit"]["end"]["exited"]["status"], 3);
    assert_eq!(bundle["facts"]["unuploaded"]["lobby"], 7);
    let lines = bundle["log"].as_array().unwrap();
    assert!(
        lines
            .iter()
            .any(|line| line["line"] == "last words" && line["source"] == "stderr"),
        "{bundle:#}"
    );

    std::fs::write(&flag, "").unwrap();
    house.supervisor.start_server(&lobby).await.unwrap();
    assert_eq!(
        house.supervisor.server(&lobby).unwrap().state,
        State::Running
    );
    assert!(matches!(
        house.supervisor.start_server(&lobby).await,
        Err(SupervisorError::AlreadyStarted(_))
    ));
    house.supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantine_with_a_time_ends_by_itself_and_tells_when() {
    let dir = tempfile::tempdir().unwrap();
    let flag = dir.path().join("fixed");
    let spec = ServerSpec {
        max_restarts: 0,
        quarantine: Some(Duration::from_secs(1)),
        ..shell(
            "lobby",
            &format!("[ -e {} ] && exec sleep 1000; exit 3", flag.display()),
        )
    };
    let mut house = House::open(dir.path(), vec![spec]).await;
    let status = house
        .status("lobby", |status| {
            status.state == State::Quarantined && status.next_start_ms.is_some()
        })
        .await;
    assert!(status.next_start_ms.unwrap() >= status.since_ms + 900);
    std::fs::write(&flag, "").unwrap();
    house
        .event(|event| {
            matches!(
                event.kind,
                EventKind::Playing { .. } | EventKind::Started { .. }
            )
            .then_some(())
        })
        .await;
    let status = house.state("lobby", State::Running).await;
    assert_eq!(status.restarts, 0, "a release is no restart");
    house
        .line("lobby", |line| {
            line.contains("it is released after 1s, or by a start")
        })
        .await;
    house
        .line("lobby", |line| line == "its quarantine is over")
        .await;
    house.supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_start_says_why_once_counts_and_does_not_spin() {
    let dir = tempfile::tempdir().unwrap();
    let missing = ServerSpec {
        session: false,
        backoff: Backoff {
            initial: Duration::from_millis(20),
            max: Duration::from_millis(40),
        },
        ..ServerSpec::new(id("missing"), vec!["no-such-game".into()])
    };
    // It is there and executable, but what it names to run it is not: only exec can tell.
    let broken = dir.path().join("broken");
    std::fs::write(&broken, "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&broken, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let broken = ServerSpec {
        session: false,
        autostart: false,
        max_restarts: 0,
        ..ServerSpec::new(id("broken"), vec![broken.to_string_lossy().into_owned()])
    };
    let house = House::open(dir.path(), vec![missing, broken]).await;
    let status = house.state("missing", State::Quarantined).await;
    assert!(
        status
            .problem
            .unwrap()
            .contains("install it or write its whole path")
    );
    assert_eq!((status.start_number, status.restarts), (0, 3));
    match house.supervisor.start_server(&id("broken")).await {
        Err(SupervisorError::StartFailed { message, .. }) => {
            assert!(message.contains("interpreter"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    house.state("broken", State::Quarantined).await;
    assert_eq!(supervision::marked(dir.path()), [] as [u32; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_do_what_they_say() {
    let dir = tempfile::tempdir().unwrap();
    let transient = ServerSpec {
        restart: Restart::Transient,
        max_restarts: 10,
        ..shell("guest", "exec sleep 1000")
    };
    let permanent = ServerSpec {
        max_restarts: 10,
        ..shell("lobby", "trap 'exit 0' TERM; while :; do sleep 0.05; done")
    };
    let house = House::open(dir.path(), vec![permanent, transient]).await;
    let (lobby, guest) = (id("lobby"), id("guest"));
    let first = house.state("lobby", State::Running).await;
    house.state("guest", State::Running).await;

    house.supervisor.restart_server(&lobby).await.unwrap();
    let second = house.supervisor.server(&lobby).unwrap();
    assert_eq!((second.start_number, second.restarts), (2, 0));
    assert!(!alive(first.os_pid.unwrap()));
    assert_eq!(second.last_exit.unwrap().reason, EndReason::Shutdown);

    house.supervisor.kill_server(&lobby).await.unwrap();
    assert!(!alive(second.os_pid.unwrap()));
    let third = house
        .status("lobby", |status| {
            status.start_number == 3 && status.state == State::Running
        })
        .await;
    assert_eq!(
        third.last_exit.unwrap().reason,
        EndReason::Signal("sigkill".into())
    );

    // An exit signal to an old start is nothing; to the current one a permanent server comes back, a transient one does not.
    house.supervisor.exit(&lobby, 2, ExitRequest::Kill).await;
    house
        .supervisor
        .exit(&lobby, 3, ExitRequest::Shutdown)
        .await;
    house
        .supervisor
        .exit(&guest, 1, ExitRequest::Shutdown)
        .await;
    house
        .status("lobby", |status| {
            status.start_number == 4 && status.state == State::Running
        })
        .await;
    house
        .status("guest", |status| {
            status.state == State::Stopped && status.last_exit.is_some()
        })
        .await;

    house.supervisor.stop_server(&lobby).await.unwrap();
    assert_eq!(
        house.supervisor.server(&lobby).unwrap().state,
        State::Stopped
    );
    // A stop of what is stopped is fine, other requests are told.
    house.supervisor.stop_server(&lobby).await.unwrap();
    assert!(matches!(
        house.supervisor.kill_server(&lobby).await,
        Err(SupervisorError::NotRunning(_))
    ));
    assert!(matches!(
        house.supervisor.drain_server(&lobby).await,
        Err(SupervisorError::NoSession(_))
    ));
    assert!(matches!(
        house.supervisor.stop_server(&id("nobody")).await,
        Err(SupervisorError::NotFound(_))
    ));
    house.supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn children_come_and_go_at_run_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut house = House::open(dir.path(), Vec::new()).await;
    let child = id("child");
    house
        .supervisor
        .start_child(shell("child", "exec sleep 1000"))
        .await
        .unwrap();
    let again = house
        .supervisor
        .start_child(shell("child", "exec sleep 1000"))
        .await;
    assert!(matches!(again, Err(SupervisorError::AlreadyPresent(_))));
    assert!(matches!(
        house.supervisor.delete_child(&child).await,
        Err(SupervisorError::Running(_))
    ));
    assert!(matches!(
        house.supervisor.restart_child(&child).await,
        Err(SupervisorError::AlreadyStarted(_))
    ));
    house.supervisor.terminate_child(&child).await.unwrap();
    house.supervisor.restart_child(&child).await.unwrap();
    house.supervisor.terminate_child(&child).await.unwrap();
    house.supervisor.delete_child(&child).await.unwrap();
    assert!(house.supervisor.server(&child).is_none());
    house
        .event(|event| (event.kind == EventKind::Removed).then_some(()))
        .await;
    house.supervisor.shutdown().await;
    assert!(
        house
            .supervisor
            .servers()
            .iter()
            .all(|status| !status.state.is_up())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_in_the_middle_of_a_crash_loop_ends() {
    let dir = tempfile::tempdir().unwrap();
    let spec = ServerSpec {
        max_restarts: 1_000_000,
        backoff: Backoff {
            initial: Duration::ZERO,
            max: Duration::ZERO,
        },
        ..shell("lobby", "exit 1")
    };
    let house = House::open(dir.path(), vec![spec]).await;
    house.status("lobby", |status| status.restarts >= 3).await;
    tokio::time::timeout(supervision::PATIENCE, house.supervisor.shutdown())
        .await
        .unwrap();
    assert_eq!(
        house.supervisor.server(&id("lobby")).unwrap().state,
        State::Stopped
    );
    assert!(matches!(
        house.supervisor.start_child(shell("late", "exit 0")).await,
        Err(SupervisorError::ShuttingDown)
    ));
    assert_eq!(supervision::marked(dir.path()), [] as [u32; 0]);
}
