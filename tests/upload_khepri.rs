//! What is in the buffer arrives in Khepri exactly once, in order, whoever dies when; and a sink that could hide a loss
//! halts instead.

#![allow(clippy::unwrap_used)]

#[path = "support/beam.rs"]
mod beam;
#[path = "support/echo.rs"]
mod echo;
#[path = "support/frontend.rs"]
mod frontend;
#[path = "support/khepri.rs"]
mod khepri;

use beam::{Epmd, eventually, unique};
use frontend::Frontend;
use khepri::{DEADLINE, Side, expect_all, payload, scope, stream};
use rand::Rng;
use sidekick::buffer::{Buffer, Options, Start};
use sidekick::etf;
use sidekick::upload::SinkState;
use std::time::Duration;
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn records_and_state_arrive_once_whoever_is_killed() {
    let (epmd, dir, store) = (
        Epmd::start().await,
        TempDir::new().unwrap(),
        TempDir::new().unwrap(),
    );
    let (me, there) = (unique("sidekick"), unique("frontend"));
    let mut side = Side::start(dir.path(), Start::First, &me, epmd.port, &[&there]).await;
    let mut lasts = [0; 3];
    let names = ["events", "chat", "a/b"];
    let mut value = 0;
    for round in 0..4 {
        let frontend = Frontend::start(&there, epmd.port, store.path()).await;
        let steps = rand::rng().random_range(20..120);
        for _ in 0..steps {
            let which = rand::rng().random_range(0..names.len());
            let count = rand::rng().random_range(1..60);
            side.append(names[which], lasts[which] + 1, count).await;
            lasts[which] += count;
            value += 1;
            side.put(["score", "round", "odd"][which], value).await;
            if value % 7 == 0 {
                side.delete("odd").await;
            }
        }
        // Some of it is stored when the BEAM dies, some is not, and some is under way.
        let stored = side.status().acknowledged + rand::rng().random_range(1..200);
        eventually("more is stored", async || {
            let status = side.status();
            status.acknowledged >= stored || status.lag_records == 0
        })
        .await;
        frontend.kill().await;
        // In the second round sidekick dies with it, with uploads whose outcome nobody knows.
        if round == 1 {
            side.stop().await;
            side = Side::start(dir.path(), Start::First, &me, epmd.port, &[&there]).await;
        }
    }
    side.delete("odd").await;
    side.put("score", 1_000_000).await;
    let mut frontend = Frontend::start(&there, epmd.port, store.path()).await;
    assert!(side.upload.drain(DEADLINE).await, "{:?}", side.status());
    for (name, last) in names.into_iter().zip(lasts) {
        expect_all(&mut frontend, &side.origin(), name, last).await;
        assert_eq!(side.cursor(name), last);
        assert_eq!(frontend.head(&side.origin(), name, "dropped").await, 0);
    }
    let state = frontend.state(&side.origin(), "lobby").await;
    let expected: Vec<_> = side.buffer.state(&scope()).await.unwrap();
    let expected = expected
        .into_iter()
        .map(|(key, value)| (key.to_string(), etf::decode(value).unwrap()));
    let mut expected: Vec<_> = expected.collect();
    expected.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(state, expected);
    assert!(state.iter().all(|(key, _)| key != "odd"));
    let status = side.status();
    assert_eq!(
        (status.state, status.lag_records, status.lag_bytes),
        (SinkState::Idle, 0, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_frontend_everything_waits_and_a_second_one_takes_over() {
    let (epmd, dir) = (Epmd::start().await, TempDir::new().unwrap());
    let stores = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let (me, one, other) = (unique("sidekick"), unique("frontend"), unique("frontend"));
    let side = Side::start(dir.path(), Start::First, &me, epmd.port, &[&one, &other]).await;
    side.append("events", 1, 500).await;
    eventually("the sink sees the records", async || {
        side.status().lag_records == 500
    })
    .await;
    let status = side.status();
    assert_eq!((status.state, status.node), (SinkState::Waiting, None));
    assert!(status.lag_bytes > 500 * 20, "{}", status.lag_bytes);
    assert!(!side.upload.drain(Duration::from_millis(50)).await);
    assert_eq!(side.cursor("events"), 0);

    // The second in the list is the only one there is.
    let mut frontend = Frontend::start(&other, epmd.port, stores[1].path()).await;
    assert!(side.upload.drain(DEADLINE).await, "{:?}", side.status());
    expect_all(&mut frontend, &side.origin(), "events", 500).await;
    assert_eq!(side.status().node.as_deref(), Some(other.as_str()));
    assert_eq!(side.status().acknowledged, 500);

    // The first opens another store: nobody may take it for the one that holds the records.
    frontend.kill().await;
    side.append("events", 501, 5).await;
    let mut wrong = Frontend::start(&one, epmd.port, stores[0].path()).await;
    eventually("the sink halts", async || {
        side.status().state == SinkState::Halted
    })
    .await;
    assert!(
        side.status()
            .error
            .unwrap()
            .contains("the store is another one")
    );
    assert_eq!(side.cursor("events"), 500);
    assert_eq!(wrong.records(&side.origin(), "events").await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_may_begin_with_the_next_record() {
    let (epmd, dir, store) = (
        Epmd::start().await,
        TempDir::new().unwrap(),
        TempDir::new().unwrap(),
    );
    let (me, there) = (unique("sidekick"), unique("frontend"));
    let mut options = Options::new(dir.path());
    options.streams = vec![];
    let before = tokio::task::spawn_blocking(|| Buffer::open(options))
        .await
        .unwrap()
        .unwrap();
    let payloads = (1..=40).map(|n| etf::encode(&payload(n))).collect();
    before
        .append(&stream("events"), payloads, None)
        .await
        .unwrap();
    before.close().await;
    drop(before);

    let side = Side::start(dir.path(), Start::Now, &me, epmd.port, &[&there]).await;
    let mut frontend = Frontend::start(&there, epmd.port, store.path()).await;
    side.append("events", 41, 10).await;
    assert!(side.upload.drain(DEADLINE).await, "{:?}", side.status());
    let seqs: Vec<_> = frontend.records(&side.origin(), "events").await;
    let seqs: Vec<_> = seqs.into_iter().map(|(seq, _)| seq).collect();
    assert_eq!(seqs, (41..=50).collect::<Vec<_>>());
    assert_eq!(frontend.head(&side.origin(), "events", "dropped").await, 40);
}

/// A copy of a folder, as a backup is.
fn copy_of(dir: &TempDir) -> TempDir {
    let copy = TempDir::new().unwrap();
    let from = format!("{}/.", dir.path().display());
    let copied = std::process::Command::new("cp")
        .args(["-a", &from])
        .arg(copy.path())
        .status();
    assert!(copied.unwrap().success());
    copy
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_from_an_older_backup_gets_again_what_is_here_and_halts_on_what_is_not() {
    let (epmd, dir, store) = (
        Epmd::start().await,
        TempDir::new().unwrap(),
        TempDir::new().unwrap(),
    );
    let (me, there) = (unique("sidekick"), unique("frontend"));
    let side = Side::start(dir.path(), Start::First, &me, epmd.port, &[&there]).await;
    let frontend = Frontend::start(&there, epmd.port, store.path()).await;
    side.append("kept", 1, 100).await;
    side.append("thin", 1, 100).await;
    assert!(side.upload.drain(DEADLINE).await, "{:?}", side.status());
    frontend.kill().await;
    let backup = copy_of(&store);

    let frontend = Frontend::start(&there, epmd.port, store.path()).await;
    side.append("kept", 101, 2_000).await;
    assert!(side.upload.drain(DEADLINE).await, "{:?}", side.status());
    frontend.kill().await;
    let mut frontend = Frontend::start(&there, epmd.port, backup.path()).await;
    side.append("kept", 2_101, 1).await;
    assert!(side.upload.drain(DEADLINE).await, "{:?}", side.status());
    expect_all(&mut frontend, &side.origin(), "kept", 2_101).await;
    frontend.kill().await;
    let store = backup;
    let backup = copy_of(&store);

    let frontend = Frontend::start(&there, epmd.port, store.path()).await;
    side.append("thin", 101, 2_000).await;
    assert!(side.upload.drain(DEADLINE).await, "{:?}", side.status());
    eventually("what is uploaded is trimmed", async || {
        side.buffer.stream(&stream("thin")).unwrap().first > 101
    })
    .await;
    frontend.kill().await;
    let _frontend = Frontend::start(&there, epmd.port, backup.path()).await;
    side.append("thin", 2_101, 1).await;
    eventually("the sink halts and says why", async || {
        let status = side.status();
        status.state == SinkState::Halted && status.error.is_some()
    })
    .await;
    let error = side.status().error.unwrap();
    assert!(error.contains("lacks thin from 101 to"), "{error}");
    assert_eq!(side.cursor("thin"), 2_100);
}
