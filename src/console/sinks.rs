//! What an operator does to sinks: `sink WORD [SINK [NUMBER|all]]`, with the words of `sidekick ctl sink`.

use super::asking::Sidekick;
use super::json::Refused;
use super::table::{Entry, Misunderstood};
use crate::etf::Term;
use crate::show;
use serde_json::json;

/// The words, for completion.
pub const WORDS: &[&str] = &["list", "retry", "drain", "dead", "redrive", "discard"];
/// The word in place of a letter's number.
const ALL: &str = "all";

/// A command about sinks, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkCommand {
    /// How each fares.
    List,
    /// Try at once.
    Retry(String),
    /// Wait until one, or every sink, holds everything up to now.
    Drain(Option<String>),
    /// Its dead letters.
    Dead(String),
    /// Offer one of them, or all, again.
    Redrive(String, Option<u64>),
    /// Remove one of them, or all, for good.
    Discard(String, Option<u64>),
}

/// Understands the words after `sink`.
pub fn parse(
    entry: &Entry,
    word: &str,
    sink: Option<String>,
    letter: Option<&str>,
) -> Result<SinkCommand, Misunderstood> {
    let needed = |sink: Option<String>| {
        sink.ok_or_else(|| entry.wrong(format!("sink {word} needs the name of a SINK")))
    };
    let command = match (word, letter) {
        ("list", None) if sink.is_none() => SinkCommand::List,
        ("list", _) => return Err(entry.wrong("sink list takes no name; it lists all")),
        ("retry", None) => SinkCommand::Retry(needed(sink)?),
        ("drain", None) => SinkCommand::Drain(sink),
        ("dead", None) => SinkCommand::Dead(needed(sink)?),
        ("retry" | "drain" | "dead", Some(more)) => {
            return Err(entry.wrong(format!("{more:?} is one word too many")));
        }
        ("redrive", None) => SinkCommand::Redrive(needed(sink)?, None),
        ("redrive", Some(letter)) => SinkCommand::Redrive(needed(sink)?, one(entry, letter)?),
        // What is gone for good is named, as at `ctl`.
        ("discard", None) => {
            needed(sink)?;
            return Err(entry.wrong("sink discard needs the NUMBER of a letter, or all"));
        }
        ("discard", Some(letter)) => SinkCommand::Discard(needed(sink)?, one(entry, letter)?),
        (word, _) => {
            let words = WORDS.join(", ");
            return Err(entry.wrong(format!("{word:?} is none of {words}")));
        }
    };
    Ok(command)
}

fn one(entry: &Entry, letter: &str) -> Result<Option<u64>, Misunderstood> {
    if letter == ALL {
        return Ok(None);
    }
    let number = letter.parse().ok();
    number
        .map(Some)
        .ok_or_else(|| entry.wrong(format!("{letter:?} is neither a NUMBER nor all")))
}

/// Does it and gives what is to be shown.
pub async fn answer(sidekick: &Sidekick, command: SinkCommand) -> Result<String, Refused> {
    let ask = |request, arguments| sidekick.ask(request, arguments);
    let text = Term::text;
    let number = |letter: Option<u64>| letter.map_or_else(|| Term::atom(ALL), Term::int);
    Ok(match command {
        SinkCommand::List => show::sinks(&ask("sinks", vec![]).await?),
        SinkCommand::Retry(sink) => {
            ask("retry_sink", vec![text(&sink)]).await?;
            show::done(&json!({ "sink": sink, "done": "tried again" }))
        }
        SinkCommand::Drain(sink) => {
            let which = sink.as_deref().map_or_else(|| Term::atom(ALL), text);
            show::drained(&ask("drain_sink", vec![which]).await?)
        }
        SinkCommand::Dead(sink) => {
            let redrive = format!("sink redrive {sink}");
            show::dead_letters(&redrive, &ask("dead_letters", vec![text(&sink)]).await?)
        }
        SinkCommand::Redrive(sink, letter) => {
            let arguments = vec![text(&sink), number(letter)];
            show::settled("offered again", &ask("redrive_dead", arguments).await?)
        }
        SinkCommand::Discard(sink, letter) => {
            let arguments = vec![text(&sink), number(letter)];
            show::settled("discarded", &ask("discard_dead", arguments).await?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::commands::{Command, parse};
    use super::*;

    #[test]
    fn each_word_is_understood() {
        let db = || "db".to_owned();
        for (line, meant) in [
            ("sink list", SinkCommand::List),
            ("sink retry db", SinkCommand::Retry(db())),
            ("sink drain", SinkCommand::Drain(None)),
            ("sink(:drain, \"db\")", SinkCommand::Drain(Some(db()))),
            ("sink dead db", SinkCommand::Dead(db())),
            ("sink redrive db", SinkCommand::Redrive(db(), None)),
            ("sink redrive db all", SinkCommand::Redrive(db(), None)),
            ("sink redrive db 7", SinkCommand::Redrive(db(), Some(7))),
            ("sink discard db 7", SinkCommand::Discard(db(), Some(7))),
            ("sink discard db all", SinkCommand::Discard(db(), None)),
        ] {
            assert_eq!(parse(line), Ok(Command::Sink(meant)), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused_before_anything_is_asked() {
        let how = "type  sink list|retry|drain|dead|redrive|discard [SINK [NUMBER|all]]";
        for (line, wrong) in [
            ("sink", "sink needs a list|retry|drain|dead|redrive|discard"),
            (
                "sink forget db",
                "\"forget\" is none of list, retry, drain, dead, redrive, discard",
            ),
            ("sink list db", "sink list takes no name; it lists all"),
            ("sink retry", "sink retry needs the name of a SINK"),
            ("sink dead db 1", "\"1\" is one word too many"),
            ("sink redrive db one", "\"one\" is neither a NUMBER nor all"),
            (
                "sink discard db",
                "sink discard needs the NUMBER of a letter, or all",
            ),
            ("sink discard db 1 2", "\"2\" is one word too many"),
        ] {
            let said = parse(line).expect_err(line).to_string();
            assert_eq!(said, format!("{wrong}; {how}"));
        }
    }
}
