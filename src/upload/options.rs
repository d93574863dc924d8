//! What a sink is started with.

use super::breaker::BreakerOptions;
use super::postgres::PostgresOptions;
use crate::node::NodeName;
use crate::types::SinkName;
use std::num::NonZeroU64;
use std::time::Duration;

/// Where a sink uploads to.
#[derive(Debug, Clone)]
pub enum Destination {
    /// The process `Elixir.Sidekick.Ingest` on any of these nodes, the preferred one first; they alone may acknowledge.
    Beam(Vec<NodeName>),
    /// Tables of a database.
    Postgres(Box<PostgresOptions>),
}

impl Destination {
    /// The kind, as in the configuration.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Beam(_) => "beam",
            Self::Postgres(_) => "postgres",
        }
    }

    /// How many places there are to fail over among.
    pub(super) fn count(&self) -> usize {
        self.nodes().len().max(1)
    }

    /// The nodes, where it has any.
    pub(super) fn nodes(&self) -> &[NodeName] {
        match self {
            Self::Beam(nodes) => nodes,
            Self::Postgres(_) => &[],
        }
    }

    /// How people call the place with this index.
    pub(super) fn label(&self, index: usize) -> String {
        match self {
            Self::Beam(nodes) => nodes[index].to_string(),
            Self::Postgres(options) => options.label(),
        }
    }
}

/// A sink.
#[derive(Debug, Clone)]
pub struct SinkOptions {
    /// Keys the cursors.
    pub name: SinkName,
    /// Where to.
    pub to: Destination,
    /// The streams to upload, as patterns in which `*` stands for any bytes.
    pub streams: Vec<String>,
    /// Most records in one upload.
    pub batch_records: usize,
    /// Most payload bytes in one upload, a single larger record excepted.
    pub batch_bytes: usize,
    /// How long a record waits for others to share its upload.
    pub batch_age: Duration,
    /// How long a state change waits for others to be coalesced with.
    pub state_age: Duration,
    /// Uploads under way at once; of one stream, and of one scope, there is one at most.
    pub in_flight: usize,
    /// How long an answer is waited for before the outcome counts as unknown.
    pub timeout: Duration,
    /// Pause after the first failure; it doubles with each further one.
    pub pause_min: Duration,
    /// Longest pause.
    pub pause_max: Duration,
    /// When the sink is left alone for a while.
    pub breaker: BreakerOptions,
    /// Payload bytes in a second, at most.
    pub max_bytes_per_second: Option<NonZeroU64>,
    /// A record that was refused alone so often goes among the dead letters.
    pub refusals: u32,
    /// Most dead letters at once; with none the sink halts at the first refused record.
    pub dead_letters: u32,
}

impl SinkOptions {
    /// Defaults: all streams, uploads of up to 1000 records or 1 MiB after 50 ms, state after 100 ms.
    pub fn new(name: SinkName, nodes: Vec<NodeName>) -> Self {
        Self::to(name, Destination::Beam(nodes))
    }

    /// The same for a database, with an upload under way for each of its connections.
    pub fn postgres(name: SinkName, options: PostgresOptions) -> Self {
        Self {
            in_flight: options.connections,
            ..Self::to(name, Destination::Postgres(Box::new(options)))
        }
    }

    fn to(name: SinkName, to: Destination) -> Self {
        Self {
            name,
            to,
            streams: vec!["*".to_owned()],
            batch_records: 1000,
            batch_bytes: 1 << 20,
            batch_age: Duration::from_millis(50),
            state_age: Duration::from_millis(100),
            in_flight: 16,
            timeout: Duration::from_secs(10),
            pause_min: Duration::from_millis(100),
            pause_max: Duration::from_secs(10),
            breaker: BreakerOptions::default(),
            max_bytes_per_second: None,
            refusals: 3,
            dead_letters: 1000,
        }
    }
}
