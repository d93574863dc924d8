//! How much memory hostile bytes cost, counted by an allocator of this test program.
//!
//! One test, as everything that runs in the process counts.

#![allow(clippy::unwrap_used)]

#[path = "support/random_terms.rs"]
mod random_terms;
#[path = "support/strangers.rs"]
mod strangers;

use bytes::Bytes;
use peak_alloc::PeakAlloc;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sidekick::etf;
use strangers::Stranger;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// A term in memory takes 32 bytes where its external form can be one byte; twice that while a container grows.
const TIMES_MAX: usize = 100;
/// What containers start with, all 256 levels of them.
const MORE_BYTES_MAX: usize = 1 << 20;
/// What a stranger may make us hold.
const STRANGER_BYTES_MAX: usize = 64 << 10;

/// The most memory in use at once during the work, beyond what was in use before.
fn peak<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let result = work();
    (MEMORY.peak_usage().saturating_sub(before), result)
}

fn inputs() -> Vec<(&'static str, Vec<u8>)> {
    let mut all = Vec::new();
    let repeated: [(&str, &[u8]); 12] = [
        ("tuples", &[105, 255, 255, 255, 255]),
        ("lists", &[108, 255, 255, 255, 255]),
        ("maps", &[116, 255, 255, 255, 255]),
        ("binaries", &[109, 255, 255, 255, 255]),
        ("honest tuples", &[105, 0, 0, 16, 0]),
        ("honest lists", &[108, 0, 0, 16, 0]),
        ("honest maps", &[116, 0, 0, 8, 0]),
        ("small tuples", &[104, 255]),
        ("funs", &[112, 255, 255, 255, 255]),
        ("nils", &[106]),
        ("atoms", &[119, 1, b'a']),
        ("keys", &[116, 0, 0, 0, 1, 104, 0]),
    ];
    for (what, piece) in repeated {
        for len in [1_000, 20_000, 1_000_000] {
            let mut body = vec![etf::VERSION];
            body.extend(piece.iter().cycle().take(len));
            all.push((what, body));
        }
    }
    let of = |head: &[u8], count: u32, piece: &[u8]| {
        [
            &[etf::VERSION],
            head,
            &count.to_be_bytes(),
            &piece.repeat(count as usize),
            &[106],
        ]
        .concat()
    };
    all.push(("a tuple of nils", of(&[105], 1_000_000, &[106])));
    all.push(("a list of nils", of(&[108], 1_000_000, &[106])));
    all.push((
        "strings",
        of(
            &[108],
            60,
            &[&[107, 255, 255][..], &vec![0; 65_535]].concat(),
        ),
    ));
    all.push(("empty strings", of(&[108], 300_000, &[107, 0, 0])));
    let distinct: Vec<u8> = (0..200_000u32)
        .flat_map(|n| [&[98][..], &n.to_be_bytes(), &[106]].concat())
        .collect();
    all.push((
        "a map",
        [
            &[etf::VERSION, 116][..],
            &200_000u32.to_be_bytes(),
            &distinct,
        ]
        .concat(),
    ));
    all
}

fn terms() {
    for (what, body) in inputs() {
        let bytes = body.len();
        let input = Bytes::from(body);
        let (used, _) = peak(|| etf::decode(input).is_ok());
        assert!(
            used <= TIMES_MAX * bytes + MORE_BYTES_MAX,
            "{what}: {used} for {bytes}"
        );
    }
    let mut rng = StdRng::seed_from_u64(1);
    for _ in 0..20_000 {
        let mut body = etf::encode(&random_terms::term(&mut rng, 3)).to_vec();
        for _ in 0..3 {
            let at = rng.random_range(1..body.len());
            body[at] = rng.random();
        }
        let (bytes, input) = (body.len(), Bytes::from(body));
        let (used, _) = peak(|| etf::decode(input.clone()).is_ok());
        assert!(
            used <= TIMES_MAX * bytes + MORE_BYTES_MAX,
            "{used} for {input:?}"
        );
    }
}

/// Each stranger says its worst and stays; the handshake and the port mapper end it.
fn strangers() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for stranger in strangers::all() {
        let Stranger { what, .. } = &stranger;
        // What is allocated once and for all, and by the other end, is counted in a first round.
        let (_, first) = peak(|| runtime.block_on(stranger.meet()));
        let (used, second) = peak(|| runtime.block_on(stranger.meet()));
        assert!(first.is_err() && second.is_err(), "{what} was let in");
        assert!(used <= STRANGER_BYTES_MAX, "{what}: {used} bytes");
    }
}

#[test]
fn what_hostile_bytes_cost() {
    terms();
    strangers();
}
