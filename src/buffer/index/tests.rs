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
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (100..124u8, any::<u8>()).prop_map(|(k, v)| Op::Put(k, v)),
        3 => (100..124u8).prop_map(Op::Delete),
        1 => Just(Op::Freeze),
        1 => Just(Op::Write),
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn layers_answer_like_one_map(ops in prop::collection::vec(op(), 1..80)) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("index");
        let mut index = Index::new(Store::Sled(SledStore::create(&path).expect("create")));
        let mut model = Map::new();
        let mut frozen = None;
        for op in ops {
            match op {
                Op::Put(k, v) => {
                    index.put(vec![k], vec![v]);
                    model.insert([k].into(), [v].into());
                }
                Op::Delete(k) => {
                    index.delete(&[k]);
                    model.remove(&[k][..]);
                }
                Op::Freeze => frozen = index.freeze().or(frozen),
                Op::Write => if let Some((store, layer)) = frozen.take() {
                    store.write(&layer, &mark()).expect("write");
                    index.thaw();
                }
            }
            check(&index, &model);
        }
        if let Some((store, layer)) = frozen.take() {
            store.write(&layer, &mark()).expect("write");
            index.thaw();
        }
        let (store, layer) = index.freeze().expect("nothing is frozen");
        store.write(&layer, &mark()).expect("write");
        drop((store, index));
        let (store, found) = SledStore::open(&path).expect("the sum matches");
        prop_assert_eq!(found, mark());
        check(&Index::new(Store::Sled(store)), &model);
    }
}

#[test]
fn an_entry_behind_the_sums_back_is_seen() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("index");
    let store = SledStore::create(&path).expect("create");
    store
        .write(&Layer::from([([101].into(), Some([2].into()))]), &mark())
        .expect("write");
    drop(store);
    let db = sled::Config::new()
        .path(&path)
        .segment_size(super::store::SLED_SEGMENT_BYTES)
        .open()
        .expect("open");
    db.insert([101], &[3]).expect("insert");
    drop(db);
    assert!(SledStore::open(&path).is_err());
}

#[test]
fn a_prefix_ends_where_the_next_begins() {
    assert_eq!(after_prefix(b"ab"), b"ac");
    assert_eq!(after_prefix(&[1, 0xff]), [2]);
}
