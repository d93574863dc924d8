//! Starting the stub: the process that will become the server.

use super::EXEC;
use super::peer::Peer;
use super::protocol::{self, Start};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// To the stub.
#[derive(Serialize, Deserialize)]
pub(super) struct Execute {
    /// The guard, so that the stub notices where it died before the death signal was set.
    pub guard: i32,
    /// What to execute.
    pub start: Start,
}

/// From the stub; nothing but the end of the socket means that the server was executed.
#[derive(Serialize, Deserialize)]
pub(super) struct Refused {
    /// Why, with the remedy.
    pub message: String,
}

/// A stub that waits for its command.
#[derive(Debug)]
pub struct Stub {
    /// Its process number, later that of the server.
    pub pid: i32,
    /// Closes when the server was executed.
    pub peer: Peer,
}

impl Stub {
    /// Starts this very binary again, even where its file was replaced meanwhile.
    pub fn start(stdout: File, stderr: File) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let child = Command::new("/proc/self/exe")
            .arg0("sidekick")
            .args(["guard", EXEC])
            .env_clear()
            .envs(crate::failpoints::environment())
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(stdout)
            .stderr(stderr)
            .spawn()?;
        Ok(Self {
            pid: child.id() as i32,
            peer: Peer::new(ours)?,
        })
    }

    /// Lets it execute. Blocks until the stub has read it all, which it does at once.
    pub fn execute(&mut self, start: Start) -> io::Result<()> {
        let guard = std::process::id() as i32;
        let line = protocol::line(&Execute { guard, start });
        let mut stream = self.peer.stream();
        stream.set_nonblocking(false)?;
        stream.write_all(&line)?;
        stream.set_nonblocking(true)
    }

    /// After the socket became readable: `None` as long as nothing is decided, then whether the server was executed.
    pub fn outcome(&mut self) -> Option<Result<(), String>> {
        let input = self.peer.read();
        if let Some(line) = input.lines.first() {
            let message = protocol::parse::<Refused>(line).map(|refused| refused.message);
            return Some(Err(
                message.unwrap_or_else(|| "the stub spoke nonsense".into())
            ));
        }
        input.closed.then_some(Ok(()))
    }
}
