//! The sink into Khepri beside the bare stored procedure; the way of a record from Godot to Khepri; catching up with a backlog of
//! a million records. The real sidekick, on this machine. `./scripts/bench upload` runs it; docs/BENCHMARKS.md has the figures.

#![allow(clippy::unwrap_used)]

#[path = "../tests/support/beam.rs"]
mod beam;
#[path = "upload/catchup.rs"]
mod catchup;
#[path = "../tests/support/echo.rs"]
mod echo;
#[path = "../tests/support/frontend.rs"]
mod frontend;
#[path = "upload/khepri.rs"]
mod khepri;
#[path = "upload/latency.rs"]
mod latency;
#[path = "../tests/support/torture/parts.rs"]
mod parts;
#[path = "../tests/support/postgres.rs"]
mod postgres;
#[path = "upload/usage.rs"]
mod usage;
#[path = "upload/world.rs"]
mod world;

/// Records of a round; three members are slower.
const RECORDS: u64 = 200_000;
const RECORDS_OF_THREE: u64 = 100_000;

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let rounds = words.iter().find_map(|word| word.parse().ok());
    let rounds: usize = rounds.unwrap_or(5);
    // With no word of these: all of it.
    let parts = ["khepri", "three", "latency", "catchup"];
    let named: Vec<_> = parts
        .iter()
        .filter(|part| words.iter().any(|word| word == *part))
        .collect();
    let wanted = |part: &str| named.is_empty() || named.contains(&&part);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("\nload of the machine before: {}", load.trim());
    if wanted("khepri") {
        khepri::rounds(1, rounds, RECORDS).await;
    }
    if wanted("three") {
        khepri::rounds(3, rounds, RECORDS_OF_THREE).await;
    }
    if wanted("latency") {
        latency::figures().await;
    }
    if wanted("catchup") {
        catchup::figures().await;
    }
}
