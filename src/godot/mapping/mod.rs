//! Variants ⇄ external terms.
//!
//! Architecture Invariant: Variant → term → Variant gives back the same value, always. What ETF has no place for (a
//! `StringName`, a `Vector2`, NaN) becomes a tuple `{godot, Type, …}`. In the other direction the terms of other producers
//! are read kindly: an atom arrives as a `StringName`, a tuple as an `Array`, a binary that is not UTF-8 as a
//! `PackedByteArray`; pids, references, funs and integers over 64 bits are refused with the path to them.
//!
//! A `StringName` does *not* become an atom: node names are `StringName`s, often chosen by players, and each new atom
//! stays in a BEAM's atom table for good. A script that must say an atom or a tuple says so: see [`message_to_term`].

mod keys;
mod numbers;
mod tagged;
mod to_term;
mod to_variant;

#[cfg(test)]
mod tests;

pub use to_term::{message_to_term, variant_to_term};
pub use to_variant::term_to_variant;

use crate::godot::{Path, Step};

/// First element of every tagged tuple.
const TAG: &str = "godot";
/// Stands for "any type" in the tagged form of a container that is typed on one side only.
const ANY: &str = "variant";

/// A value that has no form on the other side.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} (at {path})")]
pub struct MapError {
    /// Where in the value.
    pub path: Path,
    /// What is the matter.
    pub what: String,
}

impl MapError {
    fn new(what: impl Into<String>) -> Self {
        let path = Path::default();
        let what = what.into();
        Self { path, what }
    }

    fn under(mut self, step: Step) -> Self {
        self.path.push_outer(step);
        self
    }
}
