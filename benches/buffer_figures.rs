//! Figures of the buffer on this machine: `cargo bench --bench buffer_figures -- DIR ROUNDS`.
//!
//! Many producers, state at a game's pace and what coalescing saves, what draining leaves on disk, and opening a large backlog. How
//! the journal stands beside other engines is in `benches/engines`, what the whole program takes of memory in `benches/backlog.exs`.

use sidekick::buffer::{Buffer, Change, Options, SessionBatch, SinkRule, Start};
use sidekick::types::{Key, Payload, Scope, SinkName, StreamName, Token};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const SLICE: Duration = Duration::from_secs(2);
const KEYS: usize = 2000;
/// Ticks of a game, and how many of them are played.
const HZ: u32 = 60;
const TICKS: u64 = 600;

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--bench"))
        .collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    if arguments.first().is_some_and(|word| word == "--open") {
        return runtime.block_on(opened(Path::new(&arguments[1])));
    }
    let dir = arguments
        .first()
        .map_or_else(std::env::temp_dir, PathBuf::from)
        .join(format!("figures-{}", std::process::id()));
    let rounds = arguments
        .get(1)
        .map_or(9, |rounds| rounds.parse().expect("a number of rounds"));
    std::fs::create_dir_all(&dir).expect("makes its directory");
    runtime.block_on(figures(&dir, rounds));
    std::fs::remove_dir_all(&dir).expect("removes its directory");
}

async fn figures(dir: &Path, rounds: usize) {
    println!("| figure | median | range |\n|---|---|---|");
    let mut rates = Vec::new();
    for round in 0..rounds {
        rates.push(many_producers(&dir.join(format!("many{round}"))).await);
    }
    row(
        "8 producers, 100-byte records, 64 to an append: acknowledged records/s",
        0,
        rates,
    );
    state(&dir.join("state")).await;
    backlog(&dir.join("backlog"), rounds).await;
}

/// Prints the median and the range.
fn row(what: &str, decimals: usize, mut values: Vec<f64>) {
    values.sort_by(f64::total_cmp);
    let (least, most) = (values[0], values[values.len() - 1]);
    let median = values[values.len() / 2];
    println!("| {what} | {median:.decimals$} | {least:.decimals$}–{most:.decimals$} |");
}

fn options(dir: &Path, sinks: &[&str]) -> Options {
    let mut options = Options::new(dir);
    options.sinks.extend(sinks.iter().map(|name| SinkRule {
        name: sink(name),
        patterns: vec!["*".to_owned()],
        start: Start::First,
    }));
    options
}

fn sink(name: &str) -> SinkName {
    SinkName::try_from(name).expect("valid")
}

fn stream(name: &str) -> StreamName {
    StreamName::try_from(name).expect("valid")
}

async fn open(options: Options) -> Buffer {
    tokio::task::spawn_blocking(move || Buffer::open(options))
        .await
        .expect("no panic")
        .expect("opens")
}

async fn many_producers(dir: &Path) -> f64 {
    let buffer = open(options(dir, &["drain"])).await;
    let began = Instant::now();
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let buffer = buffer.clone();
            tokio::spawn(async move {
                let name = stream(&format!("log{n}"));
                let payload = Payload::from(vec![7; 100]);
                let mut records = 0;
                while began.elapsed() < SLICE {
                    buffer
                        .append(&name, vec![payload.clone(); 64], None)
                        .await
                        .expect("appends");
                    records += 64;
                }
                records
            })
        })
        .collect();
    let mut records = 0;
    for task in tasks {
        records += task.await.expect("no panic");
    }
    let rate = f64::from(records) / began.elapsed().as_secs_f64();
    buffer.close().await;
    std::fs::remove_dir_all(dir).expect("removes it");
    rate
}

/// A game that changes 2,000 keys in each of 60 ticks a second, every commit durable, with two sinks that fetch what they lack.
async fn state(dir: &Path) {
    let buffer = open(options(dir, &["often", "seldom"])).await;
    let scope = Scope::try_from("lobby").expect("valid");
    let epoch = buffer
        .activate(&scope, Token::new("bench"))
        .await
        .expect("activates");
    let sent = [("often", 50), ("seldom", 1000)].map(|(name, ms)| {
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sent);
        (
            sent,
            tokio::spawn(fetch(
                buffer.clone(),
                scope.clone(),
                sink(name),
                ms,
                counted,
            )),
        )
    });
    let mut clock = tokio::time::interval(Duration::from_secs(1) / HZ);
    let (mut commits_ms, mut bytes) = (Vec::new(), 0_usize);
    for tick in 1..=TICKS {
        clock.tick().await;
        let changes: Vec<Change> = (0..KEYS).map(|n| position(n, tick)).collect();
        bytes += changes.iter().map(size).sum::<usize>();
        let began = Instant::now();
        let batch = SessionBatch {
            scope: scope.clone(),
            epoch,
            batch: tick,
            events: Vec::new(),
            changes,
        };
        buffer.commit(batch).await.expect("commits");
        commits_ms.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let late = commits_ms
        .iter()
        .filter(|ms| **ms > 1e3 / f64::from(HZ))
        .count();
    row(
        "60 Hz × 2,000 keys of 48 bytes: a durable commit, ms",
        2,
        commits_ms,
    );
    println!("| … commits that took longer than a tick, of {TICKS} | {late} | – |");
    for ((sent, task), what) in sent.into_iter().zip(["20 Hz", "1 Hz"]) {
        task.abort();
        let share = 100.0 * sent.load(Ordering::Relaxed) as f64 / bytes as f64;
        println!(
            "| … bytes that a sink at {what} is sent, of the bytes acknowledged | {share:.1} % | – |"
        );
    }
    buffer.close().await;
    std::fs::remove_dir_all(dir).expect("removes it");
}

