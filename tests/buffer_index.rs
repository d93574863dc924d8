//! The index stays small: it is compacted while it is used, and answers the same before, meanwhile and afterwards.

#[path = "support/buffers.rs"]
mod buffers;
#[path = "support/generations.rs"]
mod generations;

use buffers::*;
use generations::*;
use rand::{SeedableRng, rngs::StdRng};
use sidekick::buffer::{Buffer, Options};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Both generations while a compaction lasts. One is compacted from 2 MiB on where little is in it; how far both grow until it is done
/// depends on how many processors the work and the keeper share (10 to 28 MiB were seen).
const INDEX_BYTES_MAX: u64 = 64 << 20;
/// So many compactions are waited for,
const COMPACTIONS: u64 = 3;
/// while the index is filled and emptied so often at most.
const CYCLES_MAX: u64 = 60;
/// Rounds of other work in each of them.
const ROUNDS: u64 = 60;

async fn answers(buffer: &Buffer, model: &BTreeMap<String, String>) {
    let state = buffer.state(&scope("world")).await.expect("reads");
    let expected: Vec<_> = model
        .iter()
        .map(|(name, value)| (key(name), payload(value)))
        .collect();
    assert_eq!(state, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_is_compacted_while_it_is_used() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let options = index_options(dir.path());
    let mut random = StdRng::seed_from_u64(4);
    let mut model = BTreeMap::new();
    let buffer = open(&options).await;
    let epoch = activate(&buffer, "lobby").await;
    let (mut most, mut cycle, mut meanwhile) = (0, 0, 0);
    while newest(&options) <= COMPACTIONS {
        let first = cycle * (BATCHES + 1) + 1;
        play(&buffer, epoch, first..first + BATCHES).await;
        for round in 0..ROUNDS {
            if round == ROUNDS / 2 {
                settle(&buffer, epoch, first + BATCHES).await;
            }
            churn(&buffer, &mut random, &mut model).await;
            most = most.max(index_bytes(&options));
            if generations(&options).len() > 1 {
                answers(&buffer, &model).await;
                meanwhile += 1;
            }
        }
        cycle += 1;
        let there = (generations(&options), index_bytes(&options));
        assert!(cycle < CYCLES_MAX, "{there:?}");
    }
    println!("{cycle} cycles, answers compared {meanwhile} times during compactions");
    answers(&buffer, &model).await;
    println!("{most} bytes at most");
    // What a session recorded since is found through the fresh index.
    let first = cycle * (BATCHES + 1) + 1;
    play(&buffer, epoch, first..first + 1).await;
    let restored = buffer.restore(&scope("lobby")).await.expect("restores");
    assert_eq!(restored.tail.len(), RUNS);
    assert!(most < INDEX_BYTES_MAX, "the index took {most} bytes");
    buffer.close().await;
    let buffer = open(&options).await;
    assert_eq!(buffer.info().opened.index_rebuilt, None);
    answers(&buffer, &model).await;
    let before = beyond_cursors(&witnessed(&buffer).await);
    buffer.close().await;
    std::fs::remove_dir_all(options.dir.join("index")).expect("removes the index");
    let buffer = open(&options).await;
    assert_eq!(beyond_cursors(&witnessed(&buffer).await), before);
    buffer.close().await;
}

/// Not a test of its own: the process that gets killed.
#[tokio::test(flavor = "multi_thread")]
async fn writer() {
    let Ok(dir) = std::env::var("SIDEKICK_INDEX_DIR") else {
        return;
    };
    let options = index_options(dir.as_ref());
    let buffer = open(&options).await;
    let mut random = StdRng::seed_from_u64(buffer.incarnation());
    let (mut model, mut first) = (BTreeMap::new(), 1);
    let epoch = activate(&buffer, "lobby").await;
    loop {
        play(&buffer, epoch, first..first + BATCHES).await;
        settle(&buffer, epoch, first + BATCHES).await;
        first += BATCHES + 1;
        let generation = newest(&options);
        while newest(&options) == generation || generations(&options).len() > 1 {
            let (revision, last) = churn(&buffer, &mut random, &mut model).await;
            println!("acknowledged {revision} {last}");
        }
    }
}

/// Runs the writer until a compaction is under way and it said so many lines more; then kills it. What it said last.
fn kill_while_compacting(options: &Options, dir: &std::path::Path, more: usize) -> (u64, u64) {
    let mut child = Command::new(std::env::current_exe().expect("this binary"))
        .args(["writer", "--exact", "--nocapture"])
        .env("SIDEKICK_INDEX_DIR", dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let out = BufReader::new(child.stdout.take().expect("piped"));
    let (mut told, mut left) = ((0, 0), None);
    for line in out.lines() {
        let line = line.expect("reads");
        if let Some(numbers) = line.strip_prefix("acknowledged ") {
            let (revision, last) = numbers.split_once(' ').expect("two numbers");
            told = (
                revision.parse().expect("a number"),
                last.parse().expect("a number"),
            );
        }
        if left.is_none() && generations(options).len() > 1 {
            left = Some(more);
        }
        if let Some(left) = &mut left {
            if *left == 0 {
                child.kill().expect("kills");
            }
            *left = left.saturating_sub(1);
        }
    }
    let status = child.wait().expect("ends");
    assert!(left.is_some() && !status.success(), "it ended by itself");
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_that_is_killed_changes_no_answer() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let options = index_options(dir.path());
    let (mut half, mut kept) = (0, 0);
    for round in 0..4 {
        let (revision, last) = kill_while_compacting(&options, dir.path(), round);
        half += usize::from(generations(&options).len() > 1);
        let buffer = open(&options).await;
        // What was written last may name a segment that was freed since; that is told, and has nothing to do with compaction.
        let rebuilt = buffer.info().opened.index_rebuilt;
        assert!(
            rebuilt
                .as_deref()
                .is_none_or(|why| why.ends_with("which is gone")),
            "round {round}: {rebuilt:?}"
        );
        kept += usize::from(rebuilt.is_none());
        let restored = buffer.restore(&scope("world")).await.expect("restores");
        assert!(restored.revision >= revision, "round {round}");
        assert!(buffer.stream(&stream("log")).expect("known").last >= last);
        let with_index = beyond_cursors(&witnessed(&buffer).await);
        buffer.close().await;
        std::fs::rename(options.dir.join("index"), dir.path().join("kept")).expect("renames");
        let buffer = open(&options).await;
        assert_eq!(beyond_cursors(&witnessed(&buffer).await), with_index);
        buffer.close().await;
        std::fs::remove_dir_all(dir.path().join("kept")).expect("removes");
    }
    assert!(half > 0, "no kill came in the middle of a compaction");
    assert!(kept > 0, "the index was rebuilt each time");
}
