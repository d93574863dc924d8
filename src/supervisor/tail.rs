//! Reading the servers' log files: one thread for all of them, woken by inotify, or by the clock where there is none to be had.
//!
//! The thread sleeps until a file grows, then reads, then lets a short pause pass before it looks again: a game that prints on
//! every tick costs ten reads a second. A flood is not read in full: what lies more than [`BACKLOG_MAX`] behind is skipped
//! and a line says how much; neither the game nor the disk is slowed by it (`guard::logs` bounds the file).

mod follow;
mod watch;

use super::book::LogBook;
use super::slot::Slot;
use super::status::LogSource;
use follow::{BACKLOG_MAX, CHUNK, Follow};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use tokio::sync::oneshot;
use watch::Watch;

pub use follow::{recall, was_cut};

/// Between two looks at files that keep growing, milliseconds.
const PAUSE_MS: u16 = 100;
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
    /// Where there is no descriptor or no thread left. Without inotify it starts, and says so.
    pub fn start() -> io::Result<Self> {
        Self::watching(Watch::new())
    }

    fn watching(watch: Watch) -> io::Result<Self> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let (requests, receiver) = mpsc::sync_channel(REQUESTS);
        let reader = Reader {
            watch,
            woken,
            requests: receiver,
            servers: HashMap::new(),
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
    watch: Watch,
    woken: UnixStream,
    requests: mpsc::Receiver<Request>,
    servers: HashMap<String, [Follow; 2]>,
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
            let watch = self.watch.fd();
            fds.extend(watch.map(|watch| PollFd::new(watch, PollFlags::POLLIN)));
            timeout = self.watch.timeout();
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
                    self.watch.add(&server, path);
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
                        follow.end();
                    }
                    self.forget(&server);
                }
                let _ = done.send(());
            }
        }
    }

    fn forget(&mut self, server: &str) {
        self.watch.remove(server);
        self.servers.remove(server);
    }

    /// Reads the files that grew; true where there were any.
    fn read_grown(&mut self) -> bool {
        let mut grown = std::mem::take(&mut self.behind);
        self.watch.take(&mut grown);
        for server in self.watch.blind() {
            let mut follows = self.servers.get(server).into_iter().flatten();
            if !grown.contains(server) && follows.any(Follow::has_changed) {
                grown.push(server.clone());
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

#[cfg(test)]
mod tests;
