//! Terms as peers and journals hold them. What must hold is said in `targets`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/support/targets.rs"]
mod targets;

fuzz_target!(|data: &[u8]| targets::etf_decode(data));
