//! docs/FORMAT.md is true: a reader written from it in another language finds the same events, state, tails and cursors.

#[path = "support/buffers.rs"]
mod buffers;

use buffers::*;
use sidekick::buffer::{Change, Start, inspect};

#[tokio::test(flavor = "multi_thread")]
async fn an_independent_reader_finds_the_same() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut options = options(dir.path());
    options.sinks.push(sink_rule("khepri", Start::First));
    let buffer = open(&options).await;
    let mut epoch = activate(&buffer, "lobby").await;
    let mut number = 0;
    for n in 0..600u64 {
        if n == 300 {
            (epoch, number) = (activate(&buffer, "lobby").await, 0);
        }
        number += 1;
        let mut batch = batch("lobby", epoch, number);
        batch
            .events
            .push((stream("match"), payload(&format!("event {n}"))));
        batch
            .events
            .push((stream("noise"), payload(&"n".repeat(700))));
        if n % 7 == 0 {
            batch.changes.push(Change::Put(
                key(&format!("k{}", n % 31)),
                payload(&n.to_string()),
            ));
            batch
                .changes
                .push(Change::Delete(key(&format!("k{}", (n + 3) % 31))));
        }
        buffer.commit(batch).await.expect("commits");
        buffer
            .append(&stream("slow"), vec![payload(&n.to_string())], None)
            .await
            .expect("appends");
        if n % 50 == 0 {
            for name in ["noise", "match"] {
                let last = buffer.stream(&stream(name)).expect("known").last;
                buffer
                    .advance(&sink("khepri"), &stream(name), last)
                    .await
                    .expect("advances");
            }
        }
    }
    let ours = witnessed(&buffer).await;
    buffer.close().await;
    let theirs = independent(&options.dir).expect("reads");
    assert_eq!(beyond_cursors(&theirs), beyond_cursors(&ours));

    let report = inspect::verify(&options.dir).expect("reads");
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert!(report.segments.len() > 1 && !report.in_use);
    let mut lines = Vec::new();
    inspect::dump(&options.dir, &mut lines).expect("writes");
    for line in String::from_utf8(lines).expect("text").lines() {
        let _: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
    }
}
