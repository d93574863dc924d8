//! A server outlives sidekick, is found again, and how it ended is known even if nobody looked.
#![allow(clippy::unwrap_used)]

#[path = "support/supervision.rs"]
mod supervision;

use nix::sys::signal::Signal;
use sidekick::guard::files::Identity;
use sidekick::ports::SessionEvent;
use sidekick::supervisor::{EndReason, EventKind, OnExit, ServerSpec, State};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use supervision::{House, alive, eventually, id, kill, marked, shell};

const DIR: &str = "SIDEKICK_TEST_DIR";
const SPECS: &str = "SIDEKICK_TEST_SPECS";

/// A sidekick of its own process: this test binary again.
struct Other(Child);

impl Other {
    fn start(dir: &Path, specs: &[ServerSpec]) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_other_sidekick"])
            .env(DIR, dir)
            .env(SPECS, serde_json::to_string(specs).unwrap())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a supervisor until it is killed, when it was started for that.
#[test]
fn the_other_sidekick() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let specs: Vec<ServerSpec> = serde_json::from_str(&std::env::var(SPECS).unwrap()).unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let house = House::open(Path::new(&dir), Vec::new()).await;
        // Those with the name `child` come by request, the others by configuration.
        drop(house);
        let (children, specs) = specs.into_iter().partition(|spec| spec.id == id("child"));
        let house = House::open(Path::new(&dir), specs).await;
        for child in children {
            house.supervisor.start_child(child).await.unwrap();
        }
        std::future::pending::<()>().await;
    });
}

fn identity(dir: &Path, name: &str) -> Option<Identity> {
    sidekick::guard::files::read_json(&dir.join(format!("run/{name}.identity")))
}

