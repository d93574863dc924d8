//! Promise: every plain value of a script survives the way through sidekick, byte for byte, as a real Godot sees it.
#![allow(clippy::unwrap_used)]

#[path = "support/godot.rs"]
#[allow(dead_code, reason = "shared with tests/godot_session.rs")]
mod godot;

use bytes::{Buf, Bytes};
use sidekick::etf;
use sidekick::godot::frame::frame;
use sidekick::godot::variant::{self, Precision};
use sidekick::godot::{term_to_variant, variant_to_term};
use std::path::Path;

fn run(dir: &Path, arguments: &[&str]) {
    let mut command = godot::command(&godot::repository("godot/tests"), dir);
    command
        .args(["-s", "res://variants.gd", "--"])
        .args(arguments);
    let status = command.status().unwrap();
    let said = godot::output(dir);
    assert!(
        status.success() && said.contains("done failures=0"),
        "{status}: {said}"
    );
    assert!(!said.contains("SCRIPT ERROR"), "{said}");
}

fn frames(path: &Path) -> Vec<Bytes> {
    let mut bytes = Bytes::from(std::fs::read(path).unwrap());
    let mut frames = Vec::new();
    while bytes.has_remaining() {
        let length = bytes.get_u32_le() as usize;
        frames.push(bytes.split_to(length));
    }
    frames
}

#[test]
fn values_survive_both_ways_through_bytes_and_terms() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    run(dir.path(), &["write", path]);
    let written = frames(&dir.path().join("from_godot"));
    assert!(written.len() > 80, "only {} samples", written.len());
    let mut ours = Vec::new();
    for bytes in written {
        let value = variant::decode(bytes.clone()).unwrap();
        assert_eq!(
            variant::encode(&value, Precision::Single),
            bytes,
            "{value:?}"
        );
        let payload = etf::encode(&variant_to_term(&value).unwrap());
        let back = term_to_variant(&etf::decode(payload).unwrap()).unwrap();
        assert_eq!(
            variant::encode(&back, Precision::Single),
            bytes,
            "{value:?}"
        );
        ours.extend_from_slice(&frame(&back));
    }
    std::fs::write(dir.path().join("from_rust"), ours).unwrap();
    let golden = godot::repository("tests/golden/variant_double.hex");
    run(dir.path(), &["read", path, golden.to_str().unwrap()]);
}

#[test]
fn what_is_not_plain_is_refused_by_name_and_path() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &["write", dir.path().to_str().unwrap()]);
    let pairs = frames(&dir.path().join("refused"));
    assert_eq!(pairs.len(), 10);
    for pair in pairs.chunks(2) {
        let expected = variant::decode(pair[1].clone()).unwrap();
        let error = variant::decode(pair[0].clone()).unwrap_err().to_string();
        assert!(error.contains(expected.as_str().unwrap()), "{error}");
    }
}
