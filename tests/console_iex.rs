//! `iex --remsh sidekick@host` in a real terminal against a real sidekick.

#![allow(clippy::unwrap_used)]

#[path = "support/sidekick.rs"]
mod support;
#[path = "support/terminal.rs"]
mod terminal;

use std::process::{Command, Stdio};
use support::Sidekick;
use terminal::Terminal;

/// `lobby` says something whenever a line comes into its file; `arena` is silent.
const SERVERS: &str = r#"
[[server]]
id = "lobby"
command = ["sh", "-c", "echo up größe; trap 'echo bye; exit 0' TERM; : > said; tail -n +1 -f said & wait"]
session = false
on_exit = "stop"
stop_timeout = "5s"

[[server]]
id = "arena"
command = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]
session = false
on_exit = "stop"
"#;

fn elixir(program: &str, sidekick: &Sidekick, name: &str) -> Command {
    let mut command = Command::new(program);
    command
        .args([
            "--name",
            &format!("{name}_{}@127.0.0.1", std::process::id()),
        ])
        .args(["--cookie", "test_cookie"])
        .env("ERL_EPMD_PORT", sidekick.epmd_port.to_string())
        .env("ERL_CRASH_DUMP", "/dev/null");
    command
}

/// A prompt, once it is there.
fn remsh(sidekick: &Sidekick, name: &str) -> Terminal {
    let mut command = elixir("iex", sidekick, name);
    command.args(["--remsh", &sidekick.name]);
    let mut shell = Terminal::run(command);
    shell.expect("help lists the commands");
    prompt(sidekick, &mut shell);
    shell
}

fn prompt(sidekick: &Sidekick, shell: &mut Terminal) -> String {
    shell.expect(&format!("{}> ", sidekick.name))
}

/// Types a command; what is shown up to the next prompt.
fn ask(sidekick: &Sidekick, shell: &mut Terminal, command: &str) -> String {
    shell.line(command);
    prompt(sidekick, shell)
}

#[test]
fn an_operator_sees_and_steers() {
    let sidekick = Sidekick::start(SERVERS);
    let mut shell = remsh(&sidekick, "op");

    let help = ask(&sidekick, &mut shell, "help");
    for command in [
        "status",
        "logs [-f] [-n LINES] ID",
        "read STREAM",
        "trace on",
    ] {
        assert!(help.contains(command), "{help}");
    }
    let before = sidekick.ctl_until(&["status", "lobby"], |status| status["state"] == "running");
    let status = ask(&sidekick, &mut shell, "status()");
    assert!(
        status.contains(&sidekick.name) && status.contains("lobby"),
        "{status}"
    );

    let wrong = ask(&sidekick, &mut shell, "restrat lobby");
    assert!(
        wrong.contains("there is no command restrat; did you mean restart?"),
        "{wrong}"
    );
    let wrong = ask(&sidekick, &mut shell, "restart loby");
    assert!(
        wrong.contains("there is no server \"loby\"; did you mean lobby?"),
        "{wrong}"
    );

    // Tab finishes the command and the id.
    shell.keys("resta\t");
    shell.expect("restart ");
    shell.keys("lob\t");
    shell.expect("lobby ");
    shell.keys("\r");
    shell.expect("lobby restarted");
    prompt(&sidekick, &mut shell);
    let after = sidekick.ctl_json(&["status", "lobby"]);
    assert_ne!(after["os_pid"], before["os_pid"]);
    assert_eq!(after["state"], "running");

    // Tab lists what there is.
    shell.keys("stop \t");
    let listed = shell.expect("lobby");
    assert!(listed.contains("arena"), "{listed}");
    shell.keys("\u{15}"); // Ctrl-U

    // The caller's own history has the last command.
    shell.keys("\u{1b}[A");
    shell.expect("restart lobby");
    shell.keys("\u{15}");

    // The crash that is made here is seen here.
    assert!(ask(&sidekick, &mut shell, "kill arena").contains("arena killed"));
    let peers = ask(&sidekick, &mut shell, "peers");
    assert!(
        peers.contains(&format!("op_{}@127.0.0.1", std::process::id())),
        "{peers}"
    );

    shell.line("exit");
    assert_eq!(shell.status(), Some(0), "{}", shell.all());
}

