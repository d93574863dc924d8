//! The recorded bytes of real peers in `tests/corpus`, one file for each message, and changes to them.

#![allow(dead_code, clippy::unwrap_used)]

use rand::Rng;
use rand::rngs::StdRng;
use std::path::{Path, PathBuf};

pub fn dir(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(kind)
}

/// All files of a kind, by name.
pub fn read(kind: &str) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(dir(kind)).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    assert!(
        !files.is_empty(),
        "tests/corpus/{kind} is empty: scripts/fuzz record"
    );
    files
}

/// Seeds are random and printed; `SIDEKICK_SEED` repeats a run.
pub fn seed() -> u64 {
    let given = std::env::var("SIDEKICK_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    println!("SIDEKICK_SEED={seed}");
    seed
}

/// The bytes with each single byte changed, cut after each, and with one put in at each place.
pub fn every_single_change(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for at in 0..bytes.len() {
        for change in [1, 0x80, 0xff] {
            let mut changed = bytes.to_vec();
            changed[at] ^= change;
            all.push(changed);
        }
        all.push(bytes[..at].to_vec());
        let mut longer = bytes.to_vec();
        longer.insert(at, 0);
        all.push(longer);
    }
    all
}

/// The bytes with a few changes of any kind.
pub fn mutate(bytes: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..rng.random_range(1..=4) {
        if bytes.is_empty() {
            break;
        }
        let at = rng.random_range(0..bytes.len());
        let end = rng.random_range(at..bytes.len().min(at + 20)) + 1;
        match rng.random_range(0..7) {
            0 => bytes[at] = rng.random(),
            1 => bytes[at] = bytes[at].wrapping_add(1),
            2 => bytes[at..end].fill([0, 0xff][rng.random_range(0..2)]),
            3 => bytes.truncate(at),
            4 => {
                let piece = bytes[at..end].to_vec();
                let to = rng.random_range(0..=bytes.len());
                bytes.splice(to..to, piece);
            }
            5 => drop(bytes.drain(at..end)),
            _ => bytes.insert(at, rng.random()),
        }
    }
    bytes
}
