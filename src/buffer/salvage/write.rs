//! The second look: writing the new journal.

use super::lenient::{Lenient, Plan, Ranges, Values, stream_name};
use super::scan::Piece;
use crate::buffer::index::Location;
use crate::buffer::journal::facts;
use crate::buffer::journal::frame::{Kind, framed};
use crate::buffer::journal::record::{Commit, Moved, MovedEntry, MovedRun, Run, TailTag};
use crate::buffer::journal::segment::{HEADER_BYTES, SegmentDir};
use crate::buffer::journal::writer::{Group, Journal, max_producers};
use crate::buffer::tables::Tables;
use crate::buffer::tables::retain::add_range;
use crate::types::{Origin, StreamName};
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Mutex;

/// A group is written once it is this large.
const GROUP_BYTES: u64 = 4 << 20;

/// A journal in the making.
pub(super) struct Writer {
    journal: Journal,
    group: Group,
    spare: Mutex<()>,
    /// What the new journal says so far.
    tables: Tables,
    /// What the old one had said so far: for what each run had cost before it.
    old: Lenient,
    values: Values,
    /// Sequences that are in the new journal.
    written: HashMap<StreamName, Ranges>,
    events: u64,
    entries: u64,
}

impl Writer {
    /// Makes the first segment, with all facts.
    pub fn begin(dir: &Path, origin: Origin, segment_bytes: u64, plan: Plan) -> io::Result<Self> {
        let Plan { mut tables, values } = plan;
        let dir = SegmentDir {
            path: dir.to_owned(),
            origin,
            segment_bytes,
        };
        let at = Location {
            segment: 1,
            offset: HEADER_BYTES,
        };
        let active = dir.create(1)?;
        tables.segments.clear();
        tables.begin_segment(at.segment, at.offset);
        let mut writer = Self {
            journal: Journal::resume(dir, active, segment_bytes, at, 0),
            group: Group::default(),
            spare: Mutex::new(()),
            tables,
            old: Lenient::default(),
            values,
            written: HashMap::new(),
            events: 0,
            entries: 0,
        };
        writer.checkpoint()?;
        Ok(writer)
    }

    /// Copies what of a record is still wanted.
    pub fn take(&mut self, piece: Piece<'_>) -> io::Result<()> {
        let Piece::Record {
            kind,
            body,
            segment,
            offset,
            end,
        } = piece
        else {
            return Ok(());
        };
        match kind {
            Kind::Commit => self.copy_commit(body)?,
            Kind::Moved => self.copy_moved(body)?,
            Kind::Facts | Kind::Seal => {}
        }
        self.old
            .apply(kind, body, Location { segment, offset }, end);
        Ok(())
    }

    /// Writes what is left; gives the numbers of events and values.
    pub fn finish(mut self) -> io::Result<(u64, u64)> {
        self.flush()?;
        Ok((self.events, self.entries))
    }

    fn copy_commit(&mut self, body: &[u8]) -> io::Result<()> {
        let Ok(commit) = Commit::decode(body) else {
            return Ok(());
        };
        let mut moved = Moved::default();
        for (number, run) in commit.runs.iter().enumerate() {
            let session = commit.session.filter(|_| commit.changes.is_none());
            let tail = session.map(|session| TailTag {
                session,
                run: number as u32,
            });
            let before = stream_name(run.stream)
                .and_then(|name| self.old.tables.stream(&name).map(|stream| stream.cost));
            moved.runs.extend(self.wanted(MovedRun {
                at_ms: commit.at_ms,
                before: before.unwrap_or(0),
                tail,
                run: *run,
            }));
        }
        if let Some(changes) = &commit.changes {
            for (key, value) in changes.iter() {
                moved.entries.extend(self.kept(MovedEntry {
                    scope: changes.scope,
                    rev: changes.rev,
                    key,
                    value,
                }));
            }
        }
        self.push(&moved)
    }

    fn copy_moved(&mut self, body: &[u8]) -> io::Result<()> {
        let Ok(found) = Moved::decode(body) else {
            return Ok(());
        };
        let mut moved = Moved::default();
        for run in found.runs {
            moved.runs.extend(self.wanted(run));
        }
        for entry in found.entries {
            moved.entries.extend(self.kept(entry));
        }
        self.push(&moved)
    }

    /// The run as far as it is kept and not written yet. (Copies overlap at their beginnings only: what is moved is what was left.)
    fn wanted<'a>(&mut self, moved: MovedRun<'a>) -> Option<MovedRun<'a>> {
        let name = stream_name(moved.run.stream)?;
        let first = self.tables.stream(&name)?.first;
        let written = self.written.entry(name).or_default();
        let mut from = moved.run.first.max(first);
        while let Some((_, to)) = written
            .iter()
            .find(|(begin, end)| (*begin..=*end).contains(&from))
        {
            from = to + 1;
        }
        if from > moved.run.last() {
            return None;
        }
        let run: Run<'a> = moved.run.from(from);
        self.events += add_range(written, run.first, run.last());
        Some(MovedRun { run, ..moved })
    }

    /// The entry where it is wanted; each once. Only the newest of its key counts as a value.
    fn kept<'a>(&mut self, entry: MovedEntry<'a>) -> Option<MovedEntry<'a>> {
        let key = (entry.scope.into(), entry.key.into());
        let newest = self.values.get_mut(&key)?.remove(&entry.rev)?;
        self.entries += u64::from(newest);
        Some(entry)
    }

    fn push(&mut self, moved: &Moved<'_>) -> io::Result<()> {
        if moved.runs.is_empty() && moved.entries.is_empty() {
            return Ok(());
        }
        let mut body = Vec::new();
        moved.encode(&mut body);
        let added = framed(body.len()) as u64;
        if !self.journal.fits(self.group.len() + added) {
            self.roll()?;
        }
        if !self.journal.fits(self.group.len() + added) {
            return Err(io::Error::other("a record does not fit into a segment"));
        }
        self.group
            .push(Kind::Moved, |out| out.extend_from_slice(&body));
        if self.group.len() >= GROUP_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.group.is_empty() {
            return Ok(());
        }
        self.journal.write(&mut self.group)?;
        self.journal.sync(&self.group)?;
        self.group.clear();
        Ok(())
    }

    fn roll(&mut self) -> io::Result<()> {
        self.flush()?;
        self.group.push(Kind::Seal, |_| ());
        self.flush()?;
        self.journal.begin(&self.spare)?;
        self.tables
            .begin_segment(self.journal.at.segment, HEADER_BYTES);
        self.checkpoint()
    }

    fn checkpoint(&mut self) -> io::Result<()> {
        let stated = self
            .tables
            .checkpoint(max_producers(self.journal.dir.segment_bytes));
        self.group
            .push(Kind::Facts, |out| facts::encode(&stated, out));
        if !self.journal.fits(self.group.len()) {
            return Err(io::Error::other("a checkpoint does not fit into a segment"));
        }
        self.flush()
    }
}
