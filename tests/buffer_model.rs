//! Whatever is done in whatever order, a buffer answers like a simple model in memory. What failed is shrunk, printed, and noted in
//! `proptest-regressions/buffer_model.txt`, which is tried first ever after: commit it.

#[path = "support/buffers.rs"]
mod buffers;
#[path = "support/buffer_models.rs"]
mod models;

use buffers::*;
use models::*;
use proptest::prelude::*;
use proptest::test_runner::{FailurePersistence, FileFailurePersistence};
use sidekick::buffer::{AppendError, Buffer, Change, Options, Producer, Start, StateRule};
use sidekick::types::{Payload, Scope, StreamName};
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
enum Op {
    /// Events to a stream: how many, how large; by the producer?
    Append(u8, u8, u16, bool),
    /// The producer's last append once more.
    Again(u8),
    /// A session's batch: events (stream, size), changes (key, size or removal).
    Batch(u8, Vec<(u8, u16)>, Vec<(u8, Option<u16>)>),
    /// The session's last batch once more, and one too far.
    Repeat(u8),
    Change(u8, u8, Option<u16>),
    Activate(u8),
    /// The sink acknowledges a part of a stream (in 255ths), or of a scope's state.
    Advance(u8, u8),
    AdvanceState(u8),
    /// Close and open; without the index?
    Reopen(bool),
}

fn op() -> impl Strategy<Value = Op> {
    let size = || prop_oneof![3 => 0..200u16, 1 => 0..5000u16];
    prop_oneof![
        8 => (0..4u8, 1..6u8, size(), any::<bool>()).prop_map(|(s, n, z, p)| Op::Append(s, n, z, p)),
        2 => (0..4u8).prop_map(Op::Again),
        8 => (0..2u8, prop::collection::vec((0..4u8, size()), 0..4), prop_oneof![
            Just(Vec::new()),
            prop::collection::vec((0..12u8, prop::option::weighted(0.7, size())), 1..4),
        ]).prop_map(|(s, e, c)| Op::Batch(s, e, c)),
        2 => (0..2u8).prop_map(Op::Repeat),
        3 => (0..2u8, 0..12u8, prop::option::weighted(0.7, size())).prop_map(|(s, k, v)| Op::Change(s, k, v)),
        1 => (0..2u8).prop_map(Op::Activate),
        5 => (0..4u8, any::<u8>()).prop_map(|(s, part)| Op::Advance(s, part)),
        2 => (0..2u8).prop_map(Op::AdvanceState),
        2 => any::<bool>().prop_map(Op::Reopen),
    ]
}

struct World {
    options: Options,
    buffer: Buffer,
    streams: BTreeMap<StreamName, StreamModel>,
    scopes: BTreeMap<Scope, ScopeModel>,
    count: u64,
}

impl World {
    /// Whether a stream refuses so many events.
    fn refuses(&self, name: &StreamName, count: usize) -> bool {
        let (refuses, limit) = REFUSES;
        let held = self.streams.get(name).map_or(0, StreamModel::held);
        *name == stream(refuses) && held + count as u64 > limit
    }

    /// A payload that no other event has.
    fn fresh(&mut self, size: u16) -> Payload {
        self.count += 1;
        payload(&format!(
            "{:<width$}",
            self.count,
            width = usize::from(size)
        ))
    }

    fn changes(&mut self, changes: &[(u8, Option<u16>)]) -> Vec<Change> {
        let one = |(k, size): &(u8, Option<u16>)| match size {
            Some(size) => Change::Put(key(&format!("k{k}")), self.fresh(*size)),
            None => Change::Delete(key(&format!("k{k}"))),
        };
        changes.iter().map(one).collect()
    }

    async fn step(&mut self, op: &Op) {
        match op {
            Op::Append(s, n, size, by_producer) => {
                self.append(&stream(&format!("s{s}")), *n, *size, *by_producer)
                    .await;
            }
            Op::Again(s) => self.again(&stream(&format!("s{s}"))).await,
            Op::Batch(s, events, changes) => {
                self.batch(&scope(&format!("c{s}")), events, changes).await;
            }
            Op::Repeat(s) => self.repeat(&scope(&format!("c{s}"))).await,
            Op::Change(s, k, size) => {
                let name = scope(&format!("c{s}"));
                let changes = self.changes(&[(*k, *size)]);
                let model = self.scopes.entry(name.clone()).or_default();
                model.change(&changes);
                assert_eq!(self.buffer.change(&name, changes).await, Ok(model.rev));
            }
            Op::Activate(s) => {
                let name = format!("c{s}");
                let model = self.scopes.entry(scope(&name)).or_default();
                (model.epoch, model.batch) = (model.epoch + 1, 0);
                assert_eq!(activate(&self.buffer, &name).await, model.epoch);
            }
            Op::Advance(s, part) => {
                let name = stream(&format!("s{s}"));
                let Some(model) = self.streams.get_mut(&name) else {
                    return;
                };
                let to = model.events.len() as u64 * u64::from(*part) / 255;
                self.buffer
                    .advance(&sink("khepri"), &name, to)
                    .await
                    .expect("advances");
                model.cursor = model.cursor.max(to);
            }
            Op::AdvanceState(s) => self.advance_state(&scope(&format!("c{s}"))).await,
            Op::Reopen(without_index) => {
                self.buffer.close().await;
                if *without_index {
                    std::fs::remove_dir_all(self.options.dir.join("index"))
                        .expect("removes the index");
                }
                self.buffer = open(&self.options).await;
                self.check().await;
            }
        }
    }

