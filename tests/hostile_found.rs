//! What long runs of `scripts/fuzz` came upon: inputs that reach code which nothing recorded from OTP reaches, and, where a run
//! failed, the input that made it fail. Each must still hold, in every run of the tests.

#![allow(clippy::unwrap_used)]

#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/targets.rs"]
mod targets;

#[test]
fn what_fuzzing_found_holds() {
    for (target, holds) in targets::ALL {
        for (name, bytes) in corpus::read(&format!("found/{target}")) {
            println!("{target}: {name}");
            holds(&bytes);
        }
    }
}

/// Each target that is fuzzed is one of those above, so that none is fuzzed without being kept.
#[test]
fn every_target_is_here() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/fuzz_targets");
    let files = std::fs::read_dir(dir).unwrap();
    let file_name = |file: std::io::Result<std::fs::DirEntry>| file.unwrap().file_name();
    let mut fuzzed: Vec<_> = files.map(|f| file_name(f).into_string().unwrap()).collect();
    let mut known: Vec<_> = targets::ALL.map(|(name, _)| format!("{name}.rs")).to_vec();
    fuzzed.sort();
    known.sort();
    assert_eq!(fuzzed, known);
}
