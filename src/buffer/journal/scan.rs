//! Reading frames of a segment one after another, each checked before it is handed out.

use super::frame::{self, HEADER, Head};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// How much is read at once; larger frames grow the buffer for as long as it takes.
const CHUNK: usize = 256 << 10;

/// What stands at a position.
#[derive(Debug)]
pub(in crate::buffer) enum Next<'a> {
    /// A whole, valid frame.
    Frame {
        offset: u64,
        head: Head,
        body: &'a [u8],
    },
    /// Nothing valid: the end of what was written, or damage.
    None,
}

/// A position in a segment, and what was read ahead of it.
pub(in crate::buffer) struct Scanner<'f> {
    file: &'f File,
    segment: u64,
    offset: u64,
    limit: u64,
    chunk: usize,
    buffer: Vec<u8>,
    /// Where in the file `buffer` begins.
    start: u64,
}

impl<'f> Scanner<'f> {
    /// Reads frames from `offset` up to `limit` (exclusive).
    pub fn new(file: &'f File, segment: u64, offset: u64, limit: u64) -> Self {
        Self {
            file,
            segment,
            offset,
            limit,
            chunk: CHUNK,
            buffer: Vec::new(),
            start: offset,
        }
    }

    /// Reads less at once, for a few frames only.
    pub fn with_chunk(mut self, bytes: usize) -> Self {
        self.chunk = bytes.clamp(HEADER, CHUNK);
        self
    }

    /// Where the next frame would begin.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Goes elsewhere.
    pub fn seek(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// Makes `n` bytes from the offset available; fewer at the limit or the end of the file.
    fn fill(&mut self, n: usize) -> io::Result<&[u8]> {
        let have = self.start + self.buffer.len() as u64;
        if self.offset < self.start || self.offset + n as u64 > have {
            let want =
                (n.max(self.chunk) as u64).min(self.limit.saturating_sub(self.offset)) as usize;
            self.buffer.resize(want, 0);
            self.start = self.offset;
            let mut read = 0;
            while read < want {
                match self
                    .file
                    .read_at(&mut self.buffer[read..], self.offset + read as u64)
                {
                    Ok(0) => break,
                    Ok(k) => read += k,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            self.buffer.truncate(read);
        }
        let at = (self.offset - self.start) as usize;
        Ok(&self.buffer[at..(at + n).min(self.buffer.len())])
    }

    /// The frame at the offset; the offset then stands behind it.
    pub fn next(&mut self) -> io::Result<Next<'_>> {
        let (segment, offset, limit) = (self.segment, self.offset, self.limit);
        let Some(head) = frame::head(self.fill(HEADER)?, segment, offset) else {
            return Ok(Next::None);
        };
        let framed = head.framed();
        if offset + framed as u64 > limit
            || !head.body_fits(self.fill(framed)?.get(HEADER..).unwrap_or(&[]))
        {
            return Ok(Next::None);
        }
        self.offset += framed as u64;
        let at = (offset - self.start) as usize + HEADER;
        Ok(Next::Frame {
            offset,
            head,
            body: &self.buffer[at..at + head.body_len as usize],
        })
    }

    /// Looks for frames at every possible place from the offset on. Hands each valid *header* to `found`, with whether its
    /// body is valid too. The offset then stands at the limit.
    pub fn search(&mut self, mut found: impl FnMut(u64, Head, bool)) -> io::Result<()> {
        while self.offset + HEADER as u64 <= self.limit {
            let (segment, offset) = (self.segment, self.offset);
            if self.fill(HEADER)?.len() < HEADER {
                break;
            }
            if offset == self.start
                && self.buffer.len() > HEADER
                && self.buffer.iter().all(|byte| *byte == 0)
            {
                // Most of a fresh segment; a header cannot begin in it before its last few bytes.
                self.offset += ((self.buffer.len() - HEADER) / frame::ALIGN * frame::ALIGN) as u64;
            }
            let offset = self.offset;
            if let Some(head) = frame::head(self.fill(HEADER)?, segment, offset) {
                let framed = head.framed();
                let whole = offset + framed as u64 <= self.limit
                    && head.body_fits(self.fill(framed)?.get(HEADER..).unwrap_or(&[]));
                found(offset, head, whole);
            }
            self.offset += frame::ALIGN as u64;
        }
        Ok(())
    }
}
