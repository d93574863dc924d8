//! Any term may come as a control message.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sidekick::dist::control::Control;
use sidekick::{etf, node::gen_call};

fuzz_target!(|data: &[u8]| {
    if let Ok(term) = etf::decode(Bytes::copy_from_slice(data)) {
        let _ = Control::parse(term.clone());
        let _ = gen_call::parse(term);
    }
});
