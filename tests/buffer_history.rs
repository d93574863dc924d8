//! Earlier values of a key stay readable, as many as the scope's rule says, through trimming, reopening, rebuilding and salvage;
//! and what was removed stays removed.

#[path = "support/buffers.rs"]
mod buffers;

use buffers::*;
use sidekick::buffer::{Buffer, Change, OpenError, Options, Past, Start, StateRule, salvage};
use std::path::Path;

const KEEPS: u32 = 4;

fn keeping(dir: &Path, history: u32) -> Options {
    let mut options = options(dir);
    options.sinks.push(sink_rule("khepri", Start::First));
    options.states.push(StateRule {
        pattern: "lob*".to_owned(),
        history,
    });
    options
}

async fn put(buffer: &Buffer, name: &str, value: &str) -> u64 {
    let put = Change::Put(key(name), payload(value));
    let changed = buffer.change(&scope("lobby"), vec![put]).await;
    changed.expect("changes")
}

async fn remove(buffer: &Buffer, name: &str) -> u64 {
    let removed = buffer
        .change(&scope("lobby"), vec![Change::Delete(key(name))])
        .await;
    removed.expect("changes")
}

async fn history(buffer: &Buffer, name: &str) -> Vec<Past> {
    let found = buffer.history(&scope("lobby"), &key(name)).await;
    found.expect("reads")
}

fn past(rev: u64, value: &str) -> Past {
    Past {
        rev,
        value: Some(payload(value)),
    }
}

/// Some 20 KB of events.
async fn fill(buffer: &Buffer) -> u64 {
    let events = vec![payload(&"x".repeat(1000)); 20];
    let done = buffer.append(&stream("busy"), events, None).await;
    done.expect("appends").last
}

async fn acknowledge(buffer: &Buffer, last: u64) {
    let (sink, lobby) = (sink("khepri"), scope("lobby"));
    let done = buffer.advance(&sink, &stream("busy"), last).await;
    done.expect("advances");
    let delta = buffer.state_delta(&sink, &lobby).await.expect("reads");
    if let Some(delta) = delta {
        let done = buffer.advance_state(&sink, &lobby, delta.rev).await;
        done.expect("advances");
    }
}

/// The sink has all, the journal is a few segments on, and what was before is freed.
async fn churn(buffer: &Buffer) {
    for _ in 0..12 {
        let last = fill(buffer).await;
        acknowledge(buffer, last).await;
    }
    until(buffer, "shrinks", |buffer| buffer.info().segments <= 3).await;
}

