//! What is acknowledged reads back, before and after reopening.

#[path = "support/buffers.rs"]
mod buffers;

use buffers::*;
use sidekick::buffer::Buffer;
use sidekick::buffer::{AppendError, Change, OpenError, Producer, Start};

#[tokio::test(flavor = "multi_thread")]
async fn appended_events_read_back_after_reopening() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let options = options(dir.path());
    let buffer = open(&options).await;
    let log = stream("log");
    for n in 0..500u64 {
        let appended = buffer
            .append(&log, vec![payload(&format!("event {n}")); 3], None)
            .await
            .expect("appends");
        assert_eq!(
            (appended.first, appended.last, appended.repeated),
            (3 * n + 1, 3 * n + 3, false)
        );
    }
    let check = async |buffer: &Buffer| {
        let records = buffer
            .read(&log, 1, 10_000, usize::MAX)
            .await
            .expect("reads");
        assert_eq!(records.len(), 1500);
        for (n, record) in records.iter().enumerate() {
            assert_eq!(record.seq, n as u64 + 1);
            assert_eq!(record.payload, payload(&format!("event {}", n / 3)));
        }
        assert!(records.is_sorted_by_key(|record| record.at_ms));
        let some = buffer.read(&log, 700, 5, usize::MAX).await.expect("reads");
        assert_eq!(
            some.iter().map(|record| record.seq).collect::<Vec<_>>(),
            [700, 701, 702, 703, 704]
        );
        let bounded = buffer.read(&log, 1, 100, 10).await.expect("reads");
        assert_eq!(
            bounded.len(),
            2,
            "the event that reaches the bound is the last"
        );
        assert!(
            buffer
                .read(&log, 1501, 5, usize::MAX)
                .await
                .expect("reads")
                .is_empty()
        );
    };
    check(&buffer).await;
    let (origin, incarnation) = (buffer.origin(), buffer.incarnation());
    buffer.close().await;
    assert!(matches!(
        buffer.append(&log, vec![payload("late")], None).await,
        Err(AppendError::Stopped(_))
    ));
    let buffer = open(&options).await;
    assert_eq!(
        (buffer.origin(), buffer.incarnation()),
        (origin, incarnation + 1)
    );
    assert_eq!(
        buffer.info().opened.index_rebuilt,
        None,
        "an orderly close leaves a good index"
    );
    check(&buffer).await;
    buffer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_may_send_again() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let options = options(dir.path());
    let buffer = open(&options).await;
    let log = stream("log");
    let producer = |batch| {
        Some(Producer {
            name: "p".into(),
            batch,
        })
    };
    let first = buffer
        .append(&log, vec![payload("a"), payload("b")], producer(5))
        .await
        .expect("appends");
    let again = buffer
        .append(&log, vec![payload("a"), payload("b")], producer(5))
        .await
        .expect("answers");
    assert_eq!(
        (again.first, again.last, again.repeated),
        (first.first, first.last, true)
    );
    buffer.close().await;
    let buffer = open(&options).await;
    let again = buffer
        .append(&log, vec![payload("a"), payload("b")], producer(5))
        .await
        .expect("answers");
    assert_eq!(
        (again.first, again.last, again.repeated),
        (first.first, first.last, true)
    );
    assert_eq!(
        buffer.append(&log, vec![payload("c")], producer(4)).await,
        Err(AppendError::BatchTooOld { last: 5 })
    );
    assert_eq!(buffer.stream(&log).expect("known").last, 2);
    buffer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_numbered_and_fenced() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let options = options(dir.path());
    let buffer = open(&options).await;
    assert_eq!(
        buffer.commit(batch("lobby", 1, 1)).await,
        Err(AppendError::StaleEpoch { current: 0 })
    );
    assert_eq!(activate(&buffer, "lobby").await, 1);
    let mut one = batch("lobby", 1, 1);
    one.changes.push(Change::Put(key("score"), payload("1")));
    one.events.push((stream("log"), payload("goal")));
    assert!(!buffer.commit(one.clone()).await.expect("commits").repeated);
    assert!(buffer.commit(one).await.expect("answers").repeated);
    assert_eq!(
        buffer.commit(batch("lobby", 1, 3)).await,
        Err(AppendError::BatchGap { expected: 2 })
    );
    let mut two = batch("lobby", 1, 2);
    two.events.push((stream("log"), payload("miss")));
    two.events.push((stream("other"), payload("x")));
    two.events.push((stream("log"), payload("miss again")));
    buffer.commit(two).await.expect("commits");

    for round in 0..2 {
        let buffer = if round == 0 {
            buffer.clone()
        } else {
            buffer.close().await;
            open(&options).await
        };
        let restored = buffer.restore(&scope("lobby")).await.expect("restores");
        assert_eq!(
            (
                restored.epoch,
                restored.batch,
                restored.last,
                restored.revision
            ),
            (1, 2, Some((1, 2)), 1)
        );
        assert_eq!(restored.state, [(key("score"), payload("1"))]);
        let tail: Vec<_> = restored
            .tail
            .iter()
            .map(|event| (event.stream.clone(), event.seq, event.payload.clone()))
            .collect();
        assert_eq!(
            tail,
            [
                (stream("log"), 2, payload("miss")),
                (stream("other"), 1, payload("x")),
                (stream("log"), 3, payload("miss again"))
            ]
        );
        assert!(!restored.tail_cut);
        if round == 1 {
            assert_eq!(activate(&buffer, "lobby").await, 2);
            assert_eq!(buffer.activation(&scope("lobby")).expect("active").epoch, 2);
            assert_eq!(
                buffer.commit(batch("lobby", 1, 3)).await,
                Err(AppendError::StaleEpoch { current: 2 })
            );
            let restored = buffer.restore(&scope("lobby")).await.expect("restores");
            assert_eq!(
                (restored.epoch, restored.batch, restored.last),
                (2, 0, Some((1, 2)))
            );
            buffer.commit(batch("lobby", 2, 1)).await.expect("commits");
            buffer.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn state_changes_coalesce_for_a_sink() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut options = options(dir.path());
    options.sinks.push(sink_rule("khepri", Start::First));
    let buffer = open(&options).await;
    let (lobby, khepri) = (scope("lobby"), sink("khepri"));
    for n in 0..10 {
        buffer
            .change(
                &lobby,
                vec![
                    Change::Put(key("a"), payload(&n.to_string())),
                    Change::Put(key("b"), payload("b")),
                ],
            )
            .await
            .expect("changes");
    }
    let delta = buffer
        .state_delta(&khepri, &lobby)
        .await
        .expect("reads")
        .expect("something is new");
    assert_eq!((delta.after, delta.rev), (0, 10));
    assert_eq!(
        delta.put,
        [(key("a"), payload("9")), (key("b"), payload("b"))]
    );
    buffer
        .advance_state(&khepri, &lobby, delta.rev)
        .await
        .expect("advances");
    assert_eq!(buffer.state_delta(&khepri, &lobby).await, Ok(None));
    buffer
        .change(&lobby, vec![Change::Delete(key("b"))])
        .await
        .expect("changes");
    let delta = buffer
        .state_delta(&khepri, &lobby)
        .await
        .expect("reads")
        .expect("something is new");
    assert_eq!(
        (delta.after, delta.rev, delta.put.len(), &delta.delete[..]),
        (10, 11, 0, &[key("b")][..])
    );
    assert_eq!(buffer.get_state(&lobby, &key("b")).await, Ok(None));
    assert_eq!(
        buffer.state(&lobby).await,
        Ok(vec![(key("a"), payload("9"))])
    );
    buffer.close().await;
    let buffer = open(&options).await;
    assert_eq!(
        buffer.state_delta(&khepri, &lobby).await.expect("reads"),
        Some(delta),
        "the cursor was written on closing"
    );
    buffer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_has_one_owner() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let options = options(dir.path());
    let buffer = open(&options).await;
    let error = Buffer::open(options.clone()).err().expect("is refused");
    assert!(
        matches!(error, OpenError::Locked { pid, .. } if pid == std::process::id()),
        "{error}"
    );
    buffer.close().await;
    open(&options).await.close().await;
}
