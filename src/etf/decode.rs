//! Bytes to terms: whole inputs and containers; what holds no other terms is in [`leaves`](super::leaves).

use crate::etf::{Term, VERSION, keys};
use bytes::{Buf, Bytes};

/// Room that a container starts with, in elements. Small, as hostile input can open 256 containers at once.
const FIRST_ROOM: usize = 32;

/// Bounds on what one input may make of itself.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Deepest nesting of containers. The decoder recurses, so this bounds its stack.
    pub depth: u16,
    /// Most terms in one input, elements and keys counted.
    pub terms: usize,
    /// Longest big integer, in bytes.
    pub big_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 256,
            terms: 4 << 20,
            big_bytes: 64 << 10,
        }
    }
}

/// Why bytes were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The input ends inside a term, or a count promises more than the input holds.
    #[error("the term is cut short")]
    Truncated,
    /// Bytes follow the term.
    #[error("{0} bytes follow the term")]
    Trailing(usize),
    /// The first byte is not 131.
    #[error("external terms start with 131, this one with {0}")]
    Version(u8),
    /// The tag is unknown, or refused: compressed terms (80) and distribution headers (68, 69, 82).
    #[error("tag {0} is not accepted")]
    Tag(u8),
    /// Containers nest too deep.
    #[error("the term nests too deep")]
    TooDeep,
    /// The input holds too many terms.
    #[error("the input holds too many terms")]
    TooMany,
    /// A big integer is too long.
    #[error("an integer of {0} bytes is too long")]
    TooBig(usize),
    /// An atom is not text, or longer than 255 characters.
    #[error("an atom is malformed")]
    Atom,
    /// A float is not a finite number.
    #[error("a float is not a number")]
    Float,
    /// A map names a key twice.
    #[error("a map has a key twice")]
    DuplicateKey,
    /// An identifier, bit string or fun does not have the documented form.
    #[error("a {0} is malformed")]
    Malformed(&'static str),
}

/// Decodes an input that is one whole term with its version byte.
pub fn decode(input: Bytes) -> Result<Term, DecodeError> {
    decode_with(input, Limits::default())
}

/// As [`decode`], with other bounds.
pub fn decode_with(input: Bytes, limits: Limits) -> Result<Term, DecodeError> {
    let mut decoder = Decoder::new(input, limits);
    let term = decoder.versioned()?;
    match decoder.input.len() {
        0 => Ok(term),
        rest => Err(DecodeError::Trailing(rest)),
    }
}

/// As [`decode`]; gives also about how many bytes the term takes in memory, with the input that its binaries hold.
pub(crate) fn decode_weighed(input: Bytes) -> Result<(Term, usize), DecodeError> {
    let (bytes, limits) = (input.len(), Limits::default());
    let mut decoder = Decoder::new(input, limits);
    let term = decoder.versioned()?;
    let terms = limits.terms - decoder.limits.terms;
    match decoder.input.len() {
        0 => Ok((term, bytes + terms * size_of::<Term>())),
        rest => Err(DecodeError::Trailing(rest)),
    }
}

/// Takes one term with its version byte from the front of the input. After an error the input is in no particular state.
pub fn decode_prefix(input: &mut Bytes) -> Result<Term, DecodeError> {
    let mut decoder = Decoder::new(std::mem::take(input), Limits::default());
    let term = decoder.versioned()?;
    *input = decoder.input;
    Ok(term)
}

/// As [`decode_prefix`], for a term without a version byte inside of another.
pub(super) fn decode_bare(input: &mut Bytes) -> Result<Term, DecodeError> {
    let mut decoder = Decoder::new(std::mem::take(input), Limits::default());
    let term = decoder.term(decoder.limits.depth)?;
    *input = decoder.input;
    Ok(term)
}

/// Takes the bytes of one term, with its version byte, from the front of the input, having checked them as [`decode`] does.
pub fn split_prefix(input: &mut Bytes) -> Result<Bytes, DecodeError> {
    let whole = input.clone();
    decode_prefix(input)?;
    Ok(whole.slice(..whole.len() - input.len()))
}

pub(super) struct Decoder {
    pub(super) input: Bytes,
    pub(super) limits: Limits,
    keys: keys::Budget,
}

impl Decoder {
    fn new(input: Bytes, limits: Limits) -> Self {
        let keys = keys::Budget::of(input.len());
        Self {
            input,
            limits,
            keys,
        }
    }

    fn versioned(&mut self) -> Result<Term, DecodeError> {
        match self.u8()? {
            VERSION => self.term(self.limits.depth),
            other => Err(DecodeError::Version(other)),
        }
    }

    fn term(&mut self, depth: u16) -> Result<Term, DecodeError> {
        self.spend(1)?;
        let tag = *self.input.first().ok_or(DecodeError::Truncated)?;
        if matches!(tag, 112 | 113) {
            return self.fun(depth);
        }
        self.input.advance(1);
        // Containers apart from the rest, so that the frames of the recursion stay small.
        match tag {
            104 | 105 => self.tuple(tag, depth),
            108 => self.list(depth),
            116 => self.map(depth),
            _ => self.leaf(tag),
        }
    }

