//! A store of three members while sidekick uploads into it: leader killed, leader cut off, all killed at once, a rolling restart, a
//! member replaced. At the end every acknowledged record is in each member once and in order. `upload_torture` does the same at
//! random.

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

use std::time::Duration;
use torture::plan::{Deed, Fault, MEMBERS, Victim};
use torture::writers::{Writers, settle};
use torture::{HEALING, World, check};

/// Strikes, and waits until it is undone and all members serve.
async fn strike(world: &mut World, deed: Deed, victim: Victim, outage_ms: u64) {
    let fault = Fault {
        gap: Duration::ZERO,
        victim,
        deed,
        outage: Duration::from_millis(outage_ms),
    };
    world.torture_all([fault]).await;
    for n in 0..MEMBERS {
        world.serves(n).await;
    }
}

async fn expect_all(world: &mut World, writers: Writers) {
    let (told, states) = writers.finish().await;
    assert_eq!(settle(world, HEALING).await, Ok(()));
    let wrong = check::everything(world, &told, &states).await;
    assert_eq!(wrong, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn leaders_killed_and_cut_off_and_all_killed_lose_nothing() {
    let mut world = World::start(1).await;
    let writers = Writers::start(&world, 1);
    strike(&mut world, Deed::Kill, Victim::Leader, 300).await;
    // Longer than a transaction may take: sidekick's uploads to the leader that is none any more fail, and go elsewhere.
    strike(&mut world, Deed::Isolate, Victim::Leader, 9_000).await;
    strike(&mut world, Deed::Pause, Victim::Leader, 3_000).await;
    strike(&mut world, Deed::Kill, Victim::Members, 100).await;
    expect_all(&mut world, writers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_and_a_lost_disk_lose_nothing() {
    let mut world = World::start(1).await;
    let writers = Writers::start(&world, 2);
    for n in 0..MEMBERS {
        world.serves(n).await;
    }
    for n in 0..MEMBERS {
        world.restart(n, false).await;
    }
    world.restart(1, true).await;
    expect_all(&mut world, writers).await;
}