/// The identity, once the server was executed.
async fn executed(dir: &Path, name: &str) -> Identity {
    eventually(|| {
        let identity = identity(dir, name)?;
        let comm = std::fs::read_to_string(format!("/proc/{}/comm", identity.server.pid)).ok()?;
        (comm.trim() == "sleep" || comm.trim() == "sh").then_some(identity)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_server_is_adopted_and_its_later_end_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let spec = shell("lobby", "echo hello; exec sleep 1000");
    let other = Other::start(dir.path(), std::slice::from_ref(&spec));
    let before = executed(dir.path(), "lobby").await;
    other.kill();
    assert!(before.server.is_alive() && before.guard.is_alive());

    let mut house = House::open(dir.path(), vec![spec]).await;
    let status = house.supervisor.server(&id("lobby")).unwrap();
    assert_eq!((status.state, status.adopted), (State::Running, true));
    assert_eq!(status.os_pid, Some(before.server.pid as u32));
    house.line("lobby", |line| line == "hello").await;

    kill(before.server.pid as u32, Signal::SIGSEGV);
    let (reason, detected) = house
        .event(|event| match &event.kind {
            EventKind::Ended {
                reason,
                exit_to_detected,
                while_away: false,
                ..
            } => Some((reason.clone(), *exit_to_detected)),
            _ => None,
        })
        .await;
    assert_eq!(reason, EndReason::Signal("sigsegv".into()));
    assert!(
        detected.unwrap() < Duration::from_millis(50),
        "{detected:?}"
    );
    assert_ne!(house.started().await, before.server.pid as u32);
    house.supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_while_no_sidekick_ran_is_learned_with_its_status() {
    let dir = tempfile::tempdir().unwrap();
    let go = dir.path().join("go");
    let script = format!(
        "while [ ! -e {} ]; do sleep 0.02; done; echo last words; exit 7",
        go.display()
    );
    let spec = ServerSpec {
        max_restarts: 0,
        ..shell("lobby", &script)
    };
    let other = Other::start(dir.path(), std::slice::from_ref(&spec));
    let before = executed(dir.path(), "lobby").await;
    other.kill();
    std::fs::write(&go, "").unwrap();
    eventually(|| (!before.guard.is_alive()).then_some(())).await;

    let house = House::open(dir.path(), vec![spec.clone()]).await;
    let status = house
        .status("lobby", |status| {
            status
                .last_exit
                .as_ref()
                .is_some_and(|last| last.bundle.is_some())
        })
        .await;
    assert_eq!(status.state, State::Quarantined);
    assert_eq!(status.last_exit.unwrap().reason, EndReason::ExitStatus(7));
    let bundle = house.supervisor.crash(&id("lobby"), 1).await.unwrap();
    assert_eq!(bundle["while_away"], true);
    assert!(
        bundle["log"]
            .as_array()
            .unwrap()
            .iter()
            .any(|line| line["line"] == "last words"),
        "{bundle:#}"
    );

    // It is dealt with: a third sidekick does not hear of it again.
    house.supervisor.leave().await;
    let third = House::open(
        dir.path(),
        vec![ServerSpec {
            autostart: false,
            ..spec
        }],
    )
    .await;
    let status = third.supervisor.server(&id("lobby")).unwrap();
    assert_eq!((status.state, status.last_exit), (State::Stopped, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_on_exit_stop_no_descendant_survives_sidekick() {
    let dir = tempfile::tempdir().unwrap();
    // A child, a grandchild in a session of its own, and one that ignores SIGTERM.
    let script = "trap '' TERM; setsid sh -c 'trap \"\" TERM; while :; do sleep 0.05; done' & \
                  (setsid sh -c 'sleep 1000 & sleep 1000' &) ; while :; do sleep 0.05; done";
    let spec = ServerSpec {
        on_exit: OnExit::Stop,
        stop_timeout: Duration::from_millis(300),
        ..shell("lobby", script)
    };
    let other = Other::start(dir.path(), std::slice::from_ref(&spec));
    let before = executed(dir.path(), "lobby").await;
    eventually(|| (marked(dir.path()).len() >= 5).then_some(())).await;
    other.kill();
    eventually(|| marked(dir.path()).is_empty().then_some(())).await;
    eventually(|| (!before.guard.is_alive()).then_some(())).await;

    // The next sidekick knows that it was no crash.
    let house = House::open(
        dir.path(),
        vec![ServerSpec {
            restart: sidekick::supervisor::Restart::Transient,
            ..spec
        }],
    )
    .await;
    let status = house.supervisor.server(&id("lobby")).unwrap();
    assert_eq!(status.last_exit.unwrap().reason, EndReason::Shutdown);
    assert_eq!(status.state, State::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_guard_takes_its_server_along_and_the_reason_is_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let spec = shell("lobby", "(setsid sleep 1000 &); exec sleep 1000");
    let mut house = House::open(dir.path(), vec![spec.clone()]).await;
    house.state("lobby", State::Running).await;
    let before = executed(dir.path(), "lobby").await;
    kill(before.guard.pid as u32, Signal::SIGKILL);
    let reason = house
        .event(|event| match &event.kind {
            EventKind::Ended { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .await;
    assert_eq!(reason, EndReason::Unknown);
    let after = house.started().await;
    eventually(|| (!alive(before.server.pid as u32)).then_some(())).await;
    assert!(alive(after));

    // The same while no sidekick runs.
    house.supervisor.leave().await;
    let before = executed(dir.path(), "lobby").await;
    assert_eq!(before.server.pid as u32, after);
    kill(before.guard.pid as u32, Signal::SIGKILL);
    eventually(|| (!before.server.is_alive()).then_some(())).await;
    let house = House::open(dir.path(), vec![spec]).await;
    let status = house.state("lobby", State::Running).await;
    assert_eq!(status.last_exit.unwrap().reason, EndReason::Unknown);
    // The new one and its own child; nothing of those before.
    eventually(|| (marked(dir.path()).len() == 2).then_some(())).await;
    house.supervisor.shutdown().await;
    assert!(marked(dir.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_started_by_request_survives_and_one_that_is_no_longer_configured_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = shell("child", "exec sleep 1000");
    child.env.insert("SECRET".into(), "kept in memory".into());
    let other = Other::start(
        dir.path(),
        &[shell("lobby", "exec sleep 1000"), child.clone()],
    );
    let (lobby, kid) = (
        executed(dir.path(), "lobby").await,
        executed(dir.path(), "child").await,
    );
    other.kill();
    let house = House::open(dir.path(), Vec::new()).await;
    assert_eq!(house.supervisor.spec(&id("child")), Some(child));
    let status = house.supervisor.server(&id("child")).unwrap();
    assert_eq!(status.os_pid, Some(kid.server.pid as u32));
    house
        .status("lobby", |status| {
            status.state == State::Stopped && status.last_exit.is_some()
        })
        .await;
    assert!(!lobby.server.is_alive() && kid.server.is_alive());
    for entry in walk(dir.path()) {
        let bytes = std::fs::read(&entry).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            !text.contains("kept in memory"),
            "{} holds a secret",
            entry.display()
        );
    }
    house.supervisor.shutdown().await;
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => files.extend(walk(&entry.path())),
            kind if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_session_keeps_its_epoch_and_one_that_lost_it_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let spec = ServerSpec {
        session: true,
        hang_timeout: None,
        start_timeout: Duration::from_secs(60),
        ..shell("lobby", "exec sleep 1000")
    };
    let other = Other::start(dir.path(), std::slice::from_ref(&spec));
    let before = executed(dir.path(), "lobby").await;
    other.kill();

    let house = House::open(dir.path(), vec![spec.clone()]).await;
    assert_eq!(*house.sessions.expected.lock().unwrap(), [(id("lobby"), 1)]);
    let hello = SessionEvent::Hello {
        epoch: 1,
        os_pid: before.server.pid as u32,
        engine: "4.6".into(),
        resumed: true,
        batch: 3,
    };
    house.say("lobby", hello);
    let status = house
        .status("lobby", |status| status.session.is_some())
        .await;
    assert_eq!(
        (status.state, status.epoch, status.adopted),
        (State::Running, Some(1), true)
    );
    house.supervisor.leave().await;

    // Somebody else became the owner of its scope meanwhile.
    std::fs::write(dir.path().join("epochs/lobby"), "5").unwrap();
    let house = House::open(dir.path(), vec![spec]).await;
    let status = house
        .status("lobby", |status| status.epoch == Some(6))
        .await;
    assert_ne!(status.os_pid, Some(before.server.pid as u32));
    assert!(!before.server.is_alive());
    house.supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sidekicks_do_not_share_a_guard() {
    let dir = tempfile::tempdir().unwrap();
    let spec = ServerSpec {
        max_restarts: 0,
        ..shell("lobby", "exec sleep 1000")
    };
    let first = House::open(dir.path(), vec![spec.clone()]).await;
    let pid = first.state("lobby", State::Running).await.os_pid;
    let second = House::open(
        dir.path(),
        vec![ServerSpec {
            autostart: false,
            ..spec
        }],
    )
    .await;
    let status = second.supervisor.server(&id("lobby")).unwrap();
    assert!(status.problem.unwrap().contains("another sidekick"));
    assert_eq!(first.supervisor.server(&id("lobby")).unwrap().os_pid, pid);
    first.supervisor.shutdown().await;
}
