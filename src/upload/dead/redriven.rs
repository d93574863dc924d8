//! A record that is offered again: it stands at the end of its stream as `{'$sidekick_redriven', Sink, Seq, Payload}`.
//!
//! Only the sink that had refused it gets it, as the payload alone; the others have it already, and are told that this sequence
//! is missing on purpose.

use crate::etf::{self, Term};
use crate::types::{Payload, Sequence, SinkName};

const MARK: &str = "$sidekick_redriven";

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::upload) struct Redriven {
    /// Who gets it.
    pub(in crate::upload) sink: SinkName,
    /// Where it stood before.
    pub(in crate::upload) from: Sequence,
    /// What it holds.
    pub(in crate::upload) payload: Payload,
}

impl Redriven {
    /// As it is journalled.
    pub(super) fn encode(&self) -> Payload {
        etf::encode(&Term::tuple([
            Term::atom(MARK),
            Term::binary(self.sink.to_bytes()),
            Term::int(self.from),
            Term::Fun(self.payload.slice(1..)),
        ]))
    }

    /// Reads a payload that may be one. Every record of an upload comes by, so most are told by their first bytes.
    pub(in crate::upload) fn of(payload: &Payload) -> Option<Self> {
        // Version, small tuple of four, small atom of 18 bytes, its text.
        let head = [131, 104, 4, 119, 18];
        if !payload.starts_with(&head) || !payload[head.len()..].starts_with(MARK.as_bytes()) {
            return None;
        }
        let term = etf::decode(payload.clone()).ok()?;
        let [_, sink, from, payload] = term.as_tuple()? else {
            return None;
        };
        Some(Self {
            sink: SinkName::new(sink.as_binary()?.clone()).ok()?,
            from: from.as_u64()?,
            payload: etf::encode(payload),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_known_by_its_first_bytes_and_nothing_else_is() {
        let payload = etf::encode(&Term::map([("n", Term::int(7))]));
        let redriven = Redriven {
            sink: SinkName::try_from("db").unwrap(),
            from: 300,
            payload: payload.clone(),
        };
        assert_eq!(Redriven::of(&redriven.encode()), Some(redriven));
        assert_eq!(Redriven::of(&payload), None);
        let other = Term::tuple([Term::atom(MARK), Term::int(1), Term::int(2), Term::int(3)]);
        assert_eq!(Redriven::of(&etf::encode(&other)), None);
    }
}
