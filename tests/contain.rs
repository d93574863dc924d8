//! What a server may use and see: limits, user, environment, cgroup. Where the machine does not let sidekick contain, it refuses.
#![allow(clippy::unwrap_used)]

#[path = "support/supervision.rs"]
mod supervision;

use nix::sys::signal::Signal;
use sidekick::supervisor::{EndReason, ServerSpec, State, SupervisorError};
use sidekick::types::{Contain, Limits, UNLIMITED};
use std::path::Path;
use supervision::{House, eventually, id, kill, marked, shell};

/// The user of the servers where sidekick is root: in every user database, and owner of nothing.
const NOBODY: &str = "65534:65534";

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn contained(script: &str, contain: Contain) -> ServerSpec {
    ServerSpec {
        contain,
        max_restarts: 0,
        ..shell("lobby", script)
    }
}

fn text(house: &House) -> String {
    let lines = house.supervisor.logs(&id("lobby"), 1000, None).unwrap();
    let lines: Vec<String> = lines.into_iter().map(|line| line.line).collect();
    lines.join("\n")
}

async fn refused(house: &House) -> String {
    match house.supervisor.start_server(&id("lobby")).await {
        Err(SupervisorError::StartFailed { message, .. }) => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rlimits_hold_before_the_first_instruction() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        nofile: Some(123),
        core: Some(0),
        nproc: Some(4321),
        address_space: Some(1 << 32),
        ..Limits::default()
    };
    let contain = Contain {
        limits,
        no_new_privs: Some(true),
        ..Contain::default()
    };
    let script =
        "cat /proc/self/limits; grep NoNewPrivs /proc/self/status; echo up; exec sleep 1000";
    let house = House::open(dir.path(), vec![contained(script, contain)]).await;
    house.line("lobby", |line| line == "up").await;
    let text = text(&house);
    for (name, value) in [
        ("Max open files", "123"),
        ("Max core file size", "0"),
        ("Max processes", "4321"),
        ("Max address space", "4294967296"),
    ] {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        let words: Vec<&str> = line[name.len()..].split_whitespace().collect();
        assert_eq!(words[..2], [value, value], "{line}");
    }
    assert!(text.contains("NoNewPrivs:\t1"), "{text}");
    house.supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_gets_its_home_and_nothing_of_ours() {
    let dir = tempfile::tempdir().unwrap();
    let contain = Contain {
        user: Some(NOBODY.into()),
        ..Contain::default()
    };
    let script = "grep -E '^(Uid|Gid|Groups|CapEff|CapPrm|NoNewPrivs)' /proc/self/status; : > $HOME/mine && echo written; \
                  cat $HOME/../../run/lobby.identity; echo problem >&2; (setsid sleep 1000 &); exec sleep 1000";
    let house = House::open(dir.path(), vec![contained(script, contain)]).await;
    if !is_root() {
        let why = refused(&house).await;
        assert!(why.contains("run sidekick as root"), "{why}");
        return;
    }
    let status = house.state("lobby", State::Running).await;
    house.line("lobby", |line| line == "written").await;
    house.line("lobby", |line| line == "problem").await;
    let text = text(&house);
    let ids = "65534\t65534\t65534\t65534";
    for line in [
        format!("Uid:\t{ids}"),
        format!("Gid:\t{ids}"),
        "CapEff:\t0000000000000000".to_owned(),
        "CapPrm:\t0000000000000000".to_owned(),
        "NoNewPrivs:\t1".to_owned(),
    ] {
        assert!(text.contains(&line), "no {line:?} in {text}");
    }
    let groups = text
        .lines()
        .find(|line| line.starts_with("Groups:"))
        .unwrap();
    assert!(
        !groups.split_whitespace().any(|group| group == "0"),
        "{groups}"
    );
    assert!(
        text.contains("Permission denied") && !text.contains("boot_id"),
        "{text}"
    );
    // The guard stays root: what it has to end it can.
    kill(status.os_pid.unwrap(), Signal::SIGKILL);
    house.state("lobby", State::Quarantined).await;
    eventually(|| marked(dir.path()).is_empty().then_some(())).await;
    house.supervisor.shutdown().await;
}

/// The kernel forgets the parent's death signal when the user changes; without a second word a killed guard left its server.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_guard_takes_a_server_of_another_user_along() {
    let dir = tempfile::tempdir().unwrap();
    let contain = Contain {
        user: is_root().then(|| NOBODY.into()),
        ..Contain::default()
    };
    let house = House::open(dir.path(), vec![contained("exec sleep 1000", contain)]).await;
    let status = house.state("lobby", State::Running).await;
    let server = sidekick::guard::proc::Stat::read(status.os_pid.unwrap() as i32).unwrap();
    let pidfd = rustix::process::pidfd_open(
        rustix::process::Pid::from_raw(status.os_pid.unwrap() as i32).unwrap(),
        rustix::process::PidfdFlags::empty(),
    )
    .unwrap();
    // sidekick itself is kept from helping: it notices nothing while its runtime waits here.
    tokio::task::block_in_place(|| {
        kill(server.parent as u32, Signal::SIGKILL);
        let mut fds = [rustix::event::PollFd::new(
            &pidfd,
            rustix::event::PollFlags::IN,
        )];
        let wait = rustix::event::Timespec {
            tv_sec: 30,
            tv_nsec: 0,
        };
        assert_eq!(
            rustix::event::poll(&mut fds, Some(&wait)).unwrap(),
            1,
            "the server lives on"
        );
    });
    house
        .status("lobby", |status| status.last_exit.is_some())
        .await;
    house.supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_a_game_prints_stand_neither_in_lines_nor_in_the_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let contain = Contain {
        secret_env: vec!["PIN".into()],
        ..Contain::default()
    };
    let mut spec = ServerSpec {
        session: true,
        autostart: false,
        hang_timeout: None,
        ..contained(
            "env; echo token $SIDEKICK_TOKEN; echo key=$API_KEY pin=$PIN; echo plain=$PLAIN >&2; exit 3",
            contain,
        )
    };
    let secrets = [("API_KEY", "k-0123456789"), ("PIN", "p-0123456789")];
    spec.env
        .extend(secrets.map(|(name, value)| (name.to_owned(), value.to_owned())));
    spec.env.insert("PLAIN".into(), "to be seen".into());
    let mut house = House::open(dir.path(), vec![spec]).await;
    let mut lines = house.supervisor.log_events();
    house
        .supervisor
        .start_server(&id("lobby"))
        .await
        .unwrap_err();
    let number = house
        .event(|event| match &event.kind {
            sidekick::supervisor::EventKind::CrashBundle { number, .. } => Some(*number),
            _ => None,
        })
        .await;
    let bundle =
        std::fs::read_to_string(dir.path().join(format!("crashes/lobby/{number:08}.json")))
            .unwrap();
    let text = text(&house);
    let mut told = String::new();
    while let Ok((_, line)) = lines.try_recv() {
        told.push_str(&line.line);
    }
    for shown in [&text, &bundle, &told] {
        for (_, secret) in secrets {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    for shown in [&text, &bundle] {
        assert!(
            shown.contains("key=*** pin=***") && shown.contains("token ***"),
            "{shown}"
        );
        assert!(
            shown.contains("API_KEY=***") && shown.contains("plain=to be seen"),
            "{shown}"
        );
        // Nothing of sidekick's own environment either: cargo gave this process dozens of these.
        assert!(
            std::env::var("CARGO_PKG_NAME").is_ok() && !shown.contains("CARGO_"),
            "{shown}"
        );
    }
    house.supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_dump_is_named_in_the_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        core: Some(if is_root() { UNLIMITED } else { 0 }),
        ..Limits::default()
    };
    let contain = Contain {
        limits,
        ..Contain::default()
    };
    let spec = ServerSpec {
        directory: Some(dir.path().to_owned()),
        ..contained("kill -SEGV $$", contain)
    };
    let house = House::open(dir.path(), vec![spec]).await;
    let wrote = |status: &sidekick::supervisor::Status| {
        status
            .last_exit
            .as_ref()
            .is_some_and(|exit| exit.bundle.is_some())
    };
    let exit = house.status("lobby", wrote).await.last_exit.unwrap();
    assert_eq!(exit.reason, EndReason::Signal("sigsegv".into()));
    let path = dir
        .path()
        .join(format!("crashes/lobby/{:08}.json", exit.bundle.unwrap()));
    let bundle: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let dumped = bundle["exit"]["core_dumped"].as_bool().unwrap();
    match bundle["core_dump"].as_str() {
        // A plain pattern, a pipe, or a pattern that leads elsewhere: each is told as what it is.
        Some(core) => assert!(
            dumped && (Path::new(core).is_file() || core.contains("kernel.core_pattern")),
            "{core}"
        ),
        None => assert!(!dumped),
    }
    assert_eq!(dumped, is_root(), "{bundle}");
    house.supervisor.shutdown().await;
}

/// Where cgroups are delegated the server is in its own from its first instruction, and dies with it; elsewhere it is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_cgroup_of_its_own_is_killed_as_a_whole_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        cgroup: true,
        ..Limits::default()
    };
    let contain = Contain {
        limits,
        ..Contain::default()
    };
    // Without environment and session nothing but the cgroup, and the guard, knows the grandchildren.
    let script = "cat /proc/self/cgroup; for n in 1 2 3; do env -i setsid sleep 1000 & done; echo up; exec sleep 1000";
    let spec = ServerSpec {
        autostart: false,
        ..contained(script, contain)
    };
    let house = House::open(dir.path(), vec![spec]).await;
    if let Err(error) = house.supervisor.start_server(&id("lobby")).await {
        assert!(error.to_string().contains("Delegate=yes"), "{error}");
        return;
    }
    house.line("lobby", |line| line == "up").await;
    let identity: sidekick::guard::files::Identity =
        sidekick::guard::files::read_json(&dir.path().join("run/lobby.identity")).unwrap();
    let cgroup = identity.cgroup.unwrap();
    let name = cgroup.file_name().unwrap().to_string_lossy().into_owned();
    assert!(
        text(&house)
            .lines()
            .any(|line| line.starts_with("0::") && line.ends_with(&name))
    );
    let inside = sidekick::guard::cgroup::Cgroup::at(cgroup.clone()).processes();
    assert_eq!(inside.len(), 4, "{inside:?}");
    // The guard killed: what it left is found by the cgroup alone.
    kill(identity.guard.pid as u32, Signal::SIGKILL);
    house
        .status("lobby", |status| status.last_exit.is_some())
        .await;
    eventually(|| (!cgroup.exists()).then_some(())).await;
    house.state("lobby", State::Quarantined).await;
    house.supervisor.start_server(&id("lobby")).await.unwrap();
    house.supervisor.shutdown().await;
    let parent = cgroup.parent().unwrap();
    let left = std::fs::read_dir(parent).unwrap().flatten();
    let left: Vec<_> = left
        .filter(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .starts_with("sidekick-lobby")
        })
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Where the memory controller is delegated its kill is told as such; elsewhere the server is refused.
#[tokio::test(flavor = "multi_thread")]
async fn want_of_memory_is_told_or_the_limit_refused() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        memory: Some(64 << 20),
        cpu_millis: Some(500),
        pids: Some(16),
        ..Limits::default()
    };
    let contain = Contain {
        limits,
        ..Contain::default()
    };
    let spec = ServerSpec {
        autostart: false,
        ..contained("exec tail /dev/zero", contain)
    };
    let house = House::open(dir.path(), vec![spec]).await;
    if let Err(error) = house.supervisor.start_server(&id("lobby")).await {
        let why = error.to_string();
        assert!(
            why.contains("cgroup") && why.contains("Delegate=yes"),
            "{why}"
        );
        return;
    }
    let status = house
        .status("lobby", |status| status.last_exit.is_some())
        .await;
    assert_eq!(status.last_exit.unwrap().reason, EndReason::Oom);
    house.supervisor.shutdown().await;
}
