//! `sidekick check` and `sidekick run` with configurations that are right and wrong, and the examples of the docs.

#![allow(clippy::unwrap_used)]

#[path = "support/sidekick.rs"]
mod support;

use sidekick::config::{Config, Overrides};
use std::path::Path;
use support::binary;

fn sidekick(command: &str, text: &str) -> (Option<i32>, String, String) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("sidekick.toml"), text).unwrap();
    let output = binary()
        .arg(command)
        .current_dir(dir.path())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn every_example_is_read() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples");
    let overrides = Overrides {
        cookie: Some("example".to_owned()),
        ..Overrides::default()
    };
    let mut seen = 0;
    for entry in std::fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let config = Config::load(&path, &overrides).unwrap_or_else(|error| panic!("{error}"));
            assert!(
                config.warnings.is_empty(),
                "{}: {:?}",
                path.display(),
                config.warnings
            );
            assert!(!config.servers.is_empty(), "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 2);
}

#[test]
fn check_prints_what_holds_without_the_cookie() {
    let (code, out, err) = sidekick(
        "check",
        "[[server]]\nid = \"a\"\ncommand = [\"sh\"]\nenv = { KEY = \"hush\" }\n",
    );
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(
        out.contains("max_restarts = 3") && out.contains("KEY = \"***\""),
        "{out}"
    );
    assert!(
        !out.contains("test_cookie") && !out.contains("hush"),
        "{out}"
    );
}

#[test]
fn wrong_configurations_end_both_commands_with_2_and_one_message() {
    let cases = [
        ("[server]\n", "invalid type"),
        (
            "[[server]]\nid = \"a\"\ncommand = [\"sh\"]\nhang_timout = \"2s\"\n",
            "sidekick.toml:4:1: unknown key `hang_timout`; did you mean `hang_timeout`?",
        ),
        (
            "[[server]]\nid = \"a\"\ncommand = [\"no-such-godot\"]\n",
            "not in PATH; install it",
        ),
        ("[node]\nname = \"x\"\n", "has no host"),
    ];
    for (text, part) in cases {
        for command in ["check", "run"] {
            let (code, out, err) = sidekick(command, text);
            assert_eq!((code, out.as_str()), (Some(2), ""), "{command}: {err}");
            assert!(
                err.contains(part) && err.starts_with("sidekick: ") && err.lines().count() == 1,
                "{command}: {err}"
            );
        }
    }
}

#[test]
fn a_missing_file_and_a_wrong_word_end_with_2() {
    let dir = tempfile::tempdir().unwrap();
    let output = binary()
        .arg("run")
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("sidekick.toml"));
    assert_eq!(
        binary().arg("frobnicate").output().unwrap().status.code(),
        Some(2)
    );
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("sidekick.toml"), "").unwrap();
    let (reader, writer) = nix::unistd::pipe().unwrap();
    drop(reader);
    let output = binary()
        .arg("check")
        .current_dir(dir.path())
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(0), &[][..])
    );
}

#[test]
fn check_warns_of_containment_that_this_process_could_not_have() {
    let server = "[[server]]\nid = \"a\"\ncommand = [\"sh\"]\nuser = \"no-such-user-here\"\n";
    let (code, out, err) = sidekick("check", server);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("user = \"no-such-user-here\""), "{out}");
    assert!(
        err.contains("warning: server a: there is no user") && err.contains("correct `user`"),
        "{err}"
    );
}

#[test]
fn a_server_has_no_standby_or_one_and_only_with_a_session() {
    let server = "[[server]]\nid = \"a\"\ncommand = [\"sh\"]\n";
    let (code, out, err) = sidekick("check", &format!("{server}standby = 1\n"));
    assert!(code == Some(0) && out.contains("standby = 1"), "{out}{err}");
    for (keys, complaint) in [
        ("standby = 2\n", "standby is 2; a server has 0 or 1"),
        ("session = false\nstandby = 1\n", "remove standby"),
        (
            "env = { SIDEKICK_STANDBY = \"1\" }\n",
            "itself sets SIDEKICK_STANDBY",
        ),
    ] {
        let (code, _, err) = sidekick("check", &format!("{server}{keys}"));
        assert!(code == Some(2) && err.contains(complaint), "{err}");
    }
}
