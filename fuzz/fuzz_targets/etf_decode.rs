//! Whatever decodes, encodes to what decodes to the same; and it can be shown.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sidekick::etf;

fuzz_target!(|data: &[u8]| {
    if let Ok(term) = etf::decode(Bytes::copy_from_slice(data)) {
        let again = etf::encode(&term);
        let back = etf::decode(again.clone()).expect("what we write, we read");
        assert_eq!(etf::encode(&back), again);
        let _ = term.to_string();
    }
});