#[test]
fn records_are_read_in_utf8() {
    let sidekick = Sidekick::start("");
    let script = format!(
        r#":erpc.call(:"{}", :sidekick, :append, ["größe/日本", [%{{"who" => "Žofie", "n" => 1}}, "✓ ok"]])"#,
        sidekick.name
    );
    let done = elixir("elixir", &sidekick, "writer")
        .args(["-e", &script])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );

    let mut shell = remsh(&sidekick, "reader");
    shell.keys("read gr\t");
    shell.expect("größe/日本 ");
    shell.keys("\r");
    shell.expect("größe/日本 \n");
    let records = prompt(&sidekick, &mut shell);
    assert!(
        records.contains("Žofie") && records.contains("✓ ok"),
        "{records}"
    );
    let from = ask(&sidekick, &mut shell, "read größe/日本 2");
    assert!(!from.contains("Žofie") && from.contains("✓ ok"), "{from}");
    shell.line("quit");
    assert_eq!(shell.status(), Some(0));
}

#[test]
fn following_ends_on_enter_or_with_the_next_command() {
    let sidekick = Sidekick::start(SERVERS);
    sidekick.ctl_until(&["status", "lobby"], |status| status["state"] == "running");
    let mut shell = remsh(&sidekick, "op");
    let said = sidekick.dir.join("said");
    let say = |text: &str| {
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(&said)
            .unwrap();
        writeln!(file, "{text}").unwrap();
    };
    shell.line("logs -f lobby");
    shell.expect("up größe");
    shell.expect("(log of lobby; Enter ends) ");
    say("first ✓");
    shell.expect("first ✓");
    shell.expect("(log of lobby; Enter ends) ");
    shell.keys("\r");
    prompt(&sidekick, &mut shell);

    // What happens is followed; the next command may be typed meanwhile.
    shell.line("follow");
    shell.expect("(everything; Enter ends) ");
    sidekick.ctl_json(&["restart", "arena"]);
    let events = shell.expect("(everything; Enter ends) ");
    let events = events + &shell.expect("started");
    assert!(events.contains("arena"), "{events}");
    shell.line("version");
    shell.expect(concat!("sidekick ", env!("CARGO_PKG_VERSION")));
    prompt(&sidekick, &mut shell);

    // sidekick's own log, with what peers ask.
    shell.line("trace on");
    shell.expect("(trace; Enter ends) ");
    sidekick.ctl_json(&["status", "arena"]);
    shell.expect("request=\"server arena\"");
    shell.keys("\r");
    prompt(&sidekick, &mut shell);
    shell.line("exit");
    assert_eq!(shell.status(), Some(0));
}

#[test]
fn a_killed_shell_leaves_nothing_and_the_other_goes_on() {
    let mut sidekick = Sidekick::start(SERVERS);
    let mut first = remsh(&sidekick, "first");
    let mut second = remsh(&sidekick, "second");
    // It is killed while it follows, so that a subscription has to end too.
    first.line("logs -f lobby");
    first.expect("Enter ends) ");
    first.kill();
    let closed = sidekick.wait_log("operator's prompt closed");
    assert!(closed.contains("first_"), "{closed}");
    let servers = ask(&sidekick, &mut second, "servers");
    assert!(
        servers.contains("lobby") && servers.contains("arena"),
        "{servers}"
    );
    second.line("exit");
    assert_eq!(second.status(), Some(0));
    let closed = sidekick.wait_log("operator's prompt closed");
    assert!(closed.contains("second_"), "{closed}");
}

#[test]
fn commands_from_a_pipe_are_done_and_the_end_of_input_leaves() {
    let sidekick = Sidekick::start(SERVERS);
    let mut command = elixir("iex", &sidekick, "piped");
    let mut child = command
        .args(["--remsh", &sidekick.name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, b"servers\nstreams\n").unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("arena") && said.contains("no streams yet"),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(0), "{said}");
}
