//! What is in the buffer arrives in Khepri exactly once, in order, whoever dies when; and a sink that could hide a loss
//! halts instead.

#![allow(clippy::unwrap_used)]

#[path = "support/beam.rs"]
mod beam;
#[path = "support/echo.rs"]
mod echo;
#[path = "support/frontend.rs"]
mod frontend;

use beam::{COOKIE, Epmd, eventually, unique};
use frontend::Frontend;
use rand::Rng;
use sidekick::buffer::{Buffer, Change, Keep, Options, SinkRule, Start, StreamRule};
use sidekick::etf::{self, Term};
use sidekick::node::Node;
use sidekick::shutdown::Shutdown;
use sidekick::types::{Key, Payload, Scope, SinkName, StreamName};
use sidekick::upload::{SinkOptions, SinkState, SinkStatus, Upload};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(60);

fn sink() -> SinkName {
    SinkName::try_from("khepri").unwrap()
}

fn stream(name: &str) -> StreamName {
    StreamName::try_from(name).unwrap()
}

fn scope() -> Scope {
    Scope::try_from("lobby").unwrap()
}

fn payload(number: u64) -> Term {
    Term::map([
        ("n", Term::int(number)),
        ("text", Term::text("a record of a match")),
        ("at", Term::tuple([Term::Float(1.5), Term::atom("x")])),
    ])
}

/// A sidekick's half: buffer, node and upload, which can die and come back on what it left.
struct Side {
    buffer: Buffer,
    node: Node,
    upload: Upload,
}

impl Side {
    async fn start(
        dir: &Path,
        start: Start,
        name: &str,
        epmd_port: u16,
        frontends: &[&str],
    ) -> Self {
        let mut options = Options::new(dir);
        options.sinks = vec![SinkRule {
            name: sink(),
            patterns: vec!["*".to_owned()],
            start,
        }];
        let keep = |pattern: &str, count| StreamRule {
            pattern: pattern.to_owned(),
            keep: Keep {
                count: Some(count),
                ..Keep::default()
            },
            ..StreamRule::default()
        };
        options.streams = vec![keep("kept", 1_000_000), keep("*", 1)];
        let buffer = tokio::task::spawn_blocking(|| Buffer::open(options));
        let buffer = buffer.await.unwrap().unwrap();
        let node = echo::node(name, COOKIE, epmd_port).await;
        let nodes = frontends.iter().map(|name| name.parse().unwrap()).collect();
        let sink = SinkOptions {
            timeout: Duration::from_secs(3),
            pause_max: Duration::from_millis(500),
            ..SinkOptions::new(sink(), nodes)
        };
        let upload = Upload::start(&buffer, &node, vec![sink], &Shutdown::new());
        Self {
            buffer,
            node,
            upload,
        }
    }

    async fn stop(self) {
        self.upload.stop();
        self.node.close().await;
        self.buffer.close().await;
    }

    fn origin(&self) -> String {
        self.buffer.origin().to_string()
    }

    fn status(&self) -> SinkStatus {
        self.upload.status().remove(0)
    }

    fn cursor(&self, name: &str) -> u64 {
        let info = self.buffer.stream(&stream(name)).unwrap();
        let cursor = info.cursors.iter().find(|(name, _)| *name == sink());
        cursor.unwrap().1
    }

    async fn append(&self, name: &str, first: u64, count: u64) {
        let payloads: Vec<Payload> = (first..first + count)
            .map(|n| etf::encode(&payload(n)))
            .collect();
        let appended = self.buffer.append(&stream(name), payloads, None).await;
        assert_eq!(appended.unwrap().first, first);
    }

    async fn put(&self, key: &str, value: u64) {
        let key = Key::try_from(key).unwrap();
        let change = Change::Put(key, etf::encode(&Term::int(value)));
        self.buffer.change(&scope(), vec![change]).await.unwrap();
    }

    async fn delete(&self, key: &str) {
        let change = Change::Delete(Key::try_from(key).unwrap());
        self.buffer.change(&scope(), vec![change]).await.unwrap();
    }
}

async fn expect_all(frontend: &mut Frontend, origin: &str, name: &str, last: u64) {
    let records = frontend.records(origin, name).await;
    let expected: Vec<_> = (1..=last).map(|n| (n, payload(n))).collect();
    assert_eq!(records.len(), expected.len(), "{name}");
    for (found, expected) in records.iter().zip(&expected) {
        assert_eq!(found.0, expected.0, "{name}");
        for key in ["n", "text", "at"] {
            assert_eq!(found.1.map_get(key), expected.1.map_get(key), "{name}");
        }
    }
}

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
