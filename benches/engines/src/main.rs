//! sidekick's journal beside other engines, in interleaved rounds: `sidekick-engines DIR ROUNDS [SECONDS [BYTES]]`,
//! with BYTES only for records of that size.
//!
//! Each engine does the same work: one producer that waits for each commit to be durable, and beside it a reader that follows and
//! removes what it has read. `raw` is the bound: a preallocated file, one `fdatasync` for each commit, nothing else. A round visits
//! all engines for each size, beginning with another one each time; so what disturbs the machine disturbs all alike. Printed are
//! medians over the rounds of the ratio to `raw` *in the same round*, with the range.

mod engines;
mod ours;

use engines::{Engine, Fjall, Raw, Redb, Sled, Sqlite};
use ours::Ours;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Bytes of a record and records of a commit.
const SIZES: [(usize, usize); 5] = [(1024, 1), (1024, 16), (1024, 256), (65536, 1), (65536, 16)];
/// Not counted: caches, first segments, first trims.
const WARM_UP: Duration = Duration::from_millis(300);
/// What the reader takes at once.
const BATCH: usize = 256;

const NAMES: [&str; 6] = ["raw", "sidekick", "fjall", "redb", "sqlite", "sled"];

fn open(name: &str, dir: &Path) -> Arc<dyn Engine> {
    match name {
        "raw" => Arc::new(Raw::open(dir)),
        "sidekick" => Arc::new(Ours::open(dir)),
        "fjall" => Arc::new(Fjall::open(dir)),
        "redb" => Arc::new(Redb::open(dir)),
        "sqlite" => Arc::new(Sqlite::open(dir)),
        _ => Arc::new(Sled::open(dir)),
    }
}

/// What one engine did in one round.
#[derive(Clone, Copy)]
struct Run {
    records_per_s: f64,
    p50_us: f64,
    p99_us: f64,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().expect("a directory");
    let number =
        |text: Option<String>, default| text.map_or(default, |n| n.parse().expect("a number"));
    let rounds: usize = number(arguments.next(), 9.0) as usize;
    let slice = Duration::from_secs_f64(number(arguments.next(), 1.0));
    let only = arguments
        .next()
        .map(|bytes| number(Some(bytes), 0.0) as usize);
    for (bytes, per_commit) in SIZES {
        if only.is_some_and(|only| only != bytes) {
            continue;
        }
        let mut runs = vec![Vec::new(); NAMES.len()];
        for round in 0..rounds {
            for turn in 0..NAMES.len() {
                let n = (turn + round) % NAMES.len();
                let place = tempfile::tempdir_in(&dir).expect("a directory");
                runs[n].push(run(&open(NAMES[n], place.path()), bytes, per_commit, slice));
            }
        }
        table(bytes, per_commit, &runs);
    }
}

fn run(engine: &Arc<dyn Engine>, bytes: usize, per_commit: usize, slice: Duration) -> Run {
    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let (engine, done) = (Arc::clone(engine), Arc::clone(&done));
        std::thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                if engine.drain(BATCH) == 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        })
    };
    let record = vec![7_u8; bytes];
    let mut began = Instant::now();
    while began.elapsed() < WARM_UP {
        engine.append(&record, per_commit);
    }
    let mut commits_us = Vec::new();
    began = Instant::now();
    while began.elapsed() < slice {
        let commit = Instant::now();
        engine.append(&record, per_commit);
        commits_us.push(commit.elapsed().as_secs_f64() * 1e6);
    }
    let took = began.elapsed().as_secs_f64();
    done.store(true, Ordering::Relaxed);
    reader.join().expect("the reader ends");
    engine.close();
    let records_per_s = (commits_us.len() * per_commit) as f64 / took;
    commits_us.sort_by(f64::total_cmp);
    let at = |part: f64| commits_us[((commits_us.len() - 1) as f64 * part) as usize];
    Run {
        records_per_s,
        p50_us: at(0.5),
        p99_us: at(0.99),
    }
}

fn table(bytes: usize, per_commit: usize, runs: &[Vec<Run>]) {
    println!(
        "\n{bytes} bytes, {per_commit} per commit, median of {} rounds:\n",
        runs[0].len()
    );
    println!("| engine | records/s | × raw | range | p50 µs | p99 µs | p99 × raw |");
    println!("|---|---|---|---|---|---|---|");
    let raw = &runs[0];
    for (name, runs) in NAMES.iter().zip(runs) {
        let of = |what: fn(&Run) -> f64| median(runs.iter().map(what).collect());
        let over = |what: fn(&Run) -> f64| -> Vec<f64> {
            runs.iter()
                .zip(raw)
                .map(|(run, raw)| what(run) / what(raw))
                .collect()
        };
        let ratios = over(|run| run.records_per_s);
        println!(
            "| {name} | {:.0} | {:.2} | {:.2}–{:.2} | {:.0} | {:.0} | {:.2} |",
            of(|run| run.records_per_s),
            median(ratios.clone()),
            ratios.iter().copied().fold(f64::MAX, f64::min),
            ratios.iter().copied().fold(0.0, f64::max),
            of(|run| run.p50_us),
            of(|run| run.p99_us),
            median(over(|run| run.p99_us)),
        );
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