    fn tuple(&mut self, tag: u8, depth: u16) -> Result<Term, DecodeError> {
        let arity = if tag == 104 {
            usize::from(self.u8()?)
        } else {
            self.u32()? as usize
        };
        self.elements(arity, depth).map(Term::Tuple)
    }

    fn elements(&mut self, count: usize, depth: u16) -> Result<Vec<Term>, DecodeError> {
        let depth = deeper(depth)?;
        // Each element takes at least one byte.
        if count > self.input.len() {
            return Err(DecodeError::Truncated);
        }
        if count > self.limits.terms {
            return Err(DecodeError::TooMany);
        }
        let mut elements = Vec::new();
        for _ in 0..count {
            grow(&mut elements, count);
            elements.push(self.term(depth)?);
        }
        Ok(elements)
    }

    fn list(&mut self, depth: u16) -> Result<Term, DecodeError> {
        let count = self.u32()? as usize;
        let mut elements = self.elements(count, depth)?;
        Ok(match self.term(deeper(depth)?)? {
            Term::List(tail) if tail.is_empty() => Term::List(elements),
            // A list may be written in pieces.
            Term::List(tail) => {
                elements.extend(tail);
                Term::List(elements)
            }
            Term::ImproperList(more, tail) => {
                elements.extend(more);
                Term::ImproperList(elements, tail)
            }
            tail if elements.is_empty() => tail,
            tail => Term::ImproperList(elements, Box::new(tail)),
        })
    }

    fn map(&mut self, depth: u16) -> Result<Term, DecodeError> {
        let count = self.u32()? as usize;
        let depth = deeper(depth)?;
        if count > self.input.len() / 2 {
            return Err(DecodeError::Truncated);
        }
        if count > self.limits.terms / 2 {
            return Err(DecodeError::TooMany);
        }
        let mut pairs = Vec::new();
        for _ in 0..count {
            grow(&mut pairs, count);
            let key = self.term(depth)?;
            pairs.push((key, self.term(depth)?));
        }
        if keys::has_duplicates(&pairs, &mut self.keys)? {
            return Err(DecodeError::DuplicateKey);
        }
        Ok(Term::Map(pairs))
    }

    /// Funs are kept as they are, but checked, so that what passes here passes OTP's decoder too.
    fn fun(&mut self, depth: u16) -> Result<Term, DecodeError> {
        let mut whole = self.input.clone();
        if self.u8()? == 113 {
            self.export()?;
        } else {
            let body = self.input.len();
            let (size, free) = self.fun_header()?;
            self.elements(free, depth)?;
            if body - self.input.len() != size {
                return Err(DecodeError::Malformed("fun"));
            }
        }
        whole.truncate(whole.len() - self.input.len());
        Ok(Term::Fun(whole))
    }

    #[inline(never)]
    fn export(&mut self) -> Result<(), DecodeError> {
        self.atom()?;
        self.atom()?;
        match (self.u8()?, self.u8()?) {
            (97, _) => Ok(()),
            _ => Err(DecodeError::Malformed("fun")),
        }
    }

    /// Everything before the free variables: the size of the whole and their count.
    #[inline(never)]
    fn fun_header(&mut self) -> Result<(usize, usize), DecodeError> {
        let malformed = DecodeError::Malformed("fun");
        let size = self.u32()? as usize;
        self.take(1 + 16 + 4)?;
        let free = self.u32()? as usize;
        self.atom()?;
        for _ in 0..2 {
            let tag = self.u8()?;
            // As large as an integer in one word of a BEAM.
            if !matches!(self.leaf(tag)?, Term::Int(n) if (-1 << 59..1 << 59).contains(&n)) {
                return Err(malformed);
            }
        }
        let tag = self.u8()?;
        self.pid(tag)?;
        Ok((size, free))
    }

    pub(super) fn spend(&mut self, terms: usize) -> Result<(), DecodeError> {
        self.limits.terms = self
            .limits
            .terms
            .checked_sub(terms)
            .ok_or(DecodeError::TooMany)?;
        Ok(())
    }

    pub(super) fn take(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        if len > self.input.len() {
            return Err(DecodeError::Truncated);
        }
        Ok(self.input.split_to(len))
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.input.try_get_u8().map_err(|_| DecodeError::Truncated)
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.input.try_get_u16().map_err(|_| DecodeError::Truncated)
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.input.try_get_u32().map_err(|_| DecodeError::Truncated)
    }

    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.input.try_get_u64().map_err(|_| DecodeError::Truncated)
    }
}

/// Makes room for one more of `count` elements: for as many as are there already, as counts are only promises; and for
/// no more than were promised.
fn grow<T>(elements: &mut Vec<T>, count: usize) {
    if elements.len() == elements.capacity() {
        let more = elements.len().max(FIRST_ROOM).min(count - elements.len());
        elements.reserve_exact(more);
    }
}

fn deeper(depth: u16) -> Result<u16, DecodeError> {
    depth.checked_sub(1).ok_or(DecodeError::TooDeep)
}
