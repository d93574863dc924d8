//! `sidekick run` where it cannot: one clear message with the remedy, the documented exit code, nothing lost, nothing spun.

#![allow(clippy::unwrap_used)]

#[path = "support/sidekick.rs"]
mod support;

use std::path::Path;
use std::process::Stdio;
use support::{Sidekick, binary, free_port};

/// A directory with this configuration beside a name and a port mapper of its own.
fn place(sections: &str) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let port = free_port();
    let text = format!(
        "[node]\nname = \"faulty_{}_{port}@127.0.0.1\"\n{sections}\n[node.epmd]\nport = {port}\n",
        std::process::id()
    );
    std::fs::write(place.path().join("sidekick.toml"), text).unwrap();
    place
}

/// Runs to its end, which must come: exit code and what it said.
fn run(dir: &Path, more: &[&str]) -> (Option<i32>, String) {
    let output = binary()
        .arg("run")
        .args(more)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// The message an operator sees: the last line, which names the thing and the remedy.
fn complaint(said: &str) -> &str {
    said.lines().last().unwrap_or_default()
}

#[test]
fn a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let place = place(&format!("port = {port}"));
    let (code, said) = run(place.path(), &[]);
    assert_eq!(code, Some(1), "{said}");
    let complaint = complaint(&said);
    assert!(complaint.contains(&port.to_string()), "{complaint}");
    assert!(complaint.contains("choose another"), "{complaint}");
}

#[test]
fn a_name_that_runs_already_is_named() {
    let first = Sidekick::start("");
    let text = std::fs::read_to_string(first.dir.join("sidekick.toml")).unwrap();
    let second = tempfile::tempdir().unwrap();
    std::fs::write(second.path().join("sidekick.toml"), text).unwrap();
    let (code, said) = run(second.path(), &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        complaint(&said).contains("already runs on this machine"),
        "{said}"
    );
}

#[test]
fn directories_in_use_are_named_with_their_owner() {
    let first = Sidekick::start("");
    let (code, said) = run(&first.dir, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        complaint(&said).contains("in use by another sidekick (process "),
        "{said}"
    );
    let (code, said) = run(&first.dir, &["--run-dir", "elsewhere"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(complaint(&said).contains("[buffer] dir"), "{said}");
    // The one that runs is not disturbed.
    assert!(first.ctl(&["status"]).status.success());
}

#[test]
fn a_buffer_directory_that_is_none_is_named() {
    let place = place("");
    std::fs::write(place.path().join("file"), "in the way").unwrap();
    let (code, said) = run(place.path(), &["--buffer-dir", "file/buffer"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(complaint(&said).contains("file/buffer"), "{said}");
    assert!(complaint(&said).contains("[buffer] dir"), "{said}");
}

#[test]
fn a_missing_program_or_project_is_named_before_anything_starts() {
    let server = |command: &str| format!("[[server]]\nid = \"lobby\"\ncommand = {command}\n");
    let place = place(&server(r#"["no_such_program_anywhere"]"#));
    let (code, said) = run(place.path(), &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        complaint(&said).contains("no_such_program_anywhere"),
        "{said}"
    );

    let godot = std::env::var("SIDEKICK_GODOT").expect("scripts/setup --env names a Godot");
    let command = format!("[{godot:?}, \"--headless\", \"--path\", \"nowhere\"]");
    let place = self::place(&server(&command));
    let (code, said) = run(place.path(), &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(complaint(&said).contains("project.godot"), "{said}");
}

#[test]
fn without_a_frontend_it_runs_and_keeps_what_it_is_given() {
    let mut sidekick = Sidekick::start(
        "[[sink]]\nname = \"khepri\"\nkind = \"beam\"\nnodes = [\"nobody@127.0.0.1\"]\n",
    );
    sidekick.wait_log("no node of the sink is connected");
    let sinks = sidekick.ctl_json(&["sink", "list"]);
    assert_eq!(sinks[0]["state"], "waiting", "{sinks:#}");
    assert_eq!(sidekick.terminate(), Some(0));
}
