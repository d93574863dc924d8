//! What each command asks, and how the answer is shown. Commands that follow something are in `follow`.

use super::asking::{Sidekick, refused};
use super::commands::Command;
use super::json::Refused;
use super::sinks;
use super::table::{self, TABLE, nearest};
use crate::etf::Term;
use crate::show;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Does a command and gives what is to be shown.
pub async fn answer(sidekick: &Sidekick, command: Command) -> String {
    match done(sidekick, command).await {
        Ok(text) => text,
        Err(refusal) => explain(sidekick, &refusal).await,
    }
}

async fn done(sidekick: &Sidekick, command: Command) -> Result<String, Refused> {
    let ask = |request, arguments| sidekick.ask(request, arguments);
    let text = Term::text;
    Ok(match command {
        Command::Help(of) => help(of.as_deref()),
        Command::Status => show::status(&json!({
            "info": ask("info", vec![]).await?,
            "servers": ask("servers", vec![]).await?,
            "sinks": ask("sinks", vec![]).await?,
        })),
        Command::Servers => show::servers(&ask("servers", vec![]).await?),
        Command::Server(id) => show::fields(&ask("server", vec![text(&id)]).await?),
        Command::Act(action, id) => {
            let (request, done) = action.request();
            ask(request, vec![text(&id)]).await?;
            show::done(&json!({ "server": id, "done": done }))
        }
        Command::Rolling(group) => show::rolled(&ask("rolling_restart", vec![text(&group)]).await?),
        Command::Reload { plan } => {
            let options = Term::map([("plan", Term::bool(plan))]);
            show::plan(&ask("reload", vec![options]).await?)
        }
        Command::Logs { server, lines, .. } => {
            let id = server.ok_or_else(|| refused("no_server"))?;
            show::log_lines(&logs(sidekick, &id, lines).await?)
        }
        Command::Crashes(Some(id)) => {
            let whole = format!("crash {id} NUMBER");
            show::crashes(&whole, &ask("crashes", vec![text(&id)]).await?)
        }
        Command::Crashes(None) => all_crashes(sidekick).await?,
        Command::Crash(id, number) => {
            show::crash(&ask("crash", vec![text(&id), Term::int(number)]).await?)
        }
        Command::Streams => show::streams(&ask("streams", vec![]).await?),
        Command::Stream(name) => show::fields(&ask("stream", vec![text(&name)]).await?),
        Command::Read {
            stream,
            from,
            limit,
        } => read(sidekick, &stream, from, limit).await?,
        Command::State { scope, key: None } => {
            show::state(&scope, &ask("state", vec![text(&scope)]).await?)
        }
        Command::State {
            scope,
            key: Some(key),
        } => show::document(&ask("get_state", vec![text(&scope), text(&key)]).await?),
        Command::History(scope, key) => show::history(
            &key,
            &ask("state_history", vec![text(&scope), text(&key)]).await?,
        ),
        Command::Sinks => show::sinks(&ask("sinks", vec![]).await?),
        Command::Sink(command) => sinks::answer(sidekick, command).await?,
        Command::Peers => show::peers(&ask("info", vec![]).await?["peers"]),
        Command::Info => show::fields(&ask("info", vec![]).await?),
        Command::Version => format!("sidekick {}\n", crate::types::version()),
        Command::Trace(_) => {
            "trace is off; it is on while its lines come, until Enter\n".to_owned()
        }
        Command::Nothing | Command::Exit | Command::Events { .. } => String::new(),
    })
}

/// The last lines of a server.
pub async fn logs(sidekick: &Sidekick, id: &str, lines: u64) -> Result<Value, Refused> {
    let options = Term::map([("limit", Term::int(lines))]);
    sidekick.ask("logs", vec![Term::text(id), options]).await
}

async fn all_crashes(sidekick: &Sidekick) -> Result<String, Refused> {
    let mut said = String::new();
    for id in sidekick.servers().await {
        let crashes = sidekick.ask("crashes", vec![Term::text(&id)]).await?;
        let whole = format!("crash {id} NUMBER");
        let _ = write!(said, "{id}: {}", show::crashes(&whole, &crashes));
    }
    if said.is_empty() {
        said += "no servers are configured\n";
    }
    Ok(said)
}

/// Records from a sequence on, or the last ones.
async fn read(
    sidekick: &Sidekick,
    stream: &str,
    from: Option<u64>,
    limit: u64,
) -> Result<String, Refused> {
    let from = if let Some(from) = from {
        from
    } else {
        let info = sidekick.ask("stream", vec![Term::text(stream)]).await?;
        (info["last"].as_u64().unwrap_or(0) + 1)
            .saturating_sub(limit)
            .max(1)
    };
    let arguments = vec![Term::text(stream), Term::int(from), Term::int(limit)];
    let records = sidekick.ask("read", arguments).await?;
    Ok(show::records(stream, &records))
}

fn help(of: Option<&str>) -> String {
    let wanted = match of.map(table::find) {
        None => None,
        Some(Ok(entry)) => Some(entry.name),
        Some(Err(error)) => return format!("{error}\n"),
    };
    let width = TABLE
        .iter()
        .map(|entry| entry.usage().len())
        .max()
        .unwrap_or(0);
    let entries = TABLE
        .iter()
        .filter(|entry| wanted.is_none_or(|name| entry.name == name));
    let mut text = entries
        .map(|entry| format!("  {:<width$}  {}\n", entry.usage(), entry.about))
        .collect::<Vec<_>>()
        .concat();
    if wanted.is_none() {
        text +=
            "Tab completes; what is followed ends with Enter; \"quotes\" keep spaces in a name\n";
    }
    text
}

/// A refusal as a sentence with its remedy.
pub async fn explain(sidekick: &Sidekick, refusal: &Refused) -> String {
    let fact = |name| refusal.facts.get(name).and_then(Value::as_str);
    let remedy = match (refusal.code.as_str(), fact("what")) {
        ("not_found", Some("server")) => named(fact("name"), &sidekick.servers().await, "servers"),
        ("not_found", Some("stream")) => named(fact("name"), &sidekick.streams().await, "streams"),
        ("not_found", Some("sink")) => named(fact("name"), &sidekick.sinks().await, "sinks"),
        ("not_running", _) => "; start it with  start ID".to_owned(),
        ("already_started" | "running", _) => "; restart ID starts it anew".to_owned(),
        _ => String::new(),
    };
    format!("{}{remedy}\n", show::refusal(&refusal.code, &refusal.facts))
}

/// What there is in place of a name that is not there.
fn named(name: Option<&str>, known: &[String], what: &str) -> String {
    match name.and_then(|name| nearest(name, known.iter().map(String::as_str))) {
        Some(nearest) => format!("; did you mean {nearest}?"),
        None if known.is_empty() => format!("; there are no {what}"),
        None => format!("; `{what}` lists them"),
    }
}
