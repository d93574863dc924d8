//! Atoms and the three kinds of identifiers.

use foldhash::fast::RandomState;
use std::cell::RefCell;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

/// An Erlang atom. Cheap to clone; at most 255 characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Atom(Arc<str>);

/// Longest atom, in characters.
const ATOM_CHARS_MAX: usize = 255;
/// How many atoms each thread remembers, so that the usual ones cost no allocation. An atom's hash says its place; one
/// that comes to a taken place takes it, so nothing that peers send can keep the usual ones out for good.
const REMEMBERED: usize = 1024;
/// Longer atoms are not worth remembering.
const REMEMBERED_BYTES_MAX: usize = 64;

/// The atoms that a thread remembers.
struct Memory {
    hasher: RandomState,
    atoms: Vec<Option<Arc<str>>>,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::new(Memory {
        hasher: RandomState::default(),
        atoms: vec![None; REMEMBERED],
    });
}

impl Memory {
    /// The atom of these bytes, checked where it is not remembered.
    fn find(&mut self, bytes: &[u8]) -> Option<Atom> {
        let place = self.hasher.hash_one(bytes) as usize % REMEMBERED;
        let known = &mut self.atoms[place];
        if let Some(known) = known.as_ref().filter(|known| known.as_bytes() == bytes) {
            return Some(Atom(known.clone()));
        }
        let fresh: Arc<str> = std::str::from_utf8(bytes).ok()?.into();
        *known = Some(fresh.clone());
        Some(Atom(fresh))
    }
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
        Self::from_utf8(text.as_bytes())
    }

    /// The atom of these bytes, or none where they are not UTF-8 or more than 255 characters.
    pub fn from_utf8(bytes: &[u8]) -> Option<Self> {
        if bytes.len() <= REMEMBERED_BYTES_MAX {
            return MEMORY.with_borrow_mut(|memory| memory.find(bytes));
        }
        let text = std::str::from_utf8(bytes).ok()?;
        if text.len() > ATOM_CHARS_MAX && text.chars().count() > ATOM_CHARS_MAX {
            return None;
        }
        Some(Self(text.into()))
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
