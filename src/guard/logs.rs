//! The server's two log files: opened for it, rotated at each start, bounded while it runs.
//!
//! The server holds the files open and never reopens them, so a running file can be neither renamed away nor truncated without
//! losing lines or leaving it in the old file. Instead its head is given back to the file system (`FALLOC_FL_PUNCH_HOLE`): the
//! size goes on growing, the offsets of the tailing sidekick stay right, the blocks on disk are bounded. Where a file system
//! cannot do that the file is cut to nothing. What is bounded: the limit, plus what is written within one check (a second,
//! less under a flood). A guard whose server writes nothing does nothing: a one-shot inotify watch wakes it.

use super::clock::monotonic_ns;
use rustix::fs::{FallocateFlags, fallocate, inotify};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Between the first write after a check and the next check.
const CHECK_NS: u64 = 1_000_000_000;
/// The same while the limit keeps being passed.
const CHECK_FLOOD_NS: u64 = 100_000_000;
/// Holes are made in whole blocks.
const BLOCK: u64 = 4_096;

/// Moves `x.log` to `x.log.1`, that to `x.log.2` and so on, keeps `keep` of them, and opens a new `x.log` for appending.
pub fn rotate_and_open(path: &Path, keep: usize, limit: u64) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|meta| meta.len() > 0) {
        for number in (1..keep).rev() {
            match fs::rename(numbered(path, number), numbered(path, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if keep > 0 {
            retire(path, &numbered(path, 1), limit)?;
        }
        if path.exists() {
            fs::remove_file(path)?;
        }
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// A file with a hole at its head is copied without it: its size would frighten people and tools.
fn retire(from: &Path, to: &Path, limit: u64) -> io::Result<()> {
    let meta = fs::metadata(from)?;
    if meta.len() <= limit {
        return fs::rename(from, to);
    }
    let mut source = File::open(from)?;
    source.seek(SeekFrom::Start(meta.len() - limit / 2))?;
    let mut target = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(to)?;
    io::copy(&mut source, &mut target)?;
    Ok(())
}

/// Keeps open files within a limit.
#[derive(Debug)]
pub struct LogBound {
    files: Vec<(PathBuf, File)>,
    limit: u64,
    watch: OwnedFd,
    due_ns: Option<u64>,
}

impl LogBound {
    /// Bounds these files, each to `limit` bytes on disk.
    pub fn new(files: Vec<(PathBuf, File)>, limit: u64) -> io::Result<Self> {
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let bound = Self {
            files,
            limit: limit.max(16 * BLOCK),
            watch,
            due_ns: None,
        };
        bound.arm();
        Ok(bound)
    }

    fn arm(&self) {
        for (path, _) in &self.files {
            let flags = inotify::WatchFlags::MODIFY | inotify::WatchFlags::ONESHOT;
            // Without a watch (limits of the machine) the file is still bounded at the next start.
            let _ = inotify::add_watch(&self.watch, path, flags);
        }
    }

    /// Readable once something was written.
    pub fn watch(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }

    /// When [`check`](Self::check) is due, monotonic nanoseconds.
    pub fn due_ns(&self) -> Option<u64> {
        self.due_ns
    }

    /// Something was written.
    pub fn written(&mut self) {
        let mut buffer = [const { MaybeUninit::uninit() }; 1024];
        let mut reader = inotify::Reader::new(&self.watch, &mut buffer);
        while reader.next().is_ok() {}
        self.due_ns.get_or_insert(monotonic_ns() + CHECK_NS);
    }

    /// Gives the head of a file that is too long back to the file system.
    pub fn check(&mut self) {
        let mut cut = false;
        for (_, file) in &self.files {
            cut |= bound(file, self.limit);
        }
        self.due_ns = cut.then(|| monotonic_ns() + CHECK_FLOOD_NS);
        if !cut {
            self.arm();
        }
    }
}

fn bound(file: &File, limit: u64) -> bool {
    let Ok(meta) = file.metadata() else {
        return false;
    };
    if meta.blocks() * 512 <= limit {
        return false;
    }
    let cut = meta.len().saturating_sub(limit / 2) / BLOCK * BLOCK;
    if cut == 0 {
        return false;
    }
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match fallocate(file, flags, 0, cut) {
        Ok(()) | Err(Errno::INTR) => true,
        Err(_) => file.set_len(0).is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn files_rotate_and_only_so_many_stay() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("x.log");
        for round in 0..5 {
            let mut file = rotate_and_open(&path, 2, 1 << 20).expect("opens");
            writeln!(file, "round {round}").expect("writes");
        }
        let text = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
        assert_eq!(text(path.clone()), "round 4\n");
        assert_eq!(text(numbered(&path, 1)), "round 3\n");
        assert_eq!(text(numbered(&path, 2)), "round 2\n");
        assert!(!numbered(&path, 3).exists());
    }

    #[test]
    fn a_flooded_file_stays_within_its_limit_and_keeps_its_offsets() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("x.log");
        let mut file = rotate_and_open(&path, 1, 1 << 20).expect("opens");
        let copy = file.try_clone().expect("clones");
        let mut logs = LogBound::new(vec![(path.clone(), copy)], 1 << 20).expect("watches");
        let chunk = vec![b'x'; 1 << 20];
        for _ in 0..8 {
            file.write_all(&chunk).expect("writes");
            logs.written();
            logs.check();
        }
        file.write_all(b"last line\n").expect("writes");
        let meta = fs::metadata(&path).expect("exists");
        assert!(
            meta.blocks() * 512 <= (1 << 20) + 64 * BLOCK,
            "{} bytes",
            meta.blocks() * 512
        );
        let mut tail = String::new();
        let mut reader = File::open(&path).expect("opens");
        reader.seek(SeekFrom::End(-10)).expect("seeks");
        reader.read_to_string(&mut tail).expect("reads");
        assert_eq!(tail, "last line\n");
        drop(rotate_and_open(&path, 1, 1 << 20).expect("rotates"));
        assert!(fs::metadata(numbered(&path, 1)).expect("exists").len() <= 1 << 20);
    }
}
