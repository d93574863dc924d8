//! The letters of one sink: how many there are, and what comes to them and goes.

use super::{DeadLetter, Redriven, scope};
use crate::buffer::{AppendError, Buffer, Change, Record, SessionBatch};
use crate::etf::{self, Term};
use crate::types::{Key, Payload, Sequence, SinkName, StreamName, Token, now_ms};
use crate::upload::outcome::BuryError;
use std::collections::BTreeMap;

/// Payload bytes of all letters of a sink together: they are state, of which segments are freed by moving it.
const BYTES_MAX: u64 = 16 << 20;
/// Payload bytes, and letters, of one commit that offers them again.
const COMMIT_BYTES: usize = 1 << 20;
const COMMIT_LETTERS: usize = 256;
/// The key of the next number, so that none is given twice.
const NEXT: &str = "next";

/// What is known of a letter without reading it.
#[derive(Debug, Clone)]
struct Known {
    stream: StreamName,
    seq: Sequence,
    bytes: u64,
}

/// What a sink knows of its letters.
#[derive(Debug, Default)]
pub(in crate::upload) struct Letters {
    known: BTreeMap<u64, Known>,
    next: u64,
}

impl Letters {
    /// Reads what is there.
    pub(in crate::upload) async fn load(buffer: &Buffer, sink: &SinkName) -> Result<Self, String> {
        let mut letters = Self::default();
        for (key, value) in state(buffer, sink).await? {
            let Some(number) = number_of(&key) else {
                let next = etf::decode(value).ok().and_then(|term| term.as_u64());
                letters.next = letters.next.max(next.unwrap_or(0));
                continue;
            };
            letters.next = letters.next.max(number);
            let bytes = value.len() as u64;
            if let Some(letter) = DeadLetter::decode(number, value) {
                let (stream, seq) = (letter.stream, letter.seq);
                letters.known.insert(number, Known { stream, seq, bytes });
            }
        }
        Ok(letters)
    }

    /// How many there are.
    pub(in crate::upload) fn count(&self) -> u64 {
        self.known.len() as u64
    }

    /// What they hold together.
    pub(in crate::upload) fn bytes(&self) -> u64 {
        self.known.values().map(|known| known.bytes).sum()
    }

    /// A number for a record, which counts as a letter from now on: the one it has where it came before (its cursor had not
    /// moved when sidekick died).
    ///
    /// # Errors
    /// Where there are too many, with the remedy.
    pub(in crate::upload) fn admit(
        &mut self,
        stream: &StreamName,
        record: &Record,
        most: u32,
    ) -> Result<u64, String> {
        let same = |known: &Known| known.stream == *stream && known.seq == record.seq;
        if let Some((number, _)) = self.known.iter().find(|(_, known)| same(known)) {
            return Ok(*number);
        }
        let bytes = record.payload.len() as u64;
        if self.count() >= u64::from(most) || self.bytes() + bytes > BYTES_MAX {
            return Err(format!(
                "there is no place among the dead letters, which are {} of {} bytes; offer them again or discard some, then \
                 `sidekick ctl sink retry`",
                self.count(),
                self.bytes()
            ));
        }
        self.next += 1;
        let stream = stream.clone();
        let seq = record.seq;
        self.known.insert(self.next, Known { stream, seq, bytes });
        Ok(self.next)
    }

    /// A letter is gone, or did not come to be.
    pub(in crate::upload) fn remove(&mut self, number: u64) {
        self.known.remove(&number);
    }
}

impl DeadLetter {
    /// Puts it on disk.
    pub(in crate::upload) async fn store(
        self,
        buffer: &Buffer,
        sink: &SinkName,
    ) -> Result<(), BuryError> {
        let scope = scope(sink).ok_or_else(|| BuryError::NoPlace(nameless(sink)))?;
        let next = etf::encode(&Term::int(self.number));
        let changes = vec![
            Change::Put(key(self.number), self.encode()),
            Change::Put(next_key(), next),
        ];
        match buffer.change(&scope, changes).await {
            Ok(_) => Ok(()),
            Err(error @ AppendError::TooLarge { .. }) => Err(BuryError::NoPlace(format!(
                "it does not fit among the dead letters: {error}"
            ))),
            Err(error) => Err(BuryError::Buffer(error.to_string())),
        }
    }
}

/// What an operator wants done to letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::upload) enum Settle {
    Redrive,
    Discard,
}

/// A letter that was offered again or discarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::upload) struct Settled {
    pub(in crate::upload) number: u64,
    pub(in crate::upload) stream: StreamName,
    pub(in crate::upload) seq: Sequence,
}

