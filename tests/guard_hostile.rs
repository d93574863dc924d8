//! Hostile children under the real binary: whatever they do, nothing of them is left after a stop, a kill, or sidekick's own SIGKILL.
#![allow(clippy::unwrap_used)]

#[path = "support/sidekick.rs"]
mod support;

use sidekick::guard::proc::{self, Stat};
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};
use support::Sidekick;

/// Each server's name, and what it does before it says that it is up.
const CHILDREN: [(&str, &str); 7] = [
    (
        "double_fork",
        "(sh -c '(sleep 5000 &) ; exit 0' &); (setsid sh -c '(setsid sleep 5000 &); exec sleep 5000' &)",
    ),
    (
        "own_session",
        "for n in 1 2 3; do setsid sh -c 'exec sleep 5000' & done",
    ),
    (
        "deaf",
        "trap '' TERM INT HUP QUIT; (trap '' TERM; while :; do sleep 0.2; done) & (setsid sh -c 'trap \"\" TERM; while :; do sleep 0.2; done' &)",
    ),
    ("flood", "(yes flood &) ; (yes flood >&2 &)"),
    ("closed", "exec 0<&- 1>&- 2>&-; (setsid sleep 5000 &)"),
    // Children that end unseen: their parent, which executes sleep, never asks for them.
    (
        "zombies",
        "for n in 1 2 3 4 5; do sh -c 'sh -c \"exit 0\" & sh -c \"exit 1\" & exec sleep 5000' & done; (sh -c 'exit 0' &)",
    ),
    (
        "bomb",
        "cat > bomb.sh <<'X'\ntrap '' TERM\n[ $1 -gt 0 ] && { setsid sh $0 $(($1-1)) & setsid sh $0 $(($1-1)) & }\nsleep 5000\nX\nsh ./bomb.sh 5 &",
    ),
];

fn configuration() -> String {
    let mut text = String::new();
    for (name, script) in CHILDREN {
        let script = format!("{script}\n: > ready.{name}\nwhile :; do sleep 1; done");
        writeln!(
            text,
            "[[server]]\nid = \"{name}\"\ncommand = [\"sh\", \"-c\", {script:?}]\nsession = false\non_exit = \"stop\"\n\
             restart = \"temporary\"\nstop_timeout = \"500ms\"\nlogs = {{ bytes = \"16MiB\" }}\nlimits = {{ nproc = 20000, core = 0 }}"
        )
        .unwrap();
    }
    text
}

/// Everything that any of the servers began: it carries the server's home in its environment.
fn left(dir: &Path) -> Vec<(i32, String)> {
    let home = format!(
        "HOME={}/var/run/homes/",
        dir.canonicalize().unwrap().display()
    );
    let carries = |pid: &i32| {
        std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|env| {
            env.split(|byte| *byte == 0)
                .any(|entry| entry.starts_with(home.as_bytes()))
        })
    };
    let line = |pid: i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        (pid, String::from_utf8_lossy(&line).replace('\0', " "))
    };
    proc::all().into_iter().filter(carries).map(line).collect()
}

fn guards(dir: &Path) -> Vec<i32> {
    let entries = std::fs::read_dir(dir.join("var/run/guards"))
        .into_iter()
        .flatten()
        .flatten();
    let identities = entries.filter_map(|entry| {
        sidekick::guard::files::read_json::<sidekick::guard::files::Identity>(&entry.path())
    });
    identities.map(|identity| identity.guard.pid).collect()
}

fn until(what: &str, mut done: impl FnMut() -> Result<(), String>) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Err(state) = done() {
        assert!(Instant::now() < deadline, "{what}: {state}");
        // sleep: the pause between two looks.
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn start() -> Sidekick {
    let sidekick = Sidekick::start(&configuration());
    let dir = sidekick.dir.clone();
    until("up", || {
        let missing: Vec<_> = CHILDREN
            .iter()
            .map(|(name, _)| name)
            .filter(|name| !dir.join(format!("ready.{name}")).exists())
            .collect();
        // The bomb alone has 63.
        let many = left(&dir).len();
        if missing.is_empty() && many > 80 {
            Ok(())
        } else {
            Err(format!("{missing:?}, {many} processes"))
        }
    });
    assert_eq!(guards(&dir).len(), CHILDREN.len());
    sidekick
}

fn nothing_is_left(dir: &Path, guards: &[i32]) {
    until("nothing is left", || {
        let left = left(dir);
        let alive: Vec<_> = guards
            .iter()
            .filter(|pid| Stat::read(**pid).is_some_and(|stat| stat.state != 'Z'))
            .collect();
        if left.is_empty() && alive.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}, guards {alive:?}"))
        }
    });
}

#[test]
fn nothing_is_left_after_a_stop() {
    let sidekick = start();
    let guards = guards(&sidekick.dir);
    for (name, _) in CHILDREN {
        assert!(sidekick.ctl(&["stop", name]).status.success(), "{name}");
    }
    nothing_is_left(&sidekick.dir, &guards);
}

#[test]
fn nothing_is_left_after_a_kill() {
    let sidekick = start();
    let guards = guards(&sidekick.dir);
    for (name, _) in CHILDREN {
        let pid = sidekick.ctl_json(&["status", name])["os_pid"]
            .as_i64()
            .unwrap();
        let pid = nix::unistd::Pid::from_raw(pid as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    nothing_is_left(&sidekick.dir, &guards);
}

#[test]
fn nothing_is_left_after_sidekick_was_killed() {
    let mut sidekick = start();
    let guards = guards(&sidekick.dir);
    sidekick.kill();
    nothing_is_left(&sidekick.dir, &guards);
}

/// Orphans become the guard's children. It takes their zombies away while the server lives: they count against its limits.
#[test]
fn zombies_of_orphans_do_not_gather_under_a_living_server() {
    let script = "for n in 1 2 3 4 5 6 7 8; do (sh -c 'exit 0' &); done; : > ready; while :; do sleep 1; done";
    let sidekick = Sidekick::start(&format!(
        "[[server]]\nid = \"lobby\"\ncommand = [\"sh\", \"-c\", {script:?}]\nsession = false\non_exit = \"stop\"\nstop_timeout = \"500ms\"\n"
    ));
    let dir = sidekick.dir.clone();
    until("up", || {
        dir.join("ready")
            .exists()
            .then_some(())
            .ok_or_else(|| "not yet".to_owned())
    });
    let guard = guards(&dir)[0];
    until("no zombie under the guard", || {
        let zombies = proc::all()
            .into_iter()
            .filter_map(Stat::read)
            .filter(|stat| stat.parent == guard && stat.state == 'Z');
        match zombies.count() {
            0 => Ok(()),
            count => Err(format!("{count} zombies")),
        }
    });
    assert_eq!(sidekick.ctl_json(&["status", "lobby"])["state"], "running");
}
