//! Any bytes may come from a game.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sidekick::etf;
use sidekick::godot::{Precision, decode, encode, variant_to_term};

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = decode(Bytes::copy_from_slice(data)) {
        let again = encode(&value, Precision::Double);
        let back = decode(again.clone()).expect("what we write, we read");
        assert_eq!(encode(&back, Precision::Double), again);
        if let Ok(term) = variant_to_term(&value) {
            etf::decode(etf::encode(&term)).expect("what is journalled can be read");
        }
    }
});
