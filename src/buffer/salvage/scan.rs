//! Finding the segments that belong to a journal, and reading them in order.

use super::Salvaged;
use super::frames::{facts_of, frames, last_whole, read};
use crate::buffer::journal::facts::Fact;
use crate::buffer::journal::frame::Kind;
use crate::buffer::journal::segment::{BadHeader, HEADER_BYTES, SegmentHeader, list};
use crate::buffer::{SEGMENT_BYTES, journal::segment::file as file_of};
use crate::types::Origin;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// What stands in a journal, in reading order.
#[derive(Clone, Copy)]
pub(super) enum Piece<'a> {
    /// A record whose checksums hold.
    Record {
        kind: Kind,
        body: &'a [u8],
        segment: u64,
        offset: u64,
        end: u64,
    },
    /// Here something may be missing.
    Damage,
}

/// One segment file.
struct Source {
    path: PathBuf,
    id: u64,
}

/// The segment files that belong to the journal.
pub(super) struct Sources {
    found: Vec<Source>,
    missing: Vec<u64>,
    origin: Option<Origin>,
    segment_bytes: u64,
}

impl Sources {
    /// Looks at the headers of all segment files, and asks the newest checkpoint which of them count.
    pub fn find(journal: &Path, report: &mut Salvaged) -> io::Result<Self> {
        let (mut found, mut origins) = (Vec::new(), Vec::new());
        let mut segment_bytes = 0;
        for named in list(journal)? {
            let path = file_of(journal, named);
            let mut id = named;
            match SegmentHeader::read(&File::open(&path)?) {
                Ok(Ok(header)) => {
                    if header.id != named {
                        report.damage.push(format!(
                            "{} holds segment {:016x}",
                            path.display(),
                            header.id
                        ));
                    }
                    id = header.id;
                    origins.push((id, header.origin, path.clone()));
                    segment_bytes = segment_bytes.max(header.bytes);
                }
                Ok(Err(BadHeader::Version(version))) => {
                    report
                        .left_out
                        .push(format!("{} has format version {version}", path.display()));
                    continue;
                }
                Ok(Err(BadHeader::Damaged(reason))) => {
                    report.damage.push(format!("{}: {reason}", path.display()));
                }
                Err(error) => report
                    .damage
                    .push(format!("{}: its header: {error}", path.display())),
            }
            found.push(Source { path, id });
        }
        found.sort_by_key(|source| source.id);
        let origin = origins.iter().max().map(|(_, origin, _)| *origin);
        for (_, _, path) in origins.iter().filter(|(_, of, _)| Some(*of) != origin) {
            report
                .left_out
                .push(format!("{} belongs to another buffer", path.display()));
            found.retain(|source| source.path != *path);
        }
        let mut sources = Self {
            found,
            missing: Vec::new(),
            origin,
            segment_bytes: if segment_bytes == 0 {
                SEGMENT_BYTES
            } else {
                segment_bytes
            },
        };
        sources.drop_freed(report)?;
        Ok(sources)
    }

    /// The origin that the newest readable header names.
    pub fn origin(&self) -> Option<Origin> {
        self.origin
    }

    /// Size of the largest segment.
    pub fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// Leaves out what was freed and outlived it (an old removal may not be known any more), and notes what is not there.
    fn drop_freed(&mut self, report: &mut Salvaged) -> io::Result<()> {
        let mut freed = BTreeSet::new();
        for newest in (0..self.found.len()).rev() {
            let Source { path, id } = &self.found[newest];
            let (bytes, _) = read(path)?;
            let mut live: Option<BTreeSet<u64>> = None;
            frames(&bytes, *id, |_, found| {
                for fact in facts_of(found.as_ref()) {
                    match fact {
                        Fact::Segments(ids) => live = Some(ids.into_iter().collect()),
                        Fact::Freed(id) => drop(freed.insert(id)),
                        _ => {}
                    }
                }
            });
            let Some(live) = live else { continue };
            let newest = *id;
            self.missing = live
                .iter()
                .filter(|id| !freed.contains(*id) && self.found.iter().all(|s| s.id != **id))
                .copied()
                .collect();
            self.found.retain(|source| {
                let counts = source.id > newest
                    || (live.contains(&source.id) && !freed.contains(&source.id));
                if !counts {
                    let path = source.path.display();
                    report.left_out.push(format!("{path} had been freed"));
                }
                counts
            });
            for id in &self.missing {
                report
                    .damage
                    .push(format!("segment {id:016x}.seg is missing"));
            }
            break;
        }
        Ok(())
    }

    /// Hands out everything readable, by ascending segment and offset.
    pub fn walk(&self, report: &mut Salvaged, mut take: impl FnMut(Piece<'_>)) -> io::Result<()> {
        let newest = self.found.last().map(|source| source.id);
        let mut missing = self.missing.iter().peekable();
        for Source { path, id } in &self.found {
            if missing.next_if(|gone| *gone < id).is_some() {
                while missing.next_if(|gone| *gone < id).is_some() {}
                take(Piece::Damage);
            }
            let (bytes, unreadable) = read(path)?;
            if unreadable > 0 {
                report.damage.push(format!(
                    "{}: {unreadable} bytes cannot be read from the device",
                    path.display()
                ));
            }
            let whole = if newest == Some(*id) {
                last_whole(&bytes, *id)
            } else {
                u64::MAX
            };
            let mut damaged = |from: u64, to: u64| {
                report.damage.push(format!(
                    "{} is damaged from byte {from} to {to}",
                    path.display()
                ));
            };
            let (mut at, mut sealed, mut unfinished) = (HEADER_BYTES, false, 0);
            frames(&bytes, *id, |bad_from, found| {
                if let Some(from) = bad_from {
                    let to = found.as_ref().map_or(bytes.len() as u64, |f| f.offset);
                    let tail = found.is_none() && newest == Some(*id);
                    if !tail {
                        damaged(from, to);
                        take(Piece::Damage);
                    }
                }
                let Some(frame) = found else { return };
                (at, sealed) = (frame.end, frame.kind == Kind::Seal);
                if frame.commit > whole {
                    unfinished += 1;
                } else {
                    take(Piece::Record {
                        kind: frame.kind,
                        body: frame.body,
                        segment: *id,
                        offset: frame.offset,
                        end: frame.end,
                    });
                }
            });
            if !sealed && newest != Some(*id) && at == bytes.len() as u64 {
                damaged(at, at);
                take(Piece::Damage);
            }
            if unfinished > 0 {
                report.left_out.push(format!(
                    "{}: {unfinished} records of an unfinished, never acknowledged write at its end",
                    path.display()
                ));
            }
        }
        Ok(())
    }
}
