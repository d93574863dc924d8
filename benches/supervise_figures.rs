//! Figures of supervision, each beside its peers in the same run, rounds interleaved. `./scripts/bench supervise` runs it.

#![allow(clippy::unwrap_used)]

#[path = "supervise/crowd.rs"]
mod crowd;
#[path = "supervise/place.rs"]
mod place;
#[path = "../tests/support/ports.rs"]
mod ports;
#[path = "supervise/restart.rs"]
mod restart;

use restart::{Contender, Parent, Restart};
use std::path::PathBuf;

fn main() {
    let rounds = std::env::args().find_map(|text| text.parse().ok());
    let rounds: usize = rounds.unwrap_or(5);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load of the machine before: {}", load.trim());
    restarts(rounds);
    crowd::idle(200);
    crowd::crashing(50, rounds);
    hangs(rounds.min(5));
}

/// One line of a table: median and range.
pub fn row(name: &str, values: &[f64], unit: &str) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.last() else {
        return println!("| {name} | – | – |");
    };
    let (median, first) = (sorted[sorted.len() / 2], sorted[0]);
    println!("| {name} | {median:.1} {unit} | {first:.1} – {last:.1} {unit} |");
}

/// The four that start a game, by turns.
fn restarts(rounds: usize) {
    let runsv = std::env::var_os("RUNSV").map(PathBuf::from);
    let (mut bare, mut guard, mut detected) = (Vec::new(), Vec::new(), Vec::new());
    let (mut ours, mut shell, mut runit) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        bare.push(restart::bare());
        let place = restart::sidekick();
        let told = restart::round(&place);
        let (at_ns, us) = exit(&place);
        guard.push(at_ns.saturating_sub(told.killed_ns) as f64 / 1e6);
        detected.push(us as f64 / 1e3);
        ours.push(told);
        drop(place);
        shell.push(restart::round(&Parent::shell() as &dyn Contender));
        if let Some(runsv) = &runsv {
            runit.push(restart::round(&Parent::runsv(runsv) as &dyn Contender));
        }
    }
    println!("\n| figure | median | range |\n|---|---|---|");
    row("bare cold start, to its first tick", &bare, "ms");
    row("SIGKILL → exit seen by the guard", &guard, "ms");
    row("exit seen by the guard → by sidekick", &detected, "ms");
    for (name, told) in [
        ("sidekick", &ours),
        ("shell loop", &shell),
        ("runsv", &runit),
    ] {
        let of = |pick: fn(&Restart) -> f64| told.iter().map(pick).collect::<Vec<_>>();
        row(
            &format!("SIGKILL → new process, {name}"),
            &of(|told| told.to_process),
            "ms",
        );
        row(
            &format!("SIGKILL → first tick, {name}"),
            &of(|told| told.to_tick),
            "ms",
        );
    }
    let more = |told: &[Restart]| {
        told.iter()
            .zip(&bare)
            .map(|(told, bare)| told.to_tick - bare)
            .collect::<Vec<_>>()
    };
    row(
        "first tick less the bare cold start, sidekick",
        &more(&ours),
        "ms",
    );
    row(
        "first tick less the bare cold start, shell loop",
        &more(&shell),
        "ms",
    );
}

/// The guard's time of the first end, monotonic, and how much later sidekick knew, microseconds.
fn exit(place: &place::Place) -> (u64, u64) {
    let file = place.path("var/run/crashes/lobby/00000001.json");
    let (_, text) = place::spin("the bundle", || std::fs::read(&file).ok());
    let bundle: serde_json::Value = serde_json::from_slice(&text).unwrap();
    (
        bundle["exit"]["at_ns"].as_u64().unwrap(),
        bundle["figures"]["exit_to_detected_us"].as_u64().unwrap(),
    )
}

/// From the script that begins to hang, which removes its order right before, to sidekick's judgement.
fn hangs(rounds: usize) {
    let mut judged = Vec::new();
    for _ in 0..rounds {
        let place = restart::sidekick();
        place::spin("play", || place.log().contains("plays").then_some(()));
        let orders = place.path("orders");
        std::fs::write(place.path("orders.new"), "hang").unwrap();
        std::fs::rename(place.path("orders.new"), &orders).unwrap();
        let (begun, ()) = place::spin("the hang", || (!orders.exists()).then_some(()));
        let (seen, ()) = place::spin("the judgement", || {
            place.log().contains("unresponsive").then_some(())
        });
        judged.push((seen - begun) as f64 / 1e6);
        place::spin("the end", || {
            place.log().contains("reason=hang").then_some(())
        });
    }
    println!("\n| figure | median | range |\n|---|---|---|");
    row(
        "hang of the script → judged (hang_timeout 2 s)",
        &judged,
        "ms",
    );
}
