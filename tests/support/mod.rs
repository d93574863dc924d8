//! What tests share. Each test file uses a part of it.

#![allow(dead_code, clippy::unwrap_used)]

pub mod sidekick;
pub mod source;
