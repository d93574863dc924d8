//! Numbers out of tagged tuples.

use super::MapError;
use crate::etf::Term;

/// The parts of a composite, exactly `count` of them.
pub fn composite<T>(
    name: &str,
    parts: &[Term],
    count: usize,
    read: impl Fn(&Term) -> Option<T>,
) -> Result<Box<[T]>, MapError> {
    let values: Option<Box<[T]>> = parts.iter().map(read).collect();
    values
        .filter(|values| values.len() == count)
        .ok_or_else(|| super::tagged::malformed(name))
}

/// Exactly `N` floats.
pub fn group<const N: usize>(parts: &[Term]) -> Option<[f64; N]> {
    let mut group = [0.0; N];
    if parts.len() != N {
        return None;
    }
    for (slot, part) in group.iter_mut().zip(parts) {
        *slot = real(part)?;
    }
    Some(group)
}

/// A float; an integer will do, and so will the atoms for what ETF cannot carry.
pub fn real(part: &Term) -> Option<f64> {
    match part {
        Term::Float(number) => Some(*number),
        Term::Int(number) => Some(*number as f64),
        Term::Atom(atom) => match atom.as_str() {
            "nan" => Some(f64::NAN),
            "infinity" => Some(f64::INFINITY),
            "neg_infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

/// An integer that fits 32 bits.
pub fn int32(part: &Term) -> Option<i32> {
    part.as_i64().and_then(|number| i32::try_from(number).ok())
}
