//! The producers of a test together, and the end of their work.

use super::World;
use super::check::{self, State};
use super::producers::{self, Told};
use super::verdict::Found;
use sidekick::etf::Term;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Streams of the producers: two write into the same.
const STREAMS: [&str; 4] = ["events", "chat", "shared", "shared"];
const SCOPES: [&str; 2] = ["score", "world"];

/// Those that write, and what they were told in the end.
pub struct Writers {
    end: CancellationToken,
    records: Vec<JoinHandle<(String, Vec<Found>)>>,
    states: Vec<JoinHandle<(String, BTreeMap<String, u64>)>>,
}

impl Writers {
    pub fn start(world: &World, seed: u64) -> Self {
        let end = CancellationToken::new();
        let records = STREAMS.iter().enumerate().map(|(n, stream)| {
            let (target, end) = (world.target.clone(), end.clone());
            let (name, stream) = (format!("producer{n}"), (*stream).to_owned());
            tokio::spawn(producers::records(
                target,
                name,
                stream,
                seed ^ n as u64,
                end,
            ))
        });
        let states = SCOPES.iter().map(|scope| {
            let (target, end) = (world.target.clone(), end.clone());
            tokio::spawn(producers::state(target, (*scope).to_owned(), seed, end))
        });
        Self {
            records: records.collect(),
            states: states.collect(),
            end,
        }
    }

    /// Has each end with an answer to all it wrote.
    pub async fn finish(self) -> (Told, State) {
        self.end.cancel();
        let (mut told, mut states) = (Told::new(), State::new());
        for records in self.records {
            let (stream, records) = records.await.unwrap();
            told.entry(stream).or_default().extend(records);
        }
        for state in self.states {
            let (scope, values) = state.await.unwrap();
            states.insert(scope, values);
        }
        (told, states)
    }
}

/// Ends the game gracefully and waits until every sink says that it has stored everything. The game has played before, so that there
/// is something of it to be looked for.
pub async fn settle(world: &World, patience: Duration) -> Result<(), String> {
    check::game_state(world).await;
    let server = Term::text("lobby");
    world
        .target
        .insist(&Term::tuple([Term::atom("stop_server"), server]))
        .await;
    let drain = Term::tuple([Term::atom("drain_sinks"), Term::int(5_000)]);
    let deadline = Instant::now() + patience;
    loop {
        match world
            .target
            .ask(drain.clone(), Duration::from_secs(30))
            .await
        {
            Ok(answer) if answer.is_atom("ok") => return Ok(()),
            other if Instant::now() > deadline => return Err(format!("{other:?}")),
            _ => {}
        }
    }
}
