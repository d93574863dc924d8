//! The commands: one table from which parsing, help and completion are made.

use super::sinks;
use super::words::OpenQuote;

/// What a place in a command stands for; completion offers what there is of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A command.
    Command,
    /// A server.
    Server,
    /// A stream.
    Stream,
    /// A sink.
    Sink,
    /// A scope; that of a game is its server's id.
    Scope,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Anything else.
    Free,
}

/// A command as the table holds it.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// What follows the name.
    pub arguments: &'static str,
    /// What it does.
    pub about: &'static str,
    /// What its words stand for, options apart.
    pub places: &'static [Place],
    /// How many of them must be there.
    pub needed: usize,
    /// Its options.
    pub options: &'static [&'static str],
}

const fn entry(
    name: &'static str,
    arguments: &'static str,
    places: &'static [Place],
    needed: usize,
    about: &'static str,
) -> Entry {
    Entry {
        name,
        arguments,
        about,
        places,
        needed,
        options: &[],
    }
}

use Place::{Free, OneOf, Scope, Server, Sink, Stream};

/// Every command.
pub const TABLE: &[Entry] = &[
    entry(
        "help",
        "[COMMAND]",
        &[Place::Command],
        0,
        "this table, or more about one command",
    ),
    entry(
        "status",
        "[ID]",
        &[Server],
        0,
        "servers, sinks, peers and the buffer, or one server in detail",
    ),
    entry("servers", "", &[], 0, "the servers, each with how it is"),
    entry("server", "ID", &[Server], 1, "one server in detail"),
    entry(
        "start",
        "ID",
        &[Server],
        1,
        "start a server that is stopped or quarantined",
    ),
    entry("stop", "ID", &[Server], 1, "stop a server gracefully"),
    entry(
        "restart",
        "ID",
        &[Server],
        1,
        "stop a server gracefully and start it again",
    ),
    entry(
        "drain",
        "ID",
        &[Server],
        1,
        "ask a server to finish by itself, then stop it",
    ),
    entry(
        "kill",
        "ID",
        &[Server],
        1,
        "kill a server's process; its restart policy applies afterwards",
    ),
    entry(
        "rolling",
        "GROUP",
        &[Free],
        1,
        "restart the servers of a group one at a time, the next once the one before plays",
    ),
    entry(
        "reload",
        "[plan]",
        &[OneOf(&["plan"])],
        0,
        "read the configuration again; with plan only tell what would change",
    ),
    Entry {
        options: &["-f", "-n"],
        ..entry(
            "logs",
            "[-f] [-n LINES] ID",
            &[Server],
            0,
            "the last lines a server wrote; -f goes on with new ones (of every server without an ID)",
        )
    },
    entry(
        "crashes",
        "[ID]",
        &[Server],
        0,
        "crash bundles of one server or of all",
    ),
    entry(
        "crash",
        "ID NUMBER",
        &[Server, Free],
        2,
        "one crash bundle whole",
    ),
    entry(
        "streams",
        "",
        &[],
        0,
        "the streams with their ranges and cursors",
    ),
    entry("stream", "STREAM", &[Stream], 1, "one stream in detail"),
    entry(
        "read",
        "STREAM [FROM [LIMIT]]",
        &[Stream, Free, Free],
        1,
        "records of a stream from a sequence on; without FROM the last ones",
    ),
    entry(
        "state",
        "SCOPE [KEY]",
        &[Scope, Free],
        1,
        "state of a scope (a server's id), or one value of it",
    ),
    entry(
        "history",
        "SCOPE KEY",
        &[Scope, Free],
        2,
        "a value of a scope and its earlier ones, as many as [[state]] keeps",
    ),
    entry("sinks", "", &[], 0, "the sinks and how far each is"),
    entry(
        "sink",
        "list|retry|drain|dead|redrive|discard [SINK [NUMBER|all]]",
        &[OneOf(sinks::WORDS), Sink, OneOf(&["all"])],
        1,
        "try a sink at once; wait until it (or every one) holds all; its dead letters: list, offer again, remove",
    ),
    entry("peers", "", &[], 0, "the connected nodes"),
    entry(
        "events",
        "",
        &[],
        0,
        "follow what happens to servers, peers and the buffer",
    ),
    entry(
        "follow",
        "",
        &[],
        0,
        "events and the log lines of every server together",
    ),
    entry(
        "trace",
        "on [LEVEL]|off",
        &[OneOf(&["on", "off"]), OneOf(&["info", "debug", "trace"])],
        1,
        "follow sidekick's own log, with every request that peers make (LEVEL: info, debug, trace)",
    ),
    entry(
        "info",
        "",
        &[],
        0,
        "name, version, identity and buffer of this sidekick",
    ),
    entry("version", "", &[], 0, "the version of this sidekick"),
    entry(
        "exit",
        "",
        &[],
        0,
        "leave; sidekick and the games go on (quit does the same)",
    ),
];

/// Why a line is no command. Each text says what to type instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misunderstood {
    /// Quotes.
    #[error(transparent)]
    Quote(#[from] OpenQuote),
    /// No such command.
    #[error("there is no command {name}{}; help lists them", nearest.map(|n| format!("; did you mean {n}?")).unwrap_or_default())]
    Unknown {
        /// What was typed.
        name: String,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
    /// Too little, too much, or a wrong word.
    #[error("{problem}; type  {usage}")]
    Usage {
        /// What is wrong.
        problem: String,
        /// How it is right.
        usage: String,
    },
}

impl Entry {
    /// How it is typed.
    pub fn usage(&self) -> String {
        format!("{} {}", self.name, self.arguments)
            .trim_end()
            .to_owned()
    }

    /// A complaint that ends with how it is right.
    pub fn wrong(&self, problem: impl Into<String>) -> Misunderstood {
        Misunderstood::Usage {
            problem: problem.into(),
            usage: self.usage(),
        }
    }
}

/// The command of this name.
pub fn find(name: &str) -> Result<&'static Entry, Misunderstood> {
    let name = match name {
        "quit" | "q" => "exit",
        "h" | "?" => "help",
        other => other,
    };
    TABLE
        .iter()
        .find(|entry| entry.name == name)
        .ok_or_else(|| Misunderstood::Unknown {
            name: name.to_owned(),
            nearest: nearest(name, TABLE.iter().map(|entry| entry.name)),
        })
}

/// The word that is most like this one, where one is like enough.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|known| (strsim::jaro_winkler(word, known), known))
        .filter(|(alike, _)| *alike > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}
