//! Bytes to terms.

use crate::etf::Term;
use bytes::Bytes;

/// Bounds on what one input may make of itself.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Deepest nesting of containers.
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
    /// The input ends inside a term.
    #[error("the term is cut short")]
    Truncated,
}

/// Decodes an input that is one whole term with its version byte.
pub fn decode(input: Bytes) -> Result<Term, DecodeError> {
    let _ = input;
    todo!()
}

/// As [`decode`], with other bounds.
pub fn decode_with(input: Bytes, limits: Limits) -> Result<Term, DecodeError> {
    let _ = (input, limits);
    todo!()
}

/// Takes one term with its version byte from the front of the input.
pub fn decode_prefix(input: &mut Bytes) -> Result<Term, DecodeError> {
    let _ = input;
    todo!()
}

/// Takes the bytes of one term, with its version byte, from the front of the input, having checked them as [`decode`] does.
pub fn split_prefix(input: &mut Bytes) -> Result<Bytes, DecodeError> {
    let _ = input;
    todo!()
}
