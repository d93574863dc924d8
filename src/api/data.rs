//! Requests about streams and state.

use crate::api::{ApiError, Parts, Request, events, reply};
use crate::buffer::{AppendError, Change, Producer, ReadError};
use crate::etf::{self, Term};
use crate::godot;
use crate::types::{Key, Payload, Scope, Sequence, StreamName};

/// Bytes of payload in one reply of `read`.
const READ_BYTES: usize = 16 << 20;

/// Handles the data requests; the others never come here.
pub async fn handle(parts: &Parts, request: Request) -> Result<Term, ApiError> {
    match request {
        Request::Append {
            stream,
            payloads,
            producer,
        } => {
            let payloads = payloads.iter().map(etf::encode).collect();
            let producer = producer.map(|(name, batch)| Producer { name, batch });
            let done = parts
                .buffer
                .append(&stream, payloads, producer)
                .await
                .map_err(append_error)?;
            Ok(Term::map([
                ("first", Term::int(done.first)),
                ("last", Term::int(done.last)),
            ]))
        }
        Request::Read {
            stream,
            from,
            limit,
        } => read(parts, &stream, from, limit).await,
        Request::Streams => {
            let mut streams = Vec::new();
            for info in parts.buffer.streams() {
                streams.push(reply::stream(&info, &parts.upload.lags(&info).await));
            }
            Ok(Term::list(streams))
        }
        Request::Stream(name) => {
            let info = parts.buffer.stream(&name).ok_or_else(|| no_stream(&name))?;
            Ok(reply::stream(&info, &parts.upload.lags(&info).await))
        }
        Request::PutState(scope, key, term) => {
            check_for_game(parts, &scope, &term)?;
            change(parts, &scope, Change::Put(key, etf::encode(&term))).await
        }
        Request::DeleteState(scope, key) => change(parts, &scope, Change::Delete(key)).await,
        Request::GetState(scope, key) => value(parts, &scope, &key).await,
        Request::State(scope) => {
            let pairs = parts.buffer.state(&scope).await.map_err(read_error)?;
            let pairs = pairs
                .into_iter()
                .map(|(key, value)| Ok((Term::Binary(key.to_bytes()), term(value)?)));
            Ok(Term::Map(pairs.collect::<Result<_, ApiError>>()?))
        }
        Request::StateHistory(scope, key) => history(parts, &scope, &key).await,
        other => Err(ApiError::UnknownRequest(format!("{other:?}"))),
    }
}

async fn read(
    parts: &Parts,
    stream: &StreamName,
    from: Sequence,
    limit: usize,
) -> Result<Term, ApiError> {
    let records = parts
        .buffer
        .read(stream, from.max(1), limit, READ_BYTES)
        .await
        .map_err(read_error)?;
    Ok(Term::list(
        records
            .iter()
            .filter_map(events::record)
            .collect::<Vec<_>>(),
    ))
}

/// A key's value and its earlier ones, newest first.
async fn history(parts: &Parts, scope: &Scope, key: &Key) -> Result<Term, ApiError> {
    let history = parts.buffer.history(scope, key).await;
    let revisions = history.map_err(read_error)?.into_iter().map(|past| {
        let what = match past.value {
            Some(value) => ("value", term(value)?),
            None => ("deleted", Term::bool(true)),
        };
        Ok(Term::map([("rev", Term::int(past.rev)), what]))
    });
    let revisions = revisions.collect::<Result<Vec<_>, ApiError>>()?;
    Ok(Term::list(revisions))
}

async fn value(parts: &Parts, scope: &Scope, key: &Key) -> Result<Term, ApiError> {
    let value = parts.buffer.get_state(scope, key).await;
    let value = value.map_err(read_error)?.map(term).transpose()?;
    value.ok_or_else(|| no_key(scope, key))
}

async fn change(parts: &Parts, scope: &Scope, change: Change) -> Result<Term, ApiError> {
    parts
        .buffer
        .change(scope, vec![change])
        .await
        .map_err(append_error)?;
    Ok(Term::atom("ok"))
}

/// The state of a game's scope is read by the game, so it has to be a Variant.
fn check_for_game(parts: &Parts, scope: &Scope, term: &Term) -> Result<(), ApiError> {
    let game = parts
        .supervisor
        .servers()
        .iter()
        .any(|server| server.id.scope() == *scope);
    if !game {
        return Ok(());
    }
    godot::term_to_variant(term).map(|_| ()).map_err(|error| {
        let path = Term::text(&error.path.to_string());
        ApiError::refused("unsupported_term", vec![("path", path)], "")
    })
}

fn term(payload: Payload) -> Result<Term, ApiError> {
    etf::decode(payload).map_err(|error| ApiError::refused("corrupt", vec![], error.to_string()))
}

fn no_stream(name: &StreamName) -> ApiError {
    ApiError::NotFound {
        what: "stream",
        name: name.to_string(),
        detail: String::new(),
    }
}

fn no_key(scope: &Scope, key: &Key) -> ApiError {
    ApiError::NotFound {
        what: "key",
        name: key.to_string(),
        detail: format!("in scope {scope}"),
    }
}

fn append_error(error: AppendError) -> ApiError {
    let text = error.to_string();
    match error {
        AppendError::StaleEpoch { current } => {
            ApiError::refused("stale_epoch", vec![("current", Term::int(current))], text)
        }
        AppendError::BatchGap { expected } => {
            ApiError::refused("batch_gap", vec![("expected", Term::int(expected))], text)
        }
        AppendError::BatchTooOld { last } => {
            ApiError::refused("batch_too_old", vec![("last", Term::int(last))], text)
        }
        AppendError::Full => ApiError::refused("full", vec![], text),
        AppendError::TooLarge { bytes, limit } => ApiError::refused(
            "too_large",
            vec![
                ("bytes", Term::int(bytes)),
                ("limit_bytes", Term::int(limit)),
            ],
            text,
        ),
        AppendError::UnknownSink => {
            ApiError::refused("not_found", vec![("what", Term::atom("sink"))], text)
        }
        AppendError::UnknownStream(name) => no_stream(&name),
        AppendError::Stopped(_) => ApiError::refused("stopped", vec![], text),
        _ => ApiError::refused("refused", vec![], text),
    }
}

fn read_error(error: ReadError) -> ApiError {
    let text = error.to_string();
    match error {
        ReadError::UnknownStream(name) => no_stream(&name),
        ReadError::Corrupt { .. } => ApiError::refused("corrupt", vec![], text),
        ReadError::Stopped(_) => ApiError::refused("stopped", vec![], text),
        _ => ApiError::refused("io", vec![], text),
    }
}
