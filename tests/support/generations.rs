//! What lies in the index' directory, and work that makes it grow and shrink.
#![allow(dead_code, reason = "each test file uses some")]

use crate::buffers::*;
use rand::{Rng, rngs::StdRng};
use sidekick::buffer::{Buffer, Change, Options, Start};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The generations there are, ascending. They come and go while the buffer is open.
pub fn generations(options: &Options) -> Vec<u64> {
    let names = fs::read_dir(options.dir.join("index"))
        .into_iter()
        .flatten();
    let mut numbers: Vec<u64> = names
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}

pub fn newest(options: &Options) -> u64 {
    generations(options).last().copied().unwrap_or(0)
}

/// Where the generation in use lies, of a buffer that is closed.
pub fn in_use(options: &Options) -> PathBuf {
    options.dir.join("index").join(newest(options).to_string())
}

/// What all files of the index take.
pub fn index_bytes(options: &Options) -> u64 {
    below(&options.dir.join("index"))
}

fn below(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => below(&entry.path()),
            Ok(meta) => meta.len(),
            // Removed meanwhile.
            Err(_) => 0,
        })
        .sum()
}

const KEYS: u32 = 1000;
/// Batches of a session that belong to its tail, and runs of each: an entry of the index for each run.
pub const BATCHES: u64 = 12;
pub const RUNS: usize = 600;

pub fn index_options(dir: &Path) -> Options {
    let mut options = options(dir);
    options.segment_bytes = 1 << 20;
    options.max_bytes = 32 << 20;
    options.sinks.push(sink_rule("khepri", Start::First));
    options
}

/// One round: keys of a scope are set and removed, events are appended, and what the sink has is trimmed.
pub async fn churn(
    buffer: &Buffer,
    random: &mut StdRng,
    model: &mut BTreeMap<String, String>,
) -> (u64, u64) {
    let changes = (0..50)
        .map(|_| {
            let name = format!("entity/{:05}", random.random_range(0..KEYS));
            if random.random_range(0..10) == 0 {
                model.remove(&name);
                return Change::Delete(key(&name));
            }
            let value = random.random::<u64>().to_string();
            let change = Change::Put(key(&name), payload(&value));
            model.insert(name, value);
            change
        })
        .collect();
    let outcome = buffer.change(&scope("world"), changes).await;
    let revision = outcome.expect("changes");
    let khepri = sink("khepri");
    buffer
        .advance_state(&khepri, &scope("world"), revision)
        .await
        .expect("advances");
    let log = stream("log");
    let appended = buffer
        .append(&log, vec![payload(&"x".repeat(2000)); 8], None)
        .await
        .expect("appends");
    if appended.last % 5 == 0 {
        buffer
            .advance(&khepri, &log, appended.first)
            .await
            .expect("advances");
    }
    (revision, appended.last)
}

/// A session that plays long without a change of state: all it recorded is its tail.
pub async fn play(buffer: &Buffer, epoch: u64, numbers: std::ops::Range<u64>) {
    let streams = [stream(&"a".repeat(250)), stream(&"b".repeat(250))];
    for number in numbers {
        let mut batch = batch("lobby", epoch, number);
        batch.events = (0..RUNS)
            .map(|n| (streams[n % 2].clone(), payload("event")))
            .collect();
        buffer.commit(batch).await.expect("commits");
    }
}

/// The sink has everything; with the state point that follows nothing of it is needed any more.
pub async fn settle(buffer: &Buffer, epoch: u64, number: u64) {
    let khepri = sink("khepri");
    let mut point = batch("lobby", epoch, number);
    point
        .changes
        .push(Change::Put(key("score"), payload(&number.to_string())));
    buffer.commit(point).await.expect("commits");
    for info in buffer.streams() {
        buffer
            .advance(&khepri, &info.name, info.last)
            .await
            .expect("advances");
    }
}
