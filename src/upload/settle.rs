//! What a sink's task does with dead letters. All of it goes on beside the uploads: a commit may wait for space that only they
//! can make.

use super::core::Input;
use super::dead::{Settle, Settled, letter_of, redrive_or_discard};
use super::events::SinkEventKind;
use super::outcome::BuryError;
use super::sink::{Done, SettleReply, Sink};
use crate::buffer::Record;
use crate::telemetry::{DeadSettled, Fact as _, RecordDead};
use crate::types::{Sequence, StreamName};
use tokio::sync::oneshot;

/// What became of a record that was to be put among the dead letters.
pub(super) struct Burial {
    number: Option<u64>,
    stream: StreamName,
    seq: Sequence,
    error: String,
    attempts: u32,
    outcome: Result<(), BuryError>,
}

impl Sink {
    /// Begins to put a record among the dead letters.
    pub(super) async fn bury(
        &mut self,
        stream: StreamName,
        seq: Sequence,
        error: String,
        attempts: u32,
    ) {
        let admitted = self.admit(&stream, seq).await;
        let (buffer, sink) = (
            self.requests.buffer.clone(),
            self.requests.options.name.clone(),
        );
        self.under_way.push(Box::pin(async move {
            let mut burial = Burial {
                number: None,
                stream: stream.clone(),
                seq,
                error: error.clone(),
                attempts,
                outcome: Ok(()),
            };
            match admitted {
                Ok(None) => {}
                Ok(Some((number, record))) => {
                    burial.number = Some(number);
                    let letter = letter_of(number, stream, record, error, attempts);
                    burial.outcome = letter.store(&buffer, &sink).await;
                }
                Err(BuryError::NoPlace(why)) => {
                    burial.outcome = Err(BuryError::NoPlace(format!("{error}; {why}")));
                }
                Err(error) => burial.outcome = Err(error),
            }
            Done::Buried(burial)
        }));
    }

    async fn admit(
        &mut self,
        stream: &StreamName,
        seq: Sequence,
    ) -> Result<Option<(u64, Record)>, BuryError> {
        let most = self.requests.options.dead_letters;
        if most == 0 {
            let off = "the sink keeps no dead letters (`dead_letters.max = 0`)";
            return Err(BuryError::NoPlace(off.to_owned()));
        }
        let read = self.requests.buffer.read(stream, seq, 1, 1).await;
        let read = read.map_err(|error| BuryError::Buffer(error.to_string()))?;
        // Dropped meanwhile, by the stream's rule: then the store is told that, and there is nothing to keep.
        let Some(record) = read.into_iter().next().filter(|record| record.seq == seq) else {
            return Ok(None);
        };
        let number = self.letters.admit(stream, &record, most);
        Ok(Some((number.map_err(BuryError::NoPlace)?, record)))
    }

    /// Tells of it, and what the core has to know.
    pub(super) fn buried(&mut self, burial: Burial) -> Input {
        let Burial {
            number,
            stream,
            seq,
            error,
            attempts,
            outcome,
        } = burial;
        match (&outcome, number) {
            (Ok(()), Some(number)) => {
                RecordDead {
                    sink: &self.requests.options.name,
                    stream: &stream,
                    error: &error,
                    seq,
                    letter: number,
                    attempts: u64::from(attempts),
                }
                .emit();
                self.teller.event(SinkEventKind::Dead {
                    number,
                    stream: stream.clone(),
                    seq,
                    error,
                });
            }
            (Err(_), Some(number)) => self.letters.remove(number),
            _ => {}
        }
        Input::Buried(stream, seq, outcome)
    }

    /// Begins to do what an operator wants done to letters.
    pub(super) fn settle(
        &mut self,
        what: Settle,
        only: Option<u64>,
        reply: oneshot::Sender<SettleReply>,
    ) {
        if self.settling {
            let busy = "another such request is being done; ask again once it has ended";
            let _ = reply.send(Err(busy.to_owned()));
            return;
        }
        self.settling = true;
        let (buffer, sink) = (
            self.requests.buffer.clone(),
            self.requests.options.name.clone(),
        );
        self.under_way.push(Box::pin(async move {
            let (settled, result) = redrive_or_discard(&buffer, &sink, what, only).await;
            // The asker may have gone; it is done all the same.
            let _ = reply.send(result.map(|()| settled.clone()));
            Done::Settled(what, settled)
        }));
    }

    /// It is done.
    pub(super) fn settled(&mut self, what: Settle, settled: &[Settled]) {
        self.settling = false;
        for letter in settled {
            self.letters.remove(letter.number);
        }
        let letters = settled.len() as u64;
        if letters == 0 {
            return;
        }
        let (how, kind) = match what {
            Settle::Redrive => ("redriven", SinkEventKind::Redriven { letters }),
            Settle::Discard => ("discarded", SinkEventKind::Discarded { letters }),
        };
        let sink = &self.requests.options.name;
        DeadSettled {
            sink,
            how: &how,
            letters,
        }
        .emit();
        self.teller.event(kind);
    }
}
