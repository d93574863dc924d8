//! What a real Godot 4.6.3 (without symbols) printed when it was made to crash, hang, abort and fail (`tests/fixtures/probe`).

use super::{Output, read};
use crate::supervisor::fingerprint;
use crate::supervisor::status::EndReason;

const CRASH: &str = include_str!("../../../tests/golden/godot/crash.txt");
const HANG: &str = include_str!("../../../tests/golden/godot/hang.txt");
const SEGV: &str = include_str!("../../../tests/golden/godot/segv.txt");
const ABORT: &str = include_str!("../../../tests/golden/godot/abort.txt");
const ERROR: &str = include_str!("../../../tests/golden/godot/error.txt");

fn of(text: &str) -> Output {
    read(text.lines())
}

fn script(output: &Output) -> Vec<(&str, &str, u32)> {
    let frames = output.script_frames.iter();
    frames
        .map(|frame| {
            let text = |text: &'static str, of: &Option<String>| {
                of.clone().map_or(text, |of| Box::leak(of.into_boxed_str()))
            };
            let line = frame.line.unwrap_or(0);
            (text("", &frame.function), text("", &frame.file), line)
        })
        .collect()
}

#[test]
fn a_crash_in_a_script() {
    let output = of(CRASH);
    assert_eq!(output.signal, Some(4), "OS.crash is an illegal instruction");
    assert_eq!(script(&output), [("_process", "res://main.gd", 19)]);
    assert_eq!(output.script_line.as_deref(), Some("res://main.gd:19"));
}

#[test]
fn a_hang_that_was_ended_by_a_signal() {
    let output = of(HANG);
    assert_eq!(output.signal, Some(11));
    assert!(
        output
            .engine
            .as_deref()
            .is_some_and(|engine| engine.starts_with("4.6.3.stable"))
    );
    let expected = [
        ("spin", "res://main.gd", 25),
        ("_process", "res://main.gd", 13),
    ];
    assert_eq!(script(&output), expected);
    assert_eq!(output.engine_frames.len(), 20);
    let frame = &output.engine_frames[16];
    assert_eq!(frame.function.as_deref(), Some("main"));
    assert_eq!(frame.module.as_deref(), Some("/opt/godot/usr/bin/godot"));
    let inner = &output.engine_frames[0];
    assert_eq!(
        (inner.function.as_deref(), inner.offset),
        (None, Some(0x0004_06b0))
    );
}

#[test]
fn a_signal_from_outside_while_no_script_ran() {
    let output = of(SEGV);
    assert_eq!(output.signal, Some(11));
    assert!(output.script_frames.is_empty() && !output.engine_frames.is_empty());
}

#[test]
fn an_abort_is_not_caught_by_the_engine() {
    let output = of(ABORT);
    assert_eq!((output.signal, output.engine_frames.len()), (None, 0));
}

#[test]
fn an_error_of_a_script_is_no_crash() {
    let output = of(ERROR);
    assert_eq!(output.signal, None);
    assert_eq!(output.script_line.as_deref(), Some("res://main.gd:34"));
}

#[test]
fn they_are_all_told_apart() {
    let signal = |name: &str| EndReason::Signal(name.to_owned());
    let mut prints: Vec<_> = [
        (signal("sigill"), None, CRASH),
        (EndReason::Hang, Some("hang"), HANG),
        (signal("sigsegv"), None, HANG),
        (signal("sigsegv"), None, SEGV),
        (signal("sigabrt"), None, ABORT),
        (EndReason::ExitStatus(1), None, ERROR),
    ]
    .iter()
    .map(|(reason, decision, text)| fingerprint::of(reason, *decision, &of(text)))
    .collect();
    prints.sort();
    prints.dedup();
    assert_eq!(prints.len(), 6);
}
