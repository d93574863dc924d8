//! Any bytes may come from what listens where a port mapper should.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/support/strangers.rs"]
mod strangers;

use strangers::{Side, Stranger};

fuzz_target!(|data: &[u8]| {
    for side in [Side::Lookup, Side::Register] {
        let stranger = Stranger {
            what: String::new(),
            side,
            says: data.to_vec(),
        };
        let _ = strangers::run(stranger.meet());
    }
});
