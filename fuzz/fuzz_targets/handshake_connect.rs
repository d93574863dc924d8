//! Any bytes may come from whom we connect to; nobody is believed without the cookie.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/support/strangers.rs"]
mod strangers;

use strangers::{Side, Stranger};

fuzz_target!(|data: &[u8]| {
    let stranger = Stranger {
        what: String::new(),
        side: Side::Connect,
        says: data.to_vec(),
    };
    assert!(strangers::run(stranger.meet()).is_err());
});
