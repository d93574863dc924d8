//! Power cuts: whatever was acknowledged before one is there afterwards, and the buffer opens, whatever became of the rest.
//!
//! The writer (this test binary again) runs behind a preload library that records every change of its directory and kills it at
//! some operation; a few such lives follow each other on one disk, with kills in between. Then `powercut/disk.rs` tells what a
//! power cut at some entry of the record would have left: synced bytes, a random part of the others torn at sectors, directory
//! entries as of some moment after their last sync. That image is opened and checked, and one of them is where the next lives begin.
//! `SIDEKICK_POWER_ROUNDS` makes it longer (default 24 cuts), `SIDEKICK_POWER_SEED` repeats a run, as far as threads allow.

#[path = "support/buffers.rs"]
mod buffers;
#[path = "support/crash.rs"]
mod crash;
#[path = "support/powercut/mod.rs"]
mod powercut;

use buffers::*;
use crash::*;
use powercut::disk::{self, Disk, Honours};
use powercut::record::Entry;
use powercut::{Behind, JOURNAL_ONLY, SYNC_FAILS};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tokio::runtime::Runtime;

/// Cuts of one record.
const CUTS: usize = 10;
/// Where the buffer lies below the disk's root; nobody has made these directories.
const BELOW: &str = "var/lib";

/// Not a test of its own: the process that gets killed.
#[test]
fn writer() {
    write_until_killed();
}

