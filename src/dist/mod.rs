//! Erlang distribution: port mapper (client and server), handshake, framing, control messages.
//!
//! The port mapper's client and the handshake are `erl_dist`'s; the rest is ours, because its channel wants a
//! clonable stream, makes three reads and writes per message and knows no bound on a frame.
//!
//! We announce neither fragments nor an atom cache, so a peer sends whole pass-through frames:
//! a length of four bytes, 112, a control message, and for some of them a payload. Length 0 is a tick.
//!
//! Architecture Invariants: reading and writing are never awaited in the same task; every queue has a bound;
//! nothing that has not passed the handshake holds more than one handshake's frames for longer than [`handshake::TIMEOUT`].

pub mod control;
mod drain;
pub mod epmd;
mod fast;
pub mod frames;
pub(crate) mod gate;
mod greeting;
pub mod handshake;
pub mod link;
mod name;
mod outbox;
mod pace;
mod stream;
pub mod tls;

pub use name::{Cookie, InvalidNodeName, NodeName};
pub use outbox::Outbox;
pub use stream::{Fresh, Stream};
