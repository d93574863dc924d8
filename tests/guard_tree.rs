//! Hostile children: nothing of a server's tree survives its end, and nothing it does harms what is beside it.
#![allow(clippy::unwrap_used)]

#[path = "support/supervision.rs"]
mod supervision;

use nix::sys::signal::Signal;
use sidekick::supervisor::{EndReason, LogLimits, Restart, ServerSpec, State, SupervisorOptions};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;
use supervision::{House, alive, eventually, id, kill, marked, options, shell};

#[tokio::test(flavor = "multi_thread")]
async fn double_forks_deaf_children_and_closed_pipes_do_not_outlive_their_server() {
    let dir = tempfile::tempdir().unwrap();
    let script = "(setsid sh -c 'trap \"\" TERM HUP INT; exec >/dev/null 2>&1; while :; do sleep 0.05; done' &); \
                  (sleep 1000 &); sleep 1000 & echo up; exec sleep 1000";
    let spec = ServerSpec {
        max_restarts: 0,
        ..shell("lobby", script)
    };
    let house = House::open(dir.path(), vec![spec]).await;
    let pid = house.state("lobby", State::Running).await.os_pid.unwrap();
    eventually(|| (marked(dir.path()).len() >= 5).then_some(())).await;
    kill(pid, Signal::SIGKILL);
    house.state("lobby", State::Quarantined).await;
    eventually(|| marked(dir.path()).is_empty().then_some(())).await;
    house.supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ignores_sigterm_is_killed_with_its_tree() {
    let dir = tempfile::tempdir().unwrap();
    let script = "trap '' TERM; (setsid sh -c 'trap \"\" TERM; while :; do sleep 0.05; done' &); echo up; while :; do sleep 0.05; done";
    let spec = ServerSpec {
        stop_timeout: Duration::from_millis(300),
        ..shell("lobby", script)
    };
    let house = House::open(dir.path(), vec![spec]).await;
    house.line("lobby", |line| line == "up").await;
    house.supervisor.stop_server(&id("lobby")).await.unwrap();
    eventually(|| marked(dir.path()).is_empty().then_some(())).await;
    assert_eq!(
        house
            .supervisor
            .server(&id("lobby"))
            .unwrap()
            .last_exit
            .unwrap()
            .reason,
        EndReason::Shutdown
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_gets_a_clean_place_to_run() {
    let dir = tempfile::tempdir().unwrap();
    let script = "ls -l /proc/self/fd | sed 's/.*[0-9] //' ; echo \"home $HOME\"; echo \"token $SIDEKICK_TOKEN\"; \
                  echo \"args $(tr '\\0' ' ' < /proc/$PPID/cmdline)\"; cut -d' ' -f1,5,6 /proc/$$/stat; \
                  grep SigIgn /proc/$$/status; pwd; exec sleep 1000";
    let spec = ServerSpec {
        session: true,
        hang_timeout: None,
        directory: Some(dir.path().canonicalize().unwrap()),
        ..shell("lobby", script)
    };
    let house = House::open(dir.path(), vec![spec]).await;
    let pid = house
        .status("lobby", |status| status.os_pid.is_some())
        .await
        .os_pid
        .unwrap();
    let here = dir.path().canonicalize().unwrap();
    house
        .line("lobby", |line| line == here.to_string_lossy())
        .await;
    let lines: Vec<String> = house
        .supervisor
        .logs(&id("lobby"), 1000, None)
        .unwrap()
        .into_iter()
        .map(|line| line.line)
        .collect();
    let text = lines.join("\n");
    // ls itself holds one descriptor for the directory it lists.
    let fds = lines
        .iter()
        .filter(|line| line.contains("->"))
        .collect::<Vec<_>>();
    assert_eq!(fds.len(), 4, "{text}");
    assert!(
        text.contains(&format!("home {}/homes/lobby", here.display())),
        "{text}"
    );
    assert!(
        text.contains("token ***"),
        "the token must not stand in the log: {text}"
    );
    assert!(
        text.contains(&format!("{pid} {pid} {pid}")),
        "its own session and group: {text}"
    );
    // SIGPIPE, which Rust programs ignore, is back to its default.
    let ignored = lines
        .iter()
        .find_map(|line| line.strip_prefix("SigIgn:\t"))
        .unwrap();
    assert_eq!(
        u64::from_str_radix(ignored, 16).unwrap() & (1 << 12),
        0,
        "{text}"
    );
    assert!(text.contains("args sidekick guard lobby"), "{text}");
    let mode = |path: &str| std::fs::metadata(here.join(path)).unwrap().mode() & 0o777;
    for path in ["run", "logs", "homes", "homes/lobby", "crashes"] {
        assert_eq!(mode(path), 0o700, "{path}");
    }
    for path in [
        "run/lobby.identity",
        "run/lobby.lock",
        "logs/lobby.stdout.log",
    ] {
        assert_eq!(mode(path), 0o600, "{path}");
    }
    house.supervisor.shutdown().await;
    assert!(!alive(pid));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_blocks_no_signal_that_its_guard_blocks() {
    let dir = tempfile::tempdir().unwrap();
    // No shell in between: shells unblock signals themselves.
    let command = ["grep", "SigBlk", "/proc/self/status"].map(str::to_owned);
    let spec = ServerSpec {
        command: command.into(),
        restart: Restart::Temporary,
        ..shell("lobby", "")
    };
    let house = House::open(dir.path(), vec![spec]).await;
    let line = house.line("lobby", |line| line.starts_with("SigBlk")).await;
    assert_eq!(line, "SigBlk:\t0000000000000000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_output_fills_neither_disk_nor_memory_and_hides_no_later_line() {
    let dir = tempfile::tempdir().unwrap();
    let go = dir.path().join("go");
    let script = format!(
        "yes flood | head -c 60000000; echo the end; while [ ! -e {} ]; do sleep 0.05; done; echo later; exec sleep 1000",
        go.display()
    );
    let options = SupervisorOptions {
        logs: LogLimits {
            bytes: 64 << 20,
            ..LogLimits::default()
        },
        ..options(dir.path())
    };
    let house = House::with(options, dir.path(), vec![shell("lobby", &script)]).await;
    house.line("lobby", |line| line == "the end").await;
    assert!(
        house
            .supervisor
            .logs(&id("lobby"), usize::MAX, None)
            .unwrap()
            .len()
            <= 2_000
    );
    let log = dir.path().join("logs/lobby.stdout.log");
    eventually(|| (std::fs::metadata(&log).unwrap().blocks() * 512 <= 5 << 20).then_some(())).await;
    std::fs::write(&go, "").unwrap();
    house.line("lobby", |line| line == "later").await;
    // The next start finds an empty file; what was there is compressed, without its hole.
    house.supervisor.restart_server(&id("lobby")).await.unwrap();
    eventually(|| {
        let parts = sidekick::guard::archive::parts(&log);
        parts.iter().all(|part| part.packed).then_some(())
    })
    .await;
    house.supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bounded_fork_bomb_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    // Every generation forks twice in sessions of their own, seven deep; the last ones stay.
    let bomb = dir.path().join("bomb.sh");
    std::fs::write(&bomb, "trap '' TERM\n[ $1 -gt 0 ] && { setsid sh $0 $(($1-1)) & setsid sh $0 $(($1-1)) & }\nsleep 1000\n").unwrap();
    let script = format!("exec sh {} 5", bomb.display());
    let house = House::open(dir.path(), vec![shell("lobby", &script)]).await;
    eventually(|| (marked(dir.path()).len() >= 60).then_some(())).await;
    house.supervisor.kill_server(&id("lobby")).await.unwrap();
    house.supervisor.stop_server(&id("lobby")).await.unwrap();
    eventually(|| marked(dir.path()).is_empty().then_some(())).await;
}
