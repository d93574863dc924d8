//! Stock Elixir calls sidekick with the functions it has always had: `GenServer`, `Supervisor`, `Process`, `:rpc`, `:erpc`.

#![allow(clippy::unwrap_used)]

#[path = "support/sidekick.rs"]
mod support;

use std::process::{Command, Stdio};
use support::Sidekick;

const SERVER: &str = r#"
[[server]]
id = "lobby"
command = ["sh", "-c", "echo up; trap 'echo bye; exit 0' TERM; while :; do sleep 3600 & wait $!; done"]
session = false
on_exit = "stop"
max_restarts = 20
stop_timeout = "5s"
"#;

#[test]
fn everything_answers_as_otp_would() {
    let sidekick = Sidekick::start_with("allow_start = \"any\"", SERVER);
    let output = Command::new("elixir")
        .args(["--name", &format!("stock_{}@127.0.0.1", std::process::id())])
        .args(["--cookie", "test_cookie"])
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/support/stock.exs"
        ))
        .arg(&sidekick.name)
        .arg(&sidekick.dir)
        .env("ERL_EPMD_PORT", sidekick.epmd_port.to_string())
        .stdin(Stdio::null())
        .output()
        .expect("elixir runs: eval \"$(./scripts/setup --env)\" puts it on PATH");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("all of it holds"),
        "{said}\n{complained}"
    );
}
