//! `erl -remsh sidekick@host` in a real terminal against a real sidekick.

#![allow(clippy::unwrap_used)]

#[path = "support/sidekick.rs"]
mod support;
#[path = "support/terminal.rs"]
mod terminal;

use std::process::Command;
use support::Sidekick;
use terminal::Terminal;

const SERVER: &str = r#"
[[server]]
id = "lobby"
command = ["sh", "-c", "echo up größe; trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]
session = false
on_exit = "stop"
"#;

fn erl(sidekick: &Sidekick, name: &str, arguments: &[&str]) -> Terminal {
    let mut command = Command::new("erl");
    command
        .args(["-name", &format!("{name}_{}@127.0.0.1", std::process::id())])
        .args(["-setcookie", "test_cookie"])
        .args(arguments)
        .env("ERL_EPMD_PORT", sidekick.epmd_port.to_string())
        .env("ERL_CRASH_DUMP", "/dev/null");
    Terminal::run(command)
}

fn prompt(sidekick: &Sidekick, shell: &mut Terminal) -> String {
    shell.expect(&format!("{}> ", sidekick.name))
}

#[test]
fn an_operator_sees_and_steers() {
    let sidekick = Sidekick::start(SERVER);
    sidekick.ctl_until(&["status", "lobby"], |status| status["state"] == "running");
    let mut shell = erl(&sidekick, "op", &["-remsh", &sidekick.name]);
    shell.expect("help lists the commands");
    prompt(&sidekick, &mut shell);

    shell.line("servers.");
    assert!(prompt(&sidekick, &mut shell).contains("lobby"));
    // An empty line is answered by a prompt, not taken for the beginning of more.
    shell.keys("\r");
    prompt(&sidekick, &mut shell);
    shell.line("version");
    shell.expect(concat!("sidekick ", env!("CARGO_PKG_VERSION")));
    prompt(&sidekick, &mut shell);

    shell.keys("resta\tlo\t");
    shell.expect("lobby ");
    shell.keys("\r");
    shell.expect("lobby restarted");
    prompt(&sidekick, &mut shell);
    // The caller's own history: the line before the last.
    shell.keys("\u{1b}[A");
    shell.expect("restart lobby");
    shell.keys("\u{1b}[A");
    shell.expect("version");
    shell.keys("\u{15}");

    shell.line("logs -f lobby");
    shell.expect("up größe");
    shell.expect("(log of lobby; Enter ends) ");
    shell.keys("\r");
    prompt(&sidekick, &mut shell);
    shell.line("q().");
    assert_eq!(shell.status(), Some(0), "{}", shell.all());
}

#[test]
fn leaving_a_job_does_not_end_a_node_that_has_more_to_do() {
    let mut sidekick = Sidekick::start(SERVER);
    let mut shell = erl(&sidekick, "busy", &[]);
    shell.expect("1> ");
    shell.keys("\u{7}"); // Ctrl-G
    shell.expect("--> ");
    shell.keys(&format!("r '{}'\r", sidekick.name));
    shell.expect("--> ");
    shell.keys("c\r");
    shell.expect("help lists the commands");
    prompt(&sidekick, &mut shell);
    shell.line("exit");
    shell.expect("Shell process terminated");
    sidekick.wait_log("operator's prompt closed");
    shell.keys("\u{7}");
    shell.expect("--> ");
    shell.keys("c 1\r");
    shell.expect("1> ");
    shell.line("40 + 2.");
    shell.expect("42");
}

#[test]
fn sidekicks_end_is_the_prompts_end() {
    let mut sidekick = Sidekick::start(SERVER);
    let mut shell = erl(&sidekick, "op", &["-remsh", &sidekick.name]);
    prompt(&sidekick, &mut shell);
    assert_eq!(sidekick.terminate(), Some(0));
    shell.expect("Shell process terminated");
}
