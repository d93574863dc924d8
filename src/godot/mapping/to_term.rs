//! Variant → term.

use super::keys::Keys;
use super::{ANY, MapError, TAG};
use crate::etf::{Atom, Term};
use crate::godot::Step;
use crate::godot::variant::{Dictionary, ElementType, NodePath, Variant, shown, type_name};
use std::sync::LazyLock;

/// Atoms are shared, so the common ones are made once.
static TAG_ATOM: LazyLock<Atom> = LazyLock::new(|| Atom::new(TAG));

/// The term of a value to be kept: exact, so that [`term_to_variant`](super::term_to_variant) gives the same value back.
///
/// # Errors
/// For a node path with `/` or `:` inside a name, and for a dictionary with a key twice (no Godot writes such).
pub fn variant_to_term(value: &Variant) -> Result<Term, MapError> {
    Mapper { speaks: false }.term(value)
}

/// The term of a value that a script sends to a process or answers a call with. As [`variant_to_term`], but a dictionary
/// of the single key `$atom` or `$tuple` (as `Sidekick.atom()` and `Sidekick.tuple()` make) becomes an atom or a tuple.
///
/// # Errors
/// As [`variant_to_term`], and for an atom longer than 255 characters.
pub fn message_to_term(value: &Variant) -> Result<Term, MapError> {
    Mapper { speaks: true }.term(value)
}

struct Mapper {
    speaks: bool,
}

impl Mapper {
    fn term(&self, value: &Variant) -> Result<Term, MapError> {
        Ok(match value {
            Variant::Nil => Term::nil(),
            Variant::Bool(truth) => Term::bool(*truth),
            Variant::Int(number) => Term::Int(*number),
            Variant::Float(number) if number.is_finite() => Term::Float(*number),
            Variant::Float(number) => tagged("float", [real(*number)]),
            Variant::String(text) => Term::text(text),
            Variant::StringName(text) => tagged("string_name", [Term::text(text)]),
            Variant::NodePath(path) => tagged("node_path", [node_path(path)?]),
            Variant::Reals(shape, reals) => {
                tagged(name_of(shape.id()), reals.iter().map(|r| real(*r)))
            }
            Variant::Ints(shape, ints) => tagged(
                name_of(shape.id()),
                ints.iter().map(|i| Term::Int(i64::from(*i))),
            ),
            Variant::Color(color) => tagged("color", color.map(single)),
            Variant::Dictionary(dictionary) => self.dictionary(dictionary)?,
            Variant::Array(kind, elements) => {
                let list = Term::List(self.elements(elements)?);
                match kind {
                    None => list,
                    Some(kind) => tagged("array", [element_type(Some(kind)), list]),
                }
            }
            Variant::Bytes(bytes) => tagged("packed_byte_array", [Term::Binary(bytes.clone())]),
            packed => packed_term(packed),
        })
    }

    fn elements(&self, elements: &[Variant]) -> Result<Vec<Term>, MapError> {
        let term = |(index, element)| self.term(element).map_err(|e| e.under(Step::Index(index)));
        elements.iter().enumerate().map(term).collect()
    }

    fn dictionary(&self, dictionary: &Dictionary) -> Result<Term, MapError> {
        if self.speaks {
            if let Some(term) = self.spoken(dictionary)? {
                return Ok(term);
            }
        }
        let mut keys = Keys::default();
        let mut pairs = Vec::with_capacity(dictionary.entries.len());
        for (index, (key, value)) in dictionary.entries.iter().enumerate() {
            let at_key = |e: MapError| e.under(Step::KeyOf(index));
            let term = self.term(key).map_err(at_key)?;
            keys.add(&term).map_err(at_key)?;
            let value = self
                .term(value)
                .map_err(|e| e.under(Step::Key(shown(key))))?;
            pairs.push((term, value));
        }
        let map = Term::Map(pairs);
        if dictionary.key.is_none() && dictionary.value.is_none() {
            return Ok(map);
        }
        let key = element_type(dictionary.key.as_ref());
        let value = element_type(dictionary.value.as_ref());
        Ok(tagged("dictionary", [key, value, map]))
    }

