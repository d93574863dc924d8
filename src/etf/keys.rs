//! Duplicate keys of maps. OTP's decoder refuses them, so ours must (see the invariant of the parent module).

use crate::etf::{Term, encode_into};
use bytes::BytesMut;

/// Up to this many keys, comparing each with each is quicker than sorting.
const PAIRWISE_MAX: usize = 8;

/// Whether two keys are the same term.
pub fn has_duplicates(pairs: &[(Term, Term)]) -> bool {
    let simple = |key: &Term| matches!(key, Term::Atom(_) | Term::Binary(_) | Term::Int(_));
    if pairs.len() <= PAIRWISE_MAX && pairs.iter().all(|(key, _)| simple(key)) {
        return pairs
            .iter()
            .enumerate()
            .any(|(i, (key, _))| pairs[..i].iter().any(|(other, _)| other == key));
    }
    let mut keys: Vec<BytesMut> = pairs.iter().map(|(key, _)| canonical(key)).collect();
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

/// Bytes that are equal for equal terms: the external form with every map's pairs sorted.
fn canonical(key: &Term) -> BytesMut {
    let mut out = BytesMut::new();
    put_canonical(key, &mut out);
    out
}

fn put_canonical(term: &Term, out: &mut BytesMut) {
    match term {
        Term::Map(pairs) => {
            let mut sorted: Vec<_> = pairs
                .iter()
                .map(|(key, value)| (canonical(key), canonical(value)))
                .collect();
            sorted.sort_unstable();
            out.extend_from_slice(b"\x74");
            out.extend_from_slice(&(pairs.len() as u32).to_be_bytes());
            for (key, value) in sorted {
                out.extend_from_slice(&key);
                out.extend_from_slice(&value);
            }
        }
        Term::Tuple(elements) => {
            out.extend_from_slice(b"\x69");
            put_all(elements, out);
        }
        Term::List(elements) => {
            out.extend_from_slice(b"\x6c");
            put_all(elements, out);
        }
        Term::ImproperList(elements, tail) => {
            out.extend_from_slice(b"\x6d\xff");
            put_all(elements, out);
            put_canonical(tail, out);
        }
        plain => encode_into(plain, out),
    }
}

fn put_all(elements: &[Term], out: &mut BytesMut) {
    out.extend_from_slice(&(elements.len() as u32).to_be_bytes());
    for element in elements {
        put_canonical(element, out);
    }
}
