//! Terms to bytes.

use crate::etf::Term;
use bytes::{Bytes, BytesMut};

/// The external form with its leading version byte: a `types::Payload`.
pub fn encode(term: &Term) -> Bytes {
    let _ = term;
    todo!()
}

/// Appends the external form without the version byte, for use inside other terms and frames.
pub fn encode_into(term: &Term, out: &mut BytesMut) {
    let _ = (term, out);
    todo!()
}
