//! Bytes to terms.

use crate::etf::{Atom, Pid, Port, Reference, Term, VERSION, keys};
use bytes::{Buf, Bytes};
use num_bigint::{BigInt, Sign};

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

struct Decoder {
    input: Bytes,
    limits: Limits,
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

    #[inline(never)]
    fn leaf(&mut self, tag: u8) -> Result<Term, DecodeError> {
        match tag {
            97 => Ok(Term::Int(i64::from(self.u8()?))),
            98 => Ok(Term::Int(i64::from(self.u32()? as i32))),
            99 => self.old_float(),
            70 => finite(f64::from_bits(self.u64()?)),
            100 | 115 | 118 | 119 => self.atom_of(tag).map(Term::Atom),
            106 => Ok(Term::List(Vec::new())),
            107 => self.string(),
            109 => {
                let len = self.u32()? as usize;
                self.take(len).map(Term::Binary)
            }
            77 => self.bit_binary(),
            110 => {
                let len = usize::from(self.u8()?);
                self.big(len)
            }
            111 => {
                let len = self.u32()? as usize;
                self.big(len)
            }
            88 | 103 => self.pid(tag).map(Term::Pid),
            89 | 102 | 120 => self.port(tag),
            90 | 101 | 114 => self.reference(tag),
            tag => Err(DecodeError::Tag(tag)),
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

    fn string(&mut self) -> Result<Term, DecodeError> {
        let len = usize::from(self.u16()?);
        self.spend(len)?;
        let bytes = self.take(len)?;
        Ok(Term::List(
            bytes.iter().map(|b| Term::Int(i64::from(*b))).collect(),
        ))
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

    fn bit_binary(&mut self) -> Result<Term, DecodeError> {
        let len = self.u32()? as usize;
        let bits = self.u8()?;
        let bytes = self.take(len)?;
        match bits {
            8 if len > 0 => Ok(Term::Binary(bytes)),
            1..=7 if len > 0 => Ok(bit_string(bytes, bits)),
            0 if len == 0 => Ok(Term::Binary(bytes)),
            _ => Err(DecodeError::Malformed("bit string")),
        }
    }

    fn big(&mut self, len: usize) -> Result<Term, DecodeError> {
        if len > self.limits.big_bytes {
            return Err(DecodeError::TooBig(len));
        }
        let sign = if self.u8()? == 0 {
            Sign::Plus
        } else {
            Sign::Minus
        };
        let value = BigInt::from_bytes_le(sign, &self.take(len)?);
        Ok(i64::try_from(&value).map_or_else(|_| Term::Big(value), Term::Int))
    }

    fn old_float(&mut self) -> Result<Term, DecodeError> {
        let text = self.take(31)?;
        let end = text.iter().position(|b| *b == 0).unwrap_or(31);
        let text = std::str::from_utf8(&text[..end]).map_err(|_| DecodeError::Float)?;
        if !is_decimal(text) {
            return Err(DecodeError::Float);
        }
        finite(text.parse().map_err(|_| DecodeError::Float)?)
    }

    fn atom(&mut self) -> Result<Atom, DecodeError> {
        let tag = self.u8()?;
        self.atom_of(tag)
    }

    fn atom_of(&mut self, tag: u8) -> Result<Atom, DecodeError> {
        let len = match tag {
            100 | 118 => usize::from(self.u16()?),
            115 | 119 => usize::from(self.u8()?),
            _ => return Err(DecodeError::Tag(tag)),
        };
        let bytes = self.input.get(..len).ok_or(DecodeError::Truncated)?;
        let atom = if matches!(tag, 100 | 115) {
            let latin1: String = bytes.iter().map(|b| char::from(*b)).collect();
            Atom::try_new(&latin1)
        } else {
            Atom::from_utf8(bytes)
        };
        self.input.advance(len);
        atom.ok_or(DecodeError::Atom)
    }

    fn pid(&mut self, tag: u8) -> Result<Pid, DecodeError> {
        if !matches!(tag, 88 | 103) {
            return Err(DecodeError::Tag(tag));
        }
        Ok(Pid {
            node: self.atom()?,
            id: self.u32()?,
            serial: self.u32()?,
            creation: if tag == 88 {
                self.u32()?
            } else {
                self.old_creation()?
            },
        })
    }

    /// Creations of one byte had two bits; OTP refuses others.
    fn old_creation(&mut self) -> Result<u32, DecodeError> {
        match self.u8()? {
            creation @ 0..=3 => Ok(u32::from(creation)),
            _ => Err(DecodeError::Malformed("creation")),
        }
    }

    fn port(&mut self, tag: u8) -> Result<Term, DecodeError> {
        Ok(Term::Port(Port {
            node: self.atom()?,
            id: if tag == 120 {
                self.u64()?
            } else {
                u64::from(self.u32()?)
            },
            creation: if tag == 102 {
                self.old_creation()?
            } else {
                self.u32()?
            },
        }))
    }

    fn reference(&mut self, tag: u8) -> Result<Term, DecodeError> {
        let count = if tag == 101 {
            1
        } else {
            usize::from(self.u16()?)
        };
        let node = self.atom()?;
        let (creation, mut words) = match tag {
            101 => {
                let word = self.u32()?;
                (self.old_creation()?, [word, 0, 0, 0, 0])
            }
            90 => (self.u32()?, [0; 5]),
            _ => (self.old_creation()?, [0; 5]),
        };
        let all = words
            .get_mut(..count)
            .ok_or(DecodeError::Malformed("reference"))?;
        if tag != 101 {
            for word in all.iter_mut() {
                *word = self.u32()?;
            }
        }
        // OTP reads wider first words in the newest form only.
        if tag != 90 && all.first().is_some_and(|first| *first >= 1 << 18) {
            return Err(DecodeError::Malformed("reference"));
        }
        Reference::new(node, creation, all)
            .map(Term::Ref)
            .ok_or(DecodeError::Malformed("reference"))
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

    fn spend(&mut self, terms: usize) -> Result<(), DecodeError> {
        self.limits.terms = self
            .limits
            .terms
            .checked_sub(terms)
            .ok_or(DecodeError::TooMany)?;
        Ok(())
    }

    fn take(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        if len > self.input.len() {
            return Err(DecodeError::Truncated);
        }
        Ok(self.input.split_to(len))
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        self.input.try_get_u8().map_err(|_| DecodeError::Truncated)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        self.input.try_get_u16().map_err(|_| DecodeError::Truncated)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.input.try_get_u32().map_err(|_| DecodeError::Truncated)
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
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

/// What stands beyond the end of a bit string is no part of it: bits that a peer left there are cleared, so that equal
/// bit strings are equal bytes.
fn bit_string(bytes: Bytes, bits: u8) -> Term {
    let last = bytes.len() - 1;
    let kept = bytes[last] & !(0xff >> bits);
    if bytes[last] == kept {
        return Term::BitBinary { bytes, bits };
    }
    let mut copy = bytes.to_vec();
    copy[last] = kept;
    let bytes = copy.into();
    Term::BitBinary { bytes, bits }
}

/// Whether this is a number as OTP writes it: digits, a point, digits, and perhaps an exponent.
fn is_decimal(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let unsigned = |part: &str| digits(part.strip_prefix(['+', '-']).unwrap_or(part));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let Some((whole, fraction)) = mantissa.split_once('.') else {
        return false;
    };
    unsigned(whole) && digits(fraction) && unsigned(exponent)
}

fn finite(value: f64) -> Result<Term, DecodeError> {
    if value.is_finite() {
        Ok(Term::Float(value))
    } else {
        Err(DecodeError::Float)
    }
}
