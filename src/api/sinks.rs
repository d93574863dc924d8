//! Requests about sinks: how they fare, their dead letters, drains.

use crate::api::{ApiError, Parts, Request};
use crate::etf::{self, Term};
use crate::types::{SinkName, StreamName};
use crate::upload::{
    DeadLetter, DrainReport, InitError, RemovedSink, SinkError, SinkEvent, SinkEventKind,
    SinkStatus,
};
use std::time::Duration;

/// Longest drain.
const DRAIN_MS_MAX: u64 = 3_600_000;
/// Streams, and scopes, that one report tells: those that are missing first.
const TOLD_MAX: usize = 1_000;

/// Handles the requests about sinks; others are given back.
pub async fn handle(parts: &Parts, request: Request) -> Result<Result<Term, ApiError>, Request> {
    Ok(match request {
        Request::Sinks => Ok(list(parts).await),
        Request::InitSink { sink, sql } => init(parts, &sink, sql).await,
        Request::DrainSinks { timeout_ms } => {
            let done = drain(parts, None, timeout_ms).await;
            done.map(|_| Term::atom("ok"))
        }
        Request::DrainSink { sink, timeout_ms } => drain(parts, sink.as_ref(), timeout_ms).await,
        Request::RetrySink(sink, true) => {
            let loss = parts.upload.accept_loss(&sink).await;
            let told = loss.map(|loss| {
                Term::map([
                    ("stream", Term::Binary(loss.stream.to_bytes())),
                    ("from", Term::int(loss.from)),
                    ("to", Term::int(loss.to)),
                ])
            });
            told.map_err(|error| failed(error, &sink))
        }
        Request::RetrySink(sink, false) => {
            let done = parts.upload.retry(&sink).await;
            done.map(|()| Term::atom("ok"))
                .map_err(|error| failed(error, &sink))
        }
        Request::ForgetSink(sink) => {
            let done = parts.upload.forget(&sink).await;
            done.map(|()| Term::atom("ok"))
                .map_err(|error| failed(error, &sink))
        }
        Request::DeadLetters(sink) => {
            let letters = parts.upload.dead(&sink).await;
            let told = |letters: Vec<_>| letters.iter().map(dead_letter).collect::<Vec<_>>();
            letters
                .map(|letters| Term::list(told(letters)))
                .map_err(|error| failed(error, &sink))
        }
        Request::RedriveDead(sink, number) => {
            settled(&sink, parts.upload.redrive(&sink, number).await)
        }
        Request::DiscardDead(sink, number) => {
            settled(&sink, parts.upload.discard(&sink, number).await)
        }
        other => return Err(other),
    })
}

/// The sinks and how far each is.
pub async fn list(parts: &Parts) -> Term {
    parts.upload.look_at_ages().await;
    list_now(parts)
}

/// The same without what has to be read for it: the age of the lag is as it was found within the last seconds.
pub fn list_now(parts: &Parts) -> Term {
    let status = parts.upload.status();
    let sinks = status.iter().map(|sink| {
        let scopes = parts.upload.lag_scopes(&sink.name);
        let age_ms = match (sink.lag_records, scopes) {
            (0, 0) => 0,
            _ => parts.upload.lag_age_ms(&sink.name),
        };
        let mut fields = fields(sink);
        fields.push(("lag_scopes", Term::int(scopes)));
        fields.push(("lag_age_ms", Term::int(age_ms)));
        Term::map(fields)
    });
    let gone = parts.upload.removed().into_iter();
    let gone = gone.map(|sink| removed(&sink, parts.upload.lag_age_ms(&sink.name)));
    Term::list(sinks.chain(gone).collect::<Vec<_>>())
}

/// One that the configuration no longer has.
fn removed(sink: &RemovedSink, age_ms: u64) -> Term {
    let error = format!(
        "the configuration does not have it, and what it lacks is kept: put it back, or give it up by  sidekick ctl sink forget {}",
        sink.name
    );
    Term::map([
        ("name", Term::Binary(sink.name.to_bytes())),
        ("state", Term::atom("removed")),
        ("lag_records", Term::int(sink.lag_records)),
        ("lag_bytes", Term::int(sink.lag_bytes)),
        ("lag_age_ms", Term::int(age_ms)),
        ("kind", Term::nil()),
        ("node", Term::nil()),
        ("store", Term::nil()),
        ("breaker", Term::nil()),
        ("lag_scopes", Term::int(0)),
        ("acknowledged", Term::int(0)),
        ("dead_letters", Term::int(0)),
        ("dead_bytes", Term::int(0)),
        ("refused_scopes", Term::list([])),
        ("error", Term::text(&error)),
    ])
}

