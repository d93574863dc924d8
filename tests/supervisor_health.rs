//! Promise: a server without the addon is judged by its probes and by nothing else; memory is warned of before it is too late; the
//! same crash is recognised again.
#![allow(clippy::unwrap_used)]

#[path = "support/supervision.rs"]
mod supervision;

use sidekick::supervisor::{
    ActivityKind, EndReason, EventKind, ProbeKind, ProbeSpec, ServerSpec, State,
};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;
use supervision::{House, alive, id, shell};

fn probe(kind: ProbeKind, address: SocketAddr) -> ProbeSpec {
    ProbeSpec {
        kind,
        address,
        interval: Duration::from_millis(100),
        timeout: Duration::from_millis(500),
        failures: 3,
    }
}

fn asleep(kind: ProbeKind, address: SocketAddr) -> ServerSpec {
    ServerSpec {
        start_timeout: Duration::from_secs(20),
        max_restarts: 0,
        probe: Some(probe(kind, address)),
        ..shell("lobby", "exec sleep 600")
    }
}

/// An address at which nothing listens for now.
fn free() -> (SocketAddr, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    (listener.local_addr().unwrap(), listener)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probed_server_plays_when_it_answers_and_is_ended_when_it_no_longer_does() {
    let dir = tempfile::tempdir().unwrap();
    let (address, listener) = free();
    drop(listener);
    let mut house = House::open(dir.path(), vec![asleep(ProbeKind::Tcp, address)]).await;
    house.started().await;
    house.state("lobby", State::Starting).await;
    let listener = TcpListener::bind(address).unwrap();
    let status = house.state("lobby", State::Running).await;
    assert!(status.timings.start_to_playing.is_some());
    drop(listener);
    let (silent, activity) = house
        .event(|event| match &event.kind {
            EventKind::Hang {
                silent, activity, ..
            } => Some((*silent, activity.clone().unwrap())),
            _ => None,
        })
        .await;
    assert!(silent >= Duration::from_millis(300), "{silent:?}");
    assert_eq!(activity.kind, ActivityKind::Blocked, "it sleeps");
    let reason = house
        .event(|event| match &event.kind {
            EventKind::Ended { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .await;
    assert_eq!(reason, EndReason::Hang);
    let status = house
        .status("lobby", |status| {
            status
                .last_exit
                .as_ref()
                .is_some_and(|last| last.bundle.is_some())
        })
        .await;
    let detail = status.last_exit.unwrap().detail.unwrap();
    assert!(detail.contains(&format!("tcp {address}")), "{detail}");
    assert!(
        detail.contains("refused") && detail.contains("blocked"),
        "{detail}"
    );
    let bundle = house.supervisor.crash(&id("lobby"), 1).await.unwrap();
    assert_eq!(bundle["decision"], "hang");
    assert_eq!(bundle["activity"]["kind"], "blocked");
    assert_eq!(bundle["activity"]["threads"][0]["name"], "sleep");
    assert!(bundle["exit"]["usage"]["max_rss_bytes"].as_u64().unwrap() > 100_000);
    assert!(bundle["binary"]["bytes"].as_u64().unwrap() > 1_000);
    assert_eq!(bundle["versions"]["build"].as_str().unwrap().len(), 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probed_server_that_never_answers_is_a_failed_start_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let kind = ProbeKind::Udp {
        payload: b"ping".to_vec(),
        expect: Vec::new(),
    };
    let spec = ServerSpec {
        start_timeout: Duration::from_secs(1),
        ..asleep(kind, address)
    };
    let house = House::open(dir.path(), vec![spec]).await;
    let status = house
        .status("lobby", |status| status.last_exit.is_some())
        .await;
    let last = status.last_exit.unwrap();
    assert_eq!(last.reason, EndReason::Hang);
    let detail = last.detail.unwrap();
    assert!(
        detail.contains("within 1s") && detail.contains("no answer within 500ms"),
        "{detail}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_server_is_probed_again() {
    let dir = tempfile::tempdir().unwrap();
    let (address, listener) = free();
    let spec = ServerSpec {
        start_timeout: Duration::from_secs(5),
        ..asleep(ProbeKind::Tcp, address)
    };
    let house = House::open(dir.path(), vec![spec.clone()]).await;
    let pid = house.state("lobby", State::Running).await.os_pid.unwrap();
    house.supervisor.leave().await;
    drop(house);
    assert!(alive(pid));
    let later = House::open(dir.path(), vec![spec]).await;
    let status = later.state("lobby", State::Running).await;
    assert_eq!((status.os_pid, status.adopted), (Some(pid), true));
    drop(listener);
    let status = later
        .status("lobby", |status| status.last_exit.is_some())
        .await;
    assert_eq!(status.last_exit.unwrap().reason, EndReason::Hang);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_above_its_bound_is_told_and_shown() {
    let dir = tempfile::tempdir().unwrap();
    let spec = ServerSpec {
        memory_warn: Some(100 << 10),
        ..shell("lobby", "exec sleep 600")
    };
    let mut house = House::open(dir.path(), vec![spec]).await;
    let (high, rss, warn) = house
        .event(|event| match event.kind {
            EventKind::Memory {
                high,
                rss_bytes,
                warn_bytes,
                ..
            } => Some((high, rss_bytes, warn_bytes)),
            _ => None,
        })
        .await;
    assert!(high && rss >= warn && warn == 100 << 10);
    let status = house
        .status("lobby", |status| status.health.memory_high)
        .await;
    assert!(status.health.rss_bytes.unwrap() >= warn);
    house
        .line("lobby", |line| line.starts_with("memory is high"))
        .await;
    supervision::kill(status.os_pid.unwrap(), nix::sys::signal::Signal::SIGKILL);
    let status = house
        .status("lobby", |status| status.last_exit.is_some())
        .await;
    let last = status.last_exit.unwrap();
    let detail = last.detail.clone().unwrap_or_else(|| format!("{last:?}"));
    assert!(detail.contains("for lack of memory"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_crash_is_recognised_again_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let spec = ServerSpec {
        max_restarts: 2,
        max_seconds: 600,
        ..shell("lobby", "kill -SEGV $$")
    };
    let mut house = House::open(dir.path(), vec![spec]).await;
    let mut counts = Vec::new();
    while counts.len() < 3 {
        let kind = house
            .event(|event| match &event.kind {
                EventKind::CrashBundle { kind, .. } => Some(kind.clone()),
                _ => None,
            })
            .await;
        counts.push((kind.count, kind.fingerprint));
    }
    counts.sort();
    let numbers: Vec<_> = counts.iter().map(|(count, _)| *count).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(counts[0].1, counts[2].1);
    let crashes = house.supervisor.crashes(&id("lobby")).await.unwrap();
    assert!(
        crashes
            .iter()
            .all(|crash| crash.kind.as_ref().unwrap().count == 3)
    );
}
