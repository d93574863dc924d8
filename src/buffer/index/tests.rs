//! The layers together answer like one map; a store that was tampered with is refused.

use super::*;
use crate::types::Origin;
use proptest::prelude::*;

fn mark() -> Mark {
    Mark {
        origin: Origin::from_bytes([7; 16]),
        commit: 5,
        end: Location {
            segment: 1,
            offset: 4096,
        },
    }
}

#[derive(Debug, Clone)]
enum Op {
    Put(u8, u8),
    Delete(u8),
    Freeze,
    Write,
    /// Begins a compaction, or copies the next page of three entries.
    Compact,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (100..124u8, any::<u8>()).prop_map(|(k, v)| Op::Put(k, v)),
        3 => (100..124u8).prop_map(Op::Delete),
        1 => Just(Op::Freeze),
        1 => Just(Op::Write),
        2 => Just(Op::Compact),
    ]
}

fn check(index: &Index, model: &Map) {
    for key in 100..125u8 {
        assert_eq!(
            index.get(&[key]).expect("get"),
            model.get(&[key][..]).cloned(),
            "get {key}"
        );
        let expected = model
            .range::<[u8], _>((
                Bound::Included(&[103][..]),
                Bound::Included(&[key.max(103)][..]),
            ))
            .next_back();
        let found = index.floor(&[103], &[key.max(103)]).expect("floor");
        assert_eq!(
            found,
            expected.map(|(k, v)| (k.clone(), v.clone())),
            "floor {key}"
        );
    }
    let all: Vec<_> = model
        .iter()
        .map(|(k, v)| (k.clone(), v.clone()))
        .take(7)
        .collect();
    assert_eq!(index.range(&[99], &[199], 7).expect("range"), all);
}

/// What the keeper does, with an index whose content is known.
struct Kept {
    index: Index,
    frozen: Option<(Generation, Arc<Layer>)>,
    compaction: Option<Compaction>,
    /// How many compactions were finished.
    finished: u32,
}

impl Kept {
    fn write(&mut self) {
        if let Some((generation, layer)) = self.frozen.take() {
            generation.store.write(&layer, &mark()).expect("write");
            self.index.thaw();
            if let Some(compaction) = &self.compaction {
                compaction.follow(&layer).expect("follow");
            }
        }
    }

    fn compact(&mut self) {
        let Some(mut compaction) = self.compaction.take() else {
            // As in the keeper: only a store that has a position is compacted, and only one that is written.
            if self.frozen.is_none() {
                self.frozen = self.index.freeze();
                let generation = self.frozen.as_ref().expect("nothing is frozen").0.clone();
                self.write();
                self.compaction = Some(Compaction::begin(generation, 3).expect("begin"));
            }
            return;
        };
        match compaction.step().expect("step") {
            Step::More => self.compaction = Some(compaction),
            Step::Copied => {
                let fresh = compaction.finish(&mark()).expect("finish");
                // A layer that is frozen but not yet written goes to the new store.
                if let Some((generation, _)) = &mut self.frozen {
                    *generation = fresh.clone();
                }
                drop(self.index.switch(fresh.clone()));
                fresh.sweep();
                self.finished += 1;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn layers_answer_like_one_map(ops in prop::collection::vec(op(), 1..120)) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("index");
        let mut kept = Kept {
            index: Index::new(Store::Sled(Generation::first(&path).expect("create"))),
            frozen: None,
            compaction: None,
            finished: 0,
        };
        let mut model = Map::new();
        for op in ops {
            match op {
                Op::Put(k, v) => {
                    kept.index.put(vec![k], vec![v]);
                    model.insert([k].into(), [v].into());
                }
                Op::Delete(k) => {
                    kept.index.delete(&[k]);
                    model.remove(&[k][..]);
                }
                Op::Freeze => kept.frozen = kept.index.freeze().or(kept.frozen.take()),
                Op::Write => kept.write(),
                Op::Compact => kept.compact(),
            }
            check(&kept.index, &model);
        }
        kept.write();
        kept.frozen = kept.index.freeze();
        kept.write();
        let finished = kept.finished;
        drop(kept);
        let (generation, found) = Generation::open(&path).expect("the sum matches");
        prop_assert_eq!(found, mark());
        prop_assert!(path.join((finished + 1).to_string()).exists());
        prop_assert_eq!(std::fs::read_dir(&path).expect("lists").count(), 1, "the others are gone");
        check(&Index::new(Store::Sled(generation)), &model);
    }
}

fn filled(path: &std::path::Path) -> Generation {
    let generation = Generation::first(path).expect("create");
    let layer = (0..50u8).map(|n| ([100 + n].into(), Some([n].into())));
    generation
        .store
        .write(&layer.collect(), &mark())
        .expect("write");
    generation
}

#[test]
fn a_generation_without_a_mark_is_none() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("index");
    let mut compaction = Compaction::begin(filled(&path), 20).expect("begin");
    assert!(matches!(compaction.step(), Ok(Step::More)));
    drop(compaction);
    assert!(path.join("2").exists(), "a crash leaves it half filled");
    let (generation, found) = Generation::open(&path).expect("the first one counts");
    assert_eq!(found, mark());
    assert_eq!(
        generation.store.get(&[149]).expect("get"),
        Some([49].into())
    );
    assert!(!path.join("2").exists(), "the half one is gone");
    drop(generation);
    let alone = dir.path().join("alone");
    let half = Generation::first(&alone).expect("create");
    half.store
        .fill(&Layer::from([([101].into(), Some([2].into()))]))
        .expect("fill");
    drop(half);
    assert!(Generation::open(&alone).is_err(), "half of it is no index");
}

#[test]
fn of_two_generations_the_newer_counts() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("index");
    let mut compaction = Compaction::begin(filled(&path), 20).expect("begin");
    while matches!(compaction.step(), Ok(Step::More)) {}
    let fresh = compaction.finish(&mark()).expect("finish");
    let later = Mark {
        commit: 6,
        ..mark()
    };
    fresh.store.write(&Layer::new(), &later).expect("write");
    drop(fresh);
    let (_, found) = Generation::open(&path).expect("open");
    assert_eq!(found, later);
    assert!(!path.join("1").exists(), "the old one is gone");
}

#[test]
fn an_entry_behind_the_sums_back_is_seen() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("store");
    let store = SledStore::create(&path).expect("create");
    store
        .write(&Layer::from([([101].into(), Some([2].into()))]), &mark())
        .expect("write");
    drop(store);
    let config = sled::Config::new()
        .path(&path)
        .segment_size(super::store::SLED_SEGMENT_BYTES);
    // A thread of the store that was dropped may hold the lock for a moment longer.
    let opened = std::iter::repeat_with(|| config.open()).take(10_000);
    let db = opened.flatten().next().expect("open");
    db.insert([101], &[3]).expect("insert");
    drop(db);
    assert!(SledStore::open(&path).is_err());
}

#[test]
fn a_prefix_ends_where_the_next_begins() {
    assert_eq!(after_prefix(b"ab"), b"ac");
    assert_eq!(after_prefix(&[1, 0xff]), [2]);
}
