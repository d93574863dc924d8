//! Each command: its calls, and how their answers are shown.

use super::args::{Command, CtlArgs, SinkCommand};
use super::connection::{self, Connection};
use super::error::CtlError;
use super::target;
use super::term::{atom, boolean, map, number, text};
use crate::show;
use serde_json::{Value, json};
use std::io::Write;
use std::time::Duration;

/// How often `logs --follow` asks for new lines.
const FOLLOW_PAUSE: Duration = Duration::from_millis(300);

/// What an answer may take beside the work.
const ANSWER: Duration = Duration::from_secs(2);

type Out<'a> = dyn Write + Send + 'a;

/// Finds the sidekick, runs the command against it and writes the answer.
pub(super) fn run(args: &CtlArgs, out: &mut Out<'_>) -> Result<(), CtlError> {
    let target = target::find(&target::run_dir(args)?)?;
    connection::with(&target, args.timeout, async |connection| {
        if let Command::Logs {
            server,
            limit,
            follow: true,
        } = &args.command
        {
            return follow(connection, server, *limit, args.json, out).await;
        }
        let answer = ask(connection, &args.command, args.timeout).await?;
        if args.json {
            serde_json::to_writer_pretty(&mut *out, &answer).map_err(std::io::Error::from)?;
            writeln!(out)?;
        } else {
            out.write_all(tell(&args.command, &answer).as_bytes())?;
        }
        Ok(out.flush()?)
    })
}

/// The calls of a command. What it gives is exactly what `--json` prints.
async fn ask(
    connection: &mut Connection,
    command: &Command,
    timeout: Duration,
) -> Result<Value, CtlError> {
    match command {
        Command::Status { server: None } => Ok(json!({
            "info": connection.call("info", vec![]).await?,
            "servers": connection.call("servers", vec![]).await?,
            "sinks": connection.call("sinks", vec![]).await?,
        })),
        Command::Status {
            server: Some(server),
        } => connection.call("server", vec![text(server)]).await,
        Command::Info => connection.call("info", vec![]).await,
        Command::Reload { plan } => {
            let options = map(vec![("plan", boolean(*plan))]);
            connection.call("reload", vec![options]).await
        }
        Command::Start { server } => done(connection, "start_server", server, "started").await,
        Command::Stop { server } => done(connection, "stop_server", server, "stopped").await,
        Command::Restart {
            server: group,
            rolling: true,
        } => connection.call("rolling_restart", vec![text(group)]).await,
        Command::Restart { server, .. } => {
            done(connection, "restart_server", server, "restarted").await
        }
        Command::Kill { server } => done(connection, "kill_server", server, "killed").await,
        Command::Drain { server } => done(connection, "drain_server", server, "drained").await,
        Command::Logs { server, limit, .. } => logs(connection, server, *limit, None).await,
        Command::Crashes {
            server,
            number: None,
        } => connection.call("crashes", vec![text(server)]).await,
        Command::Crashes {
            server,
            number: Some(n),
        } => {
            connection
                .call("crash", vec![text(server), number(*n)])
                .await
        }
        Command::Streams => connection.call("streams", vec![]).await,
        Command::Read {
            stream,
            from,
            limit,
        } => {
            let arguments = vec![text(stream), number(*from), number(u64::from(*limit))];
            connection.call("read", arguments).await
        }
        Command::State {
            scope, key: None, ..
        } => connection.call("state", vec![text(scope)]).await,
        Command::State {
            scope,
            key: Some(key),
            history,
        } => {
            let request = if *history {
                "state_history"
            } else {
                "get_state"
            };
            let arguments = vec![text(scope), text(key)];
            connection.call(request, arguments).await
        }
        Command::Sink { command } => ask_of_sinks(connection, command, timeout).await,
    }
}

