//! Promise: the addon keeps, orders and bounds what is not acknowledged, and stays out of the way without sidekick.

#[path = "support/godot.rs"]
mod godot;

use std::time::{Duration, Instant};

#[test]
fn the_addons_parts_hold_their_promises() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = godot::command(&godot::repository("godot/tests"), dir.path());
    let status = command.args(["-s", "res://addon.gd"]).status().unwrap();
    let said = godot::output(dir.path());
    assert!(
        status.success() && said.contains("failures=0"),
        "{status}: {said}"
    );
    assert!(
        !said.contains("SCRIPT ERROR") && !said.contains("checks=0"),
        "{said}"
    );
}

#[test]
fn without_sidekick_the_demo_plays_and_warns_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = godot::command(&godot::repository("godot/demo"), dir.path())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while !godot::output(dir.path()).contains("tick=60 ") {
        let running = child.try_wait().unwrap().is_none();
        let patient = started.elapsed() < Duration::from_secs(20);
        assert!(running && patient, "{}", godot::output(dir.path()));
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let said = godot::output(dir.path());
    assert_eq!(said.matches("not started by sidekick").count(), 1, "{said}");
    assert!(!said.contains("ERROR"), "{said}");
}
