//! Any bytes may come after the handshake.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/support/strangers.rs"]
mod strangers;

fuzz_target!(|data: &[u8]| {
    strangers::run(strangers::frames(data));
});