    async fn append(&mut self, name: &StreamName, n: u8, size: u16, by_producer: bool) {
        let payloads: Vec<_> = (0..n).map(|_| self.fresh(size)).collect();
        if self.refuses(name, payloads.len()) {
            let refused = self.buffer.append(name, payloads, None).await;
            assert_eq!(refused, Err(AppendError::Full));
            return;
        }
        let model = self.streams.entry(name.clone()).or_default();
        let first = model.events.len() as u64 + 1;
        let last = first + u64::from(n) - 1;
        let batch = model.producer.map_or(1, |(batch, ..)| batch + 1);
        let producer = by_producer.then(|| Producer {
            name: "p".into(),
            batch,
        });
        model.producer = if by_producer {
            Some((batch, first, last))
        } else {
            model.producer
        };
        for payload in &payloads {
            model.push(name, payload.clone());
        }
        let appended = self
            .buffer
            .append(name, payloads, producer)
            .await
            .expect("appends");
        assert_eq!(
            (appended.first, appended.last, appended.repeated),
            (first, last, false)
        );
    }

    async fn again(&mut self, name: &StreamName) {
        let Some((batch, first, last)) = self.streams.get(name).and_then(|model| model.producer)
        else {
            return;
        };
        let producer = Some(Producer {
            name: "p".into(),
            batch,
        });
        let appended = self
            .buffer
            .append(name, vec![payload("again")], producer)
            .await
            .expect("answers");
        assert_eq!(
            (appended.first, appended.last, appended.repeated),
            (first, last, true)
        );
    }

    async fn batch(&mut self, name: &Scope, events: &[(u8, u16)], changes: &[(u8, Option<u16>)]) {
        let events: Vec<_> = events
            .iter()
            .map(|(s, size)| (stream(&format!("s{s}")), self.fresh(*size)))
            .collect();
        let changes = self.changes(changes);
        let to_refuser = events.iter().filter(|(to, _)| *to == stream(REFUSES.0));
        let refused = self.refuses(&stream(REFUSES.0), to_refuser.count());
        let model = self.scopes.entry(name.clone()).or_default();
        let mut batch = batch(&name.to_string(), model.epoch, model.batch + 1);
        (batch.events, batch.changes) = (events.clone(), changes.clone());
        let committed = self.buffer.commit(batch).await;
        if model.epoch == 0 {
            assert_eq!(committed, Err(AppendError::StaleEpoch { current: 0 }));
            return;
        }
        if refused {
            assert_eq!(committed, Err(AppendError::Full), "whole or not at all");
            return;
        }
        model.batch += 1;
        model.last = Some((model.epoch, model.batch));
        if !changes.is_empty() {
            model.has_point = true;
            model.tail.clear();
            model.change(&changes);
        }
        let committed = committed.expect("commits");
        assert_eq!(
            (committed.repeated, committed.batch, committed.revision),
            (false, model.batch, model.rev)
        );
        for (stream, payload) in events {
            let events = self.streams.entry(stream.clone()).or_default();
            events.push(&stream, payload);
            if changes.is_empty() {
                model.tail.push((stream, events.events.len() as u64));
            }
        }
    }

    async fn repeat(&mut self, name: &Scope) {
        let Some(model) = self.scopes.get(name).filter(|model| model.batch > 0) else {
            return;
        };
        let mut again = batch(&name.to_string(), model.epoch, model.batch);
        again
            .changes
            .push(Change::Put(key("never"), payload("never")));
        assert!(
            self.buffer
                .commit(again.clone())
                .await
                .expect("answers")
                .repeated
        );
        again.batch += 2;
        assert_eq!(
            self.buffer.commit(again).await,
            Err(AppendError::BatchGap {
                expected: model.batch + 1
            })
        );
    }

    async fn advance_state(&mut self, name: &Scope) {
        let Some(model) = self.scopes.get_mut(name) else {
            return;
        };
        let delta = self
            .buffer
            .state_delta(&sink("khepri"), name)
            .await
            .expect("reads");
        let Some(delta) = delta else {
            assert_eq!(model.sink.0, model.rev);
            return;
        };
        assert_eq!(
            (delta.epoch, delta.after, delta.rev),
            (model.epoch, model.sink.0, model.rev)
        );
        model.sink.1.extend(delta.put);
        delta
            .delete
            .iter()
            .for_each(|key| drop(model.sink.1.remove(key)));
        assert_eq!(model.sink.1, model.state, "the sink has what there is");
        model.sink.0 = delta.rev;
        self.buffer
            .advance_state(&sink("khepri"), name, delta.rev)
            .await
            .expect("advances");
    }

