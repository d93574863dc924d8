//! The server's two log files: opened for it, bounded while it runs, older parts compressed.
//!
//! The server holds the files open and never reopens them, so a running file can be neither renamed away nor truncated without
//! losing lines or leaving it in the old file. Instead its head is given back to the file system (`FALLOC_FL_PUNCH_HOLE`): the
//! size goes on growing, the offsets of the tailing sidekick stay right, the blocks on disk are bounded. Where a file system
//! cannot do that the file is cut to nothing.
//!
//! A head that is long or old enough is first compressed by a [helper](super::pack), one at a time and at most every
//! [`PACK_EVERY_NS`]. A flood that is faster is not kept: its head goes without having been compressed, and the next part says
//! how much that was. What is bounded: the limit, plus what is written within one check. A device that is full counts as a limit
//! that is reached. A guard whose server writes nothing does nothing: a one-shot inotify watch wakes it. A user has 128 of them by default:
//! a guard that gets none, or no watch of a file, looks once a second.

use super::archive;
use super::clock::monotonic_ns;
use super::pack::Work;
use rustix::fs::{FallocateFlags, fallocate, fstatvfs, inotify};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Between the first write after a check and the next check.
const CHECK_NS: u64 = 100_000_000;
/// The same where nothing tells of a write.
const CHECK_BLIND_NS: u64 = 1_000_000_000;
/// The same while the limit keeps being passed.
const CHECK_FLOOD_NS: u64 = 20_000_000;
/// Between the beginnings of two helpers: a game that floods its log costs no more than this of a processor.
const PACK_EVERY_NS: u64 = 5_000_000_000;
/// What was compressed stays this long, so that sidekick has read it before it goes.
const LINGER_NS: u64 = 1_000_000_000;
/// Between two words about a full device.
const TELL_FULL_NS: u64 = 60_000_000_000;
/// Holes are made in whole blocks.
const BLOCK: u64 = 4_096;
/// With less than this free the device counts as full.
const FREE_MIN: u64 = 16 * BLOCK;
/// The end of a part is looked for in so many bytes; it should be that of a line.
const LINE_LOOK: u64 = 64 << 10;

/// What the log files of a server may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogBounds {
    /// Both files and all older parts, bytes on disk.
    pub bytes: u64,
    /// Lines older than this go into a compressed part, milliseconds.
    pub age_ms: u64,
}

impl LogBounds {
    /// One file that is being written. The rest of the half of each is for what is written before it is noticed.
    fn live(self) -> u64 {
        (self.bytes / 16).max(16 * BLOCK)
    }

    /// The older parts of one file.
    fn parts(self) -> u64 {
        self.bytes / 4
    }
}

/// Moves the file of an earlier start away, and opens a new one for appending.
pub fn rotate_and_open(path: &Path, bounds: LogBounds) -> io::Result<File> {
    let _ = fs::remove_file(archive::unfinished(path));
    archive::retire(path)?;
    archive::trim(path, bounds.parts());
    OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .mode(0o600)
        .open(path)
}

/// One file.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: File,
    /// Up to here it was compressed, or is being.
    packed: u64,
    /// When something was first seen after that.
    since_ns: Option<u64>,
    /// A compressed head that goes at that time.
    goes: Option<(u64, u64)>,
}

/// A helper at work.
#[derive(Debug)]
struct Packing {
    pid: i32,
    began_ns: u64,
    log: usize,
    /// Where its range began, and where it ends; none where it packs a whole file.
    range: Option<(u64, u64)>,
}

/// Keeps open files within their bounds.
#[derive(Debug)]
pub struct LogBound {
    logs: Vec<Log>,
    bounds: LogBounds,
    /// None where the machine has no more.
    watch: Option<OwnedFd>,
    /// A write may not be told of.
    blind: bool,
    due_ns: Option<u64>,
    packing: Option<Packing>,
    next_pack_ns: u64,
    tell_full_ns: u64,
    /// Whole files of earlier starts, each tried once.
    whole: Vec<(usize, PathBuf)>,
}

