//! What is tried with any bytes: the bodies of `fuzz/fuzz_targets`, which `scripts/fuzz` runs for long, and which
//! `hostile_found` runs over what was found so.

#![allow(dead_code, clippy::unwrap_used)]

#[allow(
    clippy::duplicate_mod,
    reason = "each part of the support stands alone"
)]
#[path = "strangers.rs"]
mod strangers;

use bytes::Bytes;
use sidekick::dist::control::Control;
use sidekick::godot::{Precision, decode, encode, variant_to_term};
use sidekick::{etf, node::gen_call};
use strangers::{Side, Stranger, run};

/// Tries these bytes; panics where something does not hold.
pub type Target = fn(&[u8]);

/// By name.
pub const ALL: [(&str, Target); 8] = [
    ("etf_decode", etf_decode),
    ("control", control),
    ("frame", frame),
    ("handshake_accept", handshake_accept),
    ("handshake_connect", handshake_connect),
    ("epmd_client", epmd_client),
    ("epmd_server", epmd_server),
    ("variant_decode", variant_decode),
];

/// Whatever decodes, encodes to what decodes to the same; and it can be shown.
pub fn etf_decode(data: &[u8]) {
    if let Ok(term) = etf::decode(Bytes::copy_from_slice(data)) {
        let again = etf::encode(&term);
        let back = etf::decode(again.clone()).expect("what we write, we read");
        assert_eq!(etf::encode(&back), again);
        let _ = term.to_string();
    }
}

/// Any term may come as a control message.
pub fn control(data: &[u8]) {
    if let Ok(term) = etf::decode(Bytes::copy_from_slice(data)) {
        let _ = Control::parse(term.clone());
        let _ = gen_call::parse(term);
    }
}

/// Any bytes may come after the handshake.
pub fn frame(data: &[u8]) {
    run(strangers::frames(data));
}

/// Any bytes may come from who connects; nobody comes in without the cookie.
pub fn handshake_accept(data: &[u8]) {
    assert!(meet(Side::Accept, data).is_err());
}

/// Any bytes may come from whom we connect to; nobody is believed without the cookie.
pub fn handshake_connect(data: &[u8]) {
    assert!(meet(Side::Connect, data).is_err());
}

/// Any bytes may come from what listens where a port mapper should; some are a proper answer.
pub fn epmd_client(data: &[u8]) {
    for side in [Side::Lookup, Side::Register] {
        let _ = meet(side, data);
    }
}

/// Any bytes may come to the port mapper that we serve; it goes on serving.
pub fn epmd_server(data: &[u8]) {
    run(strangers::ask_port_mapper(data));
}

/// Any bytes may come from a game.
pub fn variant_decode(data: &[u8]) {
    if let Ok(value) = decode(Bytes::copy_from_slice(data)) {
        let again = encode(&value, Precision::Double);
        let back = decode(again.clone()).expect("what we write, we read");
        assert_eq!(encode(&back, Precision::Double), again);
        if let Ok(term) = variant_to_term(&value) {
            etf::decode(etf::encode(&term)).expect("what is journalled can be read");
        }
    }
}

fn meet(side: Side, data: &[u8]) -> Result<(), String> {
    let stranger = Stranger {
        what: String::new(),
        side,
        says: Bytes::copy_from_slice(data),
    };
    run(stranger.meet())
}
