//! A packed part lacks nothing but its hole.

use super::*;
use rustix::fs::{FallocateFlags, fallocate};

#[test]
fn a_part_is_packed_without_its_hole_and_says_so() {
    let dir = tempfile::tempdir().expect("tempdir");
    let log = dir.path().join("x.log");
    let lines: Vec<String> = (0..20_000).map(|n| format!("line {n}\n")).collect();
    let text = lines.concat();
    fs::write(&log, &text).expect("writes");
    let file = OpenOptions::new().write(true).open(&log).expect("opens");
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(&file, flags, 0, 64 << 10).expect("a hole");
    let target = dir.path().join("x.log.00000001.gz");
    let work = Work {
        log: log.clone(),
        source: log.clone(),
        start: 0,
        end: None,
        target: target.clone(),
    };
    pack(&work).expect("packs");
    assert!(!log.exists() && !unfinished(&log).exists());
    let unpacked = String::from_utf8(unpack_tail(&target, 1 << 20).expect("reads")).expect("text");
    let (note, rest) = unpacked.split_once('\n').expect("lines");
    assert_eq!(note, "[sidekick: 65536 bytes were not kept]");
    assert_eq!(rest, &text[64 << 10..]);
    assert_eq!(unpack_tail(&target, 6).expect("reads"), b"19999\n");
}
