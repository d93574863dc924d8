//! The term codec beside eetf, on the bytes that OTP made of the same terms: `node_codec FILE...`.
//!
//! For each file one line per codec and direction: `NAME CODEC DIRECTION NANOSECONDS ALLOCATIONS`. One call is one round;
//! `scripts/bench node` takes several and puts OTP's own figures between them.

use bytes::{Bytes, BytesMut};
use sidekick::etf::{self, Term};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How long each direction of each codec is measured.
const SLICE: Duration = Duration::from_millis(100);
/// How many calls one look at the clock covers; it costs as much as a small term.
const BATCH: u32 = 16;

fn main() {
    // `cargo bench` starts every benchmark, with flags of its own.
    let files = std::env::args().skip(1).filter(|arg| !arg.starts_with('-'));
    for file in files {
        let path = Path::new(&file);
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let bytes = Bytes::from(std::fs::read(path).expect("reads the term"));
        ours(&name, &bytes);
        theirs(&name, &bytes);
    }
}

fn ours(name: &str, bytes: &Bytes) {
    measure(name, "sidekick", "decode", || {
        etf::decode(bytes.clone()).expect("decodes")
    });
    let term: Term = etf::decode(bytes.clone()).expect("decodes");
    // Into a buffer that lives on, as an outbox is.
    let mut out = BytesMut::with_capacity(2 * bytes.len());
    measure(name, "sidekick", "encode", || {
        out.clear();
        etf::encode_into(&term, &mut out);
        out.len()
    });
}

fn theirs(name: &str, bytes: &Bytes) {
    measure(name, "eetf", "decode", || {
        eetf::Term::decode(&bytes[..]).expect("decodes")
    });
    let term = eetf::Term::decode(&bytes[..]).expect("decodes");
    let mut out = Vec::with_capacity(2 * bytes.len());
    measure(name, "eetf", "encode", || {
        out.clear();
        term.encode(&mut out).expect("encodes");
        out.len()
    });
}

fn measure<T>(name: &str, codec: &str, direction: &str, mut work: impl FnMut() -> T) {
    black_box(work());
    let region = Region::new(ALLOCATOR);
    black_box(work());
    let change = region.change();
    let allocations = change.allocations + change.reallocations;
    // The median of short batches: what another process takes of the machine meanwhile falls on few of them.
    let mut batches = Vec::new();
    let began = Instant::now();
    while began.elapsed() < SLICE {
        let batch = Instant::now();
        for _ in 0..BATCH {
            black_box(work());
        }
        batches.push(batch.elapsed().as_nanos() as f64 / f64::from(BATCH));
    }
    batches.sort_by(f64::total_cmp);
    let nanoseconds = batches[batches.len() / 2];
    println!("{name} {codec} {direction} {nanoseconds:.1} {allocations}");
}
