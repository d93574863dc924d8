//! Any bytes may come to the port mapper that we serve; it goes on serving.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/support/strangers.rs"]
mod strangers;

fuzz_target!(|data: &[u8]| {
    strangers::run(strangers::ask_port_mapper(data));
});
