//! A sink in trouble is mended from the operator's prompt, against a real sidekick and a real database.

#![allow(clippy::unwrap_used)]

#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/sidekick.rs"]
mod sidekick_binary;
#[path = "support/terminal.rs"]
mod terminal;

use postgres::{Postgres, client, sql};
use sidekick_binary::Sidekick;
use std::process::{Command, Stdio};
use tempfile::TempDir;
use terminal::Terminal;

/// Without its tables nothing is stored, and the breaker stays open for an hour unless an operator closes it.
fn sections(url_file: &str) -> String {
    format!(
        "[[sink]]\nname = \"db\"\nkind = \"postgres\"\nurl_file = {url_file:?}\n\
         limits = {{ timeout = \"2s\" }}\n\
         breaker = {{ failures = 2, open = \"1h\", open_max = \"1h\" }}\ndead_letters = {{ after = 1 }}\n"
    )
}

fn beam(program: &str, sidekick: &Sidekick, name: &str) -> Command {
    let mut command = Command::new(program);
    let name = format!("{name}_{}@127.0.0.1", std::process::id());
    match program {
        "erl" => command.args(["-name", &name, "-setcookie", "test_cookie"]),
        _ => command.args(["--name", &name, "--cookie", "test_cookie"]),
    };
    command
        .env("ERL_EPMD_PORT", sidekick.epmd_port.to_string())
        .env("ERL_CRASH_DUMP", "/dev/null");
    command
}

fn append(sidekick: &Sidekick) {
    let records = r#"for(n <- 1..10, do: %{"n" => n})"#;
    let script = format!(
        r#"{{:ok, %{{last: 10}}}} = :erpc.call(:"{}", :sidekick, :append, ["events", {records}])"#,
        sidekick.name
    );
    let done = beam("elixir", sidekick, "writer")
        .args(["-e", &script])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

struct Prompt<'a> {
    sidekick: &'a Sidekick,
    shell: Terminal,
}

impl<'a> Prompt<'a> {
    fn open(sidekick: &'a Sidekick, program: &str, remsh: &str) -> Self {
        let mut command = beam(program, sidekick, program);
        command.args([remsh, &sidekick.name]);
        let mut shell = Terminal::run(command);
        shell.expect("help lists the commands");
        let mut prompt = Self { sidekick, shell };
        prompt.next();
        prompt
    }

    fn next(&mut self) -> String {
        self.shell.expect(&format!("{}> ", self.sidekick.name))
    }

    /// Types a command, whose answer has to hold these parts.
    fn ask(&mut self, command: &str, parts: &[&str]) -> String {
        self.shell.line(command);
        let said = self.next();
        for part in parts {
            assert!(said.contains(part), "{part:?} is not in:\n{said}");
        }
        said
    }

    fn leave(mut self) {
        self.shell.line("exit");
        assert_eq!(self.shell.status(), Some(0), "{}", self.shell.all());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_in_trouble_is_mended_at_the_prompt() {
    let (server, place) = (Postgres::start().await, TempDir::new().unwrap());
    let url = server.url("postgres");
    let file = place.path().join("database.url");
    std::fs::write(&file, &url).unwrap();
    let sidekick = Sidekick::start(&sections(file.to_str().unwrap()));
    append(&sidekick);
    sidekick.ctl_until(&["sink", "list"], |sinks| {
        sinks[0]["breaker"]["state"] == "open" && sinks[0]["lag_records"] == 10
    });
    let mut prompt = Prompt::open(&sidekick, "iex", "--remsh");
    prompt.ask("sink list", &["db", "postgres", "open"]);
    prompt.ask("help sink", &["retry|drain|dead|redrive|discard"]);

    // The tables come, and with them a rule that some records break.
    sidekick.ctl_json(&["sink", "init", "db"]);
    let odd_is_wrong =
        "ALTER TABLE sidekick_records ADD CONSTRAINT even CHECK ((payload->>'n')::int % 2 = 0)";
    sql(&url, odd_is_wrong).await.unwrap();
    prompt.ask(
        "sink retry dbx",
        &["there is no sink \"dbx\"; did you mean db?"],
    );
    prompt.ask("sink retry db", &["db tried again"]);
    let events = "events  holds everything up to 10";
    prompt.ask("sink drain", &["db  stored: 1 streams", events]);
    let dead = prompt.ask("sink dead db", &["LETTER", "even", "sink redrive db"]);
    assert!(!dead.contains("sidekick ctl"), "{dead}");
    let letters = sidekick.ctl_json(&["sink", "dead", "db"]);
    assert_eq!(letters.as_array().unwrap().len(), 5, "{letters}");

    // What is gone for good is named; Tab knows the words and the sink.
    let numbered = "sink discard needs the NUMBER of a letter, or all";
    prompt.ask("sink discard db", &[numbered]);
    prompt.shell.keys("sink disc\t");
    prompt.shell.expect("discard ");
    prompt.shell.keys("d\t");
    prompt.shell.expect("db ");
    prompt
        .shell
        .keys(&format!("{}\r", letters[0]["number"].as_u64().unwrap()));
    prompt.shell.expect("1 dead letters discarded");
    prompt.next();
    let gone = format!("sink redrive db {}", letters[0]["number"]);
    prompt.ask(&gone, &["no dead letter has that number"]);
    prompt.leave();

    // The other shell has the same words.
    let mended = "ALTER TABLE sidekick_records DROP CONSTRAINT even";
    sql(&url, mended).await.unwrap();
    let mut prompt = Prompt::open(&sidekick, "erl", "-remsh");
    prompt.ask("sink(redrive, db).", &["4 dead letters offered again"]);
    prompt.ask("sink drain db", &["db  stored"]);
    prompt.ask("sink dead db", &["no dead letters"]);
    prompt.ask("sink discard db all", &["0 dead letters discarded"]);
    prompt.leave();
    let look = client(&url).await.unwrap();
    let stored = "SELECT count(DISTINCT payload->>'n') FROM sidekick_records";
    let stored: i64 = look.query_one(stored, &[]).await.unwrap().get(0);
    assert_eq!(stored, 9);
}