    /// The atom or tuple that a dictionary stands for, if it does.
    fn spoken(&self, dictionary: &Dictionary) -> Result<Option<Term>, MapError> {
        let [(key, value)] = dictionary.entries.as_slice() else {
            return Ok(None);
        };
        match (key.as_str(), value) {
            (Some("$atom"), Variant::String(text) | Variant::StringName(text)) => {
                let atom = Atom::try_new(text)
                    .ok_or_else(|| MapError::new("an atom has at most 255 characters"))?;
                Ok(Some(Term::Atom(atom)))
            }
            (Some("$tuple"), Variant::Array(_, elements)) => {
                Ok(Some(Term::Tuple(self.elements(elements)?)))
            }
            _ => Ok(None),
        }
    }
}

fn packed_term(packed: &Variant) -> Term {
    match packed {
        Variant::Int32s(numbers) => list("packed_int32_array", numbers, |n| Term::Int((*n).into())),
        Variant::Int64s(numbers) => list("packed_int64_array", numbers, |n| Term::Int(*n)),
        Variant::Float32s(numbers) => list("packed_float32_array", numbers, |n| single(*n)),
        Variant::Float64s(numbers) => list("packed_float64_array", numbers, |n| real(*n)),
        Variant::Strings(texts) => list("packed_string_array", texts, |t| Term::text(t)),
        Variant::Vector2s(vectors) => list("packed_vector2_array", vectors, |v| reals(v)),
        Variant::Vector3s(vectors) => list("packed_vector3_array", vectors, |v| reals(v)),
        Variant::Vector4s(vectors) => list("packed_vector4_array", vectors, |v| reals(v)),
        Variant::Colors(colors) => list("packed_color_array", colors, |c| {
            Term::Tuple(c.map(single).to_vec())
        }),
        _ => unreachable!("every other type is mapped by term()"),
    }
}

fn tagged(kind: &str, parts: impl IntoIterator<Item = Term>) -> Term {
    let mut elements = vec![Term::Atom(TAG_ATOM.clone()), Term::atom(kind)];
    elements.extend(parts);
    Term::Tuple(elements)
}

fn list<T>(kind: &str, items: &[T], term: impl Fn(&T) -> Term) -> Term {
    tagged(kind, [Term::List(items.iter().map(term).collect())])
}

fn reals(parts: &[f64]) -> Term {
    Term::Tuple(parts.iter().map(|part| real(*part)).collect())
}

fn single(number: f32) -> Term {
    real(f64::from(number))
}

/// A float, or the atom that stands for what ETF cannot carry.
fn real(number: f64) -> Term {
    if number.is_nan() {
        Term::atom("nan")
    } else if number == f64::INFINITY {
        Term::atom("infinity")
    } else if number == f64::NEG_INFINITY {
        Term::atom("neg_infinity")
    } else {
        Term::Float(number)
    }
}

fn name_of(id: u8) -> &'static str {
    type_name(id).expect("every shape has the id of a known type")
}

fn element_type(kind: Option<&ElementType>) -> Term {
    match kind {
        None => Term::atom(ANY),
        Some(ElementType::Builtin(id)) => Term::atom(type_name(*id).unwrap_or(ANY)),
        Some(ElementType::Class(name)) => Term::Tuple(vec![Term::atom("class"), Term::text(name)]),
        Some(ElementType::Script(path)) => {
            Term::Tuple(vec![Term::atom("script"), Term::text(path)])
        }
    }
}

fn node_path(path: &NodePath) -> Result<Term, MapError> {
    let text = path.text();
    if NodePath::parse(&text) == *path {
        Ok(Term::text(&text))
    } else {
        Err(MapError::new(
            "a node path with an empty name, or with / or : inside a name",
        ))
    }
}
