//! Promise: what is written in docs/PROTOCOL.md suffices for a game server in another language. The reference client in Python is run by
//! a real sidekick, killed, and must come back with what was acknowledged, without a gap. Needs python3 (`scripts/setup --env`).
#![allow(clippy::unwrap_used)]

#[path = "support/sidekick.rs"]
mod sidekick;

use serde_json::Value;
use sidekick::Sidekick;
use std::path::Path;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

fn python() -> String {
    let names = std::env::var("SIDEKICK_PYTHON").into_iter();
    let found = names.chain(["python3".to_owned()]).find(|name| {
        let version = std::process::Command::new(name).arg("--version").output();
        version.is_ok_and(|output| output.status.success())
    });
    found.expect("there is no python3; run: eval \"$(./scripts/setup --env)\"")
}

fn start() -> Sidekick {
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/reference_client.py");
    let path = std::env::var("PATH").unwrap();
    Sidekick::start(&format!(
        "[[server]]\nid = \"counter\"\ncommand = [{:?}, \"{}\"]\nmax_restarts = 9\nstart_timeout = \"60s\"\nhang_timeout = \"10s\"\n\
         env = {{ COUNTER_WITNESS = \"{{WITNESS}}\", PATH = {path:?} }}\n\
         [[sink]]\nname = \"khepri\"\nkind = \"beam\"\nnodes = [\"nobody@127.0.0.1\"]\n",
        python(), client.display()
    ).replace("{WITNESS}", &witness_path().display().to_string()))
}

/// A file of this test's own.
fn witness_path() -> std::path::PathBuf {
    let name = std::thread::current().name().unwrap_or("test").to_owned();
    let file = format!("sidekick-witness-{}-{name}", std::process::id());
    std::env::temp_dir().join(file)
}

/// Lines of the witness with that first word; a last line without its end does not count.
fn told(kind: &str) -> Vec<Vec<u64>> {
    let text = std::fs::read_to_string(witness_path()).unwrap_or_default();
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    let words = whole
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    words
        .filter(|words| words[0] == kind)
        .map(|words| {
            words[1..]
                .iter()
                .map(|word| word.parse().unwrap())
                .collect()
        })
        .collect()
}

fn until(kind: &str, enough: impl Fn(&[Vec<u64>]) -> bool) -> Vec<Vec<u64>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let lines = told(kind);
        if enough(&lines) {
            return lines;
        }
        assert!(Instant::now() < deadline, "only {lines:?} of {kind}");
        // sleep: the pause between two looks.
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn os_pid(sidekick: &Sidekick) -> i32 {
    let status = sidekick.ctl_until(&["status", "counter"], |status| {
        status["state"] == "running" && status["os_pid"].is_u64()
    });
    status["os_pid"].as_i64().unwrap() as i32
}

fn kill(pid: i32) {
    let pid = nix::unistd::Pid::from_raw(pid);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
}

fn journal(sidekick: &Sidekick) -> Vec<u64> {
    let records = sidekick.ctl_json(&["read", "counter/count", "--limit", "10000"]);
    let number = |record: &Value| record["payload"]["n"].as_u64().unwrap();
    records.as_array().unwrap().iter().map(number).collect()
}

#[test]
fn a_client_written_from_the_document_loses_nothing_that_was_acknowledged() {
    let _ = std::fs::remove_file(witness_path());
    let mut sidekick = start();
    let (mut restores, mut acked) = (1, 0);
    for _ in 0..4 {
        until("restored", |lines| lines.len() >= restores);
        until("acked", |lines| {
            lines.last().is_some_and(|last| last[0] >= acked + 20)
        });
        kill(os_pid(&sidekick));
        acked = told("acked").last().unwrap()[0];
        restores += 1;
        let back = until("restored", |lines| lines.len() >= restores);
        let (count, sum, epoch) = (
            back[restores - 1][0],
            back[restores - 1][1],
            back[restores - 1][2],
        );
        assert!(count >= acked, "restored {count}, acknowledged {acked}");
        assert_eq!(sum, count * (count + 1) / 2, "state is that of one moment");
        assert_eq!(epoch, restores as u64);
    }
    the_bundle_says_what_no_sink_has(&sidekick, told("acked")[0][0]);
    // sidekick's own death: the client plays on and sends again what was not acknowledged.
    let pid = os_pid(&sidekick);
    sidekick.kill();
    let dir = sidekick.dir.clone();
    let later = Sidekick::start_in(&dir);
    until("acked", |lines| lines.last().unwrap()[0] >= acked + 100);
    assert_eq!(os_pid(&later), pid, "it was adopted");
    assert_eq!(told("restored").len(), restores);
    let status = later.ctl_json(&["status", "counter"]);
    assert!(
        status["session"]["engine"]
            .as_str()
            .unwrap()
            .starts_with("python 3")
    );
    assert_eq!(status["health"]["players"], 0);
    // A drain waits for the last acknowledgement.
    assert!(later.ctl(&["drain", "counter"]).status.success());
    let drained = until("drained", |lines| !lines.is_empty())[0][0];
    let journal = journal(&later);
    assert_eq!(
        journal,
        (1..=drained).collect::<Vec<_>>(),
        "each once, in order, without a gap"
    );
    let _ = std::fs::remove_file(witness_path());
}

fn the_bundle_says_what_no_sink_has(sidekick: &Sidekick, acked: u64) {
    let crashes = sidekick.ctl_until(&["crashes", "counter"], |crashes| {
        crashes.as_array().unwrap().len() == 4
    });
    // SIGKILL is SIGKILL: one kind of crash, four times.
    let first = &crashes[0];
    assert_eq!(
        (&first["count"], &first["damaged"]),
        (&4.into(), &Value::Null)
    );
    assert_eq!(first["fingerprint"], crashes[3]["fingerprint"]);
    let bundle = sidekick.ctl_json(&["crashes", "counter", "1"]);
    let lacking = bundle["facts"]["not_uploaded"].as_array().unwrap();
    let range = lacking
        .iter()
        .find(|range| range["stream"] == "counter/count")
        .unwrap();
    assert_eq!(
        (&range["sink"], &range["from"]),
        (&"khepri".into(), &1.into())
    );
    assert!(range["to"].as_u64().unwrap() >= acked);
    assert_eq!(bundle["versions"]["config"].as_str().unwrap().len(), 16);
    let shown = |arguments: &[&str]| {
        let output = sidekick.ctl(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let text = shown(&["crashes", "counter", "1"]);
    assert!(text.contains("reason        signal sigkill"), "{text}");
    assert!(text.contains("counter/count  1 to"), "{text}");
    // A file that is cut is told, and nothing else suffers.
    let file = sidekick.dir.join("var/run/crashes/counter/00000002.json");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert!(shown(&["crashes", "counter"]).contains("(damaged)"));
    assert!(shown(&["crashes", "counter", "2"]).contains("crash 2 is damaged"));
    assert!(shown(&["crashes", "counter", "3"]).contains("fingerprint"));
}
