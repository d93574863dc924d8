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
use std::time::Duration;
use torture::check;
use torture::plan::{self, Deed, Fault, Victim};
use torture::producers;
use torture::verdict;
use torture::writers::{Writers, settle};
use torture::{HEALING, World};

fn from_env(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {value}")),
    )
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
