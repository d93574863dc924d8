//! `sidekick_sup` answers what a supervisor of stock OTP answers to the same operations.

#![allow(clippy::unwrap_used)]

#[path = "support/sidekick.rs"]
mod support;

use std::process::{Command, Stdio};
use support::Sidekick;

#[test]
fn the_same_operations_give_the_same_replies() {
    let sidekick = Sidekick::start_with("allow_start = \"any\"", "");
    let output = Command::new("elixir")
        .args([
            "--name",
            &format!("compare_{}@127.0.0.1", std::process::id()),
        ])
        .args(["--cookie", "test_cookie"])
        .args(["--erl", "-kernel logger_level none"])
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/support/supervisor.exs"
        ))
        .arg(&sidekick.name)
        .env("ERL_EPMD_PORT", sidekick.epmd_port.to_string())
        .stdin(Stdio::null())
        .output()
        .expect("elixir runs: eval \"$(./scripts/setup --env)\" puts it on PATH");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("replies are OTP's"),
        "{said}\n{complained}"
    );
}
