//! The protocol of a `beam` sink: requests to `Elixir.Sidekick.Ingest`, and its answers.

use super::outcome::{Failure, Outcome, StateOutcome, StoreId};
use crate::buffer::{Record, StateDelta};
use crate::etf::Term;
use crate::node::CallError;
use crate::types::{Origin, Payload, Scope, Sequence, StreamName};

/// The name under which the sink's process is registered.
pub(super) const INGEST: &str = "Elixir.Sidekick.Ingest";

/// An upload of records, or (without any) of nothing but dropped ranges.
pub(super) struct Upload<'a> {
    pub(super) origin: Origin,
    pub(super) node: &'a str,
    pub(super) stream: &'a StreamName,
    pub(super) after: Sequence,
    pub(super) last: Sequence,
    pub(super) dropped: Vec<(Sequence, Sequence)>,
    pub(super) records: Vec<Record>,
}

/// `{upload, #{..}}`
pub(super) fn upload(upload: Upload<'_>) -> Term {
    let first = upload
        .records
        .first()
        .map_or(upload.after + 1, |record| record.seq);
    let dropped = upload
        .dropped
        .into_iter()
        .map(|(from, to)| Term::tuple([Term::int(from), Term::int(to)]));
    let records = upload.records.into_iter().map(|record| {
        Term::map([
            ("seq", Term::int(record.seq)),
            ("at_ms", Term::int(record.at_ms)),
            ("payload", verbatim(&record.payload)),
        ])
    });
    Term::tuple([
        Term::atom("upload"),
        Term::map([
            ("origin", Term::text(&upload.origin.to_string())),
            ("node", Term::atom(upload.node)),
            ("stream", Term::binary(upload.stream.to_bytes())),
            ("after", Term::int(upload.after)),
            ("first", Term::int(first)),
            ("last", Term::int(upload.last)),
            ("dropped", Term::list(dropped.collect::<Vec<_>>())),
            ("records", Term::list(records.collect::<Vec<_>>())),
        ]),
    ])
}

/// `{watermark, Origin, Stream}`
pub(super) fn watermark(origin: Origin, stream: &StreamName) -> Term {
    Term::tuple([
        Term::atom("watermark"),
        Term::text(&origin.to_string()),
        Term::binary(stream.to_bytes()),
    ])
}

/// `{upload_state, #{..}}`
pub(super) fn upload_state(origin: Origin, scope: &Scope, delta: &StateDelta) -> Term {
    let put = delta
        .put
        .iter()
        .map(|(key, value)| (Term::binary(key.to_bytes()), verbatim(value)));
    let delete = delta.delete.iter().map(|key| Term::binary(key.to_bytes()));
    Term::tuple([
        Term::atom("upload_state"),
        Term::map([
            ("origin", Term::text(&origin.to_string())),
            ("scope", Term::binary(scope.to_bytes())),
            ("epoch", Term::int(delta.epoch)),
            ("after", Term::int(delta.after)),
            ("rev", Term::int(delta.rev)),
            ("put", Term::Map(put.collect())),
            ("delete", Term::list(delete.collect::<Vec<_>>())),
        ]),
    ])
}

/// A journalled term inside another without decoding it: the encoder writes these bytes as they are.
fn verbatim(payload: &Payload) -> Term {
    debug_assert_eq!(payload.first(), Some(&131), "payloads are external terms");
    Term::Fun(payload.slice(1..))
}

/// The answer to an upload or to a question for the watermark.
pub(super) fn outcome(reply: Result<Term, CallError>) -> Outcome {
    match sort(reply) {
        Sorted::Ok(store, value) => match value.map_get("watermark").and_then(Term::as_u64) {
            Some(watermark) => Outcome::Stored { store, watermark },
            None => Outcome::Failed(odd(&value)),
        },
        Sorted::Error(code, details) => match details.map_get("watermark").and_then(Term::as_u64) {
            Some(watermark) if code == "gap" => Outcome::Gap {
                store: None,
                watermark,
            },
            _ => Outcome::Failed(failure(&code, &details)),
        },
        Sorted::Failed(failure) => Outcome::Failed(failure),
    }
}

/// The answer to a state upload whose changes started from revision `after`.
pub(super) fn state_outcome(after: u64, reply: Result<Term, CallError>) -> StateOutcome {
    match sort(reply) {
        Sorted::Ok(store, value) => match value.map_get("rev").and_then(Term::as_u64) {
            Some(rev) => StateOutcome::Stored { store, rev },
            None => StateOutcome::Failed(odd(&value)),
        },
        Sorted::Error(code, details) => {
            let number = |key| details.map_get(key).and_then(Term::as_u64);
            match (code.as_str(), number("rev"), number("epoch")) {
                ("gap", Some(rev), _) => StateOutcome::Gap { after, rev },
                ("stale_epoch", _, Some(stored)) => StateOutcome::StaleEpoch { stored },
                _ => StateOutcome::Failed(failure(&code, &details)),
            }
        }
        Sorted::Failed(failure) => StateOutcome::Failed(failure),
    }
}

enum Sorted {
    Ok(StoreId, Term),
    Error(String, Term),
    Failed(Failure),
}

fn sort(reply: Result<Term, CallError>) -> Sorted {
    let reply = match reply {
        Ok(reply) => reply,
        Err(error) => return Sorted::Failed(unanswered(&error)),
    };
    match reply.as_tuple() {
        Some([ok, value]) if ok.is_atom("ok") => {
            match value.map_get("store").and_then(Term::as_binary) {
                Some(store) => Sorted::Ok(store.clone(), value.clone()),
                None => Sorted::Failed(odd(&reply)),
            }
        }
        Some([error, Term::Tuple(reason)]) if error.is_atom("error") => match reason.as_slice() {
            [Term::Atom(code), details] => Sorted::Error(code.as_str().to_owned(), details.clone()),
            _ => Sorted::Failed(odd(&reply)),
        },
        _ => Sorted::Failed(odd(&reply)),
    }
}

fn unanswered(error: &CallError) -> Failure {
    match error {
        CallError::NoProc => Failure::NotDone(format!("no process {INGEST} runs there")),
        CallError::Timeout => Failure::Late(error.to_string()),
        error => Failure::Unknown(error.to_string()),
    }
}

fn failure(code: &str, details: &Term) -> Failure {
    match code {
        "busy" => Failure::NotDone("the sink is busy".to_owned()),
        "bad_request" | "too_large" | "refused" => Failure::Refused(format!("{code} {details}")),
        _ => Failure::Unknown(format!("{code} {details}")),
    }
}

/// An answer of another form, perhaps of another version: the bound keeps a large one out of the logs.
fn odd(reply: &Term) -> Failure {
    let text: String = reply.to_string().chars().take(200).collect();
    Failure::Unknown(format!("an answer of unknown form: {text}"))
}