impl LogBound {
    /// Bounds these files.
    pub fn new(files: Vec<(PathBuf, File)>, bounds: LogBounds) -> Self {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        Self::watched(files, bounds, inotify::init(flags).ok())
    }

    fn watched(files: Vec<(PathBuf, File)>, bounds: LogBounds, watch: Option<OwnedFd>) -> Self {
        let log = |(path, file)| Log {
            path,
            file,
            packed: 0,
            since_ns: None,
            goes: None,
        };
        let logs: Vec<Log> = files.into_iter().map(log).collect();
        let mut whole = Vec::new();
        for (index, log) in logs.iter().enumerate() {
            let parts = archive::parts(&log.path).into_iter();
            whole.extend(
                parts
                    .filter(|part| !part.packed)
                    .map(|part| (index, part.path)),
            );
        }
        let now = monotonic_ns();
        // The server starts first.
        let whole_ns = (!whole.is_empty()).then_some(now + LINGER_NS);
        let mut bound = Self {
            logs,
            bounds,
            watch,
            blind: true,
            due_ns: None,
            packing: None,
            next_pack_ns: now,
            tell_full_ns: now,
            whole,
        };
        bound.arm();
        let blind_ns = bound.blind.then_some(now + CHECK_BLIND_NS);
        bound.due_ns = whole_ns.or(blind_ns);
        bound
    }

    fn arm(&mut self) {
        let Some(watch) = &self.watch else { return };
        let flags = inotify::WatchFlags::MODIFY | inotify::WatchFlags::ONESHOT;
        let mut blind = false;
        for log in &self.logs {
            blind |= inotify::add_watch(watch, &log.path, flags).is_err();
        }
        self.blind = blind;
    }

    /// Readable once something was written.
    pub fn watch(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(AsFd::as_fd)
    }

    /// When [`check`](Self::check) is due, monotonic nanoseconds.
    pub fn due_ns(&self) -> Option<u64> {
        self.due_ns
    }

    /// Something was written.
    pub fn written(&mut self) {
        let mut buffer = [const { MaybeUninit::uninit() }; 1024];
        if let Some(watch) = &self.watch {
            let mut reader = inotify::Reader::new(watch, &mut buffer);
            while reader.next().is_ok() {}
        }
        let soon = monotonic_ns() + CHECK_NS;
        self.due_ns = Some(self.due_ns.map_or(soon, |due| due.min(soon)));
    }

    /// Gives back what is too much, has compressed what is long or old enough. Says, once a minute, whether the device is full.
    pub fn check(&mut self) -> bool {
        let now = monotonic_ns();
        let live = self.bounds.live();
        let mut flood = false;
        let mut full = false;
        for log in &mut self.logs {
            let free = fstatvfs(&log.file).map_or(u64::MAX, |fs| fs.f_bavail * fs.f_frsize);
            full |= free < FREE_MIN;
            flood |= log.bound(live, free, now);
        }
        self.pack(now);
        if !flood {
            self.arm();
        }
        self.due_ns = self.due(now, flood);
        let tell = full && now >= self.tell_full_ns;
        if tell {
            self.tell_full_ns = now + TELL_FULL_NS;
        }
        tell
    }

    fn due(&self, now: u64, flood: bool) -> Option<u64> {
        let age_ns = self.bounds.age_ms.saturating_mul(1_000_000);
        let goes = self
            .logs
            .iter()
            .filter_map(|log| log.goes.map(|(_, at)| at));
        let ages = self
            .logs
            .iter()
            .filter_map(|log| Some(log.since_ns? + age_ns));
        let work =
            self.logs.iter().any(|log| log.wants(self.bounds, now)) || !self.whole.is_empty();
        // The end of a helper makes the next check.
        let idle = self.packing.is_none();
        let next = (work && idle).then_some(self.next_pack_ns);
        let ages = ages.filter(|_| idle && !work);
        let flood = flood.then_some(now + CHECK_FLOOD_NS);
        let blind = self.blind.then_some(now + CHECK_BLIND_NS);
        let soon = flood.into_iter().chain(blind);
        soon.chain(goes).chain(ages).chain(next).min()
    }