/// Closes and opens, perhaps without the index: then a reader that never had one has to agree first.
async fn reopen(buffer: Buffer, options: &Options, without_index: bool) -> Buffer {
    let witnessed = witnessed(&buffer).await;
    buffer.close().await;
    if without_index {
        let independent = independent(&options.dir).expect("reads");
        assert_eq!(beyond_cursors(&independent), beyond_cursors(&witnessed));
        std::fs::remove_dir_all(options.dir.join("index")).expect("removes the index");
    }
    open(options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_values_outlive_the_segments_they_were_written_in() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let options = keeping(dir.path(), KEEPS);
    let mut buffer = open(&options).await;
    assert_eq!(history(&buffer, "k").await, []);
    let mut values = Vec::new();
    for n in 0..12 {
        let value = format!("value {n}");
        values.insert(0, past(put(&buffer, "k", &value).await, &value));
        put(&buffer, "other", &value).await;
        values.truncate(1 + KEEPS as usize);
        assert_eq!(history(&buffer, "k").await, values);
        if n % 2 == 0 {
            churn(&buffer).await;
            assert_eq!(history(&buffer, "k").await, values, "moved");
        }
        if n % 3 == 0 {
            buffer = reopen(buffer, &options, n % 2 == 0).await;
            assert_eq!(history(&buffer, "k").await, values, "reopened");
        }
    }
    let state = buffer.state(&scope("lobby")).await.expect("reads");
    assert_eq!(state.len(), 2);
    assert_eq!(state[0], (key("k"), payload("value 11")));
    let arena = scope("arena");
    for value in ["1", "2"] {
        let put = Change::Put(key("k"), payload(value));
        buffer.change(&arena, vec![put]).await.expect("changes");
    }
    let found = buffer.history(&arena, &key("k")).await;
    assert_eq!(found, Ok(vec![past(2, "2")]), "no rule, no history");
    buffer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_stays_removed_and_its_history_ends() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let options = keeping(dir.path(), KEEPS);
    let mut buffer = open(&options).await;
    put(&buffer, "stays", "here").await;
    let empty = buffer.info().state_bytes;
    // Removed in a later segment than its values are in, so that these are moved behind it.
    for round in 0..3 {
        for n in 0..3 {
            put(&buffer, "k", &format!("{round} {n}")).await;
        }
        if round % 2 == 0 {
            churn(&buffer).await;
        }
        let rev = remove(&buffer, "k").await;
        let found = history(&buffer, "k").await;
        assert_eq!(found[0], Past { rev, value: None }, "a removal is an entry");
        assert_eq!(found[1], past(rev - 1, &format!("{round} 2")));
        for n in 0..6 {
            if n % 2 == 1 {
                churn(&buffer).await;
            }
            buffer = reopen(buffer, &options, n % 3 == 1).await;
            let value = buffer.get_state(&scope("lobby"), &key("k")).await;
            assert_eq!(value, Ok(None), "round {round}, {n}: it rose from the dead");
        }
        assert_eq!(history(&buffer, "k").await, [], "nothing is left to keep");
        assert_eq!(buffer.info().state_bytes, empty);
    }
    buffer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_outlasts_the_values_that_were_moved_behind_it() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let options = keeping(dir.path(), KEEPS);
    let mut buffer = open(&options).await;
    for round in 0..4 {
        // The values in one segment, the removal in the next; then the first is freed, the second, and so on.
        for n in 0..3 {
            put(&buffer, "k", &format!("{round} {n}")).await;
        }
        let mut last = 0;
        for _ in 0..4 {
            last = fill(&buffer).await;
        }
        remove(&buffer, "k").await;
        acknowledge(&buffer, last).await;
        for step in 0..12 {
            let last = fill(&buffer).await;
            acknowledge(&buffer, last).await;
            until(&buffer, "shrinks", |buffer| buffer.info().segments <= 4).await;
            buffer.close().await;
            std::fs::remove_dir_all(options.dir.join("index")).expect("removes the index");
            buffer = open(&options).await;
            let value = buffer.get_state(&scope("lobby"), &key("k")).await;
            assert_eq!(
                value,
                Ok(None),
                "round {round}, step {step}: it rose from the dead"
            );
        }
    }
    buffer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_rule_holds_from_then_on() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut options = keeping(dir.path(), KEEPS);
    let mut buffer = open(&options).await;
    for n in 0..8 {
        put(&buffer, "k", &n.to_string()).await;
    }
    for (history_now, seen) in [(1, 2), (0, 1), (KEEPS, 1)] {
        options.states[0].history = history_now;
        buffer = reopen(buffer, &options, false).await;
        if history_now > 0 {
            churn(&buffer).await;
        } else {
            put(&buffer, "k", "newest").await;
        }
        assert_eq!(history(&buffer, "k").await.len(), seen, "{history_now}");
    }
    put(&buffer, "k", "last").await;
    let found = history(&buffer, "k").await;
    let revs: Vec<u64> = found.iter().map(|past| past.rev).collect();
    assert_eq!(revs, [10, 9]);
    buffer.close().await;
    options.states[0].history = 65;
    let refused = tokio::task::spawn_blocking(move || Buffer::open(options).err()).await;
    let refused = refused.expect("no panic");
    assert!(
        matches!(refused, Some(OpenError::Options(_))),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn salvage_takes_it_along() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut options = keeping(dir.path(), KEEPS);
    let buffer = open(&options).await;
    for n in 0..3 {
        put(&buffer, "k", &format!("early {n}")).await;
        put(&buffer, "gone", "x").await;
    }
    churn(&buffer).await;
    for n in 0..2 {
        put(&buffer, "k", &format!("late {n}")).await;
    }
    remove(&buffer, "gone").await;
    let before = history(&buffer, "k").await;
    assert_eq!(before.len(), 5);
    buffer.close().await;
    let out = dir.path().join("salvaged");
    let report = salvage::salvage(&options.dir, &out).expect("salvages");
    assert_eq!(report.values, 1, "earlier values are none of their own");
    options.dir.clone_from(&out);
    let buffer = open(&options).await;
    assert_eq!(history(&buffer, "k").await, before);
    assert_eq!(history(&buffer, "gone").await, []);
    buffer.close().await;
}
