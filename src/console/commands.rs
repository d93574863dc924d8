//! A line as a command.

use super::sinks::{self, SinkCommand};
use super::table::{self, Entry, Misunderstood};
use super::words;

/// Records that `read` shows where nobody says how many.
const READ_DEFAULT: u64 = 20;
/// Lines that `logs` shows where nobody says how many.
const LOGS_DEFAULT: u64 = 20;

/// What somebody may do to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the commands' own
pub enum Action {
    Start,
    Stop,
    Restart,
    Drain,
    Kill,
}

impl Action {
    /// The request, and what is said once it is done.
    pub fn request(self) -> (&'static str, &'static str) {
        match self {
            Self::Start => ("start_server", "started"),
            Self::Stop => ("stop_server", "stopped"),
            Self::Restart => ("restart_server", "restarted"),
            Self::Drain => ("drain_server", "drained"),
            Self::Kill => ("kill_server", "killed"),
        }
    }
}

/// A command, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the table's own
pub enum Command {
    Nothing,
    Help(Option<String>),
    Status,
    Servers,
    Server(String),
    Act(Action, String),
    Reload {
        plan: bool,
    },
    Rolling(String),
    Logs {
        server: Option<String>,
        follow: bool,
        lines: u64,
    },
    Crashes(Option<String>),
    Crash(String, u64),
    Streams,
    Stream(String),
    Read {
        stream: String,
        from: Option<u64>,
        limit: u64,
    },
    State {
        scope: String,
        key: Option<String>,
    },
    History(String, String),
    Sinks,
    Sink(SinkCommand),
    Peers,
    Events {
        logs: bool,
    },
    Trace(Option<String>),
    Info,
    Version,
    Exit,
}

/// Understands a line.
pub fn parse(line: &str) -> Result<Command, Misunderstood> {
    let mut words = words::split(line)?.into_iter();
    let Some(name) = words.next() else {
        return Ok(Command::Nothing);
    };
    let entry = table::find(&name)?;
    let mut given = Given::read(entry, words)?;
    Ok(match entry.name {
        "help" => Command::Help(given.word()),
        "status" => given.word().map_or(Command::Status, Command::Server),
        "servers" => Command::Servers,
        "server" => Command::Server(given.must()),
        "start" => Command::Act(Action::Start, given.must()),
        "stop" => Command::Act(Action::Stop, given.must()),
        "restart" => Command::Act(Action::Restart, given.must()),
        "drain" => Command::Act(Action::Drain, given.must()),
        "rolling" => Command::Rolling(given.must()),
        "reload" => given.reload()?,
        "kill" => Command::Act(Action::Kill, given.must()),
        "logs" => given.logs()?,
        "crashes" => Command::Crashes(given.word()),
        "crash" => Command::Crash(given.must(), given.number("NUMBER")?.unwrap_or(0)),
        "streams" => Command::Streams,
        "stream" => Command::Stream(given.must()),
        "read" => Command::Read {
            stream: given.must(),
            from: given.number("FROM")?,
            limit: given.number("LIMIT")?.unwrap_or(READ_DEFAULT),
        },
        "state" => Command::State {
            scope: given.must(),
            key: given.word(),
        },
        "history" => Command::History(given.must(), given.must()),
        "sinks" => Command::Sinks,
        "sink" => {
            let word = given.must();
            let (sink, letter) = (given.word(), given.word());
            Command::Sink(sinks::parse(entry, &word, sink, letter.as_deref())?)
        }
        "peers" => Command::Peers,
        "events" => Command::Events { logs: false },
        "follow" => Command::Events { logs: true },
        "trace" => given.trace()?,
        "info" => Command::Info,
        "version" => Command::Version,
        _ => Command::Exit,
    })
}

/// The words after a command's name.
struct Given {
    entry: &'static Entry,
    words: std::vec::IntoIter<String>,
    follow: bool,
    lines: Option<u64>,
}

impl Given {
    fn read(
        entry: &'static Entry,
        typed: impl Iterator<Item = String>,
    ) -> Result<Self, Misunderstood> {
        let mut given = Self {
            entry,
            words: Vec::new().into_iter(),
            follow: false,
            lines: None,
        };
        let (mut typed, mut words) = (typed, Vec::new());
        while let Some(word) = typed.next() {
            match word.as_str() {
                "-f" | "--follow" if entry.options.contains(&"-f") => given.follow = true,
                "-n" if entry.options.contains(&"-n") => {
                    let count = typed.next().and_then(|word| word.parse().ok());
                    given.lines =
                        Some(count.ok_or_else(|| entry.wrong("-n needs a number of lines"))?);
                }
                option
                    if option.starts_with('-') && option.len() > 1 && !entry.options.is_empty() =>
                {
                    return Err(entry.wrong(format!("{} has no option {option}", entry.name)));
                }
                _ => words.push(word),
            }
        }
        if words.len() < entry.needed {
            let missing = entry
                .arguments
                .split(' ')
                .nth(words.len())
                .unwrap_or("a word");
            return Err(entry.wrong(format!("{} needs {}", entry.name, article(missing))));
        }
        if let Some(word) = words.get(entry.places.len()) {
            return Err(entry.wrong(format!("{word:?} is one word too many")));
        }
        given.words = words.into_iter();
        Ok(given)
    }