fn fields(sink: &SinkStatus) -> Vec<(&'static str, Term)> {
    let text = |text: &Option<String>| text.as_deref().map_or_else(Term::nil, Term::text);
    let breaker = Term::map([
        ("state", Term::atom(sink.breaker.as_str())),
        ("since_ms", Term::int(sink.breaker_since_ms)),
        ("failures", Term::int(sink.failures)),
    ]);
    let refused = sink.refused_scopes.iter().map(|refused| {
        Term::map([
            ("scope", Term::Binary(refused.scope.to_bytes())),
            ("error", Term::text(&refused.error)),
            ("attempts", Term::int(refused.attempts)),
        ])
    });
    let refused = Term::list(refused.collect::<Vec<_>>());
    vec![
        ("name", Term::Binary(sink.name.to_bytes())),
        ("kind", Term::atom(sink.kind)),
        ("state", Term::atom(sink.state.as_str())),
        (
            "node",
            sink.node.as_deref().map_or_else(Term::nil, Term::atom),
        ),
        ("lag_records", Term::int(sink.lag_records)),
        ("lag_bytes", Term::int(sink.lag_bytes)),
        ("acknowledged", Term::int(sink.acknowledged)),
        ("breaker", breaker),
        ("dead_letters", Term::int(sink.dead_letters)),
        ("dead_bytes", Term::int(sink.dead_bytes)),
        ("refused_scopes", refused),
        ("store", text(&sink.store)),
        ("error", text(&sink.error)),
    ]
}

/// Makes the tables of a sink, or tells the statements that would.
async fn init(parts: &Parts, sink: &SinkName, sql: bool) -> Result<Term, ApiError> {
    if sql {
        let sql = parts
            .upload
            .schema_sql(sink)
            .map_err(|error| init_error(error, sink))?;
        return Ok(Term::map([("sql", Term::text(&sql))]));
    }
    let done = parts
        .upload
        .init(sink)
        .await
        .map_err(|error| init_error(error, sink))?;
    let tables = done.tables.iter().map(|(name, made)| {
        let done = if *made { "created" } else { "checked" };
        Term::map([("name", Term::text(name)), ("done", Term::atom(done))])
    });
    Ok(Term::map([
        ("sink", Term::Binary(sink.to_bytes())),
        ("store", Term::text(&done.store)),
        ("tables", Term::list(tables.collect::<Vec<_>>())),
    ]))
}

// By value, for `map_err`.
#[allow(clippy::needless_pass_by_value)]
fn init_error(error: InitError, sink: &SinkName) -> ApiError {
    match error {
        InitError::UnknownSink => no_sink(sink),
        InitError::NoTables => ApiError::refused(
            "no_tables",
            vec![("what", Term::atom("sink"))],
            error.to_string(),
        ),
        InitError::Unfit { .. } => ApiError::refused("unfit_table", vec![], error.to_string()),
        error => ApiError::refused("database", vec![], error.to_string()),
    }
}

async fn drain(parts: &Parts, sink: Option<&SinkName>, timeout_ms: u64) -> Result<Term, ApiError> {
    let deadline = Duration::from_millis(timeout_ms.min(DRAIN_MS_MAX));
    let reports = match sink {
        Some(sink) => vec![
            parts
                .upload
                .drain_one(sink, deadline)
                .await
                .map_err(|error| failed(error, sink))?,
        ],
        None => parts.upload.drain_all(deadline).await,
    };
    let told = Term::list(reports.iter().map(report).collect::<Vec<_>>());
    if reports.iter().all(|report| report.stored) {
        return Ok(Term::map([("sinks", told)]));
    }
    let missing: Vec<_> = reports.iter().filter_map(DrainReport::missing).collect();
    let (facts, detail) = (vec![("sinks", told)], missing.join("; "));
    Err(ApiError::refused("not_drained", facts, detail))
}

fn report(report: &DrainReport) -> Term {
    let mut streams: Vec<_> = report.streams.iter().collect();
    streams.sort_by_key(|stream| stream.stored);
    let streams = streams.into_iter().take(TOLD_MAX).map(|stream| {
        let watermark = stream.watermark.map_or_else(Term::nil, Term::int);
        Term::map([
            ("stream", Term::Binary(stream.stream.to_bytes())),
            ("last", Term::int(stream.last)),
            ("watermark", watermark),
            ("stored", Term::bool(stream.stored)),
        ])
    });
    let mut scopes: Vec<_> = report.scopes.iter().collect();
    scopes.sort_by_key(|scope| scope.stored);
    let scopes = scopes.into_iter().take(TOLD_MAX).map(|scope| {
        Term::map([
            ("scope", Term::Binary(scope.scope.to_bytes())),
            ("rev", Term::int(scope.rev)),
            ("stored", Term::bool(scope.stored)),
        ])
    });
    let error = report.error.as_deref();
    Term::map([
        ("sink", Term::Binary(report.sink.to_bytes())),
        ("stored", Term::bool(report.stored)),
        ("streams", Term::list(streams.collect::<Vec<_>>())),
        ("scopes", Term::list(scopes.collect::<Vec<_>>())),
        ("error", error.map_or_else(Term::nil, Term::text)),
    ])
}