/// Fetches what the sink lacks, again and again, and counts its bytes.
async fn fetch(
    buffer: Buffer,
    scope: Scope,
    sink: SinkName,
    every_ms: u64,
    counted: Arc<AtomicUsize>,
) {
    let mut clock = tokio::time::interval(Duration::from_millis(every_ms));
    loop {
        clock.tick().await;
        let delta = buffer.state_delta(&sink, &scope).await.expect("reads");
        let Some(delta) = delta else { continue };
        let sent: usize = delta
            .put
            .iter()
            .map(|(key, value)| key.as_bytes().len() + value.len())
            .sum();
        counted.fetch_add(sent, Ordering::Relaxed);
        buffer
            .advance_state(&sink, &scope, delta.rev)
            .await
            .expect("advances");
    }
}

fn position(n: usize, tick: u64) -> Change {
    let key = Key::try_from(&*format!("entity:{n:04}")).expect("valid");
    Change::Put(key, Payload::from(format!("{tick:>48}").into_bytes()))
}

fn size(change: &Change) -> usize {
    match change {
        Change::Put(key, value) => key.as_bytes().len() + value.len(),
        Change::Delete(key) => key.as_bytes().len(),
    }
}

/// 1 GiB of 1 KiB records: opening it, with and without its index, and what draining leaves.
async fn backlog(dir: &Path, rounds: usize) {
    let buffer = open(options(dir, &["drain"])).await;
    let payload = Payload::from(vec![7; 1024]);
    let mut last = 0;
    for _ in 0..(1 << 20) / 1024 {
        last = buffer
            .append(&stream("log"), vec![payload.clone(); 1024], None)
            .await
            .expect("appends")
            .last;
    }
    buffer.close().await;
    println!(
        "| a backlog of 1 GiB: its index, MiB | {:.1} | – |",
        mib(&dir.join("index"))
    );
    for (what, without_index) in [("its index", false), ("no index", true)] {
        let mut took_ms = Vec::new();
        for _ in 0..rounds {
            if without_index {
                std::fs::remove_dir_all(dir.join("index")).expect("removes it");
            }
            took_ms.push(open_elsewhere(dir));
        }
        row(&format!("… opened with {what}, warm cache, ms"), 0, took_ms);
    }
    let buffer = open(options(dir, &["drain"])).await;
    let mut committed = buffer.committed();
    buffer
        .advance(&sink("drain"), &stream("log"), last)
        .await
        .expect("advances");
    while buffer.info().segments > 2 {
        committed.changed().await.expect("still open");
    }
    buffer.close().await;
    println!(
        "| … drained: journal, MiB; index, MiB | {:.0}; {:.1} | – |",
        mib(&dir.join("journal")),
        mib(&dir.join("index"))
    );
}

/// Opens it in a process of its own, and says how long that took, ms.
fn open_elsewhere(dir: &Path) -> f64 {
    let output = std::process::Command::new(std::env::current_exe().expect("this binary"))
        .arg("--open")
        .arg(dir)
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&output.stdout);
    said.trim().parse().expect("says how long it took")
}

async fn opened(dir: &Path) {
    let began = Instant::now();
    let buffer = open(options(dir, &["drain"])).await;
    println!("{}", began.elapsed().as_secs_f64() * 1e3);
    buffer.close().await;
}

/// Bytes of all files below a directory.
fn mib(dir: &Path) -> f64 {
    let bytes_of = |dir: &Path| -> u64 {
        let mut waiting = vec![dir.to_owned()];
        let mut bytes = 0;
        while let Some(dir) = waiting.pop() {
            for entry in std::fs::read_dir(dir).expect("lists").flatten() {
                match entry.metadata() {
                    Ok(found) if found.is_dir() => waiting.push(entry.path()),
                    Ok(found) => bytes += found.len(),
                    // It went while we looked.
                    Err(_) => {}
                }
            }
        }
        bytes
    };
    bytes_of(dir) as f64 / f64::from(1 << 20)
}
