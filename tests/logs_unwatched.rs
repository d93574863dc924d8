//! A machine that has no inotify left: sidekick starts, says so once, and every line of the servers is heard all the same.
//!
//! In a user namespace the kernel's own limits can be set for one sidekick and its guards alone.
#![allow(clippy::unwrap_used)]

#[path = "support/sidekick.rs"]
mod support;

use std::path::Path;
use std::process::Command;
use support::{Sidekick, binary_under, free_port};

const SERVERS: usize = 3;

/// Both of its files get lines before and after `go` stands there; then it ends by itself, the last line without an end.
const GAME: &str = "echo one; echo two >&2; while [ ! -e go ]; do sleep 0.02; done; \
    seq -f 'line %g' 500; echo three >&2; printf 'the last words'; exit 3";

fn configure(dir: &Path) {
    let port = free_port();
    let text = format!(
        "[node]\nname = \"unwatched_{}_{port}@127.0.0.1\"\n[node.epmd]\nport = {port}\n\
         [[server]]\nid = \"game_{{n}}\"\ncount = {SERVERS}\ncommand = [\"sh\", \"-c\", {GAME:?}]\n\
         session = false\nrestart = \"temporary\"\non_exit = \"keep\"\n",
        std::process::id()
    );
    std::fs::write(dir.join("sidekick.toml"), text).unwrap();
}

/// The binary where one limit of inotify is so low.
fn limited(limit: &str, value: u32) -> Command {
    let script = format!("echo {value} > /proc/sys/user/{limit} && exec \"$0\" \"$@\"");
    let arguments = ["--user", "--map-root-user", "sh", "-c", &script];
    binary_under("unshare", &arguments)
}

fn namespaces() -> bool {
    let mut unshare = Command::new("unshare");
    let tried = unshare.args(["--user", "--map-root-user", "true"]).status();
    let allowed = tried.is_ok_and(|status| status.success());
    if !allowed {
        eprintln!(
            "NOT TRIED: this user may not make user namespaces; allow it, or run this test as root"
        );
    }
    allowed
}

fn texts(sidekick: &Sidekick, server: &str) -> Vec<String> {
    let lines = sidekick.ctl_json(&["logs", "-n", "1000", server]);
    let lines = lines.as_array().unwrap().iter();
    let own = lines.filter(|line| line["source"] != "sidekick");
    own.map(|line| line["line"].as_str().unwrap().to_owned())
        .collect()
}

fn servers() -> impl Iterator<Item = String> {
    (1..=SERVERS).map(|n| format!("game_{n}"))
}

/// The first lines come while the game plays, the others with its end, none is missing and none comes twice.
fn everything_is_heard(sidekick: &Sidekick) {
    for server in servers() {
        sidekick.ctl_until(&["logs", "-n", "1000", &server], |lines| {
            let heard = |text: &str| {
                let mut lines = lines.as_array().unwrap().iter();
                lines.any(|line| line["line"] == text)
            };
            heard("one") && heard("two")
        });
    }
    std::fs::write(sidekick.dir.join("go"), "").unwrap();
    let mut wanted: Vec<String> = (1..=500).map(|n| format!("line {n}")).collect();
    wanted.extend(["one", "two", "three", "the last words"].map(str::to_owned));
    wanted.sort_unstable();
    for server in servers() {
        // The bundle is written once everything was read.
        sidekick.ctl_until(&["crashes", &server], |list| {
            !list.as_array().unwrap().is_empty()
        });
        let mut heard = texts(sidekick, &server);
        heard.sort_unstable();
        assert_eq!(heard, wanted, "{server}");
    }
}

fn with_no_more(limit: &str, value: u32) {
    if !namespaces() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    configure(dir.path());
    let mut sidekick =
        Sidekick::start_by(dir.path(), limited(&format!("max_inotify_{limit}"), value));
    everything_is_heard(&sidekick);
    assert_eq!(sidekick.terminate(), Some(0));
    let log = sidekick.whole_log().iter();
    let told: Vec<&String> = log.filter(|line| line.contains("inotify")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    let remedy = format!("fs.inotify.max_user_{limit}");
    assert!(
        told[0].contains("WARN") && told[0].contains(&remedy),
        "{told:?}"
    );
}

#[test]
fn without_an_instance_every_line_is_heard() {
    with_no_more("instances", 0);
}

#[test]
fn with_fewer_watches_than_files_every_line_is_heard() {
    with_no_more("watches", 1);
}

/// As on a machine whose guards have taken the instances since it was started.
#[test]
fn a_sidekick_that_gets_none_adopts_the_servers_of_the_one_before() {
    if !namespaces() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    configure(dir.path());
    let mut first = Sidekick::start_in(dir.path());
    let running = |servers: &serde_json::Value| {
        let servers = servers["servers"].as_array().unwrap();
        servers.iter().all(|server| server["state"] == "running")
    };
    first.ctl_until(&["status"], running);
    first.kill();
    let mut second = Sidekick::start_by(dir.path(), limited("max_inotify_instances", 0));
    second.seen(r#""adopted":true"#);
    everything_is_heard(&second);
    assert_eq!(second.terminate(), Some(0));
}
