//! The writing end of the journal: one group of frames, one `fdatasync`.

use super::frame::{self, HEADER, Kind, framed};
use super::segment::{HEADER_BYTES, SegmentDir};
use crate::buffer::index::Location;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

/// A group larger than this gives its memory back afterwards: a little more than 1 MiB of payload.
const KEPT_BUFFER: usize = 5 << 18;

/// Where one record of a group lies.
#[derive(Debug, Clone, Copy)]
pub(in crate::buffer) struct Placed {
    pub kind: Kind,
    start: usize,
    body_len: usize,
}

/// Records that are written and synced together. They never span segments.
#[derive(Default)]
pub(in crate::buffer) struct Group {
    bytes: Vec<u8>,
    placed: Vec<Placed>,
}

impl Group {
    /// Adds a record, whose body `encode` appends.
    pub fn push(&mut self, kind: Kind, encode: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.resize(start + HEADER, 0);
        encode(&mut self.bytes);
        let body_len = self.bytes.len() - start - HEADER;
        self.bytes.resize(start + framed(body_len), 0);
        self.placed.push(Placed {
            kind,
            start,
            body_len,
        });
    }

    /// Bytes it takes so far.
    pub fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub fn is_empty(&self) -> bool {
        self.placed.is_empty()
    }

    /// Takes back all records from the `n`th on.
    pub fn truncate(&mut self, n: usize) {
        if let Some(placed) = self.placed.get(n) {
            self.bytes.truncate(placed.start);
            self.placed.truncate(n);
        }
    }

    /// Number of records.
    pub fn count(&self) -> usize {
        self.placed.len()
    }

    /// Each record: kind, body, where its frame begins and ends, given where the group begins.
    pub fn records(&self, base: Location) -> impl Iterator<Item = (Kind, &[u8], Location, u64)> {
        self.placed.iter().map(move |placed| {
            let offset = base.offset + placed.start as u64;
            let body = &self.bytes[placed.start + HEADER..placed.start + HEADER + placed.body_len];
            let at = Location {
                segment: base.segment,
                offset,
            };
            (
                placed.kind,
                body,
                at,
                offset + framed(placed.body_len) as u64,
            )
        })
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.placed.clear();
        if self.bytes.capacity() > KEPT_BUFFER {
            self.bytes = Vec::new();
        } else {
            self.bytes.clear();
        }
    }
}

/// The journal's directory and its active segment.
pub(in crate::buffer) struct Journal {
    pub dir: SegmentDir,
    active: File,
    /// Its size; an earlier configuration may have made it.
    active_bytes: u64,
    /// Where the next group begins.
    pub at: Location,
    /// Number of the last commit written.
    pub commit: u64,
}

impl Journal {
    /// Goes on writing at the end of a recovered journal, or at the start of a fresh segment.
    pub fn resume(
        dir: SegmentDir,
        active: File,
        active_bytes: u64,
        at: Location,
        commit: u64,
    ) -> Self {
        Self {
            dir,
            active,
            active_bytes,
            at,
            commit,
        }
    }

    /// Whether a group of this size fits into the active segment, and a seal behind it.
    pub fn fits(&self, bytes: u64) -> bool {
        self.at.offset + bytes + HEADER as u64 <= self.active_bytes
    }

    /// The largest record.
    pub fn max_record(&self) -> u64 {
        max_record(self.dir.segment_bytes)
    }

    /// Writes a group where the last one ended. May be tried again after an error: the next attempt writes the same place.
    pub fn write(&mut self, group: &mut Group) -> io::Result<()> {
        let commit = self.commit + 1;
        let count = group.placed.len();
        for (n, placed) in group.placed.iter().enumerate() {
            let offset = self.at.offset + placed.start as u64;
            let frame = &mut group.bytes[placed.start..placed.start + framed(placed.body_len)];
            frame::seal(
                frame,
                self.at.segment,
                offset,
                commit,
                placed.kind,
                placed.body_len,
                n + 1 == count,
            );
        }
        self.active.write_all_at(&group.bytes, self.at.offset)
    }

    /// Makes the group durable that was just written. The journal must not be used again after an error.
    pub fn sync(&mut self, group: &Group) -> io::Result<()> {
        self.active.sync_data()?;
        self.commit += 1;
        self.at.offset += group.len();
        Ok(())
    }

    /// Prepares the next segment's file, so that [`begin`](Self::begin) does not fail for lack of space.
    pub fn prepare(&self, spare: &Mutex<()>) -> io::Result<()> {
        let _making = spare.lock().unwrap_or_else(PoisonError::into_inner);
        if self.dir.has_spare() {
            Ok(())
        } else {
            self.dir.make_spare()
        }
    }

    /// Begins the next segment. Its first group must be a checkpoint.
    pub fn begin(&mut self, spare: &Mutex<()>) -> io::Result<()> {
        let id = self.at.segment + 1;
        let _making = spare.lock().unwrap_or_else(PoisonError::into_inner);
        self.active = self.dir.create(id)?;
        self.active_bytes = self.dir.segment_bytes;
        self.at = Location {
            segment: id,
            offset: HEADER_BYTES,
        };
        Ok(())
    }
}

/// The largest framed record in segments of this size: half a segment. A quarter is left for the checkpoint.
pub(in crate::buffer) fn max_record(segment_bytes: u64) -> u64 {
    segment_bytes / 2
}

/// The largest checkpoint in segments of this size.
pub(in crate::buffer) fn max_checkpoint(segment_bytes: u64) -> u64 {
    segment_bytes / 4
}

/// What the producers may take of it.
pub(in crate::buffer) fn max_producers(segment_bytes: u64) -> u64 {
    max_checkpoint(segment_bytes) / 2
}
