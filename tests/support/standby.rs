//! A real sidekick with the demo game and its standby, and what the game wrote down of it.
#![allow(dead_code, clippy::unwrap_used)]

#[path = "sidekick.rs"]
mod sidekick;

use nix::sys::signal::Signal;
use serde_json::Value;
use sidekick::{Sidekick, free_port};
use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(40);

/// One line of the game's witness file.
#[derive(Debug, Clone)]
pub struct Line {
    pub kind: String,
    pub epoch: u64,
    pub tick: u64,
    pub hash: String,
    pub verified: bool,
}

/// Everything around one server named `lobby`.
pub struct Stage {
    pub sidekick: Sidekick,
    head: String,
    door: u16,
    place: tempfile::TempDir,
}

impl Stage {
    /// The demo game as it is.
    pub fn start() -> Self {
        Self::with(&[&godot()])
    }

    /// A game whose engine ignores SIGSEGV.
    pub fn deaf() -> Self {
        let script = "trap '' SEGV; exec \"$0\" --disable-crash-handler \"$@\"";
        Self::with(&["sh", "-c", script, &godot()])
    }

    /// The second process that is started waits before it loads.
    pub fn slow_standby(time: Duration) -> Self {
        let seconds = time.as_secs();
        let script = format!("[ -z \"$SIDEKICK_STANDBY\" ] || sleep {seconds}; exec \"$0\" \"$@\"");
        Self::with(&["sh", "-c", &script, &godot()])
    }

    fn with(program: &[&str]) -> Self {
        let place = tempfile::tempdir().unwrap();
        let (port, door) = (free_port(), free_port());
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("godot/demo");
        let project = project.to_string_lossy();
        let words = [program, &["--headless", "--path", &project]].concat();
        let witness = place.path().join("witness");
        let witness = witness.display();
        let head = format!(
            "[node]\nname = \"standby_{}_{port}@127.0.0.1\"\n[node.epmd]\nport = {port}\n[[server]]\nid = \"lobby\"\n\
             command = {words:?}\nmax_restarts = 100\nmax_seconds = 3\nhang_timeout = \"1500ms\"\nstart_timeout = \"60s\"\n\
             backoff = {{ initial = \"0s\", max = \"1s\" }}\nenv = {{ DEMO_WITNESS = \"{witness}\", DEMO_PORT = \"{door}\" }}\n",
            std::process::id()
        );
        std::fs::write(
            place.path().join("sidekick.toml"),
            format!("{head}standby = 1\n"),
        )
        .unwrap();
        Self {
            sidekick: Sidekick::start_in(place.path()),
            head,
            door,
            place,
        }
    }

    /// Writes the configuration anew with these keys of the server.
    pub fn configure(&self, keys: &str) {
        let text = format!("{}{keys}\n", self.head);
        std::fs::write(self.place.path().join("sidekick.toml"), text).unwrap();
    }

    /// SIGKILL to sidekick, and another in its place.
    pub fn restart_sidekick(&mut self) {
        self.sidekick.kill();
        self.sidekick = Sidekick::start_in(self.place.path());
    }

    pub fn server(&self) -> Value {
        self.sidekick.ctl_json(&["status"])["servers"][0].clone()
    }

    pub fn until(&self, fits: impl Fn(&Value) -> bool) -> Value {
        let answer = self
            .sidekick
            .ctl_until(&["status"], |status| fits(&status["servers"][0]));
        answer["servers"][0].clone()
    }

    /// Waits until it plays, something is acknowledged, and its standby is ready: the process ids of both.
    pub fn ready(&mut self) -> (u32, u32) {
        let server = self.until(|server| {
            server["state"] == "running" && server["standby"]["state"] == "standby"
        });
        let pid = |value: &Value| value.as_u64().unwrap() as u32;
        let both = (pid(&server["os_pid"]), pid(&server["standby"]["os_pid"]));
        let epoch = server["epoch"].as_u64().unwrap();
        look("nothing acknowledged", || {
            let lines = self.witness();
            let acked = lines.iter().filter(|line| line.kind == "acked");
            acked.filter(|line| line.epoch == epoch).nth(10).map(|_| ())
        });
        both
    }

    pub fn log(&self) -> String {
        let output = self.sidekick.ctl(&["logs", "lobby"]);
        String::from_utf8(output.stdout).unwrap()
    }

    /// What the game was told, in the order in which it was told.
    pub fn witness(&self) -> Vec<Line> {
        let text = std::fs::read_to_string(self.place.path().join("witness")).unwrap_or_default();
        // A last line without its end was not whole when the game died.
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let line = |line: &str| {
            let (kind, rest) = line.split_once(' ')?;
            let fields = rest.split(' ').filter_map(|field| field.split_once('='));
            let fields: HashMap<&str, &str> = fields.collect();
            Some(Line {
                kind: kind.to_owned(),
                epoch: fields.get("epoch")?.parse().ok()?,
                tick: fields.get("tick")?.parse().ok()?,
                hash: (*fields.get("hash")?).to_owned(),
                verified: fields.get("verified").is_none_or(|it| *it == "true"),
            })
        };
        whole.lines().filter_map(line).collect()
    }

