//! Finding keys that would fall together in a map of the other side.

use super::MapError;
use crate::etf::{self, Term};
use bytes::Bytes;
use std::collections::HashSet;

/// What makes a key the same key.
#[derive(PartialEq, Eq, Hash)]
enum Identity {
    Text(Bytes),
    Int(i64),
    Other(Bytes),
}

/// The keys of one map so far.
#[derive(Default)]
pub struct Keys {
    seen: HashSet<Identity>,
}

impl Keys {
    /// Takes the next key of a term map. Texts and integers are told apart without encoding them.
    pub fn add(&mut self, key: &Term) -> Result<(), MapError> {
        let identity = match key {
            Term::Binary(text) => Identity::Text(text.clone()),
            Term::Int(number) => Identity::Int(*number),
            other => Identity::Other(etf::encode(other)),
        };
        self.insert(identity)
    }

    /// Takes the next key where an atom and a binary of one text fall together, as `StringName` and `String` do in Godot.
    pub fn add_for_godot(&mut self, key: &Term) -> Result<(), MapError> {
        match key {
            Term::Atom(atom) => {
                let text = Bytes::copy_from_slice(atom.as_str().as_bytes());
                self.insert(Identity::Text(text))
            }
            Term::Tuple(parts) => match parts.as_slice() {
                [tag, kind, Term::Binary(text)]
                    if tag.is_atom(super::TAG) && kind.is_atom("string_name") =>
                {
                    self.insert(Identity::Text(text.clone()))
                }
                _ => self.add(key),
            },
            _ => self.add(key),
        }
    }

    fn insert(&mut self, identity: Identity) -> Result<(), MapError> {
        if self.seen.insert(identity) {
            Ok(())
        } else {
            Err(MapError::new("the key stands there twice"))
        }
    }
}
