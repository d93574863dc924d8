//! A batch as the game sent it → a batch as the buffer takes it.

use super::live::Live;
use super::messages::{self, Batch};
use crate::buffer::{Change, SessionBatch};
use crate::etf::{self, Term};
use crate::godot::variant_to_term;
use crate::types::{BatchNumber, Key, Payload, ServerId, StreamName};
use bytes::Bytes;

/// One item of a batch that could not be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// `events`, `put`, `delete`, or `batch` for the whole.
    pub list: &'static str,
    /// Place in that list.
    pub index: usize,
    /// Why.
    pub what: String,
}

/// Converts a batch. An item that is not plain data is left out and listed, and a note of it goes to the stream
/// `<server>/rejected`: the rest of the tick must not be lost for it, nor the loss be silent.
pub fn session_batch(live: &Live, batch: Batch) -> (SessionBatch, Vec<Rejected>) {
    let mut rejected = Vec::new();
    let mut keep = |list, index, what: String| rejected.push(Rejected { list, index, what });
    let mut events = Vec::with_capacity(batch.events.len());
    for (index, (stream, value)) in batch.events.into_iter().enumerate() {
        match stream_name(stream).and_then(|stream| Ok((stream, payload(value)?))) {
            Ok(event) => events.push(event),
            Err(what) => keep("events", index, what),
        }
    }
    let mut changes = Vec::with_capacity(batch.put.len() + batch.delete.len());
    for (index, (name, value)) in batch.put.into_iter().enumerate() {
        match key(name).and_then(|key| Ok(Change::Put(key, payload(value)?))) {
            Ok(change) => changes.push(change),
            Err(what) => keep("put", index, what),
        }
    }
    for (index, name) in batch.delete.into_iter().enumerate() {
        match key(name) {
            Ok(key) => changes.push(Change::Delete(key)),
            Err(what) => keep("delete", index, what),
        }
    }
    if !rejected.is_empty() {
        events.extend(note(&live.server, batch.number, &rejected));
    }
    let scope = live.server.scope();
    let batch = SessionBatch {
        scope,
        epoch: live.epoch,
        batch: batch.number,
        events,
        changes,
    };
    (batch, rejected)
}

/// The event that notes what was left out.
pub fn note(
    server: &ServerId,
    batch: BatchNumber,
    rejected: &[Rejected],
) -> Option<(StreamName, Payload)> {
    let item = |item: &Rejected| {
        Term::map([
            ("list", Term::text(item.list)),
            ("index", Term::int(item.index as u64)),
            ("what", Term::text(&item.what)),
        ])
    };
    let items = rejected.iter().take(100).map(item).collect::<Vec<_>>();
    let term = Term::map([("batch", Term::int(batch)), ("items", Term::list(items))]);
    let stream = stream_name(format!("{server}/rejected")).ok()?;
    Some((stream, etf::encode(&term)))
}

fn stream_name(name: String) -> Result<StreamName, String> {
    StreamName::new(name).map_err(|error| error.to_string())
}

fn key(name: String) -> Result<Key, String> {
    Key::new(name).map_err(|error| error.to_string())
}

fn payload(value: Bytes) -> Result<Payload, String> {
    let value = messages::value(value).map_err(|error| error.to_string())?;
    let term = variant_to_term(&value).map_err(|error| error.to_string())?;
    Ok(etf::encode(&term))
}