    /// The last tick that is on disk, as the game knows.
    pub fn acked(&self) -> u64 {
        let lines = self.witness();
        let acked = lines.iter().filter(|line| line.kind == "acked");
        acked.map(|line| line.tick).max().unwrap_or_default()
    }

    pub fn until_acked_more(&self, ticks: u64) {
        let target = self.acked() + ticks;
        look("it does not play on", || {
            (self.acked() >= target).then_some(())
        });
    }

    /// The last restore.
    pub fn restored(&self) -> Line {
        let lines = self.witness();
        lines
            .into_iter()
            .rfind(|line| line.kind == "restored")
            .unwrap()
    }

    /// Play resumed after that epoch: from its last acknowledged tick or a later one, and with the very world of then.
    pub fn assert_resumed(&self, epoch: u64) {
        let after = look("no restore", || {
            let restored = self.restored();
            (restored.epoch > epoch).then_some(restored)
        });
        let lines = self.witness();
        let acked = lines
            .iter()
            .filter(|line| line.kind == "acked" && line.epoch == epoch);
        let last = acked.max_by_key(|line| line.tick).unwrap();
        assert!(
            after.verified && after.tick >= last.tick,
            "{last:?} {after:?}"
        );
        let same_tick = lines
            .iter()
            .filter(|line| line.kind == "acked" && line.tick == after.tick);
        for line in same_tick {
            assert_eq!(line.hash, after.hash, "another world at tick {}", line.tick);
        }
    }

    /// Each tick stands in the journal once, in order, with the hash that was acknowledged for it.
    pub fn assert_journal_whole(&self) {
        let told = self.witness();
        let mut hashes: HashMap<u64, String> = HashMap::new();
        let (mut from, mut more) = (1, true);
        while more {
            let records = self.sidekick.ctl_json(&[
                "read",
                "lobby/match",
                "--from",
                &from.to_string(),
                "--limit",
                "10000",
            ]);
            let records = records.as_array().unwrap().clone();
            // The game plays on: what it records meanwhile is not waited for.
            more = records.len() == 10_000;
            from += records.len() as u64;
            for record in records {
                let event = &record["payload"];
                if event["kind"] == "tick" {
                    let tick = event["tick"].as_u64().unwrap();
                    assert_eq!(tick, hashes.len() as u64 + 1, "out of order, or twice");
                    hashes.insert(tick, event["hash"].as_str().unwrap().to_owned());
                }
            }
        }
        for line in told.iter().filter(|line| line.kind == "acked") {
            assert_eq!(hashes.get(&line.tick), Some(&line.hash), "{line:?}");
        }
    }

    /// What the game says on its port.
    pub fn door(&self) -> HashMap<String, u64> {
        look("its port is closed", || self.knock("look"))
    }

    fn knock(&self, word: &str) -> Option<HashMap<String, u64>> {
        let mut text = String::new();
        let mut stream = TcpStream::connect(("127.0.0.1", self.door)).ok()?;
        stream.write_all(word.as_bytes()).ok()?;
        stream.read_to_string(&mut text).ok()?;
        let fields = text.split_whitespace().filter_map(|word| {
            let (name, number) = word.split_once('=')?;
            Some((name.to_owned(), number.parse().ok()?))
        });
        Some(fields.collect()).filter(|fields: &HashMap<_, _>| !fields.is_empty())
    }

    /// Waits until the game of that epoch has the port.
    pub fn until_door(&self, epoch: u64) {
        look("the port stays with the old one", || {
            (self.door()["epoch"] == epoch).then_some(())
        });
    }

    /// Asks the game's script to do so.
    pub fn misbehave(&self, deed: &str) {
        look("its port is closed", || self.knock(deed));
    }

    /// Processes of the game.
    pub fn processes(&self) -> usize {
        let home = format!(
            "HOME={}/",
            self.place.path().canonicalize().unwrap().display()
        );
        let of = |pid: &u32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let mut entries = environment.split(|byte| *byte == 0);
            entries.any(|entry| entry.starts_with(home.as_bytes())) && alive(*pid)
        };
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(of).count()
    }
}

/// Where a test fails with sidekick killed, the guards are told to stop: they take their games along.
impl Drop for Stage {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.sidekick.terminate(), Some(0));
            assert_eq!(self.processes(), 0, "a sidekick that ends leaves nothing");
            return;
        }
        let entries = std::fs::read_dir(self.place.path().join("var/run/guards"));
        for entry in entries.into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            let guard = serde_json::from_str::<Value>(&text).ok();
            if let Some(pid) = guard.and_then(|guard| guard["guard"]["pid"].as_u64()) {
                let pid = nix::unistd::Pid::from_raw(pid as i32);
                let _ = nix::sys::signal::kill(pid, Signal::SIGTERM);
            }
        }
    }
}

fn godot() -> String {
    std::env::var("SIDEKICK_GODOT")
        .expect("SIDEKICK_GODOT names no Godot 4.6; run: eval \"$(./scripts/setup --env)\"")
}

/// Looks until there is something.
pub fn look<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}");
        // sleep: between two looks at another process
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

pub fn gone(pid: u32) {
    look("it lives on", || (!alive(pid)).then_some(()));
}

pub fn kill(pid: u32, signal: Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), signal).unwrap();
}

/// Processor time of a process, in ticks of 10 ms.
pub fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
