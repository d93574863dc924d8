//! The helper that compresses a part of a log file: a process of its own, of the lowest priority, so that the guard stays small
//! and the game does not wait for it.

use super::archive::unfinished;
use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

/// What follows `guard` on the command line of the helper.
pub const PACK: &str = "--pack";
/// Read at once.
const CHUNK: usize = 64 << 10;
/// Lowest priority.
const NICE: i32 = 19;

/// What is to be compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The log file that it belongs to.
    pub log: PathBuf,
    /// Where it is read from.
    pub source: PathBuf,
    /// From here.
    pub start: u64,
    /// To here; `None`: all, and the source is removed afterwards.
    pub end: Option<u64>,
    /// Where it goes.
    pub target: PathBuf,
}

impl Work {
    /// Starts the helper.
    pub fn spawn(&self) -> io::Result<Child> {
        let end = self
            .end
            .map_or_else(|| "all".to_owned(), |end| end.to_string());
        Command::new("/proc/self/exe")
            .arg0("sidekick")
            .args(["guard", PACK])
            .args([&self.log, &self.source, &self.target])
            .args([self.start.to_string(), end])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
    }
}

/// The helper's side.
pub fn main(args: &[OsString]) -> ExitCode {
    let _ = rustix::process::setpriority_process(None, NICE);
    let [log, source, target, start, end] = args else {
        return ExitCode::from(2);
    };
    let number = |text: &OsString| text.to_str()?.parse::<u64>().ok();
    let Some(start) = number(start) else {
        return ExitCode::from(2);
    };
    let work = Work {
        log: log.into(),
        source: source.into(),
        start,
        end: number(end),
        target: target.into(),
    };
    if pack(&work).is_ok() {
        return ExitCode::SUCCESS;
    }
    let _ = fs::remove_file(unfinished(&work.log));
    ExitCode::FAILURE
}

fn pack(work: &Work) -> io::Result<()> {
    let source = File::open(&work.source)?;
    let temporary = unfinished(&work.log);
    let target = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&temporary)?;
    let mut encoder = GzEncoder::new(target, Compression::fast());
    let end = match work.end {
        Some(end) => end,
        None => source.metadata()?.len(),
    };
    copy(&source, work.start, end, &mut encoder)?;
    encoder.finish()?;
    fs::rename(&temporary, &work.target)?;
    if work.end.is_none() {
        fs::remove_file(&work.source)?;
    }
    Ok(())
}

/// Copies what is there, and says how much is not: a flood is bounded by giving its head back to the disk.
fn copy(source: &File, start: u64, end: u64, target: &mut impl Write) -> io::Result<()> {
    let mut offset = start;
    let mut buffer = vec![0; CHUNK];
    while offset < end {
        let data = match rustix::fs::seek(source, SeekFrom::Data(offset)) {
            Ok(data) => data.min(end),
            Err(Errno::NXIO) => end,
            // A file system that knows no holes.
            Err(_) => offset,
        };
        if data > offset {
            writeln!(target, "[sidekick: {} bytes were not kept]", data - offset)?;
            offset = data;
            continue;
        }
        let room = CHUNK.min((end - offset) as usize);
        let count = source.read_at(&mut buffer[..room], offset)?;
        if count == 0 {
            break;
        }
        // The rest of a block of which the head was given back, and what was given back since the look.
        let zeros = buffer[..count]
            .iter()
            .take_while(|byte| **byte == 0)
            .count();
        target.write_all(&buffer[zeros..count])?;
        offset += count as u64;
    }
    Ok(())
}

/// Reads a compressed part for tests and people's eyes; gives its last bytes, at most so many.
pub fn unpack_tail(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    /// More than this is not decompressed: its end is not worth the wait.
    const UNPACKED_MAX: u64 = 1 << 30;
    let reader = flate2::read::MultiGzDecoder::new(io::BufReader::new(File::open(path)?));
    let mut reader = io::Read::take(reader, UNPACKED_MAX);
    let mut tail: Vec<u8> = Vec::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = io::Read::read(&mut reader, &mut buffer)?;
        if count == 0 {
            break;
        }
        tail.extend_from_slice(&buffer[..count]);
        if tail.len() > 2 * bytes_max.max(CHUNK) {
            tail.drain(..tail.len() - bytes_max);
        }
    }
    tail.drain(..tail.len().saturating_sub(bytes_max));
    Ok(tail)
}

#[cfg(test)]
mod tests;
