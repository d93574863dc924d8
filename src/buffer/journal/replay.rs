//! Replaying the segments of a journal, oldest first.

use super::recovery::Last;
use super::segment::{HEADER_BYTES, SegmentDir, SegmentHeader, io_at};
use super::walk::{Frame, WalkError, Walked, walk, walk_error};
use crate::buffer::OpenError;
use crate::buffer::dirs::{INDEX_SPACE, has_space};
use crate::buffer::index::{Index, IndexError, Location, Mark, after_prefix};
use crate::buffer::keeper::INDEX_ENTRIES;
use crate::buffer::options::Options;
use crate::buffer::tables::{ApplyError, StreamId, Tables};
use crate::types::now_ms;
use std::path::Path;

/// What a replay ended with.
pub(in crate::buffer) enum Replayed {
    Done {
        tables: Box<Tables>,
        records: u64,
        checked_bytes: u64,
        marked: Option<Mark>,
    },
    /// The index and the journal do not agree: once more, with an empty index.
    Doubt(String),
}

/// One replay.
pub(in crate::buffer) struct Replay<'a> {
    dir: &'a SegmentDir,
    headers: Vec<SegmentHeader>,
    last: &'a Last,
    options: &'a Options,
}

/// Where the index joins in.
struct Join<'a> {
    dir: &'a Path,
    mark: Option<Mark>,
    /// The end of the commit that the mark names was met, and there it is.
    met: bool,
}

impl<'a> Replay<'a> {
    /// A replay of the segments that belong to the journal.
    pub fn new(
        dir: &'a SegmentDir,
        headers: &[SegmentHeader],
        last: &'a Last,
        options: &'a Options,
    ) -> Self {
        let headers = headers
            .iter()
            .filter(|header| last.segments.contains(&header.id))
            .copied()
            .collect();
        Self {
            dir,
            headers,
            last,
            options,
        }
    }

    /// Replays everything on top of an index that reflects the journal up to `mark` (`None`: an empty one).
    pub fn run(&self, index: Index, mark: Option<Mark>) -> Result<Replayed, OpenError> {
        let mut tables = Tables::new(self.dir.origin, index, mark.is_none());
        let mut join = Join {
            dir: &self.dir.path,
            mark,
            met: false,
        };
        let (mut records, mut checked_bytes) = (0, 0);
        let mut previous: Option<(u64, Walked)> = None;
        for header in &self.headers {
            let path = self.dir.file(header.id);
            let file = std::fs::File::open(&path).map_err(io_at(&path))?;
            let newest = header.id == self.last.header.id;
            let limit = if newest {
                self.last.walked.end
            } else {
                header.bytes
            };
            tables.begin_segment(header.id, HEADER_BYTES);
            let walked = match walk(&file, header.id, limit, |frame| {
                join.apply(&mut tables, header.id, &frame)
            }) {
                Ok(walked) => walked,
                Err(WalkError::Apply {
                    error: ApplyError::Index(error),
                    ..
                }) => return Ok(Replayed::Doubt(error.0)),
                Err(error) => return Err(walk_error(error, &path)),
            };
            let corrupt = |offset, reason: &str| OpenError::Corrupt {
                file: path.clone(),
                offset,
                reason: reason.to_owned(),
            };
            if !newest && !walked.sealed {
                return Err(corrupt(
                    walked.valid_to,
                    "no valid record here, and the segment is not the last",
                ));
            }
            if let Some((id, before)) = &previous {
                if *id + 1 == header.id
                    && walked.records > 0
                    && walked.first_commit != before.commit + 1
                {
                    return Err(corrupt(
                        HEADER_BYTES,
                        "its commits do not follow those of the segment before",
                    ));
                }
            }
            records += walked.records;
            checked_bytes += walked.end;
            previous = Some((header.id, walked));
        }
        self.finish(tables, &join, records, checked_bytes)
    }

    fn finish(
        &self,
        mut tables: Tables,
        join: &Join<'_>,
        records: u64,
        checked_bytes: u64,
    ) -> Result<Replayed, OpenError> {
        if !tables.indexing {
            if !join.met {
                return Ok(Replayed::Doubt(
                    "its position is not in the journal".to_owned(),
                ));
            }
            if let Err(error) = start_indexing(&mut tables) {
                return Ok(Replayed::Doubt(error.0));
            }
        }
        for id in 0..tables.streams.len() as u32 {
            // A past life trimmed by the same rules, and the index knows no more of what it had trimmed.
            let trimmed = self.trim(&mut tables, id);
            let fits = trimmed
                .and_then(|()| tables.forget_extents(id))
                .and_then(|()| tables.covers(id));
            match fits {
                Ok(true) => {}
                Ok(false) if join.mark.is_some() => {
                    return Ok(Replayed::Doubt(
                        "it lacks the oldest events of a stream".to_owned(),
                    ));
                }
                Ok(false) => {
                    let name = &tables.streams[id as usize].name;
                    let reason = format!("the oldest events of stream {name} are in no segment");
                    return Err(OpenError::Corrupt {
                        file: self.dir.path.clone(),
                        offset: 0,
                        reason,
                    });
                }
                Err(error) => return Ok(Replayed::Doubt(error.0)),
            }
        }
        Ok(Replayed::Done {
            tables: Box::new(tables),
            records,
            checked_bytes,
            marked: join.mark,
        })
    }
}

impl Replay<'_> {
    fn trim(&self, tables: &mut Tables, id: StreamId) -> Result<(), IndexError> {
        let keep = self.options.rule(&tables.streams[id as usize].name).keep;
        while tables.trim(id, keep, now_ms())? {}
        Ok(())
    }
}

impl Join<'_> {
    fn apply(
        &mut self,
        tables: &mut Tables,
        segment: u64,
        frame: &Frame<'_>,
    ) -> Result<(), ApplyError> {
        if !tables.indexing && self.mark.is_some_and(|mark| frame.commit > mark.commit) {
            if !self.met {
                return Err(IndexError("its position is not in the journal".to_owned()).into());
            }
            start_indexing(tables)?;
        }
        let at = Location {
            segment,
            offset: frame.offset,
        };
        tables.apply(frame.kind, frame.body, at, frame.end)?;
        tables.commit = frame.commit;
        // An index that is rebuilt need not fit into memory.
        let spill = self.mark.is_none() && tables.index.pending() >= INDEX_ENTRIES;
        if spill && frame.last && has_space(self.dir, INDEX_SPACE) {
            tables.index.spill()?;
        }
        if let Some(mark) = self
            .mark
            .filter(|mark| frame.last && mark.commit == frame.commit)
        {
            let here = mark.end
                == Location {
                    segment,
                    offset: frame.end,
                };
            // After a seal the next segment's start is the same position.
            self.met = here || (mark.end.segment == segment + 1 && mark.end.offset == HEADER_BYTES);
        }
        Ok(())
    }
}

/// From here on records change the index too; counts what it brought along.
fn start_indexing(tables: &mut Tables) -> Result<(), IndexError> {
    tables.start_indexing()?;
    tables.pasts = 0;
    for prefix in [b"k", b"h"] {
        let (mut from, to) = (prefix.to_vec(), after_prefix(prefix));
        loop {
            let entries = tables.index.range(&from, &to, 4096)?;
            let Some((newest, _)) = entries.last() else {
                break;
            };
            from = [newest, &[0][..]].concat();
            tables.count_entries(&entries)?;
            if prefix == b"h" {
                tables.pasts += entries.len() as u64;
            }
        }
    }
    Ok(())
}
