//! Duplicate keys of maps. OTP's decoder refuses them, so ours must (see the invariant of the parent module).
//!
//! Keys are compared by canonical bytes: equal for what OTP holds for equal, whatever form it came in. A key that is
//! itself a map of maps would be written again for each map around it; a budget bounds the sum of all that.

use crate::etf::decode::DecodeError;
use crate::etf::{Reference, Term, decode_bare, encode_into};
use bytes::{Buf, Bytes, BytesMut};

/// Up to this many keys, comparing each with each is quicker than sorting.
const PAIRWISE_MAX: usize = 8;
/// Canonical bytes that one input may cost for each byte of its own: keys in three nested maps, all written in
/// the densest way.
const BUDGET_FACTOR: usize = 16;

/// How much may still be written for comparisons.
#[derive(Clone, Copy, Debug)]
pub struct Budget(usize);

impl Budget {
    /// For an input of so many bytes.
    pub fn of(input_bytes: usize) -> Self {
        Self(input_bytes.saturating_mul(BUDGET_FACTOR))
    }

    fn spend(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.0 = self.0.checked_sub(bytes).ok_or(DecodeError::TooMany)?;
        Ok(())
    }
}

/// Whether two keys are the same term; an error where finding out would cost too much.
pub fn has_duplicates(pairs: &[(Term, Term)], budget: &mut Budget) -> Result<bool, DecodeError> {
    let simple = |key: &Term| matches!(key, Term::Atom(_) | Term::Binary(_) | Term::Int(_));
    if pairs.len() <= PAIRWISE_MAX && pairs.iter().all(|(key, _)| simple(key)) {
        return Ok(pairs
            .iter()
            .enumerate()
            .any(|(i, (key, _))| pairs[..i].iter().any(|(other, _)| other == key)));
    }
    if pairs.len() < 2 {
        return Ok(false);
    }
    let mut keys = Vec::with_capacity(pairs.len());
    for (key, _) in pairs {
        keys.push(canonical(key, budget)?);
    }
    keys.sort_unstable();
    Ok(keys.windows(2).any(|pair| pair[0] == pair[1]))
}

/// Bytes that are equal for equal terms: the external form, with the pairs of every map sorted.
fn canonical(key: &Term, budget: &mut Budget) -> Result<BytesMut, DecodeError> {
    let mut out = BytesMut::new();
    put_canonical(key, &mut out, budget)?;
    Ok(out)
}

fn put_canonical(term: &Term, out: &mut BytesMut, budget: &mut Budget) -> Result<(), DecodeError> {
    match term {
        Term::Map(pairs) => {
            let mut sorted = Vec::with_capacity(pairs.len());
            for (key, value) in pairs {
                sorted.push((canonical(key, budget)?, canonical(value, budget)?));
            }
            sorted.sort_unstable();
            put_head(116, pairs.len(), out, budget)?;
            for (key, value) in sorted {
                out.extend_from_slice(&key);
                out.extend_from_slice(&value);
            }
            Ok(())
        }
        Term::Tuple(elements) => put_all(105, elements, out, budget),
        Term::List(elements) => put_all(108, elements, out, budget),
        Term::ImproperList(elements, tail) => {
            put_all(109, elements, out, budget)?;
            put_canonical(tail, out, budget)
        }
        Term::Fun(bytes) if bytes.first() == Some(&112) => put_fun(bytes, out, budget),
        Term::Ref(reference) => put_leaf(&Term::Ref(shortest(reference)), out, budget),
        plain => put_leaf(plain, out, budget),
    }
}

/// Tags are our own here: they need only tell the kinds apart.
fn put_all(
    tag: u8,
    elements: &[Term],
    out: &mut BytesMut,
    budget: &mut Budget,
) -> Result<(), DecodeError> {
    put_head(tag, elements.len(), out, budget)?;
    for element in elements {
        put_canonical(element, out, budget)?;
    }
    Ok(())
}

fn put_head(
    tag: u8,
    count: usize,
    out: &mut BytesMut,
    budget: &mut Budget,
) -> Result<(), DecodeError> {
    budget.spend(5)?;
    out.extend_from_slice(&[tag]);
    out.extend_from_slice(&(count as u32).to_be_bytes());
    Ok(())
}

fn put_leaf(term: &Term, out: &mut BytesMut, budget: &mut Budget) -> Result<(), DecodeError> {
    if let Term::Binary(bytes) | Term::BitBinary { bytes, .. } | Term::Fun(bytes) = term {
        budget.spend(bytes.len())?;
    }
    let before = out.len();
    encode_into(term, out);
    budget.spend(out.len() - before)
}

/// Zero words at the end of a reference mean nothing to OTP.
fn shortest(reference: &Reference) -> Reference {
    let words = reference.words();
    let used = words.iter().rposition(|word| *word != 0).unwrap_or(0) + 1;
    Reference::new(reference.node.clone(), reference.creation, &words[..used])
        .unwrap_or_else(|| reference.clone())
}

/// Small maps of OTP hold funs for the same where module, index, old uniq and free variables are; neither who made one
/// counts, nor its arity, new uniq and old index.
fn put_fun(fun: &Bytes, out: &mut BytesMut, budget: &mut Budget) -> Result<(), DecodeError> {
    budget.spend(fun.len())?;
    let mut rest = fun.slice(5..);
    rest.advance(1 + 16);
    let index = rest.split_to(4);
    let free = rest.get_u32();
    // Module, old index, old uniq, creator, and then the free variables.
    let mut parts = Vec::new();
    for _ in 0..4 + free {
        parts.push(decode_bare(&mut rest)?);
    }
    put_head(112, free as usize, out, budget)?;
    out.extend_from_slice(&index);
    for (place, part) in parts.iter().enumerate() {
        if !matches!(place, 1 | 3) {
            put_canonical(part, out, budget)?;
        }
    }
    Ok(())
}
