//! Space comes back once every sink has what filled it, and nothing that is still needed goes with it.

#[path = "support/buffers.rs"]
mod buffers;

use buffers::*;
use sidekick::buffer::{AppendError, Buffer, Change, Keep, Options, Start, StreamRule, WhenFull};
use sidekick::types::StreamName;
use std::time::Duration;

async fn fill(buffer: &Buffer, name: &StreamName, events: u64, bytes: usize) {
    for n in 0..events.div_ceil(16) {
        let count = 16.min(events - n * 16) as usize;
        buffer
            .append(name, vec![payload(&"x".repeat(bytes)); count], None)
            .await
            .expect("appends");
    }
}

async fn advance_all(buffer: &Buffer, to: &str) {
    for stream in buffer.streams() {
        buffer
            .advance(&sink(to), &stream.name, stream.last)
            .await
            .expect("advances");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_buffer_shrinks_and_keeps_state_tail_and_numbers() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut options = options(dir.path());
    options.sinks.push(sink_rule("khepri", Start::First));
    let mut buffer = open(&options).await;
    let epoch = activate(&buffer, "lobby").await;
    let mut with_state = batch("lobby", epoch, 1);
    with_state
        .changes
        .push(Change::Put(key("world"), payload("hash")));
    buffer.commit(with_state).await.expect("commits");
    let mut with_event = batch("lobby", epoch, 2);
    with_event.events.push((stream("match"), payload("goal")));
    buffer.commit(with_event).await.expect("commits");
    buffer
        .change(&scope("gone"), vec![Change::Put(key("k"), payload("v"))])
        .await
        .expect("changes");
    buffer
        .change(&scope("gone"), vec![Change::Delete(key("k"))])
        .await
        .expect("changes");

    for round in 0..4 {
        fill(&buffer, &stream("busy"), 1600, 1000).await;
        assert!(buffer.info().segments > 20, "it grew: {:?}", buffer.info());
        advance_all(&buffer, "khepri").await;
        until(&buffer, "shrinks", |buffer| buffer.info().segments <= 2).await;
        let restored = buffer.restore(&scope("lobby")).await.expect("restores");
        assert_eq!(restored.state, [(key("world"), payload("hash"))]);
        assert_eq!(restored.tail.len(), 1, "pinned by the state point");
        assert_eq!((restored.epoch, restored.batch), (epoch, 2));
        assert_eq!(buffer.state(&scope("gone")).await, Ok(vec![]));
        let busy = buffer.stream(&stream("busy")).expect("known");
        assert_eq!(
            (busy.first, busy.last),
            (1600 * (round + 1) + 1, 1600 * (round + 1))
        );
        buffer.close().await;
        if round % 2 == 0 {
            std::fs::remove_dir_all(dir.path().join("buffer/index")).expect("removes the index");
        }
        buffer = open(&options).await;
    }
    let again = buffer
        .commit(batch("lobby", epoch, 2))
        .await
        .expect("answers");
    assert!(
        again.repeated,
        "numbers outlive the segments they were written in"
    );
    let third = buffer
        .commit(batch("lobby", epoch, 3))
        .await
        .expect("commits");
    assert!(!third.repeated);
    buffer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_stream_pins_no_space_but_its_own() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut options = options(dir.path());
    options.sinks.push(sink_rule("khepri", Start::First));
    let mut buffer = open(&options).await;
    for n in 0..40u64 {
        buffer
            .append(
                &stream("stalled"),
                vec![payload(&format!("precious {n}"))],
                None,
            )
            .await
            .expect("appends");
        fill(&buffer, &stream("busy"), 160, 1000).await;
        let last = buffer.stream(&stream("busy")).expect("known").last;
        buffer
            .advance(&sink("khepri"), &stream("busy"), last)
            .await
            .expect("advances");
    }
    until(&buffer, "shrinks", |buffer| buffer.info().segments <= 8).await;
    for _ in 0..2 {
        let stalled = buffer
            .read(&stream("stalled"), 1, 100, usize::MAX)
            .await
            .expect("reads");
        let expected: Vec<_> = (0..40)
            .map(|n| (n + 1, payload(&format!("precious {n}"))))
            .collect();
        assert_eq!(
            stalled
                .into_iter()
                .map(|record| (record.seq, record.payload))
                .collect::<Vec<_>>(),
            expected
        );
        buffer.close().await;
        std::fs::remove_dir_all(dir.path().join("buffer/index")).expect("removes the index");
        buffer = open(&options).await;
    }
    buffer.close().await;
}

fn small(dir: &std::path::Path, when_full: WhenFull) -> Options {
    let mut options = options(dir);
    options.max_bytes = 1 << 20;
    options.when_full = when_full;
    options.sinks.push(sink_rule("khepri", Start::First));
    options
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_buffer_rejects_where_told_and_state_still_fits() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let buffer = open(&small(dir.path(), WhenFull::Reject)).await;
    let log = stream("log");
    let mut accepted = 0;
    let refused = loop {
        match buffer
            .append(&log, vec![payload(&"x".repeat(10_000))], None)
            .await
        {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, AppendError::Full);
    assert!((50..105).contains(&accepted), "{accepted}");
    assert!(buffer.info().full);
    activate(&buffer, "lobby").await;
    buffer
        .change(
            &scope("lobby"),
            vec![Change::Put(key("k"), payload(&"v".repeat(1000)))],
        )
        .await
        .expect("state has its reserve");
    advance_all(&buffer, "khepri").await;
    until(&buffer, "shrinks", |buffer| buffer.info().segments <= 3).await;
    buffer
        .append(&log, vec![payload("fits again")], None)
        .await
        .expect("appends");
    assert!(
        std::fs::read_dir(dir.path().join("buffer/journal"))
            .expect("lists")
            .count()
            <= 16,
        "within max_bytes"
    );
    buffer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_buffer_blocks_until_there_is_space() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let options = small(dir.path(), WhenFull::Block);
    let buffer = open(&options).await;
    let log = stream("log");
    let writer = tokio::spawn({
        let (buffer, log) = (buffer.clone(), log.clone());
        async move {
            for _ in 0..300 {
                buffer
                    .append(&log, vec![payload(&"x".repeat(10_000))], None)
                    .await
                    .expect("appends");
            }
        }
    });
    let mut full_seen = 0;
    let done = |buffer: &Buffer| {
        buffer
            .stream(&stream("log"))
            .is_some_and(|log| log.last == 300)
    };
    while !done(&buffer) {
        until(&buffer, "fills or ends", |buffer| {
            buffer.info().full || done(buffer)
        })
        .await;
        full_seen += u32::from(buffer.info().full);
        // Not only appends: everything else goes on while they wait.
        buffer
            .change(&scope("lobby"), vec![Change::Put(key("k"), payload("v"))])
            .await
            .expect("changes");
        advance_all(&buffer, "khepri").await;
    }
    writer.await.expect("no panic");
    assert!(full_seen > 0, "it was full at least once");
    let log = buffer.stream(&log).expect("known");
    assert_eq!((log.last, log.dropped), (300, 0));
    assert!(
        std::fs::read_dir(dir.path().join("buffer/journal"))
            .expect("lists")
            .count()
            <= 16,
        "within max_bytes"
    );
    buffer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_events_drop_where_told_counted_and_listed() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut options = small(dir.path(), WhenFull::Block);
    options.streams.push(StreamRule {
        pattern: "log".into(),
        when_full: Some(WhenFull::DropOldest),
        ..StreamRule::default()
    });
    let mut buffer = open(&options).await;
    buffer
        .append(&stream("precious"), vec![payload("kept")], None)
        .await
        .expect("appends");
    buffer
        .append(&stream("log"), vec![payload("seen")], None)
        .await
        .expect("appends");
    buffer
        .advance(&sink("khepri"), &stream("log"), 1)
        .await
        .expect("advances");
    for _ in 0..300 {
        buffer
            .append(&stream("log"), vec![payload(&"x".repeat(10_000))], None)
            .await
            .expect("appends");
    }
    for _ in 0..2 {
        let log = buffer.stream(&stream("log")).expect("known");
        assert_eq!(log.last, 301);
        assert!(log.first > 150, "{log:?}");
        assert_eq!(log.dropped, log.first - 2, "all but the one the sink had");
        assert_eq!(buffer.dropped_ranges(&stream("log")), [(2, log.first - 1)]);
        let records = buffer
            .read(&stream("log"), 1, 1000, usize::MAX)
            .await
            .expect("reads");
        assert_eq!(records.first().map(|record| record.seq), Some(log.first));
        assert_eq!(records.len() as u64, 302 - log.first);
        assert_eq!(
            buffer
                .read(&stream("precious"), 1, 9, 999)
                .await
                .expect("reads")
                .len(),
            1
        );
        buffer.close().await;
        buffer = open(&options).await;
    }
    advance_all(&buffer, "khepri").await;
    until(&buffer, "trims", |buffer| {
        buffer.dropped_ranges(&stream("log")).is_empty()
    })
    .await;
    buffer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_alone_trim_where_there_is_no_sink() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut options = options(dir.path());
    let keep = |pattern: &str, keep| StreamRule {
        pattern: pattern.into(),
        keep,
        ..StreamRule::default()
    };
    options.streams.push(keep(
        "count",
        Keep {
            count: Some(10),
            ..Keep::default()
        },
    ));
    options.streams.push(keep(
        "bytes",
        Keep {
            bytes: Some(200_000),
            ..Keep::default()
        },
    ));
    options.streams.push(keep(
        "age",
        Keep {
            age: Some(Duration::from_millis(1)),
            ..Keep::default()
        },
    ));
    let buffer = open(&options).await;
    for name in ["count", "bytes", "age", "free"] {
        fill(&buffer, &stream(name), 1000, 1000).await;
    }
    until(&buffer, "trims", |buffer| {
        buffer.stream(&stream("age")).expect("known").first == 1001
    })
    .await;
    let first = |name: &str| buffer.stream(&stream(name)).expect("known").first;
    assert_eq!(first("free"), 1, "nothing says that it may go");
    assert_eq!(first("count"), 991);
    assert!((650..800).contains(&first("bytes")), "{}", first("bytes"));
    buffer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_sink_pins_until_it_is_forgotten() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut options = options(dir.path());
    options.sinks.push(sink_rule("old", Start::First));
    let buffer = open(&options).await;
    fill(&buffer, &stream("log"), 1000, 1000).await;
    buffer.close().await;
    options.sinks = vec![sink_rule("new", Start::Now)];
    let buffer = open(&options).await;
    let log = buffer.stream(&stream("log")).expect("known");
    assert_eq!(log.cursors, [(sink("new"), 1000), (sink("old"), 0)]);
    assert_eq!(
        buffer.advance(&sink("other"), &stream("log"), 1).await,
        Err(AppendError::UnknownSink)
    );
    buffer.forget_sink(&sink("old")).await.expect("forgets");
    until(&buffer, "trims", |buffer| {
        buffer.stream(&stream("log")).expect("known").first == 1001
    })
    .await;
    until(&buffer, "shrinks", |buffer| buffer.info().segments <= 2).await;
    assert_eq!(
        buffer.forget_sink(&sink("old")).await,
        Err(AppendError::UnknownSink)
    );
    buffer.close().await;
}
