//! Frames after the handshake. What must hold is said in `targets`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/support/targets.rs"]
mod targets;

fuzz_target!(|data: &[u8]| targets::frame(data));