    fn word(&mut self) -> Option<String> {
        self.words.next()
    }

    /// A word of which [`Given::read`] knows that it is there.
    fn must(&mut self) -> String {
        self.words.next().unwrap_or_default()
    }

    fn number(&mut self, what: &str) -> Result<Option<u64>, Misunderstood> {
        let Some(word) = self.words.next() else {
            return Ok(None);
        };
        let number = word.parse().ok();
        number.map(Some).ok_or_else(|| {
            self.entry
                .wrong(format!("{what} is a number, not {word:?}"))
        })
    }

    fn logs(&mut self) -> Result<Command, Misunderstood> {
        let server = self.word();
        if server.is_none() && !self.follow {
            return Err(self.entry.wrong("logs needs an ID, or -f for every server"));
        }
        Ok(Command::Logs {
            server,
            follow: self.follow,
            lines: self.lines.unwrap_or(LOGS_DEFAULT),
        })
    }

    fn reload(&mut self) -> Result<Command, Misunderstood> {
        match self.word().as_deref() {
            None => Ok(Command::Reload { plan: false }),
            Some("plan" | "--plan") => Ok(Command::Reload { plan: true }),
            Some(word) => Err(self.entry.wrong(format!("{word:?} is not plan"))),
        }
    }

    fn trace(&mut self) -> Result<Command, Misunderstood> {
        match (self.must().as_str(), self.word().as_deref()) {
            ("off", None) => Ok(Command::Trace(None)),
            ("on", None) => Ok(Command::Trace(Some("debug".to_owned()))),
            ("on", Some(level @ ("info" | "debug" | "trace"))) => {
                Ok(Command::Trace(Some(level.to_owned())))
            }
            (word, level) => {
                let wrong = level.filter(|_| word == "on").unwrap_or(word);
                Err(self
                    .entry
                    .wrong(format!("{wrong:?} is neither on, off nor a level")))
            }
        }
    }
}

fn article(noun: &str) -> String {
    let vowel = noun.starts_with(['A', 'E', 'I', 'O']);
    format!("{} {noun}", if vowel { "an" } else { "a" })
}

#[cfg(test)]
mod tests {
    use super::super::table::TABLE;
    use super::*;

    #[test]
    fn every_command_of_the_table_is_understood() {
        for entry in TABLE {
            let words = ["1"; 2];
            let line = match entry.name {
                "trace" => "trace on".to_owned(),
                "logs" => "logs lobby".to_owned(),
                "sink" => "sink list".to_owned(),
                name => format!("{name} {}", words[..entry.needed].join(" ")),
            };
            let command = parse(&line).expect(&line);
            assert_ne!(command, Command::Nothing);
            assert_eq!(command == Command::Exit, entry.name == "exit", "{line}");
        }
    }

    #[test]
    fn logs_takes_its_options_anywhere() {
        let logs = Command::Logs {
            server: Some("lobby".into()),
            follow: true,
            lines: 5,
        };
        for line in [
            "logs -f lobby -n 5",
            "logs lobby -n 5 -f",
            "logs(lobby, -f, -n, 5)",
        ] {
            assert_eq!(parse(line), Ok(logs.clone()), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_remedy() {
        let said = |line| parse(line).expect_err(line).to_string();
        assert_eq!(
            said("stauts"),
            "there is no command stauts; did you mean status?; help lists them"
        );
        assert_eq!(
            said("xyzzy 1"),
            "there is no command xyzzy; help lists them"
        );
        assert_eq!(said("restart"), "restart needs an ID; type  restart ID");
        assert_eq!(
            said("crash lobby"),
            "crash needs a NUMBER; type  crash ID NUMBER"
        );
        assert_eq!(
            said("servers all"),
            "\"all\" is one word too many; type  servers"
        );
        assert_eq!(
            said("read s ten"),
            "FROM is a number, not \"ten\"; type  read STREAM [FROM [LIMIT]]"
        );
        assert_eq!(
            said("logs lobby -x"),
            "logs has no option -x; type  logs [-f] [-n LINES] ID"
        );
        assert_eq!(
            said("logs"),
            "logs needs an ID, or -f for every server; type  logs [-f] [-n LINES] ID"
        );
        assert_eq!(
            said("trace maybe"),
            "\"maybe\" is neither on, off nor a level; type  trace on [LEVEL]|off"
        );
        assert_eq!(
            said("reload all"),
            "\"all\" is not plan; type  reload [plan]"
        );
        assert_eq!(
            said("read \"a"),
            "a quote is not closed; end it with another \""
        );
    }

    #[test]
    fn other_shells_words_for_leaving_and_help_are_known() {
        assert_eq!(parse("quit"), Ok(Command::Exit));
        assert_eq!(parse("q()."), Ok(Command::Exit));
        assert_eq!(parse("h()"), Ok(Command::Help(None)));
    }
}
