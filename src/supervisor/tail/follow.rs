//! Reading one log file of a server's process as it grows, line by line.

use super::Files;
use crate::guard::{archive, pack};
use crate::supervisor::book::{LINE_MAX, LogBook};
use crate::supervisor::slot::Slot;
use crate::supervisor::status::LogSource;
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// Read at once from one file.
pub const CHUNK: usize = 64 << 10;
/// What lies further behind the end of a file than this is skipped.
pub const BACKLOG_MAX: u64 = 1 << 20;

/// One file, and how far it was read.
pub struct Follow {
    source: LogSource,
    book: Arc<LogBook>,
    slot: Slot,
    file: Option<File>,
    offset: u64,
    partial: Vec<u8>,
    /// The rest of a line that was too long, or the first half line after a jump, is left out.
    skipping: bool,
    /// The next bytes follow what was given back.
    after_hole: bool,
}

/// Where the next bytes are that were not given back to the file system.
fn data_from(file: &File, offset: u64) -> u64 {
    match rustix::fs::seek(file, SeekFrom::Data(offset)) {
        Ok(data) => data,
        Err(Errno::NXIO) => u64::MAX,
        // A file system without holes.
        Err(_) => offset,
    }
}

/// Whether the beginning of a file was given back: then what was compressed last is of the process that writes it, else of one before.
pub fn was_cut(log: &Path) -> bool {
    let Ok(file) = File::open(log) else {
        return false;
    };
    let length = file.metadata().map_or(0, |meta| meta.len());
    length > 0 && data_from(&file, 0) > 0
}

/// The last lines that were compressed, oldest first, put into a book that has none: for a sidekick that adopts. Blocks.
pub fn recall(book: &LogBook, slot: Slot, source: LogSource, log: &Path, bytes_max: usize) {
    let packed = archive::parts(log)
        .into_iter()
        .rev()
        .find(|part| part.packed);
    let tail = packed.and_then(|part| pack::unpack_tail(&part.path, bytes_max).ok());
    let tail = tail.unwrap_or_default();
    // The first line is whole only where all of it was read.
    let cut = usize::from(tail.len() == bytes_max);
    for line in tail
        .split(|byte| *byte == b'\n')
        .skip(cut)
        .filter(|line| !line.is_empty())
    {
        book.push(Some(slot), source, line);
    }
}

impl Follow {
    /// Begins where [`Files::last`] says.
    pub fn open(source: LogSource, path: &Path, files: &Files) -> Self {
        let file = File::open(path).ok();
        let length = file
            .as_ref()
            .and_then(|file| file.metadata().ok())
            .map_or(0, |meta| meta.len());
        let mut offset = files.last.map_or(0, |last| length.saturating_sub(last));
        let mut after_hole = false;
        if let Some(file) = &file {
            let data = data_from(file, offset).min(length);
            after_hole = data > offset;
            offset = data;
        }
        Self {
            source,
            book: files.book.clone(),
            slot: files.slot,
            file,
            offset,
            partial: Vec::new(),
            skipping: offset > 0,
            after_hole,
        }
    }

    /// Whether its size is another than what was read.
    pub fn has_changed(&self) -> bool {
        let meta = self.file.as_ref().and_then(|file| file.metadata().ok());
        meta.is_some_and(|meta| meta.len() != self.offset)
    }

    /// Reads a chunk; true where there may be more.
    pub fn read(&mut self) -> bool {
        let Some(file) = &self.file else { return false };
        let length = file.metadata().map_or(0, |meta| meta.len());
        if length < self.offset {
            self.offset = 0;
            self.book.note("the log file was cut; lines may be missing");
        }
        if length - self.offset > BACKLOG_MAX {
            let skipped = length - BACKLOG_MAX / 2 - self.offset;
            self.offset += skipped;
            self.partial.clear();
            self.skipping = true;
            self.note_skipped(skipped);
        }
        self.jump_hole(length);
        let Some(file) = &self.file else { return false };
        let mut buffer = vec![0; CHUNK];
        let Ok(count) = file.read_at(&mut buffer, self.offset) else {
            return false;
        };
        self.offset += count as u64;
        let mut bytes = &buffer[..count];
        if bytes.first() == Some(&0) && self.partial.is_empty() {
            // Within a block what is given back is made zero, and ends with a line.
            let text = bytes.iter().position(|byte| *byte != 0);
            bytes = &bytes[text.unwrap_or(count)..];
            self.skipping &= !self.after_hole;
        }
        self.after_hole &= bytes.is_empty();
        self.split(bytes);
        count == CHUNK
    }

    /// The guard gives back what it compressed, or what is too much; nothing is there to be read.
    fn jump_hole(&mut self, length: u64) {
        let Some(file) = &self.file else { return };
        let data = data_from(file, self.offset).min(length);
        let hole = data.saturating_sub(self.offset);
        if hole == 0 {
            return;
        }
        self.offset = data;
        self.partial.clear();
        (self.skipping, self.after_hole) = (true, true);
        self.note_skipped(hole);
    }

    fn note_skipped(&self, bytes: u64) {
        self.book.note(&format!(
            "skipped {bytes} bytes of {}: it writes faster than lines are read",
            self.source.as_str()
        ));
    }

    fn split(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            if !self.skipping {
                let room = LINE_MAX - self.partial.len();
                self.partial
                    .extend_from_slice(&text[..text.len().min(room)]);
                if ends || self.partial.len() >= LINE_MAX {
                    self.finish();
                    self.skipping = !ends;
                }
            } else if ends {
                self.skipping = false;
            }
        }
    }

    /// The process has ended: what there is of a last line is a line.
    pub fn end(&mut self) {
        if !self.partial.is_empty() {
            self.finish();
        }
    }

    /// What was read of a line is a line.
    fn finish(&mut self) {
        let line = std::mem::take(&mut self.partial);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        self.book.push(Some(self.slot), self.source, line);
    }
}
