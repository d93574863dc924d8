//! `O_DIRECT` or not: the same preallocated append with and without it (docs/adr/0001). `cargo bench --bench direct_io -- DIR ROUNDS`.
//!
//! Every variant writes the same groups to the same kind of file: preallocated, zeroed, written round and round. Variants take
//! turns within a round; printed are medians over the rounds of the rate, and of rate and p99 over plain appending in the same round.

use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

const FILE_BYTES: u64 = 64 << 20;
const SLICE: Duration = Duration::from_millis(400);
/// Bytes of a record and records of a commit.
const SIZES: [(usize, usize); 5] = [(1024, 1), (1024, 16), (1024, 256), (65536, 1), (65536, 16)];
/// What `O_DIRECT` needs addresses, offsets and lengths to be multiples of.
const BLOCK: usize = 4096;

#[derive(Clone, Copy)]
struct Variant {
    name: &'static str,
    flags: OFlags,
    /// Whether a commit ends with `fdatasync`; with `O_DSYNC` each write does that.
    syncs: bool,
}

fn variants() -> [Variant; 4] {
    let variant = |name, flags, syncs| Variant { name, flags, syncs };
    [
        variant("write, fdatasync", OFlags::empty(), true),
        variant("O_DSYNC", OFlags::DSYNC, false),
        variant("O_DIRECT, fdatasync", OFlags::DIRECT, true),
        variant("O_DIRECT, O_DSYNC", OFlags::DIRECT | OFlags::DSYNC, false),
    ]
}

/// Commits per second, and the 99th of a hundred commits in microseconds.
fn run(path: &Path, variant: Variant, bytes: usize) -> (f64, f64) {
    let flags = OFlags::WRONLY | variant.flags;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).expect("opens"));
    let direct = variant.flags.contains(OFlags::DIRECT);
    // A block that is not full is padded, and written again with the next commit: so a journal would have to do it.
    let length = if direct {
        bytes.next_multiple_of(BLOCK)
    } else {
        bytes
    };
    let room = vec![7; length + BLOCK];
    let from = room.as_ptr().align_offset(BLOCK);
    let group = &room[from..from + length];
    let (mut at, mut took) = (0, Vec::new());
    let began = Instant::now();
    while began.elapsed() < SLICE {
        if at + length as u64 > FILE_BYTES {
            at = 0;
        }
        let offset = if direct {
            at / BLOCK as u64 * BLOCK as u64
        } else {
            at
        };
        let commit = Instant::now();
        file.write_all_at(group, offset).expect("writes");
        if variant.syncs {
            file.sync_data().expect("syncs");
        }
        took.push(commit.elapsed().as_secs_f64() * 1e6);
        at += bytes as u64;
    }
    took.sort_by(f64::total_cmp);
    let per_s = took.len() as f64 / took.iter().sum::<f64>() * 1e6;
    (per_s, took[(took.len() - 1) * 99 / 100])
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    let dir = arguments.next().expect("a directory");
    let rounds: usize = arguments.next().map_or(9, |n| n.parse().expect("a number"));
    let path = Path::new(&dir).join(format!("direct-{}", std::process::id()));
    let file = File::create(&path).expect("makes its file");
    let zeros = vec![0; 1 << 20];
    (0..FILE_BYTES >> 20).for_each(|n| file.write_all_at(&zeros, n << 20).expect("writes"));
    file.sync_all().expect("syncs");
    println!("| bytes × records | how | commits/s | × plain (range) | p99 × plain |");
    println!("|---|---|---|---|---|");
    for (bytes, count) in SIZES {
        let mut runs = vec![Vec::new(); variants().len()];
        for round in 0..rounds {
            for turn in 0..runs.len() {
                let n = (turn + round) % runs.len();
                runs[n].push(run(&path, variants()[n], bytes * count));
            }
        }
        for (variant, of) in variants().iter().zip(&runs) {
            let over = |what: fn(&(f64, f64)) -> f64| -> Vec<f64> {
                let pairs = of.iter().zip(&runs[0]);
                pairs.map(|(run, plain)| what(run) / what(plain)).collect()
            };
            let rates = over(|run| run.0);
            println!(
                "| {bytes} × {count} | {} | {:.0} | {:.2} ({:.2}–{:.2}) | {:.2} |",
                variant.name,
                median(of.iter().map(|run| run.0).collect()),
                median(rates.clone()),
                rates.iter().copied().fold(f64::MAX, f64::min),
                rates.iter().copied().fold(0.0, f64::max),
                median(over(|run| run.1)),
            );
        }
    }
    std::fs::remove_file(&path).expect("removes its file");
}
