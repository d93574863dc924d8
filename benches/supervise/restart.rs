//! A game is killed; who starts it again, and when does it play?

use crate::place::{Place, children, executes, signal, spin};
use nix::sys::signal::Signal;
use sidekick::guard::clock::monotonic_ns;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Before it is killed a game plays so long: runsv waits a second where a run was shorter.
const PLAYED: Duration = Duration::from_millis(1_200);

/// What one round tells, in milliseconds.
pub struct Restart {
    pub killed_ns: u64,
    pub to_process: f64,
    pub to_tick: f64,
}

fn godot() -> PathBuf {
    std::env::var_os("SIDEKICK_GODOT")
        .map(PathBuf::from)
        .expect("scripts/bench sets SIDEKICK_GODOT")
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn ms(from_ns: u64, to_ns: u64) -> f64 {
    to_ns.saturating_sub(from_ns) as f64 / 1e6
}

fn size(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |meta| meta.len())
}

/// A Godot without anybody: from its start to the line that the game writes right before its first tick.
pub fn bare() -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let witness = dir.path().join("witness");
    let from = monotonic_ns();
    let mut child = game(&godot(), dir.path()).spawn().unwrap();
    let (at, ()) = spin("the first tick", || (size(&witness) > 0).then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();
    ms(from, at)
}

/// The demo game, or a supervisor of it, which gets its command as arguments.
fn game(program: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    if program == godot() {
        command
            .args(["--headless", "--path"])
            .arg(repository("godot/demo"));
    }
    command
        .current_dir(dir)
        .env("HOME", dir)
        .env("DEMO_WITNESS", dir.join("witness"))
        .stdin(Stdio::null())
        .stdout(File::create(dir.join("out")).unwrap())
        .stderr(File::create(dir.join("err")).unwrap());
    command
}

/// Somebody who starts the game again.
pub trait Contender {
    fn witness(&self) -> PathBuf;
    /// The game's process, once it executes Godot.
    fn process(&self) -> Option<i32>;
}

/// One round: waits until the game has played for a while, kills it, follows.
pub fn round(contender: &dyn Contender) -> Restart {
    let witness = contender.witness();
    let (_, pid) = spin("the game", || contender.process());
    spin("its first tick", || (size(&witness) > 0).then_some(()));
    std::thread::sleep(PLAYED);
    let killed = monotonic_ns();
    signal(pid, Signal::SIGKILL);
    let (process, _) = spin("the next process", || {
        contender.process().filter(|now| *now != pid)
    });
    // The dead write nothing: what comes now is the new process's note of its restore.
    let before = size(&witness);
    let (tick, ()) = spin("the next first tick", || {
        (size(&witness) > before).then_some(())
    });
    Restart {
        killed_ns: killed,
        to_process: ms(killed, process),
        to_tick: ms(killed, tick),
    }
}

/// A supervisor that is a process with the game as its child.
pub struct Parent {
    dir: tempfile::TempDir,
    child: Child,
}

impl Parent {
    /// `while :; do godot; done`.
    pub fn shell() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = game(Path::new("sh"), dir.path());
        command
            .args(["-c", "while :; do \"$0\" \"$@\"; done"])
            .arg(godot())
            .args(["--headless", "--path"])
            .arg(repository("godot/demo"));
        Self {
            child: command.spawn().unwrap(),
            dir,
        }
    }

    /// runit's `runsv`, with a service that executes Godot.
    pub fn runsv(runsv: &Path) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let service = dir.path().join("service");
        fs::create_dir(&service).unwrap();
        let project = repository("godot/demo");
        let run = format!(
            "#!/bin/sh\nexec {} --headless --path {}\n",
            godot().display(),
            project.display()
        );
        fs::write(service.join("run"), run).unwrap();
        fs::set_permissions(service.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = game(runsv, dir.path());
        command.arg(&service);
        Self {
            child: command.spawn().unwrap(),
            dir,
        }
    }
}

impl Contender for Parent {
    fn witness(&self) -> PathBuf {
        self.dir.path().join("witness")
    }

    fn process(&self) -> Option<i32> {
        children(self.child.id() as i32)
            .into_iter()
            .find(|pid| executes(*pid, &godot()))
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        // First the parent, or it would start another.
        let games = children(self.child.id() as i32);
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in games {
            signal(pid, Signal::SIGKILL);
        }
    }
}

/// sidekick with the demo game.
pub fn sidekick() -> Place {
    Place::start(|dir| {
        let (dir, godot) = (dir.display(), godot());
        let (godot, project) = (godot.display(), repository("tests/fixtures/faults"));
        format!(
            "[[server]]\nid = \"lobby\"\ncommand = [\"{godot}\", \"--headless\", \"--path\", \"{}\"]\nmax_restarts = 1000\n\
             backoff = {{ initial = \"1ms\", max = \"1ms\" }}\nenv = {{ DEMO_WITNESS = \"{dir}/witness\", FAULT_FILE = \"{dir}/orders\" }}\n",
            project.display(),
        )
    })
}

impl Contender for Place {
    fn witness(&self) -> PathBuf {
        self.path("witness")
    }

    fn process(&self) -> Option<i32> {
        let pid = self.identity("lobby")?.server.pid;
        executes(pid, &godot()).then_some(pid)
    }
}
