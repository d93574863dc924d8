//! A real sidekick in its own directory, ended with the test.

#![allow(dead_code, clippy::unwrap_used)]

#[allow(
    clippy::duplicate_mod,
    reason = "each part of the support stands alone"
)]
#[path = "ports.rs"]
mod ports;

#[allow(unused_imports, reason = "each test file uses some")]
pub use ports::free_port;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Longest wait for anything a sidekick should do at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// The binary under test.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidekick"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SIDEKICK_") {
            command.env_remove(name);
        }
    }
    command.env("SIDEKICK_COOKIE", "test_cookie");
    command
}

/// The binary under test as the end of another command: that is given its path as an argument, and its environment.
pub fn binary_under(program: &str, arguments: &[&str]) -> Command {
    let plain = binary();
    let mut command = Command::new(program);
    command.args(arguments).arg(plain.get_program());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// A running sidekick. Dropped, it is told to end, then killed.
pub struct Sidekick {
    /// Its own directory, which holds `sidekick.toml` and `var`.
    pub dir: PathBuf,
    /// Its node name (empty where the test wrote the configuration).
    pub name: String,
    /// The port mapper it serves (0 likewise).
    pub epmd_port: u16,
    child: Child,
    log: Receiver<String>,
    seen: Vec<String>,
    owned: Option<tempfile::TempDir>,
}

impl Sidekick {
    /// Starts one in a fresh directory with these sections beside `[node]`, and waits until it runs.
    pub fn start(sections: &str) -> Self {
        Self::start_with("", sections)
    }

    /// The same with these keys in `[node]`.
    pub fn start_with(node: &str, sections: &str) -> Self {
        let place = tempfile::tempdir().unwrap();
        let (name, port) = (
            format!("sidekick_{}@127.0.0.1", std::process::id()),
            free_port(),
        );
        let text =
            format!("[node]\nname = {name:?}\n{node}\n[node.epmd]\nport = {port}\n{sections}");
        std::fs::write(place.path().join("sidekick.toml"), text).unwrap();
        let dir = place.path().to_owned();
        let mut sidekick = Self::start_in(&dir);
        (sidekick.owned, sidekick.name, sidekick.epmd_port) = (Some(place), name, port);
        sidekick
    }

    /// Starts one in a directory that has a `sidekick.toml`, and waits until it runs.
    pub fn start_in(dir: &Path) -> Self {
        Self::start_by(dir, binary())
    }

    /// The same by a command that ends in the binary under test.
    pub fn start_by(dir: &Path, mut command: Command) -> Self {
        let mut child = command
            .args(["run", "--config", "sidekick.toml", "--log-format", "json"])
            .current_dir(dir)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let (sender, log) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut sidekick = Self {
            dir: dir.to_owned(),
            name: String::new(),
            epmd_port: 0,
            child,
            log,
            seen: Vec::new(),
            owned: None,
        };
        sidekick.wait_log("sidekick runs");
        sidekick
    }

    /// The log line that contains a text, of those that were waited for already.
    pub fn seen(&self, part: &str) -> String {
        let line = self.seen.iter().find(|line| line.contains(part));
        line.unwrap_or_else(|| panic!("no {part:?} in\n{}", self.seen.join("\n")))
            .clone()
    }

    /// Every log line of one that has ended.
    pub fn whole_log(&mut self) -> &[String] {
        self.seen.extend(self.log.iter());
        &self.seen
    }

    /// Waits for a log line that contains a text.
    pub fn wait_log(&mut self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.log.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(part) {
                        return line;
                    }
                }
                Err(error) => panic!(
                    "no log line with {part:?} ({error}); seen:\n{}",
                    self.seen.join("\n")
                ),
            }
        }
    }

    /// `sidekick ctl ...` against this one.
    pub fn ctl(&self, arguments: &[&str]) -> Output {
        binary()
            .arg("ctl")
            .args(arguments)
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// The same, which must succeed, as JSON.
    pub fn ctl_json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.ctl(&[&["--json"], arguments].concat());
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Asks until the answer fits; each question is a process of its own, so that this does not spin.
    pub fn ctl_until(
        &self,
        arguments: &[&str],
        fits: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.ctl_json(arguments);
            if fits(&answer) {
                return answer;
            }
            assert!(
                Instant::now() < deadline,
                "{arguments:?} still answers {answer:#}"
            );
        }
    }

    /// SIGKILL: no clean-up of any kind.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGSTOP: its connections stay open and silent.
    pub fn pause(&self) {
        self.signal(nix::sys::signal::Signal::SIGSTOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(nix::sys::signal::Signal::SIGCONT);
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    /// SIGTERM, and its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        self.signal(nix::sys::signal::Signal::SIGTERM);
        self.child.wait().unwrap().code()
    }
}

impl Drop for Sidekick {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.terminate();
        }
    }
}
