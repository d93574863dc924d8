//! Random terms.

#![allow(dead_code, clippy::unwrap_used)]

use proptest::prelude::*;
use sidekick::etf::{self, Atom, Pid, Port, Reference, Term};

fn atom() -> impl Strategy<Value = Atom> {
    prop_oneof![
        8 => "[a-z][a-zA-Z0-9_@]{0,12}",
        2 => "\\PC{0,20}",
        1 => "[é-þ]{255}",
        1 => Just(String::new()),
    ]
    .prop_map(|text| Atom::new(&text))
}

fn node() -> impl Strategy<Value = Atom> {
    "[a-z]{1,8}@[a-z]{1,8}".prop_map(|text| Atom::new(&text))
}

fn integer() -> impl Strategy<Value = Term> {
    prop_oneof![
        (0i64..300).prop_map(Term::Int),
        any::<i32>().prop_map(|n| Term::Int(n.into())),
        any::<i64>().prop_map(Term::Int),
        any::<i128>().prop_map(Term::int),
        (any::<i128>(), 0u32..3000).prop_map(|(n, by)| {
            let big = num_bigint::BigInt::from(n) << by;
            i64::try_from(&big).map_or(Term::Big(big), Term::Int)
        }),
    ]
}

fn leaf() -> impl Strategy<Value = Term> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    let finite = any::<f64>().prop_filter("Erlang has finite floats only", |f| f.is_finite());
    prop_oneof![
        4 => integer(),
        2 => finite.prop_map(Term::Float),
        3 => atom().prop_map(Term::Atom),
        3 => bytes().prop_map(Term::binary),
        1 => (bytes(), any::<u8>(), 1u8..8).prop_map(|(mut bytes, last, bits)| {
            bytes.push(last & !(0xff >> bits));
            Term::BitBinary { bytes: bytes.into(), bits }
        }),
        1 => bytes().prop_map(|b| Term::List(b.iter().map(|b| Term::Int((*b).into())).collect())),
        1 => (node(), any::<(u32, u32, u32)>()).prop_map(|(node, (id, serial, creation))| {
            Term::Pid(Pid { node, id, serial, creation })
        }),
        1 => (node(), any::<u64>(), 0u32..64, any::<u32>()).prop_map(|(node, id, by, creation)| {
            Term::Port(Port { node, id: id >> by, creation })
        }),
        1 => (node(), any::<u32>(), prop::collection::vec(any::<u32>(), 1..=5)).prop_map(
            |(node, creation, words)| Term::Ref(Reference::new(node, creation, &words).unwrap())
        ),
    ]
}

/// Terms of every kind but funs, which only a BEAM can make.
pub fn term() -> impl Strategy<Value = Term> {
    leaf().prop_recursive(6, 60, 10, |inner| {
        let many = || prop::collection::vec(inner.clone(), 0..10);
        prop_oneof![
            many().prop_map(Term::Tuple),
            many().prop_map(Term::List),
            (prop::collection::vec(inner.clone(), 1..5), leaf()).prop_map(|(head, tail)| {
                match tail {
                    Term::List(more) => Term::List(head.into_iter().chain(more).collect()),
                    tail => Term::ImproperList(head, Box::new(tail)),
                }
            }),
            prop::collection::vec((inner.clone(), inner), 0..10).prop_map(map),
        ]
    })
}

/// A map without the keys that are there already.
fn map(pairs: Vec<(Term, Term)>) -> Term {
    let mut seen = std::collections::HashSet::new();
    let fresh = |(key, _): &(Term, Term)| seen.insert(etf::encode(&normal(key.clone())));
    Term::Map(pairs.into_iter().filter(fresh).collect())
}

/// The same term with the pairs of every map in one order, so that equal terms compare equal.
pub fn normal(term: Term) -> Term {
    match term {
        Term::Map(pairs) => {
            let mut pairs: Vec<_> = pairs
                .into_iter()
                .map(|(k, v)| (normal(k), normal(v)))
                .collect();
            pairs.sort_by_cached_key(|(key, _)| etf::encode(key));
            Term::Map(pairs)
        }
        Term::Tuple(elements) => Term::Tuple(elements.into_iter().map(normal).collect()),
        Term::List(elements) => Term::List(elements.into_iter().map(normal).collect()),
        Term::ImproperList(elements, tail) => Term::ImproperList(
            elements.into_iter().map(normal).collect(),
            Box::new(normal(*tail)),
        ),
        other => other,
    }
}
