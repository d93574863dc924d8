//! A terminal in which a real program runs: a pty, what was typed, and the text that came.

#![allow(dead_code, clippy::unwrap_used)]

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Longest wait for anything that should appear at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running program and its screen.
pub struct Terminal {
    child: Child,
    master: File,
    bytes: Receiver<Vec<u8>>,
    /// Everything that came, without escape sequences.
    seen: String,
    /// Up to where it was looked at.
    looked: usize,
    raw: Vec<u8>,
}

impl Terminal {
    /// Runs a program in a terminal of its own.
    pub fn run(mut command: Command) -> Self {
        let size = Winsize {
            ws_row: 50,
            ws_col: 160,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(Some(&size), None).unwrap();
        let slave = || Stdio::from(pty.slave.try_clone().unwrap());
        let child = command
            .env("TERM", "xterm")
            .env("LANG", "C.UTF-8")
            .stdin(slave())
            .stdout(slave())
            .stderr(slave())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(r#"{command:?}: {error}; run: eval "$(./scripts/setup --env)""#)
            });
        drop(pty.slave);
        drop(command);
        let master = File::from(pty.master);
        let mut reader = master.try_clone().unwrap();
        let (sender, bytes) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The last slave's end shows as an error.
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            master,
            bytes,
            seen: String::new(),
            looked: 0,
            raw: Vec::new(),
        }
    }

    /// Presses keys.
    pub fn keys(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Types a line and Enter, and waits until the terminal has taken it: OTP draws it a second time then.
    pub fn line(&mut self, text: &str) {
        self.keys(text);
        self.expect(text);
        self.keys("\r");
        self.expect(&format!("{text}\n"));
    }

    /// Waits for a text behind what was looked at before; gives all up to its end.
    pub fn expect(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen[self.looked..].find(text) {
                let end = self.looked + at + text.len();
                let found = self.seen[self.looked..end].to_owned();
                self.looked = end;
                return found;
            }
            match self
                .bytes
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(bytes) => self.take(&bytes),
                Err(RecvTimeoutError::Timeout) => {
                    panic!("never saw {text:?} after {:?}", self.unseen())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("it ended without {text:?}; last seen {:?}", self.unseen())
                }
            }
        }
    }

    fn unseen(&self) -> &str {
        &self.seen[self.looked..]
    }

    /// Everything that was seen.
    pub fn all(&self) -> &str {
        &self.seen
    }

    /// Waits until the program ends by itself; its exit status.
    pub fn status(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self
                .bytes
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(bytes) => self.take(&bytes),
                Err(RecvTimeoutError::Timeout) => {
                    panic!("it does not end; last seen {:?}", self.unseen())
                }
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap().code(),
            }
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGKILL).unwrap();
        self.child.wait().unwrap();
    }

    fn take(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
        let (text, rest) = plain(&self.raw);
        self.seen += &text;
        self.raw = rest;
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.kill();
        }
    }
}

/// The text without escape sequences and carriage returns, and what is not whole yet.
fn plain(raw: &[u8]) -> (String, Vec<u8>) {
    let whole = match std::str::from_utf8(raw) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&raw[..error.valid_up_to()]).unwrap(),
    };
    let mut text = String::new();
    let mut chars = whole.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\r' | '\u{7}' => {}
            '\u{1b}' => {
                let mut inside = chars.by_ref().map(|(_, c)| c);
                let first = inside.next();
                let ended = match first {
                    Some('[') => inside.any(|c| c.is_ascii_alphabetic() || c == '~' || c == '@'),
                    other => other.is_some(),
                };
                if !ended {
                    return (text, raw[at..].to_vec());
                }
            }
            c => text.push(c),
        }
    }
    (text, raw[whole.len()..].to_vec())
}
