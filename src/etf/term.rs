//! The term type.

use crate::etf::{Atom, Pid, Port, Reference};
use bytes::Bytes;
use num_bigint::BigInt;

/// Any Erlang term. Maps keep the order of their pairs; strings written as `STRING_EXT` are lists of integers.
///
/// Two maps with the same pairs in another order are not equal here.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// An integer that fits 64 bits.
    Int(i64),
    /// An integer that does not fit 64 bits.
    Big(BigInt),
    /// A float. Erlang has no NaN and no infinity: the encoder writes the atoms `nan`, `infinity`, `'-infinity'` for them.
    Float(f64),
    /// An atom.
    Atom(Atom),
    /// A binary; Elixir's strings are these.
    Binary(Bytes),
    /// A bit string whose last byte has only its `bits` high bits in use.
    BitBinary {
        /// The bytes, the last one padded.
        bytes: Bytes,
        /// Bits in use of the last byte, 1 to 7.
        bits: u8,
    },
    /// A tuple.
    Tuple(Vec<Term>),
    /// A proper list; the empty list is `[]`.
    List(Vec<Term>),
    /// A list whose tail is not a list.
    ImproperList(Vec<Term>, Box<Term>),
    /// A map, its pairs in the order of the wire.
    Map(Vec<(Term, Term)>),
    /// A process identifier.
    Pid(Pid),
    /// A port identifier.
    Port(Port),
    /// A reference.
    Ref(Reference),
    /// A fun, opaque: its external form with the tag.
    Fun(Bytes),
}

impl Term {
    /// The atom of this text (cut at 255 characters).
    pub fn atom(text: &str) -> Self {
        Self::Atom(Atom::new(text))
    }

    /// A binary.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self::Binary(bytes.into())
    }

    /// A binary copied from text.
    pub fn text(text: &str) -> Self {
        Self::Binary(Bytes::copy_from_slice(text.as_bytes()))
    }

    /// An integer of any width up to 128 bits.
    pub fn int(value: impl Into<i128>) -> Self {
        let value = value.into();
        i64::try_from(value).map_or_else(|_| Self::Big(value.into()), Self::Int)
    }

    /// A tuple.
    pub fn tuple(elements: impl Into<Vec<Term>>) -> Self {
        Self::Tuple(elements.into())
    }

    /// A proper list.
    pub fn list(elements: impl Into<Vec<Term>>) -> Self {
        Self::List(elements.into())
    }

    /// A list of characters, as Erlang's strings are.
    pub fn charlist(text: &str) -> Self {
        Self::List(
            text.chars()
                .map(|c| Self::Int(i64::from(u32::from(c))))
                .collect(),
        )
    }

    /// A map with atom keys.
    pub fn map<'a>(pairs: impl IntoIterator<Item = (&'a str, Term)>) -> Self {
        Self::Map(
            pairs
                .into_iter()
                .map(|(key, value)| (Self::atom(key), value))
                .collect(),
        )
    }

    /// `true` or `false`.
    pub fn bool(value: bool) -> Self {
        Self::atom(if value { "true" } else { "false" })
    }

    /// `nil`.
    pub fn nil() -> Self {
        Self::atom("nil")
    }

    /// `{ok, Value}`.
    pub fn ok(value: Term) -> Self {
        Self::Tuple(vec![Self::atom("ok"), value])
    }

    /// `{error, {Code, Details}}`, the form of sidekick's own refusals; `details` must be a map.
    pub fn error(code: &str, details: Term) -> Self {
        Self::Tuple(vec![
            Self::atom("error"),
            Self::Tuple(vec![Self::atom(code), details]),
        ])
    }

    /// The atom, where it is one.
    pub fn as_atom(&self) -> Option<&Atom> {
        match self {
            Self::Atom(atom) => Some(atom),
            _ => None,
        }
    }

    /// Whether it is the atom of this text.
    pub fn is_atom(&self, text: &str) -> bool {
        matches!(self, Self::Atom(atom) if atom.as_str() == text)
    }

    /// The binary, where it is one.
    pub fn as_binary(&self) -> Option<&Bytes> {
        match self {
            Self::Binary(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text of a binary in UTF-8 or of an atom.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Binary(bytes) => std::str::from_utf8(bytes).ok(),
            Self::Atom(atom) => Some(atom.as_str()),
            _ => None,
        }
    }

    /// The integer, where it is one that fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The integer, where it is one that fits and is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Int(value) => u64::try_from(*value).ok(),
            Self::Big(value) => u64::try_from(value).ok(),
            _ => None,
        }
    }

    /// The elements of a tuple.
    pub fn as_tuple(&self) -> Option<&[Term]> {
        match self {
            Self::Tuple(elements) => Some(elements),
            _ => None,
        }
    }

    /// The elements of a proper list.
    pub fn as_list(&self) -> Option<&[Term]> {
        match self {
            Self::List(elements) => Some(elements),
            _ => None,
        }
    }

    /// The pairs of a map.
    pub fn as_map(&self) -> Option<&[(Term, Term)]> {
        match self {
            Self::Map(pairs) => Some(pairs),
            _ => None,
        }
    }

    /// The pid, where it is one.
    pub fn as_pid(&self) -> Option<&Pid> {
        match self {
            Self::Pid(pid) => Some(pid),
            _ => None,
        }
    }

    /// The reference, where it is one.
    pub fn as_ref(&self) -> Option<&Reference> {
        match self {
            Self::Ref(reference) => Some(reference),
            _ => None,
        }
    }

    /// `true` or `false`, where it is one of them.
    pub fn as_bool(&self) -> Option<bool> {
        match self.as_atom()?.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// The value under an atom key of a map.
    pub fn map_get(&self, key: &str) -> Option<&Term> {
        self.as_map()?
            .iter()
            .find_map(|(name, value)| name.is_atom(key).then_some(value))
    }
}

impl From<Atom> for Term {
    fn from(atom: Atom) -> Self {
        Self::Atom(atom)
    }
}

impl From<Pid> for Term {
    fn from(pid: Pid) -> Self {
        Self::Pid(pid)
    }
}

impl From<Reference> for Term {
    fn from(reference: Reference) -> Self {
        Self::Ref(reference)
    }
}
