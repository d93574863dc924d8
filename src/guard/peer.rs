//! The guard's side of a socket: lines in, lines out, never blocking.

use super::protocol::LINE_MAX;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

/// A connection and what was read of the next line.
#[derive(Debug)]
pub struct Peer {
    stream: UnixStream,
    pending: Vec<u8>,
}

/// What there was to read.
#[derive(Debug, PartialEq, Eq)]
pub struct Input {
    /// Whole lines, without their ends.
    pub lines: Vec<Vec<u8>>,
    /// The other end is closed or broken.
    pub closed: bool,
}

impl Peer {
    /// Takes a connection.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let pending = Vec::new();
        Ok(Self { stream, pending })
    }

    /// The connection, to wait for.
    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Reads what is there.
    pub fn read(&mut self) -> Input {
        let mut buffer = [0u8; 16 << 10];
        let mut input = Input {
            lines: Vec::new(),
            closed: false,
        };
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => input.closed = true,
                Ok(count) => {
                    self.pending.extend_from_slice(&buffer[..count]);
                    self.split(&mut input.lines);
                    input.closed = self.pending.len() > LINE_MAX;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return input,
                Err(_) => input.closed = true,
            }
            if input.closed {
                return input;
            }
        }
    }

    fn split(&mut self, lines: &mut Vec<Vec<u8>>) {
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let rest = self.pending.split_off(end + 1);
            let mut line = std::mem::replace(&mut self.pending, rest);
            line.pop();
            lines.push(line);
        }
    }

    /// Writes a line. A reader that does not read (a stopped sidekick) loses it: what matters stands in files too, and a
    /// guard sends a handful of lines in its life, far fewer than a socket holds.
    pub fn send(&mut self, line: &[u8]) {
        let _ = self.stream.write_all(line);
    }
}
