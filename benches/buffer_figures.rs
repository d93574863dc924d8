//! Figures of the buffer on this machine: `cargo bench --bench buffer_figures -- DIR`.
//!
//! Acknowledged records per second against raw preallocated append with one `fdatasync` per commit, in the same run; reopening
//! a large journal; memory.

use sidekick::buffer::{Buffer, Options, SinkRule, Start};
use sidekick::types::{Payload, SinkName, StreamName};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const SLICE: Duration = Duration::from_millis(1500);

fn main() {
    if std::env::args().nth(1).as_deref() == Some("--open") {
        return reopened(Path::new(&std::env::args().nth(2).expect("a directory")));
    }
    let dir = std::env::args()
        .nth(1)
        .map_or_else(std::env::temp_dir, PathBuf::from)
        .join(format!("figures-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("makes its directory");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(figures(&dir));
    std::fs::remove_dir_all(&dir).expect("removes its directory");
}

async fn figures(dir: &Path) {
    println!(
        "{:>8} {:>8} {:>14} {:>14} {:>7}",
        "bytes", "/commit", "raw rec/s", "buffer rec/s", "ratio"
    );
    for (bytes, per_commit) in [(1024, 1), (1024, 16), (1024, 256), (65536, 1), (65536, 16)] {
        let mut ratios = Vec::new();
        let (mut raws, mut ours) = (Vec::new(), Vec::new());
        for round in 0..3 {
            let raw = raw(&dir.join(format!("raw{round}")), bytes, per_commit);
            let our = one_producer(
                &dir.join(format!("b{bytes}-{per_commit}-{round}")),
                bytes,
                per_commit,
            )
            .await;
            ratios.push(our / raw);
            raws.push(raw);
            ours.push(our);
        }
        println!(
            "{bytes:>8} {per_commit:>8} {:>14.0} {:>14.0} {:>7.2}",
            median(raws),
            median(ours),
            median(ratios)
        );
    }
    println!(
        "8 producers, 100 bytes, 64 per append: {:.0} records/s",
        many_producers(&dir.join("many")).await
    );
    reopen(&dir.join("large")).await;
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn raw(path: &Path, bytes: usize, per_commit: usize) -> f64 {
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(path)
        .expect("opens");
    let size = 64 << 20;
    let zeros = vec![0; 1 << 20];
    (0..size >> 20).for_each(|n| file.write_all_at(&zeros, n << 20).expect("writes"));
    file.sync_all().expect("syncs");
    let record = vec![7; bytes * per_commit];
    let (began, mut commits, mut at) = (Instant::now(), 0_u64, 0);
    while began.elapsed() < SLICE {
        if at + record.len() as u64 > size {
            at = 0;
        }
        file.write_all_at(&record, at).expect("writes");
        file.sync_data().expect("syncs");
        at += record.len() as u64;
        commits += 1;
    }
    (commits * per_commit as u64) as f64 / began.elapsed().as_secs_f64()
}

fn options(dir: &Path) -> Options {
    let mut options = Options::new(dir);
    options.sinks.push(SinkRule {
        name: SinkName::try_from("drain").expect("valid"),
        patterns: vec!["*".to_owned()],
        start: Start::First,
    });
    options
}

async fn open(options: Options) -> Buffer {
    tokio::task::spawn_blocking(move || Buffer::open(options))
        .await
        .expect("no panic")
        .expect("opens")
}

/// One producer, each append one commit; a sink reads and acknowledges beside it, so that segments are recycled.
async fn one_producer(dir: &Path, bytes: usize, per_commit: usize) -> f64 {
    let buffer = open(options(dir)).await;
    let name = StreamName::try_from("log").expect("valid");
    let payload = Payload::from(vec![7; bytes]);
    let drain = tokio::spawn(drain(buffer.clone(), name.clone()));
    let (began, mut records) = (Instant::now(), 0);
    while began.elapsed() < SLICE {
        buffer
            .append(&name, vec![payload.clone(); per_commit], None)
            .await
            .expect("appends");
        records += per_commit;
    }
    let rate = records as f64 / began.elapsed().as_secs_f64();
    drain.abort();
    buffer.close().await;
    rate
}

async fn drain(buffer: Buffer, name: StreamName) {
    let sink = SinkName::try_from("drain").expect("valid");
    let (mut next, mut committed) = (1, buffer.committed());
    loop {
        let records = buffer
            .read(&name, next, 256, 1 << 20)
            .await
            .unwrap_or_default();
        if let Some(last) = records.last() {
            next = last.seq + 1;
            buffer
                .advance(&sink, &name, last.seq)
                .await
                .expect("advances");
        } else if committed.changed().await.is_err() {
            return;
        }
    }
}

async fn many_producers(dir: &Path) -> f64 {
    let buffer = open(options(dir)).await;
    let began = Instant::now();
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let buffer = buffer.clone();
            tokio::spawn(async move {
                let name = StreamName::try_from(&*format!("log{n}")).expect("valid");
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
    rate
}

async fn reopen(dir: &Path) {
    let buffer = open(options(dir)).await;
    let name = StreamName::try_from("log").expect("valid");
    let payload = Payload::from(vec![7; 1024]);
    for _ in 0..(1 << 20) / 1024 {
        buffer
            .append(&name, vec![payload.clone(); 1024], None)
            .await
            .expect("appends");
    }
    buffer.close().await;
    println!(
        "1 GiB backlog: resident {} KiB after writing it",
        resident_kib()
    );
    for (what, without_index) in [("with its index", false), ("without", true)] {
        if without_index {
            std::fs::remove_dir_all(dir.join("index")).expect("removes");
        }
        // In a process of its own, for the memory it takes.
        let child = std::process::Command::new(std::env::current_exe().expect("this binary"))
            .arg("--open")
            .arg(dir)
            .status();
        println!("  ({what}: {})", child.expect("runs"));
    }
    let size: u64 = std::fs::read_dir(dir.join("index"))
        .expect("lists")
        .flatten()
        .filter_map(|e| e.metadata().ok())
        .map(|m| m.len())
        .sum();
    println!("the index takes {size} bytes");
}

fn reopened(dir: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let before = resident_kib();
        let began = Instant::now();
        let buffer = open(options(dir)).await;
        let took = began.elapsed();
        print!(
            "reopened in {took:?}; resident {before} KiB before, {} KiB after, {} KiB at most",
            resident_kib(),
            peak_kib()
        );
        let name = StreamName::try_from("log").expect("valid");
        let mut next = 1;
        while let Some(last) = buffer
            .read(&name, next, 1024, 1 << 20)
            .await
            .expect("reads")
            .last()
        {
            next = last.seq + 1;
        }
        println!(
            "; all read in {:?}, resident {} KiB",
            began.elapsed().saturating_sub(took),
            resident_kib()
        );
        buffer.close().await;
    });
}

fn status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("reads");
    let line = status
        .lines()
        .find(|line| line.starts_with(field))
        .unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .unwrap_or(0)
}

fn resident_kib() -> u64 {
    status("VmRSS:")
}

fn peak_kib() -> u64 {
    status("VmHWM:")
}
