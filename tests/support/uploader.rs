//! A sidekick's half with a sink of kind `postgres`: buffer, node and upload, which can die and come back on what it left; and a
//! look into the database that counts what it finds.

#![allow(dead_code, clippy::unwrap_used)]

use super::echo;
use sidekick::buffer::{Buffer, Change, Options, SinkRule, Start};
use sidekick::config::{Columns, DatabaseUrl, PayloadForm, PostgresConfig, Tables, UrlSource};
use sidekick::etf::{self, Term};
use sidekick::node::Node;
use sidekick::shutdown::Shutdown;
use sidekick::types::{Key, Payload, Scope, SinkName, StreamName};
use sidekick::upload::{BreakerOptions, PostgresOptions, SinkOptions, SinkStatus, Upload};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tokio_postgres::Client;

pub const DEADLINE: Duration = Duration::from_secs(60);

pub fn sink() -> SinkName {
    SinkName::try_from("db").unwrap()
}

pub fn stream(name: &str) -> StreamName {
    StreamName::try_from(name).unwrap()
}

pub fn scope() -> Scope {
    Scope::try_from("lobby").unwrap()
}

/// A sink of this database with all defaults.
pub fn config(url: &str) -> PostgresConfig {
    PostgresConfig {
        url: DatabaseUrl::new(url, UrlSource::Environment("URL".to_owned())),
        ca_file: None,
        cert_file: None,
        key_file: None,
        payload: PayloadForm::Jsonb,
        connections: 4,
        tables: Tables::default(),
        columns: Columns::default(),
    }
}

pub struct Side {
    pub buffer: Buffer,
    node: Node,
    pub upload: Upload,
}

impl Side {
    pub async fn start(dir: &Path, config: &PostgresConfig) -> Self {
        Self::start_with(dir, config, 200).await
    }

    /// With uploads of up to so many records.
    pub async fn start_with(dir: &Path, config: &PostgresConfig, batch_records: usize) -> Self {
        let sink = SinkOptions {
            batch_records,
            ..Self::options("db", config)
        };
        Self::start_sinks(dir, vec![sink]).await
    }

    /// What a test's sink is started with.
    pub fn options(name: &str, config: &PostgresConfig) -> SinkOptions {
        let name = SinkName::try_from(name).unwrap();
        let database = PostgresOptions::new(name.clone(), config).unwrap();
        SinkOptions {
            timeout: Duration::from_secs(5),
            pause_min: Duration::from_millis(10),
            pause_max: Duration::from_millis(200),
            breaker: BreakerOptions {
                open_max: Duration::from_secs(1),
                ..BreakerOptions::default()
            },
            batch_records: 200,
            ..SinkOptions::postgres(name, database)
        }
    }

    /// With sinks of the test's own.
    pub async fn start_sinks(dir: &Path, sinks: Vec<SinkOptions>) -> Self {
        let mut options = Options::new(dir);
        let rules = sinks.iter().map(|sink| SinkRule {
            name: sink.name.clone(),
            patterns: vec!["*".to_owned()],
            start: Start::First,
        });
        options.sinks = rules.collect();
        let buffer = tokio::task::spawn_blocking(|| Buffer::open(options));
        let buffer = buffer.await.unwrap().unwrap();
        let name = format!("sidekick_{:08x}@127.0.0.1", rand::random::<u32>());
        // A port mapper is served by the node itself.
        let node = echo::node(&name, "cookie", super::postgres_port()).await;
        let upload = Upload::start(&buffer, &node, sinks, &Shutdown::new());
        Self {
            buffer,
            node,
            upload,
        }
    }

    pub async fn stop(self) {
        self.upload.stop();
        self.node.close().await;
        self.buffer.close().await;
    }

    pub async fn init(&self) {
        self.upload.init(&sink()).await.unwrap();
    }

    pub async fn drain(&self) {
        assert!(self.upload.drain(DEADLINE).await, "{:?}", self.status());
    }

    pub fn status(&self) -> SinkStatus {
        self.upload.status().remove(0)
    }

    pub fn cursor(&self, name: &str) -> u64 {
        let info = self.buffer.stream(&stream(name)).unwrap();
        let cursor = info.cursors.iter().find(|(name, _)| *name == sink());
        cursor.unwrap().1
    }

    /// Waits until the cursor, which follows the answers of the database, stands there.
    pub async fn cursor_at(&self, name: &str, seq: u64) {
        let mut commits = self.buffer.committed();
        let at = async {
            while self.cursor(name) != seq {
                commits.changed().await.unwrap();
            }
        };
        let at = tokio::time::timeout(DEADLINE, at).await;
        at.unwrap_or_else(|_| panic!("the cursor of {name} stands at {}", self.cursor(name)));
    }

    pub async fn append(&self, name: &str, payloads: &[Term]) {
        let payloads: Vec<Payload> = payloads.iter().map(etf::encode).collect();
        let appended = self.buffer.append(&stream(name), payloads, None).await;
        appended.unwrap();
    }

    /// Records that hold their own number.
    pub async fn number(&self, name: &str, first: u64, count: u64) {
        let payload = |n| Term::map([("n", Term::int(n)), ("text", Term::text("a record"))]);
        let payloads: Vec<_> = (first..first + count).map(payload).collect();
        self.append(name, &payloads).await;
    }

    pub async fn put(&self, key: &str, value: u64) {
        let key = Key::try_from(key).unwrap();
        let change = Change::Put(key, etf::encode(&Term::int(value)));
        self.buffer.change(&scope(), vec![change]).await.unwrap();
    }

    pub async fn delete(&self, key: &str) {
        let change = Change::Delete(Key::try_from(key).unwrap());
        self.buffer.change(&scope(), vec![change]).await.unwrap();
    }
}

/// What is wrong with a stream in the database: sequences that are there twice, missing, or not what was written.
pub async fn faults(client: &Client, name: &str, last: u64) -> Vec<String> {
    let rows = client
        .query(
            "SELECT seq, payload->>'n' FROM sidekick_records WHERE stream = $1 ORDER BY seq",
            &[&name],
        )
        .await
        .unwrap();
    let mut seen: BTreeMap<u64, u32> = BTreeMap::new();
    let mut faults = Vec::new();
    for row in rows {
        let (seq, n): (i64, String) = (row.get(0), row.get(1));
        *seen.entry(seq as u64).or_default() += 1;
        if n != seq.to_string() {
            faults.push(format!("{name} {seq} holds {n}"));
        }
    }
    for seq in 1..=last {
        match seen.remove(&seq) {
            Some(1) => {}
            Some(count) => faults.push(format!("{name} {seq} is there {count} times")),
            None => faults.push(format!("{name} {seq} is missing")),
        }
    }
    faults.extend(
        seen.keys()
            .map(|seq| format!("{name} {seq} was never written")),
    );
    faults
}

/// The state in the database.
pub async fn state(client: &Client) -> BTreeMap<String, String> {
    let sql = "SELECT key, value::text FROM sidekick_state WHERE scope = 'lobby'";
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// The state in the buffer, in the same form.
pub async fn expected_state(side: &Side) -> BTreeMap<String, String> {
    let held = side.buffer.state(&scope()).await.unwrap();
    let pairs = held.into_iter().map(|(key, value)| {
        let value = etf::decode(value).unwrap();
        (key.to_string(), value.as_i64().unwrap().to_string())
    });
    pairs.collect()
}