    /// Starts a helper where there is something for it and none is at work.
    fn pack(&mut self, now: u64) {
        if self.packing.is_some() || now < self.next_pack_ns {
            return;
        }
        let wanting = |log: &Log| log.goes.is_none() && log.wants(self.bounds, now);
        let (index, work, range) = if let Some((index, source)) = self.whole.pop() {
            let mut target = source.clone().into_os_string();
            target.push(".gz");
            let (log, start, end) = (self.logs[index].path.clone(), 0, None);
            let target = target.into();
            (
                index,
                Work {
                    log,
                    source,
                    start,
                    end,
                    target,
                },
                None,
            )
        } else if let Some(index) = self.logs.iter().position(wanting) {
            let log = &mut self.logs[index];
            let (start, end) = (log.packed, log.end_of_line());
            log.packed = end;
            log.since_ns = None;
            let (path, target) = (log.path.clone(), archive::next(&log.path).1);
            let source = path.clone();
            (
                index,
                Work {
                    log: path,
                    source,
                    start,
                    end: Some(end),
                    target,
                },
                Some((start, end)),
            )
        } else {
            return;
        };
        self.next_pack_ns = now + PACK_EVERY_NS;
        match work.spawn() {
            Ok(child) => {
                let pid = child.id() as i32;
                self.packing = Some(Packing {
                    pid,
                    began_ns: now,
                    log: index,
                    range,
                });
            }
            Err(_) => self.unpacked(index, range),
        }
    }

    fn unpacked(&mut self, index: usize, range: Option<(u64, u64)>) {
        if let Some((start, _)) = range {
            self.logs[index].packed = start;
        }
    }

    /// A child of the guard ended; says whether it was the helper.
    pub fn ended(&mut self, pid: i32, well: bool) -> bool {
        let Some(packing) = self.packing.take_if(|packing| packing.pid == pid) else {
            return false;
        };
        let log = &mut self.logs[packing.log];
        match packing.range {
            Some((_, end)) if well => {
                log.goes = Some((end, packing.began_ns + LINGER_NS));
            }
            range => self.unpacked(packing.log, range),
        }
        archive::trim(&self.logs[packing.log].path, self.bounds.parts());
        self.due_ns = Some(monotonic_ns());
        true
    }

    /// The server has ended: what was compressed is not to be compressed again by the next start.
    pub fn finish(&mut self) {
        for log in &mut self.logs {
            if let Some((end, _)) = log.goes.take() {
                give_back(&log.file, end);
            }
        }
    }
}

impl Log {
    /// Gives the head back where it is due or too long; says whether it was too long.
    fn bound(&mut self, live: u64, free: u64, now: u64) -> bool {
        if let Some((end, _)) = self.goes.take_if(|(_, at)| *at <= now) {
            give_back(&self.file, end);
        }
        let Ok(meta) = self.file.metadata() else {
            return false;
        };
        if meta.len() > self.packed {
            self.since_ns.get_or_insert(now);
        }
        if meta.len() < self.packed {
            // The game itself cut it.
            self.packed = 0;
        }
        let (taken, mut live) = (meta.blocks() * 512, live);
        if free < FREE_MIN {
            live = live.min((taken / 2).max(FREE_MIN));
        }
        if taken <= live {
            return false;
        }
        let cut = meta.len().saturating_sub(live / 2) / BLOCK * BLOCK;
        cut > 0 && give_back(&self.file, cut)
    }

    /// Whether its head is long or old enough to be compressed.
    fn wants(&self, bounds: LogBounds, now: u64) -> bool {
        let length = self.file.metadata().map_or(0, |meta| meta.len());
        let fresh = length.saturating_sub(self.packed);
        let age_ns = bounds.age_ms.saturating_mul(1_000_000);
        let old = self.since_ns.is_some_and(|since| now >= since + age_ns);
        fresh >= bounds.live() / 2 || (fresh > 0 && old)
    }

    /// Where its last whole line ends.
    fn end_of_line(&self) -> u64 {
        let length = self.file.metadata().map_or(0, |meta| meta.len());
        let from = length.saturating_sub(LINE_LOOK).max(self.packed);
        let mut buffer = vec![0; (length - from) as usize];
        let read = self.file.read_exact_at(&mut buffer, from);
        let newline = buffer.iter().rposition(|byte| *byte == b'\n');
        match (read, newline) {
            (Ok(()), Some(at)) => from + at as u64 + 1,
            _ => length,
        }
    }
}