/// Lets a writer live until its `operations`th change, or until its syncs fail.
fn live(behind: &Behind, operations: u64, syncs_fail: bool) {
    if syncs_fail {
        behind.faults_at(operations / 2, SYNC_FAILS | JOURNAL_ONLY, 0);
    }
    behind.kill_at(operations);
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command
        .args(["writer", "--exact", "--nocapture"])
        .env("SIDEKICK_CRASH_DIR", behind.root().join(BELOW))
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let output = behind.wrap(&mut command).output().expect("starts");
    let failed = syncs_fail && output.status.code() == Some(101);
    assert!(
        failed || output.status.signal() == Some(9),
        "the writer ended by itself: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    behind.faults(0, 0);
}

/// Where to cut a record: anywhere, and as often where names changed.
fn places(record: &[Entry], random: &mut StdRng) -> BTreeSet<usize> {
    let names: Vec<usize> = (0..record.len())
        .filter(|n| {
            !matches!(
                record[*n],
                Entry::Write { .. } | Entry::Sync { .. } | Entry::Said(_)
            )
        })
        .collect();
    let mut places = BTreeSet::from([record.len()]);
    for n in 1..CUTS {
        let place = if n % 2 == 0 || names.is_empty() {
            random.random_range(0..=record.len())
        } else {
            names[random.random_range(0..names.len())] + random.random_range(0..4)
        };
        places.insert(place.min(record.len()));
    }
    places
}

/// What a writer said up to some entry.
#[derive(Default, Clone)]
struct Heard {
    told: Acknowledged,
    line: Vec<u8>,
}

impl Heard {
    fn hear(&mut self, said: &[u8]) {
        for byte in said {
            if *byte == b'\n' {
                self.told.hear(&String::from_utf8_lossy(&self.line));
                self.line.clear();
            } else {
                self.line.push(*byte);
            }
        }
    }
}

/// Opens an image and checks it.
fn open_and_check(runtime: &Runtime, dir: &Path, told: &Acknowledged, round: usize) {
    let options = crash_options(&dir.join(BELOW));
    if round % 5 == 3 {
        std::fs::remove_dir_all(options.dir.join("index")).ok();
    }
    runtime.block_on(async {
        let buffer = open(&options).await;
        check(&buffer, told).await;
        let before = witnessed(&buffer).await;
        buffer.close().await;
        if round % 4 == 1 {
            let buffer = open(&options).await;
            let again = beyond_cursors(&witnessed(&buffer).await);
            assert_eq!(again, beyond_cursors(&before), "opened once more");
            buffer.close().await;
        }
        if round % 40 == 7 {
            let theirs = independent(&options.dir).expect("reads");
            assert_eq!(beyond_cursors(&theirs), beyond_cursors(&before));
        }
    });
}

/// A disk through lives and power cuts.
struct Story {
    place: tempfile::TempDir,
    behind: Behind,
    runtime: Runtime,
    random: StdRng,
    honours: Honours,
    heard: Heard,
    round: usize,
}

impl Story {
    fn new(seed: u64, honours: Honours) -> Self {
        let place = tempfile::tempdir().expect("temporary directory");
        Self {
            behind: Behind::new(place.path()),
            place,
            runtime: Runtime::new().expect("a runtime"),
            random: StdRng::seed_from_u64(seed),
            honours,
            heard: Heard::default(),
            round: 0,
        }
    }

    /// A few lives, then cuts. What the checks said, each.
    fn chapter(&mut self) -> Vec<std::thread::Result<()>> {
        self.behind.forget();
        let mut disk = Disk::load(self.behind.root(), self.honours);
        for _ in 0..self.random.random_range(1..=3) {
            let most = if self.random.random_range(0..3) == 0 {
                60
            } else {
                2500
            };
            let operations = self.random.random_range(1..most);
            live(
                &self.behind,
                operations,
                self.random.random_range(0..3) == 0,
            );
        }
        let record = self.behind.record();
        let places = places(&record, &mut self.random);
        let mut results = Vec::new();
        let mut image = None;
        for n in 0..=record.len() {
            if places.contains(&n) {
                let next = disk.cut(&mut self.random);
                results.push(self.cut(&next, n, record.len()));
                image = Some(next);
            }
            let Some(entry) = record.get(n) else { break };
            disk.apply(entry);
            match entry {
                Entry::Said(said) => self.heard.hear(said),
                // What a life that was killed had begun to say, the next does not end.
                Entry::Begin => self.heard.line.clear(),
                _ => {}
            }
        }
        assert!(
            disk.seen() == disk::read(self.behind.root()),
            "something was written past the library: what it recorded is not what there is"
        );
        disk::write(&image.expect("cut at the end"), self.behind.root());
        results
    }

    fn cut(
        &mut self,
        image: &std::collections::BTreeMap<PathBuf, Option<Vec<u8>>>,
        at: usize,
        of: usize,
    ) -> std::thread::Result<()> {
        let dir = self.place.path().join(format!("image{}", self.round));
        disk::write(image, &dir);
        let told = &self.heard.told;
        let result = catch_unwind(AssertUnwindSafe(|| {
            open_and_check(&self.runtime, &dir, told, self.round);
        }));
        if result.is_err() {
            println!("cut {}, after {at} of {of} entries: {told:?}", self.round);
            disk::write(image, &dir);
        } else {
            std::fs::remove_dir_all(&dir).expect("removes the image");
        }
        self.round += 1;
        result
    }
}

fn seed() -> u64 {
    let seed = std::env::var("SIDEKICK_POWER_SEED")
        .map_or_else(|_| rand::random(), |seed| seed.parse().expect("a number"));
    println!("SIDEKICK_POWER_SEED={seed}");
    seed
}

#[test]
fn nothing_acknowledged_is_lost_by_a_power_cut() {
    let rounds: usize = std::env::var("SIDEKICK_POWER_ROUNDS")
        .map_or(24, |rounds| rounds.parse().expect("a number"));
    let mut story = Story::new(seed(), Honours::ALL);
    while story.round < rounds {
        for result in story.chapter() {
            if let Err(panic) = result {
                story.place.disable_cleanup(true);
                println!("kept in {}", story.place.path().display());
                resume_unwind(panic);
            }
        }
    }
    println!("{} power cuts", story.round);
}

/// The same test without something that it relies on has to fail.
fn is_noticed(honours: Honours) {
    let mut story = Story::new(seed(), honours);
    let noticed = (0..4).any(|_| story.chapter().iter().any(Result::is_err));
    assert!(
        noticed,
        "{} power cuts, and nothing was missed",
        story.round
    );
}

#[test]
fn without_syncs_of_files_it_would_be_lost() {
    is_noticed(Honours {
        file_syncs: false,
        ..Honours::ALL
    });
}

#[test]
fn without_syncs_of_directories_it_would_be_lost() {
    is_noticed(Honours {
        dir_syncs: false,
        ..Honours::ALL
    });
}

/// What frees a segment may be the very commit whose sync failed before: its file must stay until that commit is durable.
#[test]
fn opening_settles_the_last_commit_before_it_removes_what_that_freed() {
    let place = tempfile::tempdir().expect("temporary directory");
    let behind = Behind::new(place.path());
    let options = crash_options(&behind.root().join(BELOW));
    let file = |id: u64| options.dir.join(format!("journal/{id:016x}.seg"));
    Runtime::new().expect("a runtime").block_on(async {
        let buffer = open(&options).await;
        let mut appended = 0;
        while !file(3).exists() {
            let payloads = vec![payload(&"x".repeat(1000)); 8];
            appended = buffer
                .append(&stream("s"), payloads, None)
                .await
                .expect("appends")
                .last;
        }
        let freed = std::fs::read(file(1)).expect("reads");
        buffer
            .advance(&sink("khepri"), &stream("s"), appended)
            .await
            .expect("advances");
        until(&buffer, "segment 1 is freed", |_| !file(1).exists()).await;
        buffer.close().await;
        std::fs::write(file(1), freed).expect("puts it back");
    });
    let newest = (1..20).rev().find(|id| file(*id).exists());
    let newest = std::fs::metadata(file(newest.expect("a segment"))).expect("is there");
    live(&behind, 60, false);
    let record = behind.record();
    let settled = record
        .iter()
        .position(|entry| matches!(entry, Entry::Sync { inode } if *inode == newest.ino()));
    let removed = record
        .iter()
        .position(|entry| matches!(entry, Entry::Unlink { path } if *path == file(1)));
    assert!(
        settled.is_some() && settled < removed,
        "{settled:?} {removed:?}"
    );
}
