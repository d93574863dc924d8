//! Segment files: preallocated, zero-filled, recycled by renaming.
//!
//! A segment is made under the name `spare` and gets its own name only once its header is on disk; so a file named like a
//! segment always has a whole header, or it is damaged.

use super::codec::{Put, Take};
use crate::buffer::OpenError;
use crate::types::{Origin, UnixMillis, now_ms};
use crc32c::crc32c;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The version of the format this code reads and writes.
pub(in crate::buffer) const VERSION: u32 = 1;
/// Bytes before the first frame.
pub(in crate::buffer) const HEADER_BYTES: u64 = 4096;
const MAGIC: &[u8; 8] = b"sidekick";
const SPARE: &str = "spare";

/// The first 4096 bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::buffer) struct SegmentHeader {
    pub id: u64,
    pub origin: Origin,
    pub bytes: u64,
    pub made_ms: UnixMillis,
}

/// Why a header does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::buffer) enum BadHeader {
    Damaged(&'static str),
    Version(u32),
}

impl SegmentHeader {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES as usize);
        out.extend_from_slice(MAGIC);
        out.u32(VERSION);
        out.u32(0);
        out.u64(self.id);
        out.extend_from_slice(self.origin.as_bytes());
        out.u64(self.bytes);
        out.u64(self.made_ms);
        out.resize(HEADER_BYTES as usize, 0);
        let crc = crc32c(&out);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads and checks the header of a file.
    pub fn read(file: &File) -> io::Result<Result<Self, BadHeader>> {
        let mut bytes = vec![0; HEADER_BYTES as usize];
        match file.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Ok(Err(BadHeader::Damaged("the header is cut short")))
            }
            Err(error) => Err(error),
            Ok(()) => Ok(Self::decode(&mut bytes)),
        }
    }

    fn decode(bytes: &mut [u8]) -> Result<Self, BadHeader> {
        let short = |_| BadHeader::Damaged("the header is cut short");
        if &bytes[..8] != MAGIC {
            return Err(BadHeader::Damaged("this is not a segment"));
        }
        let mut take = Take(&bytes[8..]);
        let version = take.u32().map_err(short)?;
        if version != VERSION {
            return Err(BadHeader::Version(version));
        }
        let crc = take.u32().map_err(short)?;
        let id = take.u64().map_err(short)?;
        let origin: [u8; 16] = take
            .bytes(16)
            .map_err(short)?
            .try_into()
            .expect("took 16 bytes");
        let (length, made_ms) = (take.u64().map_err(short)?, take.u64().map_err(short)?);
        bytes[12..16].fill(0);
        if crc32c(bytes) != crc {
            return Err(BadHeader::Damaged("the header's checksum is wrong"));
        }
        Ok(Self {
            id,
            origin: Origin::from_bytes(origin),
            bytes: length,
            made_ms,
        })
    }
}

/// Where segments lie.
#[derive(Debug, Clone)]
pub(in crate::buffer) struct SegmentDir {
    pub path: PathBuf,
    pub origin: Origin,
    pub segment_bytes: u64,
}

impl SegmentDir {
    /// The file of a segment.
    pub fn file(&self, id: u64) -> PathBuf {
        file(&self.path, id)
    }

    /// Opens a segment for reading.
    pub fn open(&self, id: u64) -> io::Result<File> {
        File::open(self.file(id))
    }

    /// Opens a segment for writing.
    pub fn open_writable(&self, id: u64) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.file(id))
    }

    /// Whether a spare file waits.
    pub fn has_spare(&self) -> bool {
        fs::metadata(self.path.join(SPARE)).is_ok_and(|meta| meta.len() == self.segment_bytes)
    }

    /// Writes a whole segment of zeros and syncs it. Half a spare never stays.
    pub fn make_spare(&self) -> io::Result<()> {
        let path = self.path.join(SPARE);
        let made = (|| {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&path)?;
            let zeros = vec![0; 1 << 18];
            let mut offset = 0;
            while offset < self.segment_bytes {
                let n = (self.segment_bytes - offset).min(zeros.len() as u64);
                file.write_all_at(&zeros[..n as usize], offset)?;
                offset += n;
            }
            file.sync_all()
        })();
        if made.is_err() {
            // What could not be finished must not take the space that is missing.
            let _ = fs::remove_file(&path);
        }
        made
    }

    /// Turns the spare (made here where there is none) into the segment `id`, durably.
    pub fn create(&self, id: u64) -> io::Result<File> {
        if !self.has_spare() {
            self.make_spare()?;
        }
        let spare = self.path.join(SPARE);
        let file = OpenOptions::new().read(true).write(true).open(&spare)?;
        let header = SegmentHeader {
            id,
            origin: self.origin,
            bytes: self.segment_bytes,
            made_ms: now_ms(),
        };
        file.write_all_at(&header.encode(), 0)?;
        file.sync_data()?;
        fs::rename(&spare, self.file(id))?;
        sync_dir(&self.path)?;
        Ok(file)
    }

    /// Takes a segment out of service: it becomes the spare, or goes where there is one or none is wanted.
    pub fn retire(&self, id: u64, keep_spare: bool) -> io::Result<()> {
        let file = self.file(id);
        let fits = fs::metadata(&file).is_ok_and(|meta| meta.len() == self.segment_bytes);
        if keep_spare && fits && !self.has_spare() {
            fs::rename(file, self.path.join(SPARE))?;
        } else {
            fs::remove_file(file)?;
        }
        sync_dir(&self.path)
    }
}

/// The file of a segment within a journal's directory.
pub(in crate::buffer) fn file(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("{id:016x}.seg"))
}

/// The ids of all segment files in a directory, ascending.
pub(in crate::buffer) fn list(dir: &Path) -> io::Result<Vec<u64>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let id = name
            .to_str()
            .and_then(|name| name.strip_suffix(".seg"))
            .filter(|stem| stem.len() == 16);
        ids.extend(id.and_then(|stem| u64::from_str_radix(stem, 16).ok()));
    }
    ids.sort_unstable();
    Ok(ids)
}

/// Makes changes of a directory's entries durable.
pub(in crate::buffer) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// An [`OpenError::Io`] about a path.
pub(in crate::buffer) fn io_at(path: &Path) -> impl FnOnce(io::Error) -> OpenError + '_ {
    move |source| OpenError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Whether an error means that the device (or quota) is full.
pub(in crate::buffer) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
