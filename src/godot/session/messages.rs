//! The session protocol's messages under one name.

pub use super::from_game::{Batch, FromGame, Hello, PROTOCOL, value};
pub use super::to_game::{
    Welcome, ack, answer, call, drain, full, message, refused, rejected, restored, state, tail,
    tail_event,
};
