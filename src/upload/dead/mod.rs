//! Dead letters: records that a sink refuses for what they hold, kept until an operator offers them again or discards them.
//!
//! They are state of a scope of our own, `.sidekick.dead.<sink>`, by number: so they are on disk like any other state, have the
//! space that is kept back for state when events fill the buffer (a stream would have to wait for the very record that it is to
//! take), pin no stream, and go one by one in any order. docs/adr/0021-dead-letters.md weighs this against a stream.
//!
//! [`letters`] keeps count and bounds, [`letter`] is the form of one, [`redriven`] of a record that is offered again, which is
//! appended and its letter removed by one atomic commit.
//!
//! Architecture Invariant: a letter is on disk before its record is passed, and gone only with its record's new place, or by an
//! operator's word.

mod letter;
mod letters;
mod redriven;

pub use letter::DeadLetter;
pub(super) use letters::{Letters, Settle, Settled, letter_of, list, redrive_or_discard};
pub(super) use redriven::Redriven;

use crate::types::{Scope, SinkName};

/// How the names of our own scopes begin. None of them is uploaded.
pub(super) const OWN_SCOPES: &[u8] = b".sidekick.";

/// The scope of a sink's letters; none for a name that is too long for it, which the configuration refuses.
pub(super) fn scope(sink: &SinkName) -> Option<Scope> {
    Scope::new([b".sidekick.dead.", sink.as_bytes()].concat()).ok()
}
