//! kill -9 at random moments: whatever was acknowledged is there, in order, once; and an independent reader agrees.
//!
//! The writer is this test binary again, started with `SIDEKICK_CRASH_DIR`. It prints each acknowledgement only after the
//! buffer gave it. `SIDEKICK_CRASH_ROUNDS` makes it longer (default 20), `SIDEKICK_CRASH_SEED` repeats a run.

#[path = "support/buffers.rs"]
mod buffers;
#[path = "support/crash.rs"]
mod crash;

use buffers::*;
use crash::*;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// Not a test of its own: the process that gets killed.
#[test]
fn writer() {
    write_until_killed();
}

/// Runs the writer until it said `lines` lines, kills it, reads what else it said.
fn run_and_kill(dir: &Path, lines: usize, told: &mut Acknowledged) {
    let mut child = Command::new(std::env::current_exe().expect("this binary"))
        .args(["writer", "--exact", "--nocapture"])
        .env("SIDEKICK_CRASH_DIR", dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let out = BufReader::new(child.stdout.take().expect("piped"));
    let mut said = 0;
    for line in out.lines() {
        let line = line.expect("reads");
        told.hear(&line);
        said += 1;
        if said == lines {
            child.kill().expect("kills");
        }
    }
    let mut stderr = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().expect("piped"), &mut stderr)
        .expect("reads");
    let status = child.wait().expect("ends");
    assert!(
        said >= lines && !status.success(),
        "the writer ended by itself: {stderr}"
    );
}

#[test]
fn nothing_acknowledged_is_lost() {
    let rounds: usize = std::env::var("SIDEKICK_CRASH_ROUNDS")
        .map_or(20, |rounds| rounds.parse().expect("a number"));
    let seed: u64 = std::env::var("SIDEKICK_CRASH_SEED")
        .map_or_else(|_| rand::random(), |seed| seed.parse().expect("a number"));
    println!("SIDEKICK_CRASH_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().expect("temporary directory");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut told = Acknowledged::default();
    for round in 0..rounds {
        run_and_kill(dir.path(), random.random_range(1..1500), &mut told);
        if round % 7 == 3 {
            std::fs::remove_dir_all(dir.path().join("buffer/index")).expect("removes the index");
        }
        runtime.block_on(async {
            let buffer = open(&crash_options(dir.path())).await;
            check(&buffer, &told).await;
            let ours = (round + 1 == rounds).then_some(witnessed(&buffer).await);
            buffer.close().await;
            if let Some(ours) = ours {
                let theirs = independent(&crash_options(dir.path()).dir).expect("reads");
                assert_eq!(beyond_cursors(&theirs), beyond_cursors(&ours));
            }
        });
    }
}
