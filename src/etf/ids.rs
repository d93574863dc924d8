//! Atoms and the three kinds of identifiers.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// An Erlang atom. Cheap to clone; at most 255 characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Atom(Arc<str>);

/// Longest atom, in characters.
const ATOM_CHARS_MAX: usize = 255;
/// How many atoms each thread remembers, so that the usual ones cost no allocation.
const INTERNED_MAX: usize = 1024;
/// Longer atoms are not worth remembering.
const INTERNED_BYTES_MAX: usize = 64;

thread_local! {
    static INTERNED: RefCell<HashSet<Arc<str>>> = RefCell::default();
}

impl Atom {
    /// The atom of this text. Text over 255 characters is cut there; where the text is not ours, check
    /// it with [`Atom::try_new`].
    pub fn new(text: &str) -> Self {
        Self::try_new(text)
            .unwrap_or_else(|| Self(text.chars().take(ATOM_CHARS_MAX).collect::<String>().into()))
    }

    /// The atom of this text, or none where it is longer than 255 characters.
    pub fn try_new(text: &str) -> Option<Self> {
        if text.len() > ATOM_CHARS_MAX && text.chars().count() > ATOM_CHARS_MAX {
            return None;
        }
        if text.len() > INTERNED_BYTES_MAX {
            return Some(Self(text.into()));
        }
        Some(INTERNED.with_borrow_mut(|seen| {
            if let Some(known) = seen.get(text) {
                return Self(known.clone());
            }
            let fresh: Arc<str> = text.into();
            if seen.len() < INTERNED_MAX {
                seen.insert(fresh.clone());
            }
            Self(fresh)
        }))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Atom {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Atom {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl From<&str> for Atom {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A process identifier.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Pid {
    /// Node that made it.
    pub node: Atom,
    /// First number.
    pub id: u32,
    /// Second number.
    pub serial: u32,
    /// Incarnation of the node.
    pub creation: u32,
}

/// A port identifier.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Port {
    /// Node that made it.
    pub node: Atom,
    /// Number.
    pub id: u64,
    /// Incarnation of the node.
    pub creation: u32,
}

/// A reference: up to five words, unique within the node's incarnation.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Reference {
    /// Node that made it.
    pub node: Atom,
    /// Incarnation of the node.
    pub creation: u32,
    words: [u32; 5],
    count: u8,
}

impl Reference {
    /// A reference of these words; none where there are fewer than one or more than five.
    pub fn new(node: Atom, creation: u32, words: &[u32]) -> Option<Self> {
        if words.is_empty() || words.len() > 5 {
            return None;
        }
        let mut all = [0; 5];
        all[..words.len()].copy_from_slice(words);
        Some(Self {
            node,
            creation,
            words: all,
            count: words.len() as u8,
        })
    }

    /// The words, in the order of the wire.
    pub fn words(&self) -> &[u32] {
        &self.words[..usize::from(self.count)]
    }
}
