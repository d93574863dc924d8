//! From the end of a killed game to the first restored tick of the next: by a standby and by a cold start, with and without
//! 100 KB of state, interleaved; each round has a sidekick and a game of its own. `./scripts/bench standby` runs it.

#![allow(clippy::unwrap_used)]

#[path = "../tests/support/sidekick.rs"]
mod sidekick;

use serde_json::Value;
use sidekick::{Sidekick, free_port};
use std::time::Duration;

/// What the larger world holds beside the demo's own.
const BALLAST: usize = 100_000;

/// One way to come back.
struct Variant {
    name: &'static str,
    standby: u8,
    ballast: usize,
    planned: bool,
}

const VARIANTS: [Variant; 6] = [
    variant("standby, crash", 1, 0, false),
    variant("standby, crash, 100 KB of state", 1, BALLAST, false),
    variant("cold start, crash", 0, 0, false),
    variant("cold start, crash, 100 KB of state", 0, BALLAST, false),
    variant("standby, planned, 100 KB of state", 1, BALLAST, true),
    variant("cold start, planned, 100 KB of state", 0, BALLAST, true),
];

const fn variant(name: &'static str, standby: u8, ballast: usize, planned: bool) -> Variant {
    Variant {
        name,
        standby,
        ballast,
        planned,
    }
}

fn main() {
    let rounds = std::env::args().find_map(|word| word.parse().ok());
    let rounds: usize = rounds.unwrap_or(9);
    let mut times = vec![Vec::new(); VARIANTS.len()];
    for round in 0..rounds {
        for (times, variant) in times.iter_mut().zip(&VARIANTS) {
            times.push(measure(variant));
        }
        eprintln!("round {} of {rounds}", round + 1);
    }
    println!("| exit to the first restored tick | median (range), ms |\n|---|---|");
    for (times, variant) in times.iter_mut().zip(&VARIANTS) {
        times.sort_unstable();
        let ms = |time: &Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
        let (first, last) = (ms(&times[0]), ms(&times[times.len() - 1]));
        println!(
            "| {} | {} ({first}–{last}) |",
            variant.name,
            ms(&times[times.len() / 2])
        );
    }
}

fn measure(variant: &Variant) -> Duration {
    let place = tempfile::tempdir().unwrap();
    let (port, pid) = (free_port(), std::process::id());
    let godot = std::env::var("SIDEKICK_GODOT").expect("scripts/setup --env");
    let project = concat!(env!("CARGO_MANIFEST_DIR"), "/godot/demo");
    let (standby, ballast) = (variant.standby, variant.ballast);
    let text = format!(
        "[node]\nname = \"bench_{pid}_{port}@127.0.0.1\"\n[node.epmd]\nport = {port}\n[[server]]\nid = \"lobby\"\n\
         command = [{godot:?}, \"--headless\", \"--path\", {project:?}]\nhang_timeout = \"off\"\nstandby = {standby}\n\
         env = {{ DEMO_BALLAST = \"{ballast}\" }}\n"
    );
    std::fs::write(place.path().join("sidekick.toml"), text).unwrap();
    let sidekick = Sidekick::start_in(place.path());
    let waits = |server: &Value| variant.standby == 0 || server["standby"]["state"] == "standby";
    // Played for more than a second: its state is on disk.
    let plays = |server: &Value| server["health"]["tick"].as_u64() > Some(90);
    let up = |status: &Value| {
        let server = &status["servers"][0];
        server["state"] == "running" && waits(server) && plays(server)
    };
    let status = sidekick.ctl_until(&["status"], up);
    if variant.planned {
        sidekick.ctl_json(&["restart", "lobby"]);
    } else {
        let pid = status["servers"][0]["os_pid"].as_i64().unwrap() as i32;
        let pid = nix::unistd::Pid::from_raw(pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    let again = |status: &Value| {
        let server = &status["servers"][0];
        server["epoch"] == 2 && server["state"] == "running"
    };
    let status = sidekick.ctl_until(&["status"], again);
    let us = &status["servers"][0]["timings"]["exit_to_playing_us"];
    Duration::from_micros(us.as_u64().unwrap())
}
