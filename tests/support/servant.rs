//! A process with a buffer that does what it is told, line by line, and says what came of it, behind the preload library.
//!
//! `append STREAM COUNT` appends so many events, each on its own and all at once; `read STREAM` reads; `close` ends it.
//! It says `appended STREAM LAST`, `refused STREAM REASON`, `read STREAM COUNT`, and by itself `full BOOL` and `failed REASON`.

use crate::buffers::*;
use crate::powercut::Behind;
use sidekick::buffer::{Buffer, Options};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Each event has this size.
const EVENT_BYTES: usize = 1000;

/// The options of the buffer below a root.
pub fn servant_options(root: &Path) -> Options {
    options(root)
}

/// The process's side. Does nothing where it is not one.
pub fn serve() {
    let Ok(dir) = std::env::var("SIDEKICK_SERVANT_DIR") else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let options = servant_options(Path::new(&dir));
        let opened = tokio::task::spawn_blocking(move || Buffer::open(options)).await;
        let buffer = match opened.expect("no panic") {
            Ok(buffer) => buffer,
            Err(error) => return say(&format!("unopened {error}")),
        };
        tokio::spawn(watch_full(buffer.clone()));
        let mut failure = buffer.failure();
        tokio::spawn(async move {
            if let Ok(reason) = failure.wait_for(Option::is_some).await {
                say(&format!("failed {}", reason.as_deref().unwrap_or_default()));
            }
        });
        say("started");
        let (sender, mut orders) = tokio::sync::mpsc::channel(16);
        std::thread::spawn(move || {
            for line in std::io::stdin().lines().map_while(Result::ok) {
                if sender.blocking_send(line).is_err() {
                    break;
                }
            }
        });
        while let Some(line) = orders.recv().await {
            obey(&buffer, &line).await;
        }
    });
}

async fn obey(buffer: &Buffer, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    match words[0] {
        "append" => {
            for n in 0..words[2].parse().expect("a number") {
                let (buffer, name) = (buffer.clone(), stream(words[1]));
                tokio::spawn(append(buffer, name, n));
            }
        }
        "read" => {
            let name = stream(words[1]);
            let last = buffer.stream(&name).map_or(0, |info| info.last);
            let count = everything(buffer, &name, last).await.len();
            say(&format!("read {name} {count}"));
        }
        "close" => {
            buffer.close().await;
            say("closed");
            std::process::exit(0);
        }
        other => panic!("unknown order {other}"),
    }
}

async fn append(buffer: Buffer, name: sidekick::types::StreamName, n: u64) {
    let event = payload(&format!("{n:<EVENT_BYTES$}"));
    match buffer.append(&name, vec![event], None).await {
        Ok(appended) => say(&format!("appended {name} {}", appended.last)),
        Err(error) => say(&format!("refused {name} {error}")),
    }
}

async fn watch_full(buffer: Buffer) {
    let mut committed = buffer.committed();
    let mut was = false;
    loop {
        let full = buffer.info().full;
        if full != was {
            say(&format!("full {full}"));
        }
        was = full;
        if committed.changed().await.is_err() {
            return;
        }
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .expect("the test listens");
}

/// The test's side.
pub struct Servant {
    pub behind: Behind,
    pub place: tempfile::TempDir,
    child: Child,
    orders: Option<ChildStdin>,
    said: Receiver<String>,
}

impl Servant {
    /// Starts one on a fresh disk, and waits until its buffer is open. The test that runs in it is named `servant`.
    pub fn start() -> Self {
        let mut servant = Self::start_with(0);
        servant.wait("started");
        servant
    }

    /// Starts one that meets faults at once.
    pub fn start_with(faults: u32) -> Self {
        let place = tempfile::tempdir().expect("temporary directory");
        let behind = Behind::new(place.path());
        behind.faults(faults, 0);
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        command
            .args(["servant", "--exact", "--nocapture"])
            .env("SIDEKICK_SERVANT_DIR", behind.root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = behind.wrap(&mut command).spawn().expect("starts");
        let (sender, said) = channel();
        let out = BufReader::new(child.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            out.lines()
                .map_while(Result::ok)
                .all(|line| sender.send(line).is_ok())
        });
        let orders = child.stdin.take();
        Self {
            behind,
            place,
            child,
            orders,
            said,
        }
    }

    pub fn order(&mut self, line: &str) {
        let orders = self.orders.as_mut().expect("not ended");
        writeln!(orders, "{line}").expect("it listens");
    }

    /// Waits for a line that begins so; gives what was said up to it.
    pub fn wait(&mut self, begin: &str) -> Vec<String> {
        self.wait_n(begin, 1)
    }

    /// Waits for so many such lines.
    pub fn wait_n(&mut self, begin: &str, mut n: usize) -> Vec<String> {
        let mut lines = Vec::new();
        while n > 0 {
            match self.said.recv_timeout(Duration::from_secs(30)) {
                Ok(line) => {
                    n -= usize::from(line.starts_with(begin));
                    lines.push(line);
                }
                Err(error) => panic!("it did not say {begin:?} ({error}), only {lines:#?}"),
            }
        }
        lines
    }

    /// Kills it; gives what else it said.
    pub fn kill(&mut self) -> Vec<String> {
        self.child.kill().expect("kills");
        self.child.wait().expect("ends");
        self.said.iter().collect()
    }

    pub fn root(&self) -> PathBuf {
        self.behind.root().to_owned()
    }
}

impl Drop for Servant {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
