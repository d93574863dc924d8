//! The supervisor's end of a guard.

use super::spec::SupervisorOptions;
use crate::guard::files::{ExitRecord, Identity, RunFiles};
use crate::guard::protocol::{self, FromGuard, LINE_MAX, OnExit, ToGuard};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

/// A guard sends a handful of messages in its life.
const CAPACITY: usize = 16;
/// A guard answers at once unless the machine is starved.
const ANSWER: Duration = Duration::from_secs(5);

/// A connection to a guard.
#[derive(Debug)]
pub struct Link {
    writer: OwnedWriteHalf,
    messages: mpsc::Receiver<FromGuard>,
}

/// What a guard that outlived its sidekick says.
#[derive(Debug)]
pub struct Adopted {
    /// The connection.
    pub link: Link,
    /// Its server.
    pub identity: Identity,
    /// The note of the start.
    pub note: String,
    /// The end, where it came meanwhile.
    pub exited: Option<ExitRecord>,
}

impl Link {
    /// Starts a guard. Forks: call it where blocking for a millisecond is fine, within a runtime.
    pub fn spawn(options: &SupervisorOptions, id: &str) -> io::Result<Self> {
        let (ours, theirs) = StdStream::pair()?;
        let child = Command::new(&options.exe)
            .arg0("sidekick")
            .args(["guard", id])
            .env_clear()
            .envs(crate::failpoints::environment())
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        ours.set_nonblocking(true)?;
        Ok(Self::new(UnixStream::from_std(ours)?, Some(child)))
    }

    fn new(stream: UnixStream, child: Option<Child>) -> Self {
        let (reader, writer) = stream.into_split();
        let (sender, messages) = mpsc::channel(CAPACITY);
        tokio::spawn(read(reader, sender, child));
        Self { writer, messages }
    }

    /// Sends a message. An error means that the guard is gone, which [`recv`](Self::recv) tells too.
    pub async fn send(&mut self, message: &ToGuard) -> io::Result<()> {
        self.writer.write_all(&protocol::line(message)).await
    }

    /// The next message; `None` once the guard is gone. Cancel-safe.
    pub async fn recv(&mut self) -> Option<FromGuard> {
        self.messages.recv().await
    }

    /// Connects to the guard of an earlier sidekick.
    ///
    /// # Errors
    /// `NotFound` or `ConnectionRefused` where none listens; `ResourceBusy` where another sidekick owns it.
    pub async fn adopt(files: &RunFiles, on_exit: OnExit) -> io::Result<Adopted> {
        let stream = UnixStream::connect(files.socket()).await?;
        let mut link = Self::new(stream, None);
        link.send(&ToGuard::Adopt { on_exit }).await?;
        match tokio::time::timeout(ANSWER, link.recv()).await {
            Ok(Some(FromGuard::Adopted {
                identity,
                note,
                exited,
            })) => Ok(Adopted {
                link,
                identity,
                note,
                exited,
            }),
            Ok(Some(FromGuard::Busy { owner })) => Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!(
                    "its guard belongs to another sidekick, process {owner}; stop that one first"
                ),
            )),
            Ok(_) => Err(io::ErrorKind::ConnectionRefused.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

async fn read(reader: OwnedReadHalf, sender: mpsc::Sender<FromGuard>, child: Option<Child>) {
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = (&mut reader).take(LINE_MAX as u64);
        let whole = matches!(limited.read_until(b'\n', &mut line).await, Ok(count) if count > 0)
            && line.ends_with(b"\n");
        if !whole {
            break;
        }
        if let Some(message) = protocol::parse(&line) {
            if sender.send(message).await.is_err() {
                break;
            }
        }
    }
    drop(sender);
    if let Some(mut child) = child {
        let _ = child.wait().await;
    }
}
