//! A sidekick's half with a sink of kind `beam`: buffer, node and upload, which can die and come back on what it left.

#![allow(dead_code, clippy::unwrap_used)]

use super::beam::COOKIE;
use super::echo;
use super::frontend::Frontend;
use sidekick::buffer::{Buffer, Change, Keep, Options, SinkRule, Start, StreamRule};
use sidekick::etf::{self, Term};
use sidekick::node::Node;
use sidekick::shutdown::Shutdown;
use sidekick::types::{Key, Payload, Scope, SinkName, StreamName};
use sidekick::upload::{SinkOptions, SinkStatus, Upload};
use std::path::Path;
use std::time::Duration;

pub const DEADLINE: Duration = Duration::from_secs(60);

pub fn sink() -> SinkName {
    SinkName::try_from("khepri").unwrap()
}

pub fn stream(name: &str) -> StreamName {
    StreamName::try_from(name).unwrap()
}

pub fn scope() -> Scope {
    Scope::try_from("lobby").unwrap()
}

pub fn payload(number: u64) -> Term {
    Term::map([
        ("n", Term::int(number)),
        ("text", Term::text("a record of a match")),
        ("at", Term::tuple([Term::Float(1.5), Term::atom("x")])),
    ])
}

/// A sidekick's half: buffer, node and upload, which can die and come back on what it left.
pub struct Side {
    pub buffer: Buffer,
    node: Node,
    pub upload: Upload,
}

impl Side {
    pub async fn start(
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

    pub async fn stop(self) {
        self.upload.stop();
        self.node.close().await;
        self.buffer.close().await;
    }

    pub fn origin(&self) -> String {
        self.buffer.origin().to_string()
    }

    pub fn status(&self) -> SinkStatus {
        self.upload.status().remove(0)
    }

    pub fn cursor(&self, name: &str) -> u64 {
        let info = self.buffer.stream(&stream(name)).unwrap();
        let cursor = info.cursors.iter().find(|(name, _)| *name == sink());
        cursor.unwrap().1
    }

    pub async fn append(&self, name: &str, first: u64, count: u64) {
        let payloads: Vec<Payload> = (first..first + count)
            .map(|n| etf::encode(&payload(n)))
            .collect();
        let appended = self.buffer.append(&stream(name), payloads, None).await;
        assert_eq!(appended.unwrap().first, first);
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

pub async fn expect_all(frontend: &mut Frontend, origin: &str, name: &str, last: u64) {
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
