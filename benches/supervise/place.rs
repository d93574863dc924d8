//! A sidekick of the release build in a directory of its own, and what /proc tells of processes.

use crate::ports::free_port;
use sidekick::guard::clock::monotonic_ns;
use sidekick::guard::files::{Identity, read_json};
use sidekick::guard::proc::Stat;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Nothing here takes longer; a figure that never comes ends the benchmark.
const PATIENCE_NS: u64 = 60_000_000_000;

/// Dropped, it drains: its servers end with it.
pub struct Place {
    pub dir: TempDir,
    pub child: Child,
}

impl Place {
    /// Starts it with these sections.
    pub fn start(sections: impl Fn(&Path) -> String) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let text = format!(
            "[node]\nname = \"bench_{port}@127.0.0.1\"\n[node.epmd]\nport = {port}\n{}",
            sections(dir.path())
        );
        fs::write(dir.path().join("sidekick.toml"), text).unwrap();
        let child = Command::new(std::env::var_os("SIDEKICK_BIN").expect("scripts/bench sets it"))
            .args(["run", "--config", "sidekick.toml"])
            .current_dir(dir.path())
            .env("SIDEKICK_COOKIE", "bench")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(dir.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        Self { dir, child }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// The process of a server, as its guard put it on record.
    pub fn identity(&self, id: &str) -> Option<Identity> {
        read_json(&self.path(&format!("var/run/guards/{id}.identity")))
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        signal(self.pid(), nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

pub fn signal(pid: i32, signal: nix::sys::signal::Signal) {
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal);
}

/// Between two looks. Less would take a core from what is measured.
const LOOK: Duration = Duration::from_micros(50);

/// The moment from which it gives something, and that.
pub fn spin<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> (u64, T) {
    let begun = monotonic_ns();
    loop {
        if let Some(found) = look() {
            return (monotonic_ns(), found);
        }
        assert!(
            monotonic_ns() - begun < PATIENCE_NS,
            "waited in vain for {what}"
        );
        std::thread::sleep(LOOK);
    }
}

/// Children of a process that has one thread, or whose main thread started them.
pub fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_ascii_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// Whether the process executes this file.
pub fn executes(pid: i32, program: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program)
}

/// Memory that a process shares with none, bytes.
pub fn private_bytes(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let kib = |line: &str| line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok();
    text.lines()
        .filter(|line| line.starts_with("Private_Clean:") || line.starts_with("Private_Dirty:"))
        .filter_map(kib)
        .sum::<u64>()
        * 1024
}

/// CPU time so far, milliseconds.
pub fn cpu_ms(pid: i32) -> u64 {
    Stat::read(pid).map_or(0, |stat| (stat.user_ticks + stat.system_ticks) * 10)
}