fn give_back(file: &File, end: u64) -> bool {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match fallocate(file, flags, 0, end) {
        Ok(()) | Err(Errno::INTR) => true,
        Err(_) => file.set_len(0).is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, SeekFrom, Write};

    const BOUNDS: LogBounds = LogBounds {
        bytes: 16 << 20,
        age_ms: 86_400_000,
    };

    #[test]
    fn a_new_start_begins_an_empty_file_and_keeps_the_old_one() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("x.log");
        for round in 0..3 {
            let mut file = rotate_and_open(&path, BOUNDS).expect("opens");
            writeln!(file, "round {round}").expect("writes");
        }
        assert_eq!(fs::read_to_string(&path).expect("there"), "round 2\n");
        let parts = archive::parts(&path);
        let texts: Vec<_> = parts
            .iter()
            .map(|part| fs::read_to_string(&part.path).expect("there"))
            .collect();
        assert_eq!(texts, ["round 0\n", "round 1\n"]);
    }

    #[test]
    fn a_flooded_file_stays_within_its_limit_and_keeps_its_offsets() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("x.log");
        let mut file = rotate_and_open(&path, BOUNDS).expect("opens");
        let mut log = Log {
            path: path.clone(),
            file: file.try_clone().expect("clones"),
            packed: 0,
            since_ns: None,
            goes: None,
        };
        let chunk = vec![b'x'; 1 << 20];
        for _ in 0..8 {
            file.write_all(&chunk).expect("writes");
            log.bound(BOUNDS.live(), u64::MAX, 1);
        }
        file.write_all(b"last line\n").expect("writes");
        let taken = fs::metadata(&path).expect("exists").blocks() * 512;
        assert!(taken <= (1 << 20) + 64 * BLOCK, "{taken} bytes");
        let mut tail = String::new();
        let mut reader = File::open(&path).expect("opens");
        reader.seek(SeekFrom::End(-10)).expect("seeks");
        reader.read_to_string(&mut tail).expect("reads");
        assert_eq!(tail, "last line\n");
        assert_eq!(log.end_of_line(), (8 << 20) + 10);
        assert!(log.wants(BOUNDS, 2));
    }

    #[test]
    fn without_a_watch_it_looks_again_and_again() {
        let instance = || inotify::init(inotify::CreateFlags::CLOEXEC).expect("one is left");
        for (watch, watched) in [(None, true), (Some(instance()), false)] {
            let dir = tempfile::tempdir().expect("tempdir");
            let path = dir.path().join("x.log");
            let mut file = rotate_and_open(&path, BOUNDS).expect("opens");
            let copy = file.try_clone().expect("clones");
            if !watched {
                // A path that is gone is refused as one more watch than the machine allows is.
                fs::remove_file(&path).expect("removes");
            }
            let mut logs = LogBound::watched(vec![(path, copy)], BOUNDS, watch);
            assert!(logs.due_ns().is_some());
            file.write_all(&vec![b'x'; 8 << 20]).expect("writes");
            logs.check();
            let taken = file.metadata().expect("exists").blocks() * 512;
            assert!(taken <= BOUNDS.live() + 64 * BLOCK, "{taken} bytes");
            assert!(logs.due_ns().is_some());
        }
    }

    #[test]
    fn a_few_old_lines_are_wanted_and_a_few_young_ones_are_not() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("x.log");
        let mut file = rotate_and_open(&path, BOUNDS).expect("opens");
        file.write_all(b"one\ntwo").expect("writes");
        let mut log = Log {
            path,
            file,
            packed: 0,
            since_ns: None,
            goes: None,
        };
        log.bound(BOUNDS.live(), u64::MAX, 1_000);
        assert!(!log.wants(BOUNDS, 2_000));
        assert!(log.wants(BOUNDS, 1_000 + BOUNDS.age_ms * 1_000_000));
        assert_eq!(log.end_of_line(), 4);
    }
}
