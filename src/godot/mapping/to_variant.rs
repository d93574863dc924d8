//! Term → Variant.

use super::keys::Keys;
use super::{MapError, TAG, tagged};
use crate::etf::Term;
use crate::godot::Step;
use crate::godot::variant::{DEPTH_MAX, Variant};
use bytes::Bytes;

/// The Variant of a term, whoever wrote it.
///
/// # Errors
/// For pids, ports, references, funs, bit strings, improper lists, integers over 64 bits, malformed `{godot, …}` tuples,
/// nesting that Godot would refuse, and maps with an atom key and a binary key of the same text (one key to Godot).
pub fn term_to_variant(term: &Term) -> Result<Variant, MapError> {
    at_depth(term, 0)
}

pub(super) fn at_depth(term: &Term, depth: usize) -> Result<Variant, MapError> {
    if depth > DEPTH_MAX {
        return Err(MapError::new(format!(
            "nested deeper than {DEPTH_MAX} levels"
        )));
    }
    Ok(match term {
        Term::Int(number) => Variant::Int(*number),
        Term::Float(number) => Variant::Float(*number),
        Term::Atom(atom) => match atom.as_str() {
            "nil" => Variant::Nil,
            "true" => Variant::Bool(true),
            "false" => Variant::Bool(false),
            name if name.contains('\0') => return Err(MapError::new("an atom with a NUL in it")),
            name => Variant::StringName(name.to_owned()),
        },
        Term::Binary(bytes) => binary(bytes),
        Term::Tuple(parts) => match parts.as_slice() {
            [tag, kind, parts @ ..] if tag.is_atom(TAG) => tagged::variant(kind, parts, depth)?,
            _ => Variant::array(elements(parts, depth)?),
        },
        Term::List(parts) => Variant::array(elements(parts, depth)?),
        Term::Map(pairs) => Variant::dictionary(entries(pairs, depth)?),
        Term::Big(_) => return Err(MapError::new("an integer of more than 64 bits")),
        Term::BitBinary { .. } => return Err(MapError::new("a bit string")),
        Term::ImproperList(..) => return Err(MapError::new("an improper list")),
        Term::Pid(_) => return Err(MapError::new("a pid")),
        Term::Port(_) => return Err(MapError::new("a port")),
        Term::Ref(_) => return Err(MapError::new("a reference")),
        Term::Fun(_) => return Err(MapError::new("a fun")),
    })
}

/// Text where it is text that Godot can hold (it has no NUL), else bytes.
fn binary(bytes: &Bytes) -> Variant {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Variant::text(text),
        _ => Variant::Bytes(bytes.clone()),
    }
}

pub(super) fn elements(parts: &[Term], depth: usize) -> Result<Vec<Variant>, MapError> {
    let element =
        |(index, part)| at_depth(part, depth + 1).map_err(|e| e.under(Step::Index(index)));
    parts.iter().enumerate().map(element).collect()
}

pub(super) fn entries(
    pairs: &[(Term, Term)],
    depth: usize,
) -> Result<Vec<(Variant, Variant)>, MapError> {
    let mut keys = Keys::default();
    let mut entries = Vec::with_capacity(pairs.len());
    for (index, (key, value)) in pairs.iter().enumerate() {
        let at_key = |e: MapError| e.under(Step::KeyOf(index));
        keys.add_for_godot(key).map_err(at_key)?;
        let variant = at_depth(key, depth + 1).map_err(at_key)?;
        let at_value = |e: MapError| e.under(Step::Key(shown(key)));
        entries.push((variant, at_depth(value, depth + 1).map_err(at_value)?));
    }
    Ok(entries)
}

fn shown(key: &Term) -> String {
    let text = key.to_string();
    match text.char_indices().nth(40) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
