//! A stream with a limit holds no more than that of what its sinks lack, whatever its rule says to do then; other streams,
//! and sessions that do not touch it, notice nothing.

#[path = "support/buffers.rs"]
mod buffers;

use buffers::*;
use sidekick::buffer::{
    AppendError, Appended, Buffer, Change, Committed, Keep, Limit, OpenError, Options, Producer,
    SessionBatch, Start, StreamRule, WhenFull,
};
use sidekick::types::StreamName;
use std::path::Path;
use std::time::Duration;
use tokio::task::{JoinHandle, JoinSet};

/// What the journal takes for a run of one event, besides its payload.
const RUN: u64 = 52 + 3;
/// An extent, and the record that ends it.
const EXTENT: u64 = (64 << 10) + 1100;

fn limited(dir: &Path, limit: Limit, when_full: WhenFull) -> Options {
    let mut options = options(dir);
    options.sinks.push(sink_rule("khepri", Start::First));
    options.streams.push(StreamRule {
        pattern: "log".to_owned(),
        limit,
        when_full: Some(when_full),
        ..StreamRule::default()
    });
    options
}

fn count(count: u64) -> Limit {
    Limit {
        count: Some(count),
        ..Limit::default()
    }
}

fn bytes(bytes: u64) -> Limit {
    Limit {
        bytes: Some(bytes),
        ..Limit::default()
    }
}

async fn append(buffer: &Buffer, name: &str, events: usize) -> Result<Appended, AppendError> {
    let payloads = (0..events).map(|n| payload(&n.to_string())).collect();
    buffer.append(&stream(name), payloads, None).await
}

/// An append that is on its way into the buffer, behind all that were begun before.
fn begin(buffer: &Buffer, name: StreamName) -> JoinHandle<Result<Appended, AppendError>> {
    let buffer = buffer.clone();
    tokio::spawn(async move { buffer.append(&name, vec![payload("x")], None).await })
}

async fn acknowledge(buffer: &Buffer, to: u64) {
    let log = stream("log");
    buffer
        .advance(&sink("khepri"), &log, to)
        .await
        .expect("advances");
}

/// What the sink lacks.
fn held(buffer: &Buffer) -> u64 {
    let log = buffer.stream(&stream("log")).expect("known");
    log.last + 1 - log.first.max(log.cursors[0].1 + 1)
}

fn commit_later(
    buffer: &Buffer,
    batch: SessionBatch,
) -> JoinHandle<Result<Committed, AppendError>> {
    let buffer = buffer.clone();
    tokio::spawn(async move { buffer.commit(batch).await })
}

async fn others_go_on(buffer: &Buffer, epoch: u64) {
    for n in 1..=20 {
        append(buffer, "free", 2)
            .await
            .expect("another stream goes on");
        let mut batch = batch("other", epoch, n);
        batch.events = vec![(stream("free"), payload("x"))];
        batch.changes.push(Change::Put(key("k"), payload("v")));
        buffer.commit(batch).await.expect("another session goes on");
    }
}