fn dead_letter(letter: &DeadLetter) -> Term {
    let payload = etf::decode(letter.payload.clone()).unwrap_or_else(|_| Term::nil());
    let from = letter.redriven_from;
    Term::map([
        ("number", Term::int(letter.number)),
        ("stream", Term::Binary(letter.stream.to_bytes())),
        ("seq", Term::int(letter.seq)),
        ("at_ms", Term::int(letter.at_ms)),
        ("payload", payload),
        ("error", Term::text(&letter.error)),
        ("attempts", Term::int(letter.attempts)),
        ("dead_ms", Term::int(letter.dead_ms)),
        ("redriven_from", from.map_or_else(Term::nil, Term::int)),
    ])
}

fn settled(
    sink: &SinkName,
    done: Result<Vec<(u64, StreamName, u64)>, SinkError>,
) -> Result<Term, ApiError> {
    let letters =
        done.map_err(|error| failed(error, sink))?
            .into_iter()
            .map(|(number, stream, seq)| {
                Term::map([
                    ("number", Term::int(number)),
                    ("stream", Term::Binary(stream.to_bytes())),
                    ("seq", Term::int(seq)),
                ])
            });
    let letters: Vec<_> = letters.collect();
    Ok(Term::map([
        ("count", Term::int(letters.len() as u64)),
        ("letters", Term::list(letters)),
    ]))
}

/// No sink of this name runs.
fn no_sink(name: &SinkName) -> ApiError {
    ApiError::NotFound {
        what: "sink",
        name: name.to_string(),
        detail: String::new(),
    }
}

// By value, for `map_err`.
#[allow(clippy::needless_pass_by_value)]
fn failed(error: SinkError, sink: &SinkName) -> ApiError {
    let what = |what| vec![("what", Term::atom(what))];
    match error {
        SinkError::Unknown => no_sink(sink),
        SinkError::NoLetter => {
            ApiError::refused("not_found", what("dead_letter"), error.to_string())
        }
        SinkError::NoLoss(_) => ApiError::refused("no_loss", vec![], error.to_string()),
        SinkError::InUse(_) => ApiError::refused("in_use", what("sink"), error.to_string()),
        SinkError::Stopped => ApiError::refused("stopped", vec![], error.to_string()),
        error => ApiError::refused("incomplete", vec![], error.to_string()),
    }
}

/// Type and fields of what happened to a sink.
pub fn event(event: &SinkEvent) -> (&'static str, Vec<(&'static str, Term)>) {
    let text = |text: &Option<String>| text.as_deref().map_or_else(Term::nil, Term::text);
    let (kind, mut fields) = match &event.kind {
        SinkEventKind::State { state, error } => (
            "state",
            vec![
                ("state", Term::atom(state.as_str())),
                ("error", text(error)),
            ],
        ),
        SinkEventKind::Breaker {
            state,
            failures,
            error,
        } => (
            "breaker",
            vec![
                ("state", Term::atom(state.as_str())),
                ("failures", Term::int(*failures)),
                ("error", text(error)),
            ],
        ),
        SinkEventKind::Dead {
            number,
            stream,
            seq,
            error,
        } => (
            "dead",
            vec![
                ("number", Term::int(*number)),
                ("stream", Term::Binary(stream.to_bytes())),
                ("record_seq", Term::int(*seq)),
                ("error", Term::text(error)),
            ],
        ),
        SinkEventKind::StateRefused {
            scope,
            error,
            attempts,
        } => (
            "state_refused",
            vec![
                ("scope", Term::Binary(scope.to_bytes())),
                ("error", Term::text(error)),
                ("attempts", Term::int(*attempts)),
            ],
        ),
        SinkEventKind::StateTaken { scope } => (
            "state_taken",
            vec![("scope", Term::Binary(scope.to_bytes()))],
        ),
        SinkEventKind::Redriven { letters } => ("redriven", vec![("letters", Term::int(*letters))]),
        SinkEventKind::Discarded { letters } => {
            ("discarded", vec![("letters", Term::int(*letters))])
        }
    };
    fields.push(("sink", Term::Binary(event.sink.to_bytes())));
    (kind, fields)
}
