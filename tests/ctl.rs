//! `sidekick ctl` against a real sidekick with a real server (a shell script without a session).

#![allow(clippy::unwrap_used)]

#[path = "support/sidekick.rs"]
mod support;

use support::{Sidekick, binary};

const SERVER: &str = r#"
[[server]]
id = "lobby"
command = ["sh", "-c", "echo up; trap 'echo bye; exit 0' TERM; while :; do sleep 3600 & wait $!; done"]
session = false
on_exit = "stop"
stop_timeout = "5s"
"#;

fn start() -> Sidekick {
    Sidekick::start(SERVER)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_server_is_seen_stopped_started_restarted_and_killed() {
    let sidekick = start();
    let status = sidekick.ctl_until(&["status", "lobby"], |status| status["state"] == "running");
    let first = status["os_pid"].as_u64().unwrap();

    sidekick.ctl_json(&["stop", "lobby"]);
    let stopped = sidekick.ctl_json(&["status", "lobby"]);
    assert_eq!(stopped["state"], "stopped");
    assert!(!std::path::Path::new(&format!("/proc/{first}")).exists());

    // SIGTERM reached it: it was stopped, not killed after the deadline.
    let logs = text(&sidekick.ctl(&["logs", "lobby"]).stdout);
    assert!(logs.lines().any(|line| line.ends_with("bye")), "{logs}");

    sidekick.ctl_json(&["start", "lobby"]);
    let second =
        sidekick.ctl_until(&["status", "lobby"], |status| status["state"] == "running")["os_pid"]
            .as_u64();
    assert_ne!(second, Some(first));

    sidekick.ctl_json(&["restart", "lobby"]);
    let third =
        sidekick.ctl_until(&["status", "lobby"], |status| status["state"] == "running")["os_pid"]
            .as_u64();
    assert_ne!(third, second);

    sidekick.ctl_json(&["kill", "lobby"]);
    let other = |status: &serde_json::Value, than| {
        status["state"] == "running" && status["os_pid"].as_u64() != than
    };
    let fourth = sidekick.ctl_until(&["status", "lobby"], |status| other(status, third))["os_pid"]
        .as_u64()
        .unwrap();

    // An end that nobody asked for is a crash.
    let pid = nix::unistd::Pid::from_raw(i32::try_from(fourth).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    sidekick.ctl_until(&["status", "lobby"], |status| other(status, Some(fourth)));
    let crashes = sidekick.ctl_until(&["crashes", "lobby"], |crashes| {
        crashes.as_array().is_some_and(|list| !list.is_empty())
    });
    let number = crashes[0]["number"].to_string();
    let bundle = sidekick.ctl_json(&["crashes", "lobby", &number]);
    assert!(bundle.is_object(), "{bundle:#}");
    let table = text(&sidekick.ctl(&["crashes", "lobby"]).stdout);
    assert!(table.contains("sigkill"), "{table}");
}

#[test]
fn people_get_tables_and_lines() {
    let sidekick = start();
    sidekick.ctl_until(&["status", "lobby"], |status| status["state"] == "running");
    let status = text(&sidekick.ctl(&["status"]).stdout);
    assert!(
        status.contains("SERVER") && status.contains("lobby") && status.contains("running"),
        "{status}"
    );
    sidekick.ctl_until(&["logs", "lobby"], |lines| {
        lines
            .as_array()
            .is_some_and(|lines| lines.iter().any(|l| l["line"] == "up"))
    });
    let logs = text(&sidekick.ctl(&["logs", "lobby", "-n", "5"]).stdout);
    assert!(logs.lines().any(|line| line.ends_with("up")), "{logs}");
    assert_eq!(text(&sidekick.ctl(&["streams"]).stdout), "no streams yet\n");
}

#[test]
fn refusals_name_the_thing_and_the_remedy() {
    let sidekick = start();
    let output = sidekick.ctl(&["--json", "stop", "loby"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("`sidekick ctl status` lists the servers"),
        "{}",
        text(&output.stderr)
    );
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["error"]["code"], "not_found");
}

#[test]
fn only_the_owner_can_reach_it() {
    use std::os::unix::fs::PermissionsExt;
    let sidekick = start();
    for file in ["control.json", "control.cookie"] {
        let mode = std::fs::metadata(sidekick.dir.join("var/run").join(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    std::fs::write(sidekick.dir.join("var/run/control.cookie"), "wrong").unwrap();
    let output = sidekick.ctl(&["info"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("did not answer as this sidekick"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_dead_sidekick_is_told_from_none() {
    let mut sidekick = start();
    sidekick.kill();
    let output = sidekick.ctl(&["status"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("left over from one that died"),
        "{}",
        text(&output.stderr)
    );

    let empty = tempfile::tempdir().unwrap();
    let output = binary()
        .args(["ctl", "--run-dir"])
        .arg(empty.path())
        .arg("status")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("no sidekick runs"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn sigterm_ends_it_in_order() {
    let mut sidekick = start();
    sidekick.ctl_until(&["status", "lobby"], |status| status["state"] == "running");
    assert_eq!(sidekick.terminate(), Some(0));
    assert!(!sidekick.dir.join("var/run/control.json").exists());
}

/// What a sidekick left in its buffer.
fn fill(dir: std::path::PathBuf) {
    use sidekick::buffer::{Buffer, Change, Options, StateRule};
    use sidekick::etf::{Term, encode};
    use sidekick::types::{Key, Scope, StreamName};
    let mut options = Options::new(dir);
    options.states.push(StateRule {
        pattern: "world".to_owned(),
        history: 2,
    });
    let buffer = Buffer::open(options).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (scope, key) = (
            Scope::try_from("world").unwrap(),
            Key::try_from("round").unwrap(),
        );
        for n in 1..=3u64 {
            let value = encode(&Term::int(n));
            let put = Change::Put(key.clone(), value);
            buffer.change(&scope, vec![put]).await.unwrap();
        }
        buffer
            .change(&scope, vec![Change::Delete(key)])
            .await
            .unwrap();
        let log = StreamName::try_from("log").unwrap();
        let event = vec![encode(&Term::int(1))];
        buffer.append(&log, event, None).await.unwrap();
        buffer.close().await;
    });
}

#[test]
fn limits_and_earlier_values_are_shown() {
    let rules = "[[stream]]\npattern = \"log\"\nlimit = { count = 5 }\n[[state]]\npattern = \"world\"\nhistory = 2\n";
    let mut first = Sidekick::start(&format!("{SERVER}{rules}"));
    assert_eq!(first.terminate(), Some(0));
    fill(first.dir.join("var/buffer"));
    let sidekick = Sidekick::start_in(&first.dir);
    let history = sidekick.ctl_json(&["state", "world", "round", "--history"]);
    let expected = serde_json::json!([
        { "rev": 4, "deleted": true }, { "rev": 3, "value": 3 }, { "rev": 2, "value": 2 },
    ]);
    assert_eq!(history, expected);
    let shown = text(
        &sidekick
            .ctl(&["state", "world", "round", "--history"])
            .stdout,
    );
    assert!(shown.contains("4  (removed)"), "{shown}");
    let streams = sidekick.ctl_json(&["streams"]);
    assert_eq!(streams[0]["limit"], serde_json::json!({ "count": 5 }));
    assert_eq!(streams[0]["full"], false);
    let shown = text(&sidekick.ctl(&["streams"]).stdout);
    assert!(shown.contains("5 records"), "{shown}");
    let output = sidekick.ctl(&["state", "world", "--history"]);
    assert_eq!(output.status.code(), Some(2), "a history is that of a key");
}
