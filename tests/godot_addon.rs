//! Promise: the addon keeps, orders and bounds what is not acknowledged, and stays out of the way without sidekick.
#![allow(clippy::unwrap_used)]

#[path = "support/godot.rs"]
mod godot;

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
    let said = || godot::output(dir.path());
    godot::until(said, || {
        assert!(child.try_wait().unwrap().is_none(), "it ended: {}", said());
        said().contains("tick=60 ").then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let said = godot::output(dir.path());
    assert_eq!(said.matches("not started by sidekick").count(), 1, "{said}");
    assert!(!said.contains("ERROR"), "{said}");
}
