//! Erlang external term format: terms, decoder, encoder.
//!
//! The decoder is fed by peers, so it is written against hostile bytes: nesting is capped, every count is
//! checked against the bytes that remain and against a budget of terms, big integers are bounded, compressed
//! terms and distribution headers (tags 80, 68, 69, 70, 82) are refused. Binaries are slices of the input, not copies.
//!
//! Architecture Invariant: whatever [`decode()`] accepts, OTP's own decoder accepts too. So bytes that a peer
//! sent and that passed the decoder may be journalled as they are and sent to another BEAM later. (One exception, which we
//! cannot see: identifiers with the reader's own name and creation that it never gave.)
//!
//! The encoder writes the forms that OTP 26 and later write themselves: UTF-8 atoms, `NEW_PID_EXT`,
//! `V4_PORT_EXT`, `NEWER_REFERENCE_EXT`, `NEW_FLOAT_EXT`.

mod decode;
mod display;
mod encode;
mod ids;
mod keys;
mod leaves;
mod term;
#[cfg(test)]
mod tests;

use decode::decode_bare;
pub(crate) use decode::decode_weighed;
pub use decode::{DecodeError, Limits, decode, decode_prefix, decode_with, split_prefix};
pub use encode::{encode, encode_into};
pub(crate) use encode::{put_atom, put_int, put_pid, put_ref, put_tuple_header};
pub use ids::{Atom, Pid, Port, Reference};
pub use term::Term;

/// The version byte that starts every external term.
pub const VERSION: u8 = 131;