    async fn check(&self) {
        self.check_streams().await;
        self.check_scopes().await;
        self.check_history().await;
    }

    async fn check_streams(&self) {
        for (name, model) in &self.streams {
            let last = model.events.len() as u64;
            let pins = self.scopes.values().filter(|scope| scope.has_point);
            let pinned = pins
                .flat_map(|scope| &scope.tail)
                .filter(|(stream, _)| stream == name)
                .map(|(_, seq)| (*seq).max(model.gone + 1))
                .min();
            let mut records = self
                .buffer
                .read(name, 1, usize::MAX, usize::MAX)
                .await
                .expect("reads");
            while records.last().is_some_and(|record| record.seq < last) {
                records = self
                    .buffer
                    .read(name, 1, usize::MAX, usize::MAX)
                    .await
                    .expect("reads");
            }
            let first = records.first().map_or(last + 1, |record| record.seq);
            assert!(
                (model.gone + 1..=model.cursor.max(model.gone) + 1).contains(&first),
                "{name}: {first} is beyond the cursor {} or was dropped ({})",
                model.cursor,
                model.gone
            );
            let info = self.buffer.stream(name).expect("known");
            assert_eq!((info.last, info.dropped), (last, model.dropped), "{name}");
            assert!(
                pinned.is_none_or(|pinned| first <= pinned),
                "{name}: {first} is beyond the tail at {pinned:?}"
            );
            assert_eq!(records.len() as u64, last + 1 - first);
            for record in records {
                assert_eq!(
                    record.payload,
                    model.events[record.seq as usize - 1],
                    "{name} {}",
                    record.seq
                );
            }
        }
    }

    /// The newest change and so many before it; what lies before a removal may be gone, and the removal with it.
    async fn check_history(&self) {
        for (name, model) in &self.scopes {
            let keeps = if *name == scope(KEEPS.0) { KEEPS.1 } else { 0 };
            for (key, changes) in &model.changes {
                let found = self.buffer.history(name, key).await.expect("reads");
                let newest = changes.iter().rev().take(1 + keeps);
                let expected: Vec<_> = newest.cloned().collect();
                assert!(
                    expected.starts_with(&found),
                    "{name} {key}: {found:?} of {expected:?}"
                );
                let removal = |at: usize| expected.get(at).is_some_and(|past| past.value.is_none());
                let end = found.len();
                assert!(
                    end == expected.len() || removal(end) || (end > 0 && removal(end - 1)),
                    "{name} {key}: {found:?} of {expected:?}"
                );
            }
        }
    }

    async fn check_scopes(&self) {
        for (name, model) in &self.scopes {
            let restored = self.buffer.restore(name).await.expect("restores");
            assert_eq!(
                restored.state.into_iter().collect::<BTreeMap<_, _>>(),
                model.state,
                "{name}"
            );
            assert_eq!(
                (
                    restored.epoch,
                    restored.batch,
                    restored.last,
                    restored.revision
                ),
                (model.epoch, model.batch, model.last, model.rev)
            );
            let tail: Vec<_> = restored
                .tail
                .iter()
                .map(|event| (event.stream.clone(), event.seq))
                .collect();
            if model.has_point {
                let gone = |stream| self.streams.get(stream).map_or(0, |model| model.gone);
                let expected = model
                    .tail
                    .iter()
                    .filter(|(stream, seq)| *seq > gone(stream));
                assert_eq!(tail, expected.cloned().collect::<Vec<_>>(), "{name}");
            } else {
                assert!(
                    model.tail.ends_with(&tail) || !tail.is_empty(),
                    "{name}: a part of what there was"
                );
            }
        }
    }
}

/// Short unless `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").map_or(12, |cases| cases.parse().expect("a number"))
}

fn regressions() -> Box<dyn FailurePersistence> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/proptest-regressions/buffer_model.txt"
    );
    Box::new(FileFailurePersistence::Direct(path))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 200, failure_persistence: Some(regressions()), ..ProptestConfig::default() })]
    #[test]
    fn it_answers_like_the_model(ops in prop::collection::vec(op(), 1..120)) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let dir = tempfile::tempdir().expect("temporary directory");
            let mut options = options(dir.path());
            options.sinks.push(sink_rule("khepri", Start::First));
            options.streams = limits();
            options.states.push(StateRule { pattern: KEEPS.0.to_owned(), history: KEEPS.1 as u32 });
            let buffer = open(&options).await;
            let mut world = World { options, buffer, streams: BTreeMap::new(), scopes: BTreeMap::new(), count: 0 };
            for op in &ops {
                world.step(op).await;
            }
            world.check().await;
            world.step(&Op::Reopen(true)).await;
            world.buffer.close().await;
        });
    }
}
