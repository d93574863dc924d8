//! Reading the servers' log files: one thread for all of them, woken by inotify.
//!
//! The thread sleeps until a file grows, then reads, then lets a short pause pass before it looks again: a game that prints on
//! every tick costs ten reads a second. A flood is not read in full: what lies more than [`BACKLOG_MAX`] behind is skipped
//! and a line says how much; neither the game nor the disk is slowed by it (`guard::logs` bounds the file).

use super::book::{LINE_MAX, LogBook};
use super::slot::Slot;
use super::status::LogSource;
use crate::guard::{archive, pack};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::{SeekFrom, inotify};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use tokio::sync::oneshot;

/// Between two looks at files that keep growing, milliseconds.
const PAUSE_MS: u16 = 100;
/// Read at once from one file.
const CHUNK: usize = 64 << 10;
/// What lies further behind the end of a file than this is skipped.
const BACKLOG_MAX: u64 = 1 << 20;
/// Requests waiting for the thread.
const REQUESTS: usize = 1_024;

/// The files of one process.
#[derive(Debug)]
pub struct Files {
    /// Where lines go.
    pub book: Arc<LogBook>,
    /// The place of the process.
    pub slot: Slot,
    /// Standard output.
    pub stdout: PathBuf,
    /// Standard error.
    pub stderr: PathBuf,
    /// Start this far before the ends instead of at the beginnings.
    pub last: Option<u64>,
}

enum Request {
    Follow(String, Files),
    /// Read everything there is; stop following where told to.
    Drain(String, bool, oneshot::Sender<()>),
}

/// Handle to the thread; it ends when the last handle is gone.
#[derive(Clone)]
pub struct Tail {
    requests: mpsc::SyncSender<Request>,
    wake: Arc<UnixStream>,
}

impl Tail {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the machine's limit of inotify instances is reached.
    pub fn start() -> io::Result<Self> {
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let (requests, receiver) = mpsc::sync_channel(REQUESTS);
        let reader = Reader {
            watch,
            woken,
            requests: receiver,
            servers: HashMap::new(),
            watches: HashMap::new(),
            behind: Vec::new(),
        };
        std::thread::Builder::new()
            .name("sidekick-logs".into())
            .spawn(move || reader.run())?;
        Ok(Self {
            requests,
            wake: Arc::new(wake),
        })
    }

    fn send(&self, request: Request) {
        if self.requests.try_send(request).is_err() {
            tracing::error!("the log reader does not keep up with its requests");
        }
        let _ = io::Write::write(&mut &*self.wake, &[0]);
    }

    /// Follows the files of a server's new process instead of those before.
    pub fn follow(&self, server: &str, files: Files) {
        self.send(Request::Follow(server.to_owned(), files));
    }

    /// Done once everything the server has written is in its book.
    pub async fn drain(&self, server: &str, last: bool) {
        let (done, wait) = oneshot::channel();
        self.send(Request::Drain(server.to_owned(), last, done));
        let _ = wait.await;
    }
}

struct Reader {
    watch: OwnedFd,
    woken: UnixStream,
    requests: mpsc::Receiver<Request>,
    servers: HashMap<String, [Follow; 2]>,
    watches: HashMap<i32, String>,
    /// Servers of which not everything was read; looked at again after the pause.
    behind: Vec<String>,
}

impl Reader {
    fn run(mut self) {
        let mut paused = false;
        while self.wait(paused) {
            loop {
                match self.requests.try_recv() {
                    Ok(request) => self.handle(request),
                    Err(mpsc::TryRecvError::Empty) => break,
                    Err(mpsc::TryRecvError::Disconnected) => return,
                }
            }
            // A pause that was cut short by a request is not resumed: requests are rare.
            paused = self.read_grown();
        }
    }

    /// Sleeps; false once no handle is left. While paused only requests wake it.
    fn wait(&self, paused: bool) -> bool {
        let mut fds = vec![PollFd::new(self.woken.as_fd(), PollFlags::POLLIN)];
        let mut timeout = PollTimeout::from(PAUSE_MS);
        if !paused {
            fds.push(PollFd::new(self.watch.as_fd(), PollFlags::POLLIN));
            timeout = PollTimeout::NONE;
        }
        let _ = poll(&mut fds, timeout);
        let mut bytes = [0; 64];
        loop {
            match io::Read::read(&mut &self.woken, &mut bytes) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(_) => return true,
            }
        }
    }

    fn handle(&mut self, request: Request) {
        match request {
            Request::Follow(server, files) => {
                self.forget(&server);
                let follows = [
                    Follow::open(LogSource::Stdout, &files.stdout, &files),
                    Follow::open(LogSource::Stderr, &files.stderr, &files),
                ];
                for path in [&files.stdout, &files.stderr] {
                    match inotify::add_watch(&self.watch, path, inotify::WatchFlags::MODIFY) {
                        Ok(watch) => {
                            self.watches.insert(watch, server.clone());
                        }
                        Err(error) => {
                            tracing::warn!(path = %path.display(), %error, "log file is not watched: lines come late");
                        }
                    }
                }
                self.servers.insert(server.clone(), follows);
                if self.read_all(&server) {
                    self.behind.push(server);
                }
            }
            Request::Drain(server, last, done) => {
                self.read_all(&server);
                if last {
                    for follow in self.servers.get_mut(&server).into_iter().flatten() {
                        if !follow.partial.is_empty() {
                            follow.finish();
                        }
                    }
                    self.forget(&server);
                }
                let _ = done.send(());
            }
        }
    }

    fn forget(&mut self, server: &str) {
        let watch = &self.watch;
        self.watches.retain(|wd, of| {
            let keep = of != server;
            if !keep {
                let _ = inotify::remove_watch(watch, *wd);
            }
            keep
        });
        self.servers.remove(server);
    }

    /// Reads the files that grew; true where there were any.
    fn read_grown(&mut self) -> bool {
        let mut grown = std::mem::take(&mut self.behind);
        let mut buffer = [const { MaybeUninit::uninit() }; 4096];
        let mut events = inotify::Reader::new(&self.watch, &mut buffer);
        while let Ok(event) = events.next() {
            if let Some(server) = self.watches.get(&event.wd()) {
                if !grown.contains(server) {
                    grown.push(server.clone());
                }
            }
        }
        let looked = !grown.is_empty();
        for server in grown {
            if self.read_all(&server) {
                self.behind.push(server);
            }
        }
        looked
    }

    /// Reads what there is; true where there is more, because it grows faster than it is read.
    fn read_all(&mut self, server: &str) -> bool {
        let rounds = 2 * BACKLOG_MAX / CHUNK as u64;
        (0..rounds).all(|_| self.read(server))
    }

    /// Reads a chunk of each file of a server; true where there may be more.
    fn read(&mut self, server: &str) -> bool {
        let follows = self.servers.get_mut(server).into_iter().flatten();
        // Both are read, whatever the first one gives.
        follows
            .filter_map(|follow| follow.read().then_some(()))
            .count()
            > 0
    }
}

struct Follow {
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
    fn open(source: LogSource, path: &Path, files: &Files) -> Self {
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

    fn read(&mut self) -> bool {
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

    /// What was read of a line is a line.
    fn finish(&mut self) {
        let line = std::mem::take(&mut self.partial);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        self.book.push(Some(self.slot), self.source, line);
    }
}
