//! The messages of a game. `docs/PROTOCOL.md` documents them; this is the one place in Rust that knows their fields.

use crate::godot::variant::{self, Variant};
use crate::ports::Beat;
use crate::types::{BatchNumber, Epoch};
use bytes::Bytes;
use std::time::Duration;

/// Version of the protocol; the first field a `hello` is judged by.
pub const PROTOCOL: u64 = 1;

/// A message lacks a field, or a field has the wrong type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("message {kind:?}: field {field:?} is missing or of the wrong type")]
pub struct Malformed {
    pub kind: String,
    pub field: &'static str,
}

/// First message of a game.
#[derive(Debug, Clone, PartialEq)]
pub struct Hello {
    pub protocol: u64,
    pub server: String,
    pub token: String,
    /// The epoch it was told earlier; 0 at the first connection of a process.
    pub epoch: Epoch,
    pub os_pid: u32,
    pub engine: String,
    /// It plays already and wants no state.
    pub resumed: bool,
}

/// One tick's worth. Values are still the bytes of `var_to_bytes`.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    pub number: BatchNumber,
    pub events: Vec<(String, Bytes)>,
    pub put: Vec<(String, Bytes)>,
    pub delete: Vec<String>,
}

/// What a game sends.
#[derive(Debug, Clone, PartialEq)]
pub enum FromGame {
    Hello(Hello),
    Playing {
        tick: u64,
    },
    Ready,
    Batch(Batch),
    Beat(Beat),
    Send {
        name: String,
        node: String,
        value: Bytes,
    },
    Call {
        id: i64,
        name: String,
        node: String,
        value: Bytes,
        timeout: Duration,
    },
    Reply {
        id: u64,
        outcome: Result<Bytes, String>,
    },
    Drained,
}

/// Reads fields of one message.
struct Fields<'a> {
    kind: &'a str,
    message: &'a Variant,
}

impl<'a> Fields<'a> {
    fn get<T>(
        &self,
        field: &'static str,
        read: impl Fn(&'a Variant) -> Option<T>,
    ) -> Result<T, Malformed> {
        let fault = || Malformed {
            kind: self.kind.to_owned(),
            field,
        };
        self.message.get(field).and_then(read).ok_or_else(fault)
    }

    fn or<T>(
        &self,
        field: &'static str,
        default: T,
        read: impl Fn(&'a Variant) -> Option<T>,
    ) -> Result<T, Malformed> {
        match self.message.get(field) {
            None => Ok(default),
            Some(_) => self.get(field, read),
        }
    }

    fn text(&self, field: &'static str) -> Result<String, Malformed> {
        self.get(field, |v| v.as_str().map(str::to_owned))
    }

    fn number(&self, field: &'static str) -> Result<u64, Malformed> {
        self.get(field, Variant::as_u64)
    }

    /// A flat array `[name, bytes, name, bytes, …]`.
    fn pairs(&self, field: &'static str) -> Result<Vec<(String, Bytes)>, Malformed> {
        self.or(field, Vec::new(), |v| {
            let flat = v.as_array()?;
            let pair = |pair: &[Variant]| Some((pair[0].as_str()?.to_owned(), bytes(&pair[1])?));
            let whole = flat.len() % 2 == 0;
            whole.then(|| flat.chunks_exact(2).map(pair).collect())?
        })
    }
}

fn bytes(value: &Variant) -> Option<Bytes> {
    match value {
        Variant::Bytes(bytes) => Some(bytes.clone()),
        _ => None,
    }
}

impl FromGame {
    /// Reads a message. `Ok(None)`: a type this version does not know, to be ignored.
    pub fn read(message: &Variant) -> Result<Option<Self>, Malformed> {
        let fields = Fields { kind: "?", message };
        let kind = fields.get("type", Variant::as_str)?;
        let fields = Fields { kind, message };
        Ok(Some(match kind {
            "hello" => Self::Hello(Hello::read(&fields)?),
            "playing" => Self::Playing {
                tick: fields.or("tick", 0, Variant::as_u64)?,
            },
            "ready" => Self::Ready,
            "batch" => Self::Batch(Batch::read(&fields)?),
            "beat" => Self::Beat(beat(&fields)?),
            "send" => Self::Send {
                name: fields.text("name")?,
                node: fields.text("node")?,
                value: fields.get("value", bytes)?,
            },
            "call" => Self::Call {
                id: fields.get("id", Variant::as_int)?,
                name: fields.text("name")?,
                node: fields.text("node")?,
                value: fields.get("value", bytes)?,
                timeout: Duration::from_millis(fields.number("timeout_ms")?.min(3_600_000)),
            },
            "reply" => Self::Reply {
                id: fields.number("id")?,
                outcome: match message.get("error") {
                    Some(_) => Err(fields.text("error")?),
                    None => Ok(fields.get("value", bytes)?),
                },
            },
            "drained" => Self::Drained,
            _ => return Ok(None),
        }))
    }
}

impl Hello {
    fn read(fields: &Fields) -> Result<Self, Malformed> {
        Ok(Self {
            protocol: fields.number("protocol")?,
            server: fields.text("server")?,
            token: fields.text("token")?,
            epoch: fields.or("epoch", 0, Variant::as_u64)?,
            os_pid: fields.get("os_pid", |v| v.as_u64().and_then(|n| u32::try_from(n).ok()))?,
            engine: fields.text("engine")?,
            resumed: fields.or("resumed", false, Variant::as_bool)?,
        })
    }
}

impl Batch {
    fn read(fields: &Fields) -> Result<Self, Malformed> {
        Ok(Self {
            number: fields.number("batch")?,
            events: fields.pairs("events")?,
            put: fields.pairs("put")?,
            delete: fields.or("delete", Vec::new(), |v| {
                v.as_array()?
                    .iter()
                    .map(|key| Some(key.as_str()?.to_owned()))
                    .collect()
            })?,
        })
    }
}

fn beat(fields: &Fields) -> Result<Beat, Malformed> {
    let finite = |v: &Variant| v.as_f64().filter(|n| n.is_finite());
    Ok(Beat {
        tick: fields.or("tick", 0, Variant::as_u64)?,
        frame_ms: fields.or("frame_ms", 0.0, finite)?,
        frame_ms_max: fields.or("frame_ms_max", 0.0, finite)?,
        physics_ms: fields.or("physics_ms", 0.0, finite)?,
        tick_lag_ms: fields.or("tick_lag_ms", 0.0, finite)?,
        players: fields.or("players", None, |v| v.as_u64().map(Some))?,
        memory_bytes: fields.or("memory_bytes", 0, Variant::as_u64)?,
        in_flight: fields.or("in_flight", 0, Variant::as_u64)?,
        busy_ms: fields
            .or("busy_ms", 0, Variant::as_u64)?
            .min(24 * 3_600_000),
    })
}

/// A value out of a message, as it was given to `var_to_bytes`.
pub fn value(bytes: Bytes) -> Result<Variant, variant::DecodeError> {
    variant::decode(bytes)
}