async fn ask_of_sinks(
    connection: &mut Connection,
    command: &SinkCommand,
    timeout: Duration,
) -> Result<Value, CtlError> {
    match command {
        SinkCommand::List => connection.call("sinks", vec![]).await,
        SinkCommand::Init { sink, sql } => {
            let options = map(vec![("sql", boolean(*sql))]);
            connection
                .call("init_sink", vec![text(sink), options])
                .await
        }
        SinkCommand::Retry {
            sink,
            accept_loss: true,
        } => {
            let options = map(vec![("accept_loss", boolean(true))]);
            connection
                .call("retry_sink", vec![text(sink), options])
                .await
        }
        SinkCommand::Retry { sink, .. } => {
            connection.call("retry_sink", vec![text(sink)]).await?;
            Ok(json!({ "sink": sink, "done": "tried again" }))
        }
        SinkCommand::Drain { sink } => {
            // Its answer has to come within the time that the whole command may take.
            let time = timeout.saturating_sub(ANSWER).max(timeout / 2);
            let time = number(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
            let name = sink.as_deref().map_or_else(|| atom("all"), text);
            let arguments = vec![name, map(vec![("timeout_ms", time)])];
            connection.call("drain_sink", arguments).await
        }
        SinkCommand::Dead { sink } => connection.call("dead_letters", vec![text(sink)]).await,
        SinkCommand::Redrive { sink, seq } => {
            let number = seq.map_or_else(|| atom("all"), number);
            connection
                .call("redrive_dead", vec![text(sink), number])
                .await
        }
        SinkCommand::Discard { sink, seq, .. } => {
            let number = seq.map_or_else(|| atom("all"), number);
            connection
                .call("discard_dead", vec![text(sink), number])
                .await
        }
        SinkCommand::Forget { sink } => {
            connection.call("forget_sink", vec![text(sink)]).await?;
            Ok(json!({ "sink": sink, "done": "forgotten" }))
        }
    }
}

async fn done(
    connection: &mut Connection,
    request: &str,
    server: &str,
    done: &str,
) -> Result<Value, CtlError> {
    connection.call(request, vec![text(server)]).await?;
    Ok(json!({ "server": server, "done": done }))
}

async fn logs(
    connection: &mut Connection,
    server: &str,
    limit: u32,
    after: Option<u64>,
) -> Result<Value, CtlError> {
    let mut options = vec![("limit", number(u64::from(limit)))];
    options.extend(after.map(|cursor| ("after", number(cursor))));
    connection
        .call("logs", vec![text(server), map(options)])
        .await
}

/// Lines as they come, JSON ones one by one, until the connection or the reader goes away.
async fn follow(
    connection: &mut Connection,
    server: &str,
    limit: u32,
    as_json: bool,
    out: &mut Out<'_>,
) -> Result<(), CtlError> {
    let mut after = None;
    loop {
        let answer = logs(connection, server, limit.max(1), after).await?;
        let lines = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        for line in lines {
            if as_json {
                writeln!(out, "{line}")?;
            } else {
                out.write_all(show::log_line(line).as_bytes())?;
            }
        }
        out.flush()?;
        after = lines
            .last()
            .and_then(|line| line["cursor"].as_u64())
            .or(after);
        if lines.is_empty() {
            smol::Timer::after(FOLLOW_PAUSE).await;
        }
    }
}

/// The answer for people.
fn tell(command: &Command, answer: &Value) -> String {
    match command {
        Command::Status { server: None } => show::status(answer),
        Command::Reload { .. } => show::plan(answer),
        Command::Restart { rolling: true, .. } => show::rolled(answer),
        Command::Logs { .. } => show::log_lines(answer),
        Command::Crashes {
            number: None,
            server,
        } => show::crashes(&format!("sidekick ctl crashes {server} NUMBER"), answer),
        Command::Streams => show::streams(answer),
        Command::Read { stream, .. } => show::records(stream, answer),
        Command::State {
            key: None, scope, ..
        } => show::state(scope, answer),
        Command::State {
            key: Some(key),
            history: true,
            ..
        } => show::history(key, answer),
        Command::Sink {
            command: SinkCommand::List,
        } => show::sinks(answer),
        Command::Sink {
            command: SinkCommand::Init { .. },
        } => show::initialized(answer),
        Command::Sink { command } => match command {
            SinkCommand::Drain { .. } => show::drained(answer),
            SinkCommand::Dead { sink } => {
                show::dead_letters(&format!("sidekick ctl sink redrive {sink}"), answer)
            }
            SinkCommand::Retry {
                accept_loss: true, ..
            } => show::given_up(answer),
            SinkCommand::Redrive { .. } => show::settled("offered again", answer),
            SinkCommand::Discard { .. } => show::settled("discarded", answer),
            _ => show::done(answer),
        },
        Command::Status { server: Some(_) } | Command::Info => show::fields(answer),
        Command::Crashes {
            number: Some(_), ..
        } => show::crash(answer),
        Command::State { key: Some(_), .. } => show::document(answer),
        _ => show::done(answer),
    }
}
