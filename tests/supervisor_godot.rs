//! What real Godot does when it dies, hangs or cannot load, and what is made of it. Needs `SIDEKICK_GODOT` (`scripts/setup --env`).
#![allow(clippy::unwrap_used)]

#[path = "support/supervision.rs"]
mod supervision;

use nix::sys::signal::Signal;
use serde_json::Value;
use sidekick::ports::{Beat, SessionEvent};
use sidekick::supervisor::{
    Activity, ActivityKind, EndReason, EventKind, ServerSpec, State, SupervisorOptions,
};
use std::path::Path;
use std::time::Duration;
use supervision::{House, id, kill};

fn godot(probe: &str, project: &str) -> ServerSpec {
    let godot = std::env::var("SIDEKICK_GODOT")
        .expect("SIDEKICK_GODOT names no Godot 4.6; run: eval \"$(./scripts/setup --env)\"");
    let project = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(project);
    let command = [&godot, "--headless", "--path", &project.to_string_lossy()];
    ServerSpec {
        session: false,
        max_restarts: 0,
        env: [("PROBE".to_owned(), probe.to_owned())].into(),
        start_timeout: Duration::from_secs(60),
        ..ServerSpec::new(
            id("lobby"),
            command.iter().map(|word| (*word).to_owned()).collect(),
        )
    }
}

async fn house(dir: &Path, spec: ServerSpec) -> House {
    // Godot's crash handler runs addr2line for each frame: on a busy machine that takes seconds.
    let options = SupervisorOptions {
        hang_grace: Duration::from_secs(20),
        ..supervision::options(dir)
    };
    House::with(options, dir, vec![spec]).await
}

async fn bundle(house: &House) -> Value {
    let status = house
        .status("lobby", |status| {
            status
                .last_exit
                .as_ref()
                .is_some_and(|last| last.bundle.is_some())
        })
        .await;
    house.supervisor.crash(&status.id, 1).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segmentation_fault_is_named_although_the_wait_status_says_abort() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(dir.path(), godot("", "probe")).await;
    let pid = house.state("lobby", State::Running).await.os_pid.unwrap();
    house.line("lobby", |line| line == "probing").await;
    kill(pid, Signal::SIGSEGV);
    let bundle = bundle(&house).await;
    assert_eq!(bundle["reason"]["signal"], "sigsegv");
    assert_eq!(bundle["output"]["signal"], 11);
    assert_eq!(bundle["exit"]["end"]["signalled"]["signal"], 6);
    assert!(
        bundle["output"]["engine_backtrace"]
            .as_array()
            .unwrap()
            .len()
            > 3
    );
    assert!(
        bundle["versions"]["engine"]
            .as_str()
            .unwrap()
            .starts_with("4.")
    );
    assert!(bundle["exit"]["usage"]["user_ms"].as_u64().unwrap() > 0);
    house.supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_a_script_names_the_script_line() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(dir.path(), godot("crash", "probe")).await;
    let bundle = bundle(&house).await;
    assert_eq!(bundle["output"]["script_line"], "res://main.gd:19");
    assert!(
        bundle["output"]["script_backtrace"][0]
            .as_str()
            .unwrap()
            .starts_with("_process")
    );
    let crashes = house.supervisor.crashes(&id("lobby")).await.unwrap();
    assert_eq!(crashes[0].script_line.as_deref(), Some("res://main.gd:19"));
}

/// A game that plays and then hangs in that way: what it did, its bundle, and the house.
async fn hung(dir: &Path, probe: &str) -> (Activity, Value, House) {
    let spec = ServerSpec {
        session: true,
        hang_timeout: Some(Duration::from_millis(1500)),
        ..godot(probe, "probe")
    };
    let mut house = house(dir, spec).await;
    house.started().await;
    let epoch = house
        .supervisor
        .server(&id("lobby"))
        .unwrap()
        .epoch
        .unwrap();
    house.say(
        "lobby",
        SessionEvent::Hello {
            epoch,
            os_pid: 1,
            engine: "4.6".into(),
            resumed: false,
            batch: 0,
        },
    );
    house.line("lobby", |line| line == "probing").await;
    house.say("lobby", SessionEvent::Playing { tick: 3 });
    house.say("lobby", SessionEvent::Beat(Beat::default()));
    if probe == "stop" {
        let pid = house.supervisor.server(&id("lobby")).unwrap().os_pid;
        kill(pid.unwrap(), Signal::SIGSTOP);
    }
    let activity = house
        .event(|event| match &event.kind {
            EventKind::Hang { activity, .. } => activity.clone(),
            _ => None,
        })
        .await;
    let bundle = bundle(&house).await;
    assert_eq!(bundle["reason"], "hang");
    (*activity, bundle, house)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_names_the_line_it_hangs_in() {
    let dir = tempfile::tempdir().unwrap();
    let (activity, bundle, house) = hung(dir.path(), "hang").await;
    assert_eq!(activity.kind, ActivityKind::Spinning, "{activity}");
    assert!(activity.over_ms >= 500, "{activity:?}");
    assert_eq!(bundle["activity"]["kind"], "spinning");
    assert_eq!(
        bundle["output"]["script_backtrace"][0],
        "spin (res://main.gd:25)"
    );
    let frame = &bundle["output"]["script_frames"][0];
    assert_eq!(
        (&frame["function"], &frame["line"]),
        (&"spin".into(), &25.into())
    );
    let status = house.supervisor.server(&id("lobby")).unwrap();
    assert_eq!(
        status.last_exit.unwrap().detail.as_deref(),
        Some("its main loop hung at res://main.gd:25")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_waits_is_told_from_one_that_spins() {
    let dir = tempfile::tempdir().unwrap();
    let (activity, bundle, _house) = hung(dir.path(), "sleep").await;
    assert_eq!(activity.kind, ActivityKind::Blocked, "{activity}");
    assert_eq!(bundle["output"]["script_line"], "res://main.gd:29");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_process_is_told_and_still_prints_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (activity, bundle, _house) = hung(dir.path(), "stop").await;
    assert_eq!(
        (activity.kind, activity.state),
        (ActivityKind::Stopped, 'T')
    );
    assert_eq!(bundle["output"]["signal"], 11);
    assert!(bundle["output"]["engine_frames"].as_array().unwrap().len() > 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_main_script_that_does_not_parse_is_a_failed_start_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let spec = ServerSpec {
        session: true,
        start_timeout: Duration::from_secs(2),
        ..godot("", "unparsable")
    };
    let house = house(dir.path(), spec).await;
    let bundle = bundle(&house).await;
    assert_eq!(bundle["decision"], "start_timeout");
    let detail = bundle["detail"].as_str().unwrap();
    assert!(detail.contains("no hello within 2s"), "{detail}");
    assert!(
        detail.contains("Parse Error") && detail.contains("res://main.gd:5"),
        "{detail}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_is_not_there_is_told_before_godot_is_started() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(dir.path(), godot("", "nowhere")).await;
    let status = house.state("lobby", State::Quarantined).await;
    assert!(
        status
            .problem
            .unwrap()
            .contains("there is no Godot project")
    );
    assert_eq!((status.start_number, status.last_exit), (0, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_quit_gives_its_status() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(dir.path(), godot("quit", "probe")).await;
    let status = house
        .status("lobby", |status| status.last_exit.is_some())
        .await;
    assert_eq!(status.last_exit.unwrap().reason, EndReason::ExitStatus(3));
    assert!(
        dir.path().join("homes/lobby/.local/share/godot").exists(),
        "Godot writes to its private home"
    );
}
