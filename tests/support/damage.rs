//! A buffer to be damaged, and the ways to do so.

use crate::buffers::*;
use rand::{SeedableRng, rngs::StdRng};
use sidekick::buffer::{Buffer, Change, OpenError, Options, inspect};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A buffer with several segments, closed; and what it answered.
pub async fn filled(dir: &Path) -> (Options, Vec<String>) {
    let options = options(dir);
    let buffer = open(&options).await;
    for n in 0..200u64 {
        buffer
            .append(&stream("log"), vec![payload(&format!("{n:>1500}"))], None)
            .await
            .expect("appends");
        buffer
            .change(
                &scope("lobby"),
                vec![Change::Put(
                    key(&format!("k{}", n % 40)),
                    payload(&n.to_string()),
                )],
            )
            .await
            .expect("changes");
    }
    let answers = witnessed(&buffer).await;
    buffer.close().await;
    (options, answers)
}

pub fn segments(options: &Options) -> Vec<PathBuf> {
    let entries = fs::read_dir(options.dir.join("journal")).expect("lists");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("reads").path())
        .filter(|path| path.extension().is_some())
        .collect();
    files.sort();
    files
}

pub fn rounds() -> usize {
    std::env::var("SIDEKICK_DAMAGE_ROUNDS").map_or(24, |rounds| rounds.parse().expect("a number"))
}

pub fn seeded() -> StdRng {
    let seed = std::env::var("SIDEKICK_DAMAGE_SEED")
        .map_or_else(|_| rand::random(), |seed| seed.parse().expect("a number"));
    println!("SIDEKICK_DAMAGE_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

pub fn without_index(options: &Options) {
    fs::remove_dir_all(options.dir.join("index")).expect("removes the index");
}

pub fn overwrite(file: &Path, offset: u64, bytes: &[u8]) {
    OpenOptions::new()
        .write(true)
        .open(file)
        .and_then(|file| file.write_all_at(bytes, offset))
        .expect("writes");
}

pub fn flip(file: &Path, bit: u64) {
    let mut byte = [0];
    let open = OpenOptions::new()
        .read(true)
        .write(true)
        .open(file)
        .expect("opens");
    open.read_exact_at(&mut byte, bit / 8).expect("reads");
    byte[0] ^= 1 << (bit % 8);
    open.write_all_at(&byte, bit / 8).expect("writes");
}

pub fn used_bytes(options: &Options, file: &Path) -> u64 {
    let report = inspect::verify(&options.dir).expect("reads");
    report
        .segments
        .iter()
        .find(|segment| segment.file == file)
        .expect("listed")
        .used_bytes
}

pub async fn refusal(options: &Options) -> (PathBuf, u64, String) {
    let options = options.clone();
    let opened = tokio::task::spawn_blocking(move || Buffer::open(options))
        .await
        .expect("no panic");
    match opened.err() {
        Some(OpenError::Corrupt {
            file,
            offset,
            reason,
        }) => (file, offset, reason),
        other => panic!("should have been refused as damaged: {other:?}"),
    }
}

pub async fn answers(options: &Options) -> Vec<String> {
    let buffer = open(options).await;
    let answers = witnessed(&buffer).await;
    buffer.close().await;
    answers
}
