//! The messages to a game, as frames. `docs/PROTOCOL.md` documents them; this is the one place in Rust that knows their fields.

use super::from_game::PROTOCOL;
use crate::godot::frame::frame;
use crate::godot::variant::Variant;
use crate::types::{BatchNumber, Epoch, Sequence, UnixMillis};
use bytes::Bytes;
use std::time::Duration;

/// What the welcome tells.
#[derive(Debug, Clone, Default)]
pub struct Welcome {
    pub epoch: Epoch,
    /// Last committed batch of this epoch: the game goes on with the next.
    pub batch: BatchNumber,
    /// The last commit of any epoch; 0, 0 where there is none.
    pub last: (Epoch, BatchNumber),
    /// State and tail follow, closed by `restored`.
    pub restore: bool,
    pub tail_cut: bool,
    pub window_batches: usize,
    pub window_bytes: usize,
    pub batch_bytes: usize,
}

fn int(number: u64) -> Variant {
    Variant::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

impl Welcome {
    /// The frame.
    pub fn frame(&self) -> Bytes {
        frame(&Variant::record([
            ("type", Variant::text("welcome")),
            ("protocol", int(PROTOCOL)),
            ("epoch", int(self.epoch)),
            ("batch", int(self.batch)),
            ("last_epoch", int(self.last.0)),
            ("last_batch", int(self.last.1)),
            ("restore", Variant::Bool(self.restore)),
            ("tail_cut", Variant::Bool(self.tail_cut)),
            ("window_batches", int(self.window_batches as u64)),
            ("window_bytes", int(self.window_bytes as u64)),
            ("batch_bytes", int(self.batch_bytes as u64)),
        ]))
    }
}

/// Part of the state: `[key, value, …]`.
pub fn state(flat: Vec<Variant>) -> Bytes {
    frame(&Variant::record([
        ("type", Variant::text("state")),
        ("entries", Variant::array(flat)),
    ]))
}

/// One event of the tail as the game gets it.
pub fn tail_event(stream: String, seq: Sequence, at_ms: UnixMillis, value: Variant) -> Variant {
    Variant::array(vec![Variant::text(stream), int(seq), int(at_ms), value])
}

/// Part of the tail: an array of [`tail_event`]s.
pub fn tail(events: Vec<Variant>) -> Bytes {
    frame(&Variant::record([
        ("type", Variant::text("tail")),
        ("events", Variant::array(events)),
    ]))
}

/// State and tail are complete.
pub fn restored() -> Bytes {
    frame(&Variant::record([("type", Variant::text("restored"))]))
}

/// Every batch up to this one is on disk.
pub fn ack(batch: BatchNumber) -> Bytes {
    frame(&Variant::record([
        ("type", Variant::text("ack")),
        ("batch", int(batch)),
    ]))
}

/// Items of a batch that could not be kept: `(list, index, what)`.
pub fn rejected(batch: BatchNumber, items: &[(&'static str, usize, String)]) -> Bytes {
    let item = |(list, index, what): &(&'static str, usize, String)| {
        Variant::array(vec![
            Variant::text(*list),
            int(*index as u64),
            Variant::text(what.clone()),
        ])
    };
    frame(&Variant::record([
        ("type", Variant::text("rejected")),
        ("batch", int(batch)),
        ("items", Variant::array(items.iter().map(item).collect())),
    ]))
}

/// The session does not begin, or ends. With `retry` the game may come again later.
pub fn refused(code: &str, message: &str, retry: bool) -> Bytes {
    frame(&Variant::record([
        ("type", Variant::text("refused")),
        ("code", Variant::text(code)),
        ("message", Variant::text(message)),
        ("retry", Variant::Bool(retry)),
    ]))
}

/// The buffer is full, or no longer.
pub fn full(full: bool) -> Bytes {
    frame(&Variant::record([
        ("type", Variant::text("full")),
        ("full", Variant::Bool(full)),
    ]))
}

/// The game is to finish within the deadline.
pub fn drain(deadline: Duration) -> Bytes {
    frame(&Variant::record([
        ("type", Variant::text("drain")),
        ("deadline_ms", int(deadline.as_millis() as u64)),
    ]))
}

/// A call for the script's handler.
pub fn call(id: u64, value: Variant) -> Bytes {
    frame(&Variant::record([
        ("type", Variant::text("call")),
        ("id", int(id)),
        ("value", value),
    ]))
}

/// A plain message.
pub fn message(value: Variant) -> Bytes {
    frame(&Variant::record([
        ("type", Variant::text("message")),
        ("value", value),
    ]))
}

/// The outcome of the game's own call.
pub fn answer(id: i64, outcome: Result<Variant, (&str, String)>) -> Bytes {
    let kind = ("type", Variant::text("answer"));
    let id = ("id", Variant::Int(id));
    frame(&match outcome {
        Ok(value) => Variant::record([kind, id, ("value", value)]),
        Err((code, text)) => Variant::record([
            kind,
            id,
            ("error", Variant::text(code)),
            ("message", Variant::text(text)),
        ]),
    })
}
