//! What is struck: processes of this machine that belong to the torture, each known by its pid or by its environment.

#![allow(dead_code, clippy::unwrap_used)]

use crate::beam::COOKIE;
use crate::frontend::{self, Frontend};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Sends a signal to a process that may just have ended.
pub fn signal(pid: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), signal);
}

/// The real sidekick in a directory of its own.
pub struct Sidekick {
    dir: PathBuf,
    /// The program; a benchmark may take that of another build.
    pub program: PathBuf,
    child: Option<Child>,
}

impl Sidekick {
    /// One that has yet to start; `sidekick.toml` stands there.
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            program: env!("CARGO_BIN_EXE_sidekick").into(),
            child: None,
        }
    }

    pub fn runs(&self) -> bool {
        self.child.is_some()
    }

    pub fn pid(&self) -> i32 {
        self.child.as_ref().unwrap().id() as i32
    }

    pub fn start(&mut self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.join("sidekick.log"));
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SIDEKICK_") {
                command.env_remove(name);
            }
        }
        let child = command
            .args(["run", "--config", "sidekick.toml"])
            .current_dir(&self.dir)
            .env("SIDEKICK_COOKIE", COOKIE)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.unwrap())
            .spawn();
        self.child = Some(child.unwrap());
    }

    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// It ended by itself: that is a fault which no test asked for.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().unwrap()?;
        Some(format!("sidekick ended by itself: {status}"))
    }

    /// SIGTERM, and its end.
    pub fn terminate(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal(child.id() as i32, Signal::SIGCONT);
            signal(child.id() as i32, Signal::SIGTERM);
            let _ = child.wait();
        }
    }
}

/// A member of the store: its own folder, and a BEAM while it runs.
pub struct Member {
    pub name: String,
    pub dir: PathBuf,
    members: Vec<String>,
    epmd_port: u16,
    pub frontend: Option<Frontend>,
}

impl Member {
    pub fn new(name: &str, members: &[String], epmd_port: u16, dir: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            dir,
            members: members.to_vec(),
            epmd_port,
            frontend: None,
        }
    }

    /// Starts its BEAM, which then comes to serve by itself: it may have to wait for others.
    pub async fn start(&mut self) {
        self.boot().await;
        self.serve().await;
    }

    /// The BEAM alone.
    pub async fn boot(&mut self) {
        let log = self.dir.with_extension("log");
        let frontend = Frontend::boot(&self.name, self.epmd_port, Some(&log)).await;
        self.frontend = Some(frontend);
    }

    /// Has it serve as soon as it can.
    pub async fn serve(&mut self) {
        let members: Vec<_> = self.members.iter().map(String::as_str).collect();
        let frontend = self.frontend.as_mut().unwrap();
        frontend.serve_soon(&self.dir, &members).await;
    }

    pub async fn kill(&mut self) {
        self.frontend.take().unwrap().kill().await;
    }

    /// As an operator's supervisor stops it.
    pub async fn stop(&mut self) {
        self.frontend.take().unwrap().beam.terminate().await;
    }

    pub async fn eval(&mut self, code: &str) -> sidekick::etf::Term {
        self.frontend.as_mut().unwrap().beam.eval(code).await
    }

    /// Loses the other members, and they it: neither side accepts the other's cookie any more.
    pub async fn isolate(&mut self) {
        let others = self.others();
        self.eval(&format!(
            "[begin erlang:set_cookie(N, isolated), erlang:disconnect_node(N) end || N <- {others}]."
        ))
        .await;
    }

    /// Ends that. Nobody is told: who needs the other connects.
    pub async fn rejoin(&mut self) {
        let others = self.others();
        self.eval(&format!(
            "[erlang:set_cookie(N, erlang:get_cookie()) || N <- {others}]."
        ))
        .await;
    }

    fn others(&self) -> String {
        let others = self.members.iter().filter(|name| **name != self.name);
        frontend::atoms(others)
    }
}

/// The pids whose environment holds `entry` and whose command line holds `word`.
pub fn processes(entry: &str, word: &str) -> Vec<i32> {
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|found| found.file_name().to_string_lossy().parse::<i32>().ok());
    pids.filter(|pid| holds(*pid, "environ", entry) && holds(*pid, "cmdline", word))
        .collect()
}

fn holds(pid: i32, file: &str, text: &str) -> bool {
    let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    bytes.split(|b| *b == 0).any(|word| word == text.as_bytes())
}

/// A process and its children: PostgreSQL has one for each client.
pub fn family(pid: i32) -> Vec<i32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let children = children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok());
    std::iter::once(pid).chain(children).collect()
}
