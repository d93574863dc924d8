//! The stage of one row: its directory, its sidekick (one life after the other), its game.

use super::row::{Row, Who};
use crate::godot::{godot, repository};
use crate::support::{binary, binary_under, free_port};
use crate::witness::{self, Line};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sidekick::guard::files::{Identity, read_json};
use sidekick::guard::proc::{self, Stat};
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longest wait for anything; only a failing row waits so long.
const PATIENCE: Duration = Duration::from_secs(40);

/// See the module. Dropped, everything of the row is killed.
pub struct Stage {
    dir: tempfile::TempDir,
    /// The server's id, which no other row has.
    pub id: String,
    around: Option<&'static str>,
    life: Option<Child>,
}

impl Stage {
    pub fn set(row: &Row) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let id = format!("m{}_{number}", std::process::id());
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("marks")).unwrap();
        fs::write(
            dir.path().join("sidekick.toml"),
            config(row, &id, dir.path()),
        )
        .unwrap();
        if !row.orders.is_empty() {
            fs::write(dir.path().join("orders"), row.orders).unwrap();
        }
        Self {
            dir,
            id,
            around: row.around,
            life: None,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Begins a life of sidekick. It has ended, or runs, or will run: nobody waits here.
    pub fn begin(&mut self, arm: Option<String>) {
        assert!(self.life.is_none(), "one life after the other");
        let mut command = match self.around {
            None => binary(),
            Some(script) => {
                let arguments = ["--user", "--map-root-user", "--mount", "sh", "-c", script];
                binary_under("unshare", &arguments)
            }
        };
        if let Some(arm) = arm {
            command
                .env("SIDEKICK_FAILPOINTS", arm)
                .env("SIDEKICK_FAILPOINTS_DIR", self.path("marks"));
        }
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        let child = command
            .args(["run", "--config", "sidekick.toml"])
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.life = Some(child);
    }

    /// Whether a sidekick lives.
    pub fn is_alive(&mut self) -> bool {
        let ended = self
            .life
            .as_mut()
            .is_none_or(|life| life.try_wait().unwrap().is_some());
        if ended {
            self.life = None;
        }
        !ended
    }

    /// SIGTERM, and the exit code.
    pub fn end(&mut self) -> Result<Option<i32>, String> {
        let mut life = self.life.take().ok_or("no sidekick lives at the end")?;
        send(life.id() as i32, Signal::SIGTERM);
        let ended = until("sidekick to end", || life.try_wait().unwrap());
        if ended.is_err() {
            self.life = Some(life);
        }
        ended.map(|status| status.code())
    }

    /// Of the process that plays. Beside a standby only sidekick knows which of the two places that is.
    pub fn identity(&self) -> Option<Identity> {
        let guards = self.path("var/run/guards");
        let of = |name: String| read_json::<Identity>(&guards.join(format!("{name}.identity")));
        let (one, two) = (of(self.id.clone()), of(format!("{}-2", self.id)));
        if two.is_none() {
            return one;
        }
        let pid = self.status()?["os_pid"].as_i64()?;
        let mut both = one.into_iter().chain(two);
        both.find(|identity| i64::from(identity.server.pid) == pid)
    }

    /// The process, by what stands on record.
    pub fn pid(&self, who: Who, of: Option<&Identity>) -> Result<i32, String> {
        match (who, of) {
            (Who::Sidekick, _) => Ok(self.life.as_ref().ok_or("no sidekick lives")?.id() as i32),
            (Who::Game, Some(identity)) => Ok(identity.server.pid),
            (Who::Guard, Some(identity)) => Ok(identity.guard.pid),
            _ => Err(format!("there is no {who:?}")),
        }
    }

    /// `sidekick ctl ...`, begun.
    pub fn ctl(&self, arguments: &[&str]) -> Command {
        let mut command = binary();
        command
            .args(["ctl", "--json"])
            .args(arguments)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn status(&self) -> Option<serde_json::Value> {
        let output = self.ctl(&["status", &self.id]).output().unwrap();
        serde_json::from_slice(&output.stdout).ok()
    }

    /// The state of the server; `None` while no sidekick answers.
    pub fn state(&self) -> Option<String> {
        Some(self.status()?["state"].as_str()?.to_owned())
    }

    /// What the game wrote down.
    pub fn told(&self) -> Vec<Line> {
        witness::lines(&self.path("witness"))
    }

    pub fn acked(&self) -> usize {
        witness::lines_of(&self.path("witness"), "acked").len()
    }

    /// The reasons of the bundles, the oldest first.
    pub fn reasons(&self) -> Vec<String> {
        let dir = self.path("var/run/crashes").join(&self.id);
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
        // What is known of all of them together has a name instead of a number.
        let numbered = |file: &Path| file.file_stem()?.to_str()?.parse::<u64>().ok();
        files.retain(|file| {
            file.extension().is_some_and(|ext| ext == "json") && numbered(file).is_some()
        });
        files.sort();
        files.iter().map(|file| reason(file)).collect()
    }

    /// Processes that belong to this row: the game's tree, guards, stubs.
    pub fn processes(&self) -> Vec<i32> {
        let dir = self.dir.path();
        let under = |path: PathBuf| fs::read_link(path).is_ok_and(|to| to.starts_with(dir));
        let holds = |pid: &i32, file: &str, part: &str| {
            fs::read(format!("/proc/{pid}/{file}"))
                .is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(part))
        };
        let dead = |pid: i32| Stat::read(pid).is_none_or(|stat| stat.state == 'Z');
        let mine = |pid: &i32| {
            !dead(*pid)
                && (holds(pid, "cmdline", &format!("guard\0{}", self.id))
                    || holds(pid, "environ", &format!("HOME={}", dir.display()))
                    || under(format!("/proc/{pid}/fd/1").into()))
        };
        proc::all().into_iter().filter(mine).collect()
    }

    /// The last lines of sidekick, for a row that failed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(mut life) = self.life.take() {
            let _ = life.kill();
            let _ = life.wait();
        }
        // A row that held has left nothing; one that failed leaves nothing either.
        while let pids @ [_, ..] = self.processes().as_slice() {
            for pid in pids {
                send(*pid, Signal::SIGKILL);
            }
        }
    }
}

