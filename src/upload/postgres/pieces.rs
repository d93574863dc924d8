//! The payloads of an upload, in pieces that each fit into one message: CockroachDB takes messages of 16 MiB. The statements of all
//! pieces belong to the same transaction.

use super::failure::Trouble;
use super::json;
use super::options::PayloadForm;
use super::records::Parameter;
use crate::types::Payload;
use std::ops::Range;

/// What a piece may hold, unless one payload alone is larger.
const PIECE_BYTES: usize = 4 << 20;
/// What a payload takes beside itself: its length, and the numbers that go with it.
const BESIDE_BYTES: usize = 32;

/// Some payloads, and which of them they are.
pub(super) struct Piece<'a> {
    values: Values<'a>,
    first: usize,
    bytes: usize,
}

/// Payloads in the form of their column.
enum Values<'a> {
    Jsonb(Vec<String>),
    Bytea(Vec<&'a [u8]>),
}

impl<'a> Piece<'a> {
    /// All payloads, each given with the bytes that go with it: all pieces but the last, and the last, which may be empty.
    pub(super) fn all(
        payloads: impl Iterator<Item = (usize, &'a Payload)>,
        form: PayloadForm,
    ) -> Result<(Vec<Self>, Self), Trouble> {
        let mut pieces = Vec::new();
        let mut piece = Self::empty(form, 0);
        for (beside, payload) in payloads {
            let text = match form {
                PayloadForm::Jsonb => {
                    let text = json::payload(payload);
                    Some(text.map_err(|error| Trouble::Payload(error.to_string()))?)
                }
                PayloadForm::Bytea => None,
            };
            let length = text.as_ref().map_or(payload.len(), String::len);
            let bytes = length + beside + BESIDE_BYTES;
            let next = piece.range().end;
            if piece.bytes + bytes > PIECE_BYTES && piece.bytes > 0 {
                pieces.push(std::mem::replace(&mut piece, Self::empty(form, next)));
            }
            piece.bytes += bytes;
            match &mut piece.values {
                Values::Jsonb(texts) => texts.extend(text),
                Values::Bytea(values) => values.push(payload),
            }
        }
        Ok((pieces, piece))
    }

    fn empty(form: PayloadForm, first: usize) -> Self {
        let values = match form {
            PayloadForm::Jsonb => Values::Jsonb(Vec::new()),
            PayloadForm::Bytea => Values::Bytea(Vec::new()),
        };
        Self {
            values,
            first,
            bytes: 0,
        }
    }

    /// Which of all payloads these are.
    pub(super) fn range(&self) -> Range<usize> {
        let count = match &self.values {
            Values::Jsonb(texts) => texts.len(),
            Values::Bytea(values) => values.len(),
        };
        self.first..self.first + count
    }

    /// About what the message takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn parameter(&self) -> Parameter<'_> {
        match &self.values {
            Values::Jsonb(texts) => texts,
            Values::Bytea(values) => values,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etf::{self, Term};

    #[test]
    fn pieces_follow_one_another_and_only_what_is_alone_is_large() {
        let text = |bytes: usize| etf::encode(&Term::text(&"x".repeat(bytes)));
        let sizes = [10, 3 << 20, 2 << 20, 9 << 20, 10, 10];
        let payloads: Vec<Payload> = sizes.into_iter().map(text).collect();
        for form in [PayloadForm::Jsonb, PayloadForm::Bytea] {
            let all = payloads.iter().map(|payload| (7, payload));
            let (others, last) = Piece::all(all, form).unwrap();
            let ranges: Vec<_> = others.iter().map(Piece::range).collect();
            assert_eq!(ranges, [0..2, 2..3, 3..4]);
            assert_eq!(last.range(), 4..6);
            assert!(others[2].bytes() > 9 << 20 && last.bytes() < 200);
            let (others, last) = Piece::all(std::iter::empty(), form).unwrap();
            assert_eq!((others.len(), last.range()), (0, 0..0));
        }
        let keys = std::iter::repeat_n((3 << 20, &payloads[0]), 5);
        let (others, _) = Piece::all(keys, PayloadForm::Bytea).unwrap();
        assert_eq!(others.len(), 4, "what goes with a payload counts");
    }
}
