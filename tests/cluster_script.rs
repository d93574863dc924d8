//! `scripts/cluster` as an operator uses it: starts, tells, kills, cuts off, replaces, and ends what it started and nothing else.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/cluster")
}

/// A cluster in a folder of its own; ended with the test, whatever becomes of it.
struct Cluster(tempfile::TempDir);

impl Cluster {
    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(script())
            .args(arguments)
            .arg("--dir")
            .arg(self.0.path().join("cluster"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            Ok(text)
        } else {
            Err(text + &String::from_utf8_lossy(&output.stderr))
        }
    }

    fn done(&self, arguments: &[&str]) -> String {
        self.run(arguments)
            .unwrap_or_else(|why| panic!("{arguments:?}: {why}"))
    }

    /// What `status` says of a node.
    fn status(&self, number: u8) -> String {
        let node = format!("store{number}@127.0.0.1");
        let status = self.done(&["status"]);
        let lines = status.lines().filter(|line| line.contains(&node));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn until(&self, number: u8, what: &str) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(40);
        // Each question is a process of its own, so that this does not spin.
        while !self.status(number).contains(what) {
            assert!(
                std::time::Instant::now() < deadline,
                "{}",
                self.status(number)
            );
        }
    }

    fn pid(&self, name: &str) -> String {
        let file = self.0.path().join("cluster/pids").join(name);
        let text = std::fs::read_to_string(file).unwrap();
        text.split(' ').next().unwrap().to_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.run(&["remove"]);
    }
}

/// One that ended and that nobody has waited for yet is not alive.
fn alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit(") ").next().unwrap().starts_with('Z'))
}

#[test]
fn three_nodes_live_through_what_the_script_does_to_them() {
    let cluster = Cluster(tempfile::tempdir().unwrap());
    assert_eq!(cluster.done(&["stop"]), "", "there is none yet");
    let said = cluster.done(&["start"]);
    assert!(said.contains("cookie_file"), "{said}");
    let first = cluster.pid("store1");
    for number in 1..=3 {
        cluster.until(number, "reaches store1 store2 store3, majority available");
    }

    cluster.done(&["kill", "2"]);
    assert!(cluster.status(2).contains("is away"));
    cluster.done(&["start"]);
    assert_eq!(cluster.pid("store1"), first, "what runs is left alone");
    cluster.until(2, "reaches store1 store2 store3, majority available");

    cluster.done(&["isolate", "1"]);
    cluster.until(1, "reaches store1, majority lost");
    cluster.until(2, "reaches store2 store3, majority available");
    cluster.done(&["rejoin", "1"]);
    cluster.until(1, "reaches store1 store2 store3, majority available");

    cluster.done(&["replace", "3"]);
    cluster.until(
        3,
        "members 3, reaches store1 store2 store3, majority available",
    );
    let mut pids: Vec<_> = ["store1", "store2", "store3", "epmd"]
        .map(|name| cluster.pid(name))
        .into();
    assert!(pids.iter().all(|pid| alive(pid)));
    cluster.done(&["stop"]);
    pids.retain(|pid| alive(pid));
    assert_eq!(pids, Vec::<String>::new());
    assert!(
        cluster.0.path().join("cluster/store1").is_dir(),
        "what is stored stays"
    );
}

#[test]
fn a_folder_of_something_else_and_wrong_words_are_refused() {
    let cluster = Cluster(tempfile::tempdir().unwrap());
    let dir = cluster.0.path().join("cluster");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("precious"), "").unwrap();
    let why = cluster.run(&["start"]).unwrap_err();
    assert!(why.contains("holds no cluster"), "{why}");
    for wrong in [
        ["kill", "4"].as_slice(),
        &["kill"],
        &["stop", "status"],
        &["fly"],
    ] {
        assert!(
            cluster.run(wrong).unwrap_err().contains("usage:"),
            "{wrong:?}"
        );
    }
    cluster.done(&["remove"]);
    assert!(dir.join("precious").exists());
}