fn reason(file: &Path) -> String {
    let bundle: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    match &bundle["reason"] {
        serde_json::Value::Object(map) => {
            let (word, value) = map.iter().next().unwrap();
            format!("{word} {}", value.to_string().trim_matches('"'))
        }
        other => other.to_string().trim_matches('"').to_owned(),
    }
}

/// The process may be gone already.
pub fn send(pid: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), signal);
}

/// Waits for what only a file or a process can show.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(format!("waited in vain for {what}"));
        }
        // sleep: between two looks at another process
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn config(row: &Row, id: &str, dir: &Path) -> String {
    let (port, dir) = (free_port(), dir.display());
    let project = repository("tests/fixtures").join(row.project);
    let (godot, project) = (godot(), project.display().to_string());
    let godot = godot.display().to_string();
    let command = [godot.as_str(), "--headless", "--path", &project];
    // Keys of the row come before the defaults, which leave out what it says.
    let defaults = [
        ("max_restarts", "max_restarts = 20"),
        ("start_timeout", "start_timeout = \"20s\""),
        ("restart =", "restart = \"permanent\""),
    ];
    let left = defaults.iter().filter(|(key, _)| !row.keys.contains(key));
    let keys: Vec<_> = left.map(|(_, text)| *text).collect();
    let keys = keys.join("\n");
    format!(
        "[node]\nname = \"{id}@127.0.0.1\"\n[node.epmd]\nport = {port}\n\
         [[server]]\nid = {id:?}\ncommand = {command:?}\nmax_seconds = 60\nhang_timeout = \"2s\"\nstop_timeout = \"2s\"\n\
         backoff = {{ initial = \"500ms\", max = \"1s\" }}\n{keys}\n{}\n\
         env = {{ DEMO_WITNESS = \"{dir}/witness\", FAULT_FILE = \"{dir}/orders\" }}\n",
        row.keys
    )
}
