//! Promise: whoever dies, however and whenever, the game comes back where it was acknowledged, and nothing is left over.
//!
//! Each row is a real sidekick with a real Godot in a directory of its own. `SIDEKICK_FAULTS=PART` plays the rows whose name
//! contains it; `SIDEKICK_FAULTS_FULL=1` the whole product (`scripts/torture faults`).

#![allow(clippy::unwrap_used)]

#[path = "support/godot.rs"]
#[allow(dead_code, reason = "shared with tests that start Godot themselves")]
mod godot;
#[path = "matrix/play.rs"]
mod play;
#[path = "matrix/points.rs"]
mod points;
#[path = "matrix/row.rs"]
mod row;
#[path = "matrix/rows.rs"]
mod rows;
#[path = "support/source.rs"]
mod source;
#[path = "matrix/stage.rs"]
mod stage;
#[path = "support/sidekick.rs"]
mod support;
#[path = "support/witness.rs"]
mod witness;

use row::Row;
use sidekick::etf::Term;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;
use witness::Line;

/// Rows that are played at a time: half of what they do is waiting.
const SIDE_BY_SIDE: usize = 2;

fn rows() -> Vec<Row> {
    let mut rows = rows::game_dies();
    rows.extend(rows::game_hangs());
    rows.extend(rows::ours_die());
    rows.extend(points::killed());
    if std::env::var_os("SIDEKICK_FAULTS_FULL").is_some() {
        rows.extend(points::product());
    }
    if let Ok(part) = std::env::var("SIDEKICK_FAULTS") {
        rows.retain(|row| row.name.contains(&part));
    }
    rows
}

#[test]
fn every_row_holds() {
    let rows = rows();
    assert!(!rows.is_empty(), "SIDEKICK_FAULTS names no row");
    let (next, failures) = (Mutex::new(rows.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                loop {
                    let row = next.lock().unwrap().next();
                    let Some(row) = row else { break };
                    let begun = Instant::now();
                    let outcome = play::play(row);
                    let seconds = begun.elapsed().as_secs_f64();
                    println!(
                        "{:>5.1} s  {}  {}",
                        seconds,
                        row.name,
                        if outcome.is_ok() { "holds" } else { "FAILS" }
                    );
                    if let Err(error) = outcome {
                        failures
                            .lock()
                            .unwrap()
                            .push(format!("{}: {error}", row.name));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "{} of {} rows:\n\n{}",
        failures.len(),
        rows.len(),
        failures.join("\n\n")
    );
}

/// A judge that lets everything pass would make every row hold.
#[test]
fn the_judge_sees_what_is_wrong() {
    let tick = |tick: u64, hash: &str| {
        Term::map([
            ("kind", Term::text("tick")),
            ("id", Term::text(&format!("7-{tick}-0"))),
            ("tick", Term::int(tick)),
            ("hash", Term::text(hash)),
        ])
    };
    let line = |text: &str| witness::line(text);
    let acked = line("acked epoch=1 batch=2 tick=2 hash=b ids=7-2-0");
    let whole = [tick(1, "a"), tick(2, "b"), tick(3, "c")];
    let restored = |tick: u64, hash: &str, verified: bool| {
        line(&format!(
            "restored tick={tick} hash={hash} epoch=2 verified={verified}"
        ))
    };
    let judge = |told: &[Line], events: &[Term]| witness::judge(told, events).map(drop);
    let told = |restore| [acked.clone(), restore];
    assert_eq!(judge(&told(restored(2, "b", true)), &whole), Ok(()));
    assert_eq!(judge(&told(restored(3, "c", true)), &whole), Ok(()));
    assert!(
        judge(&told(restored(1, "a", true)), &whole).is_err(),
        "older than acknowledged"
    );
    assert!(
        judge(&told(restored(2, "x", true)), &whole).is_err(),
        "another world"
    );
    assert!(
        judge(&told(restored(2, "b", false)), &whole).is_err(),
        "not verified"
    );
    assert!(
        judge(std::slice::from_ref(&acked), &whole[..1]).is_err(),
        "acknowledged and lost"
    );
    assert!(judge(&[], &[tick(1, "a"), tick(1, "a")]).is_err(), "twice");
    assert!(
        judge(&[], &[tick(1, "a"), tick(3, "c")]).is_err(),
        "a tick is missing"
    );
}

/// A new point without a row would be a hole in the matrix, a row without its point would wait in vain.
#[test]
fn every_failpoint_has_its_row() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut passed = BTreeSet::new();
    for source in source::below(root, &["src"], &["rs"]) {
        let named = source.text.split("failpoints::hit(\"").skip(1);
        passed.extend(named.map(|rest| rest.split('"').next().unwrap().to_owned()));
    }
    let listed = points::POINTS.iter().map(|(point, ..)| (*point).to_owned());
    assert_eq!(passed, listed.collect());
}
