//! The Godot link: Variant codec, Variant ⇄ term mapping, frames, and the session server.
//!
//! A running game connects over a Unix socket (or TCP on loopback), shows its token, is given its last committed state
//! and the tail of its log, and then sends one batch of events and state changes per tick. Each batch is committed to
//! the buffer and acknowledged only once it is on disk. `docs/PROTOCOL.md` holds every message and both mapping tables.
//!
//! Architecture Invariant: nothing that a game sends may make this module panic, recurse without bound or allocate more
//! than a small multiple of the bytes received; and the socket is always drained, so that a game never blocks on us.

mod error;
pub mod frame;
pub mod mapping;
mod session;
pub mod variant;

pub use error::{Path, Step};
pub use mapping::{MapError, message_to_term, term_to_variant, variant_to_term};
pub use session::{
    ScriptError, SessionError, SessionLimits, SessionOptions, SessionStatus, Sessions,
};
pub use variant::{DecodeError, Precision, Variant, decode, encode};
