//! One dead letter.

use crate::etf::{self, Term};
use crate::types::{Payload, Sequence, StreamName, UnixMillis};

/// Longest text of a sink that is kept with a letter.
const ERROR_CHARS: usize = 1000;

/// A record that a sink refused for what it holds.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// Names it among those of its sink.
    pub number: u64,
    /// Where the record stood.
    pub stream: StreamName,
    /// Its place there.
    pub seq: Sequence,
    /// When it was committed.
    pub at_ms: UnixMillis,
    /// Its term, as it was offered.
    pub payload: Payload,
    /// What the sink said.
    pub error: String,
    /// How often it was offered alone.
    pub attempts: u32,
    /// When it was given up.
    pub dead_ms: UnixMillis,
    /// Its place before it was offered again, where it was.
    pub redriven_from: Option<Sequence>,
}

impl DeadLetter {
    /// As it is kept.
    pub(super) fn encode(&self) -> Payload {
        let error: String = self.error.chars().take(ERROR_CHARS).collect();
        etf::encode(&Term::map([
            ("stream", Term::binary(self.stream.to_bytes())),
            ("seq", Term::int(self.seq)),
            ("at_ms", Term::int(self.at_ms)),
            // The bytes of a term are written within another as they are.
            ("payload", Term::Fun(self.payload.slice(1..))),
            ("error", Term::text(&error)),
            ("attempts", Term::int(self.attempts)),
            ("dead_ms", Term::int(self.dead_ms)),
            (
                "redriven_from",
                self.redriven_from.map_or_else(Term::nil, Term::int),
            ),
        ]))
    }

    /// As it was kept; none where these are other bytes.
    pub(super) fn decode(number: u64, kept: Payload) -> Option<Self> {
        let term = etf::decode(kept).ok()?;
        let int = |name| term.map_get(name).and_then(Term::as_u64);
        let stream = term.map_get("stream").and_then(Term::as_binary)?;
        Some(Self {
            number,
            stream: StreamName::new(stream.clone()).ok()?,
            seq: int("seq")?,
            at_ms: int("at_ms")?,
            payload: etf::encode(term.map_get("payload")?),
            error: term.map_get("error").and_then(Term::as_text)?.to_owned(),
            attempts: u32::try_from(int("attempts")?).ok()?,
            dead_ms: int("dead_ms")?,
            redriven_from: int("redriven_from"),
        })
    }
}
