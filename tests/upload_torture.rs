//! Everything is killed, paused and cut off at random while several producers and a game write; at the end every
//! acknowledged record is in Khepri, on each member, and in PostgreSQL exactly once and in order, and state is what was last
//! acknowledged. `scripts/torture upload` is the long form. Two tests show that the check finds duplicates and losses.
//!
//! `SIDEKICK_TORTURE_SECONDS` (20) and `SIDEKICK_TORTURE_SEED` (random, printed) choose the run.

#![allow(clippy::unwrap_used)]

#[path = "support/beam.rs"]
mod beam;
#[path = "support/echo.rs"]
mod echo;
#[path = "support/frontend.rs"]
mod frontend;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/torture/mod.rs"]
mod torture;

use sidekick::etf::Term;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use torture::check::{self, State};
use torture::plan::{self, Deed, Fault, Victim};
use torture::producers::{self, Told};
use torture::verdict::{self, Found};
use torture::{HEALING, World};

/// Streams of the producers: two write into the same.
const STREAMS: [&str; 4] = ["events", "chat", "shared", "shared"];
const SCOPES: [&str; 2] = ["score", "world"];

fn from_env(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {value}")),
    )
}

/// Those that write, and what they were told in the end.
struct Writers {
    end: CancellationToken,
    records: Vec<JoinHandle<(String, Vec<Found>)>>,
    states: Vec<JoinHandle<(String, std::collections::BTreeMap<String, u64>)>>,
}

impl Writers {
    fn start(world: &World, seed: u64) -> Self {
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
    async fn finish(self) -> (Told, State) {
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

/// Ends the game gracefully and waits until every sink says that it has stored everything.
async fn settle(world: &World, patience: Duration) -> Result<(), String> {
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

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_stored_once_and_in_order_whatever_is_struck() {
    let seed =
        from_env("SIDEKICK_TORTURE_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let time = Duration::from_secs(from_env("SIDEKICK_TORTURE_SECONDS").unwrap_or(20));
    println!(
        "SIDEKICK_TORTURE_SEED={seed} SIDEKICK_TORTURE_SECONDS={}",
        time.as_secs()
    );
    let mut world = World::start(1).await;
    let writers = Writers::start(&world, seed);
    let count = world.torture(plan::faults(seed), time).await;
    world.heal().await;
    world.say(&format!("{count} faults; everything is up again"));
    let (told, states) = writers.finish().await;
    world.say("every producer has an answer to all it wrote");
    let settled = settle(&world, HEALING).await;
    world.say(&format!("settled: {settled:?}"));
    let wrong = check::everything(&mut world, &told, &states).await;
    assert_eq!(wrong, Vec::<String>::new(), "seed {seed}");
    assert_eq!(settled, Ok(()), "seed {seed}");
    let records: usize = told.values().map(std::collections::BTreeMap::len).sum();
    assert!(
        records > 20 * time.as_secs() as usize,
        "only {records} records"
    );
}

/// Strikes one after the other, each until it is well again.
async fn strike(world: &mut World, victims: &[Victim]) {
    let fault = |victim: &Victim| Fault {
        gap: Duration::from_millis(700),
        victim: *victim,
        deed: Deed::Kill,
        outage: Duration::from_millis(100),
    };
    let faults: Vec<_> = victims.iter().map(fault).collect();
    world.torture(faults.into_iter(), HEALING).await;
    world.heal().await;
}

/// What is wrong in one kind of place.
fn wrong_in<'a>(wrong: &'a [String], place: &str) -> Vec<&'a str> {
    let lines = wrong.iter().filter(|line| line.starts_with(place));
    lines.map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_watermarks_forget_the_check_finds_duplicates() {
    let mut world = World::start(1_000_000).await;
    world.forget().await;
    let writers = Writers::start(&world, 1);
    let victims = [Victim::Sidekick, Victim::Members, Victim::Postgres];
    strike(&mut world, &victims).await;
    strike(&mut world, &victims).await;
    let (told, states) = writers.finish().await;
    // The database says for ever that it has nothing, so that its sink never comes to an end.
    let settled = settle(&world, Duration::from_secs(10)).await;
    world.say(&format!("settled: {settled:?}"));
    let wrong = check::everything(&mut world, &told, &states).await;
    for place in ["khepri", "postgres"] {
        let kinds = verdict::kinds(&wrong_in(&wrong, place));
        assert!(kinds.contains("duplicate"), "{place}: {kinds:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_buffer_trims_what_no_sink_has_the_check_finds_losses_and_the_sinks_halt() {
    let mut world = World::start(1).await;
    let writers = Writers::start(&world, 1);
    strike(&mut world, &[Victim::Godot]).await;
    let (mut told, states) = writers.finish().await;
    assert_eq!(settle(&world, HEALING).await, Ok(()));
    let wrong = check::everything(&mut world, &told, &states).await;
    assert_eq!(wrong, Vec::<String>::new());

    let away = |victim| Fault {
        gap: Duration::ZERO,
        victim,
        deed: Deed::Kill,
        outage: HEALING,
    };
    for victim in [Victim::Members, Victim::Postgres] {
        world.strike(away(victim)).await;
    }
    let more = producers::large(&world.target, "events", 300, 10_000).await;
    told.get_mut("events").unwrap().extend(more);
    world.strike(away(Victim::Sidekick)).await;
    world.trim_early("events").await;
    world.heal().await;
    let settled = settle(&world, Duration::from_secs(20)).await;
    assert!(settled.is_err(), "{settled:?}");
    let wrong = check::everything(&mut world, &told, &states).await;
    for place in ["khepri", "postgres"] {
        let kinds = verdict::kinds(&wrong_in(&wrong, place));
        assert!(kinds.contains("missing"), "{place}: {kinds:?}");
        assert!(!kinds.contains("duplicate"), "{place}: {kinds:?}");
    }
    let sinks = world.target.insist(&Term::atom("sinks")).await;
    let halted = |sink: &Term| {
        sink.map_get("state")
            .is_some_and(|state| state.is_atom("halted"))
    };
    assert!(sinks.as_list().unwrap().iter().all(halted), "{sinks}");
}
