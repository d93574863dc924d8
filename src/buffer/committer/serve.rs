//! Requests to the committer that keep the house in order.

use super::queue::{LiveRecord, Reply, Request};
use super::room::Class;
use super::{Committer, Halt};
use crate::buffer::AppendError;
use crate::buffer::index::Location;
use crate::buffer::journal::facts::Fact;
use crate::buffer::journal::frame::{HEADER, Kind, framed};
use crate::buffer::journal::record::{Moved, MovedEntry, MovedRun};
use crate::buffer::tables::{ApplyError, retain::dropped_to};
use crate::types::SinkName;

/// A moved record is closed once it is this large, or an eighth of a segment.
const PIECE: usize = 64 << 10;

impl Committer {
    /// Serves what needs no numbering.
    pub(in crate::buffer) fn serve(&mut self, request: Request) -> Result<(), Halt> {
        match request {
            Request::Forget { sink, reply } => self.forget(sink, reply),
            Request::Move {
                segment,
                records,
                reply,
            } => {
                // Only what is durable may be compared with the index.
                self.flush()?;
                let moved = self.move_records(segment, &records)?;
                self.upkeep_done(moved, reply)
            }
            Request::Drop { segment, reply } => {
                self.flush()?;
                let facts = {
                    let tables = self.shared.tables();
                    let segment = tables.segments.get(&segment);
                    segment.map_or(Vec::new(), |segment| {
                        tables.droppable(segment, &self.shared.options)
                    })
                };
                let written = self.upkeep(&facts)?;
                self.upkeep_done(written, reply)
            }
            Request::DropTo {
                stream,
                newest,
                reply,
            } => {
                self.flush()?;
                let fact = {
                    let tables = self.shared.tables();
                    let known = tables.stream(&stream);
                    known
                        .filter(|state| (state.first..state.next).contains(&newest))
                        .map(|state| Fact::Stream(dropped_to(state, state.stated(), newest)))
                };
                let written = self.upkeep(fact.as_slice())?;
                self.upkeep_done(written, reply)
            }
            Request::Free { segment, reply } => {
                self.flush()?;
                let mut facts = vec![Fact::Freed(segment)];
                {
                    let tables = self.shared.tables();
                    facts.extend(
                        tables
                            .segments
                            .get(&segment)
                            .map_or(Vec::new(), |segment| tables.stream_facts(segment)),
                    );
                }
                let written = self.upkeep(&facts)?;
                self.upkeep_done(written, reply)
            }
            Request::Close { reply } => {
                self.cursors()?;
                self.done(reply);
                self.flush()?;
                Err(Halt::Closed)
            }
            // All others have a plan; see `admit`.
            _ => Ok(()),
        }
    }

    fn forget(&mut self, sink: SinkName, reply: Reply<()>) -> Result<(), Halt> {
        if !self.shared.tables().knows_sink(&sink) {
            drop(reply.send(Err(AppendError::UnknownSink)));
            return Ok(());
        }
        let written = self.upkeep(&[Fact::Forget(sink)])?;
        self.upkeep_done(written, reply)
    }

    fn upkeep_done(&mut self, written: bool, reply: Reply<()>) -> Result<(), Halt> {
        if written {
            self.done(reply);
            return self.flush();
        }
        drop(reply.send(Err(AppendError::Full)));
        Ok(())
    }

    /// Writes again what is still live of these records. False where there is no room; what was written stays valid.
    fn move_records(&mut self, segment: u64, records: &[LiveRecord]) -> Result<bool, Halt> {
        let piece_bytes = PIECE.min(self.shared.options.segment_bytes as usize / 8);
        for LiveRecord { kind, offset, body } in records {
            let at = Location {
                segment,
                offset: *offset,
            };
            let live = self.shared.tables().live_parts(*kind, body, at);
            let live = live.map_err(|error| match error {
                ApplyError::Index(error) => {
                    self.shared.doubt_index(&error.0);
                    Halt::Failed(error.to_string())
                }
                damaged @ ApplyError::Damaged(_) => Halt::Failed(damaged.to_string()),
            })?;
            for piece in pieces(live, piece_bytes) {
                let body = encoded(&piece);
                if !self.fits_upkeep(framed(body.len()) as u64)
                    && !self.make_room(Class::Upkeep, framed(body.len()) as u64)?
                {
                    return Ok(false);
                }
                self.group
                    .push(Kind::Moved, |out| out.extend_from_slice(&body));
            }
        }
        Ok(true)
    }

    fn fits_upkeep(&self, added: u64) -> bool {
        self.journal.fits(self.group.len() + added)
    }
}

fn encoded(moved: &Moved<'_>) -> Vec<u8> {
    let mut body = Vec::with_capacity(PIECE / 4);
    moved.encode(&mut body);
    body
}

/// Splits live parts into records of about so many bytes, so that what a batch of many runs grew by has room.
fn pieces(live: Moved<'_>, bytes: usize) -> Vec<Moved<'_>> {
    let mut pieces = Vec::new();
    let (mut piece, mut size) = (Moved::default(), HEADER);
    for run in live.runs {
        size += MovedRun::cost(&run);
        piece.runs.push(run);
        pieces.extend(close(&mut piece, &mut size, bytes));
    }
    for entry in live.entries {
        size += MovedEntry::cost(&entry);
        piece.entries.push(entry);
        pieces.extend(close(&mut piece, &mut size, bytes));
    }
    pieces.extend(close(&mut piece, &mut size, HEADER + 1));
    pieces
}

/// Takes the piece once it is large enough.
fn close<'a>(piece: &mut Moved<'a>, size: &mut usize, enough: usize) -> Option<Moved<'a>> {
    (*size >= enough).then(|| {
        *size = HEADER;
        std::mem::take(piece)
    })
}
