//! Journal → a game that begins: its state and the tail of its log.

use super::live::Live;
use super::messages;
use crate::buffer::Restored;
use crate::etf;
use crate::godot::Variant;
use crate::godot::term_to_variant;
use crate::types::Payload;
use bytes::Bytes;

/// Restore goes out in pieces of about this many journal bytes.
const PIECE_BYTES: usize = 256 << 10;

/// State, tail and the closing `restored`, in pieces. Stops early where the session ends.
pub async fn send(live: &Live, restored: Restored) {
    let mut piece = Vec::new();
    let mut bytes = 0;
    for (key, payload) in restored.state {
        bytes += payload.len();
        if let Some(value) = readable(live, &payload, &key) {
            piece.extend([Variant::text(key.to_string()), value]);
        }
        if bytes >= PIECE_BYTES {
            push(live, messages::state(std::mem::take(&mut piece))).await;
            bytes = 0;
        }
    }
    push(live, messages::state(std::mem::take(&mut piece))).await;
    bytes = 0;
    for event in restored.tail {
        bytes += event.payload.len();
        if let Some(value) = readable(live, &event.payload, &event.stream) {
            let stream = event.stream.to_string();
            piece.push(messages::tail_event(stream, event.seq, event.at_ms, value));
        }
        if bytes >= PIECE_BYTES {
            push(live, messages::tail(std::mem::take(&mut piece))).await;
            bytes = 0;
        }
    }
    push(live, messages::tail(piece)).await;
    push(live, messages::restored()).await;
}

async fn push(live: &Live, frame: Bytes) {
    tokio::select! {
        _ = live.out.send(frame) => {}
        () = live.ending.cancelled() => {}
    }
}

/// The Variant of a stored term. Only a foreign producer can have stored one that has none.
fn readable(live: &Live, payload: &Payload, of: &impl std::fmt::Display) -> Option<Variant> {
    let term = etf::decode(payload.clone()).map_err(|error| error.to_string());
    let value = term.and_then(|term| term_to_variant(&term).map_err(|e| e.to_string()));
    match value {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!(server = %live.server, %of, error, "a stored value cannot be given to the game");
            None
        }
    }
}