/// The letters of a sink in order of their numbers.
pub(in crate::upload) async fn list(
    buffer: &Buffer,
    sink: &SinkName,
) -> Result<Vec<DeadLetter>, String> {
    let kept = state(buffer, sink).await?.into_iter();
    let letters = kept.filter_map(|(key, value)| DeadLetter::decode(number_of(&key)?, value));
    let mut letters: Vec<_> = letters.collect();
    letters.sort_by_key(|letter| letter.number);
    Ok(letters)
}

/// Does it to one letter or to all, and says to which it was done, even where an error ended it. Must not run twice at once for
/// a sink.
pub(in crate::upload) async fn redrive_or_discard(
    buffer: &Buffer,
    sink: &SinkName,
    what: Settle,
    only: Option<u64>,
) -> (Vec<Settled>, Result<(), String>) {
    let mut done = Vec::new();
    let result = settle(buffer, sink, what, only, &mut done).await;
    (done, result)
}

async fn settle(
    buffer: &Buffer,
    sink: &SinkName,
    what: Settle,
    only: Option<u64>,
    done: &mut Vec<Settled>,
) -> Result<(), String> {
    let mut letters = list(buffer, sink).await?;
    letters.retain(|letter| only.is_none_or(|number| number == letter.number));
    let Some(scope) = scope(sink).filter(|_| !letters.is_empty()) else {
        return Ok(());
    };
    let failed = |error: AppendError| error.to_string();
    let epoch = match what {
        Settle::Redrive => {
            let token = Token::new(uuid::Uuid::new_v4().to_string());
            buffer.activate(&scope, token).await.map_err(failed)?
        }
        Settle::Discard => 0,
    };
    for (batch, part) in (1..).zip(parts(letters)) {
        let changes = part.iter().map(|letter| Change::Delete(key(letter.number)));
        let changes = changes.collect();
        match what {
            // The records stand at the end of their streams if, and only if, the letters are gone.
            Settle::Redrive => {
                let events = part.iter().map(|letter| again(sink, letter)).collect();
                let scope = scope.clone();
                let commit = SessionBatch {
                    scope,
                    epoch,
                    batch,
                    events,
                    changes,
                };
                buffer.commit(commit).await.map_err(failed)?;
            }
            Settle::Discard => {
                buffer.change(&scope, changes).await.map_err(failed)?;
            }
        }
        done.extend(part.into_iter().map(|letter| Settled {
            number: letter.number,
            stream: letter.stream,
            seq: letter.seq,
        }));
    }
    Ok(())
}

fn again(sink: &SinkName, letter: &DeadLetter) -> (StreamName, Payload) {
    let redriven = Redriven {
        sink: sink.clone(),
        from: letter.seq,
        payload: letter.payload.clone(),
    };
    (letter.stream.clone(), redriven.encode())
}

/// As many as one commit takes, in order.
fn parts(letters: Vec<DeadLetter>) -> Vec<Vec<DeadLetter>> {
    let mut parts: Vec<Vec<DeadLetter>> = Vec::new();
    let mut bytes = 0;
    for letter in letters {
        bytes += letter.payload.len();
        match parts.last_mut() {
            Some(part) if bytes <= COMMIT_BYTES && part.len() < COMMIT_LETTERS => part.push(letter),
            _ => {
                bytes = letter.payload.len();
                parts.push(vec![letter]);
            }
        }
    }
    parts
}

async fn state(buffer: &Buffer, sink: &SinkName) -> Result<Vec<(Key, Payload)>, String> {
    match scope(sink) {
        Some(scope) => buffer
            .state(&scope)
            .await
            .map_err(|error| error.to_string()),
        None => Ok(Vec::new()),
    }
}

fn nameless(sink: &SinkName) -> String {
    format!(
        "the name of sink {sink} is too long for a scope of dead letters; give it a shorter one"
    )
}

/// Twenty digits, so that keys are in the order of their numbers.
fn key(number: u64) -> Key {
    Key::try_from(format!("{number:020}").as_str()).expect("twenty digits are a key")
}

fn next_key() -> Key {
    Key::try_from(NEXT).expect("four letters are a key")
}

fn number_of(key: &Key) -> Option<u64> {
    std::str::from_utf8(key.as_bytes()).ok()?.parse().ok()
}

/// A record that a sink refused, as a letter.
pub(in crate::upload) fn letter_of(
    number: u64,
    stream: StreamName,
    record: Record,
    error: String,
    attempts: u32,
) -> DeadLetter {
    let redriven = Redriven::of(&record.payload);
    let (payload, redriven_from) = match redriven {
        Some(redriven) => (redriven.payload, Some(redriven.from)),
        None => (record.payload, None),
    };
    DeadLetter {
        number,
        stream,
        seq: record.seq,
        at_ms: record.at_ms,
        payload,
        error,
        attempts,
        dead_ms: now_ms(),
        redriven_from,
    }
}