#[tokio::test]
async fn appends_wait_at_the_limit_and_hold_up_nobody_else() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let buffer = open(&limited(dir.path(), count(100), WhenFull::Block)).await;
    append(&buffer, "log", 100).await.expect("fits exactly");
    assert!(!buffer.is_full(&stream("log")), "nothing has to wait yet");
    // On this one thread they are first polled, and so queued, in this order.
    let waiting: Vec<_> = (0..3).map(|_| begin(&buffer, stream("log"))).collect();
    until(&buffer, "meets the limit", |buffer| {
        buffer.stream(&stream("log")).expect("known").full
    })
    .await;
    assert_eq!(buffer.info().streams_full, 1);
    assert!(!buffer.info().full, "the buffer itself has room");
    let (one, other) = (
        activate(&buffer, "one").await,
        activate(&buffer, "other").await,
    );
    let mut touching = batch("one", one, 1);
    touching.events = vec![
        (stream("log"), payload("x")),
        (stream("free"), payload("x")),
    ];
    touching
        .changes
        .push(Change::Put(key("k"), payload("after the wait")));
    let touching = commit_later(&buffer, touching);
    tokio::task::yield_now().await;
    let mut behind = batch("one", one, 2);
    behind.changes.push(Change::Put(key("k"), payload("last")));
    let behind = commit_later(&buffer, behind);
    tokio::task::yield_now().await;
    others_go_on(&buffer, other).await;
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    assert!(!touching.is_finished() && !behind.is_finished());
    assert_eq!(
        buffer.get_state(&scope("one"), &key("k")).await,
        Ok(None),
        "nothing of a batch that waits"
    );

    acknowledge(&buffer, 2).await;
    let mut landed = Vec::new();
    let mut waiting = waiting.into_iter();
    for _ in 0..2 {
        let next = waiting.next().expect("three").await.expect("no panic");
        landed.push(next.expect("goes on by itself").first);
    }
    assert_eq!(landed, [101, 102], "in order");
    assert!(!behind.is_finished(), "the third and the batch still wait");
    acknowledge(&buffer, 4).await;
    let third = waiting.next().expect("three").await.expect("no panic");
    assert_eq!(third.expect("goes on").first, 103);
    assert!(touching.await.expect("no panic").is_ok());
    assert!(behind.await.expect("no panic").is_ok());
    assert_eq!(
        buffer.get_state(&scope("one"), &key("k")).await,
        Ok(Some(payload("last")))
    );
    assert_eq!(held(&buffer), 100);
    acknowledge(&buffer, 104).await;
    until(&buffer, "is relieved", |buffer| {
        !buffer.is_full(&stream("log"))
    })
    .await;
    buffer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_waiters_than_a_lane_holds_hold_up_no_other_stream() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let buffer = open(&limited(dir.path(), count(1), WhenFull::Block)).await;
    append(&buffer, "log", 1).await.expect("fits");
    let mut waiting = JoinSet::new();
    for _ in 0..6000 {
        let buffer = buffer.clone();
        waiting.spawn(async move { append(&buffer, "log", 1).await });
    }
    until(&buffer, "meets the limit", |buffer| {
        buffer.is_full(&stream("log"))
    })
    .await;
    for _ in 0..100 {
        append(&buffer, "free", 1).await.expect("goes on");
    }
    assert!(waiting.try_join_next().is_none(), "all wait");
    buffer.close().await;
    while let Some(refused) = waiting.join_next().await {
        let refused = refused.expect("no panic");
        assert!(
            matches!(refused, Err(AppendError::Stopped(_))),
            "{refused:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_sink_what_keep_trims_lets_appends_go_on() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut options = limited(dir.path(), count(10), WhenFull::Block);
    options.sinks.clear();
    options.streams[0].keep = Keep {
        count: Some(4),
        ..Keep::default()
    };
    let buffer = open(&options).await;
    for n in 0..40 {
        let appended = append(&buffer, "log", 1).await.expect("goes on");
        assert_eq!(appended.first, n + 1);
        let log = buffer.stream(&stream("log")).expect("known");
        assert!(log.last + 1 - log.first <= 10, "{log:?}");
    }
    buffer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_refuses_where_told_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let limit = 300_000;
    let buffer = open(&limited(dir.path(), bytes(limit), WhenFull::Reject)).await;
    let log = stream("log");
    let producer = |batch| {
        Some(Producer {
            name: "p".into(),
            batch,
        })
    };
    let event = || vec![payload(&"x".repeat(1000))];
    let mut accepted = 0;
    let refused = loop {
        match buffer.append(&log, event(), producer(accepted + 1)).await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, AppendError::Full);
    assert_eq!(accepted, limit / (1000 + RUN), "exactly what fits");
    assert!(buffer.is_full(&log));
    let again = buffer.append(&log, event(), producer(accepted)).await;
    assert!(
        again.expect("is answered").repeated,
        "a repeat needs no room"
    );
    let epoch = activate(&buffer, "lobby").await;
    let mut whole = batch("lobby", epoch, 1);
    whole.events = vec![
        (stream("free"), payload("x")),
        (log.clone(), payload(&"x".repeat(1000))),
    ];
    whole.changes.push(Change::Put(key("k"), payload("v")));
    let refused = buffer.commit(whole.clone()).await;
    assert_eq!(refused, Err(AppendError::Full));
    assert!(
        buffer.stream(&stream("free")).is_none(),
        "whole or not at all"
    );
    append(&buffer, "free", 1).await.expect("goes on");
    let huge = vec![payload(&"x".repeat(1000)); 400];
    assert!(
        matches!(buffer.append(&log, huge, None).await, Err(AppendError::TooLarge { limit: bound, .. }) if bound < limit + 1),
        "it would wait for ever"
    );

    acknowledge(&buffer, 150).await;
    let mut more = 0;
    while buffer.append(&log, event(), None).await.is_ok() {
        more += 1;
    }
    let exact = 150;
    assert!(
        (exact - EXTENT / (1000 + RUN)..=exact).contains(&more),
        "{more}: within an extent below what was acknowledged"
    );
    acknowledge(&buffer, accepted + more).await;
    assert!(!buffer.commit(whole).await.expect("fits now").repeated);
    buffer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_drop_exactly_counted_and_listed() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let options = limited(dir.path(), count(100), WhenFull::DropOldest);
    let mut buffer = open(&options).await;
    append(&buffer, "log", 50).await.expect("appends");
    acknowledge(&buffer, 20).await;
    // Many at once, so that groups hold several drops.
    let mut appends = JoinSet::new();
    for n in 0..300 {
        let buffer = buffer.clone();
        appends.spawn(async move { append(&buffer, "log", 1 + n % 3).await });
    }
    while let Some(appended) = appends.join_next().await {
        appended.expect("no panic").expect("never waits");
        assert!(held(&buffer) <= 100);
    }
    let last = 50 + 600;
    for round in 0..3 {
        let log = buffer.stream(&stream("log")).expect("known");
        assert_eq!((log.first, log.last), (last - 99, last));
        assert_eq!(log.dropped, last - 100 - 20, "not those the sink had");
        assert_eq!(
            buffer.dropped_ranges(&stream("log")),
            [(21, last - 100)],
            "the next upload says so"
        );
        assert_eq!(everything(&buffer, &log.name, last).await.len(), 100);
        let witnessed = witnessed(&buffer).await;
        buffer.close().await;
        assert_eq!(independent(&options.dir).expect("reads"), witnessed);
        if round == 0 {
            std::fs::remove_dir_all(options.dir.join("index")).expect("removes the index");
        }
        buffer = open(&options).await;
    }
    acknowledge(&buffer, last).await;
    append(&buffer, "log", 100).await.expect("fits");
    let log = buffer.stream(&stream("log")).expect("known");
    assert_eq!(log.dropped, last - 100 - 20, "what sinks have makes room");
    buffer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_drop_by_extents() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let limit = 300_000;
    let buffer = open(&limited(dir.path(), bytes(limit), WhenFull::DropOldest)).await;
    let log = stream("log");
    for n in 0..2000 {
        let event = vec![payload(&"x".repeat(1000))];
        buffer.append(&log, event, None).await.expect("never waits");
        let info = buffer.stream(&log).expect("known");
        assert!(info.bytes <= limit, "{info:?}");
        assert!(
            info.dropped == 0 || info.bytes + EXTENT > limit,
            "{n}: no more than an extent too much: {info:?}"
        );
        assert_eq!(info.dropped, info.first - 1);
    }
    assert!(buffer.is_full(&log));
    until(&buffer, "frees what was dropped", |buffer| {
        buffer.info().segments < 16
    })
    .await;
    buffer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_drop_by_themselves() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let limit = Limit {
        age: Some(Duration::from_millis(1)),
        ..Limit::default()
    };
    let mut options = limited(dir.path(), limit, WhenFull::DropOldest);
    options.streams[0].keep = Keep {
        count: Some(1000),
        ..Keep::default()
    };
    let buffer = open(&options).await;
    append(&buffer, "log", 10).await.expect("appends");
    acknowledge(&buffer, 4).await;
    until(&buffer, "drops", |buffer| {
        buffer.stream(&stream("log")).expect("known").first == 11
    })
    .await;
    let log = buffer.stream(&stream("log")).expect("known");
    assert_eq!(log.dropped, 6, "not those the sink had");
    assert_eq!(buffer.dropped_ranges(&stream("log")), [(5, 10)]);
    buffer.close().await;
}

#[test]
fn limits_that_cannot_work_do_not_open() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let old = Limit {
        age: Some(Duration::from_secs(1)),
        ..Limit::default()
    };
    for (limit, when_full) in [(old, WhenFull::Block), (count(0), WhenFull::DropOldest)] {
        let refused = Buffer::open(limited(dir.path(), limit, when_full)).err();
        assert!(
            matches!(refused, Some(OpenError::Options(_))),
            "{refused:?}"
        );
    }
}
