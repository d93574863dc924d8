//! What Godot prints when it dies or cannot load, made into facts.
//!
//! ```text
//! handle_crash: Program crashed with signal 11
//! Engine version: Godot Engine v4.6.3.stable...
//! [1] /lib/libc.so.6(+0x406b0) [0x7f58] (??:0)
//! -- END OF C++ BACKTRACE --
//! GDScript backtrace (most recent call first):
//!     [0] spin (res://main.gd:9)
//! -- END OF GDSCRIPT BACKTRACE --
//! ```

use super::frames::{self, Frame};
use serde::Serialize;

/// Frames of a backtrace that are kept.
const FRAMES_MAX: usize = 128;
/// Lines about what could not be loaded that are kept.
const PARSE_ERRORS_MAX: usize = 16;

/// What the last words of an engine say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Output {
    /// The signal its crash handler saw (the handler then aborts, so the wait status says another).
    pub signal: Option<i32>,
    /// Version line of the engine.
    pub engine: Option<String>,
    /// Frames of the engine, innermost first, as printed.
    pub engine_backtrace: Vec<String>,
    /// Frames of the script, innermost first, as printed.
    pub script_backtrace: Vec<String>,
    /// The same, taken apart.
    pub engine_frames: Vec<Frame>,
    /// The same, taken apart.
    pub script_frames: Vec<Frame>,
    /// Where the innermost script frame is: `res://main.gd:9`.
    pub script_line: Option<String>,
    /// Messages about scripts that do not parse, each with its place.
    pub parse_errors: Vec<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Other,
    Engine,
    Script,
}

/// Reads the lines of one process, the oldest first.
pub fn read<'a>(lines: impl IntoIterator<Item = &'a str>) -> Output {
    let mut output = Output::default();
    let mut part = Part::Other;
    let mut place_wanted = false;
    for line in lines {
        let text = line.trim();
        if let Some(signal) = text
            .split_once("crashed with signal ")
            .map(|(_, rest)| rest)
        {
            let digits: String = signal.chars().take_while(char::is_ascii_digit).collect();
            output.signal = digits.parse().ok();
            output.engine_backtrace.clear();
            // That of an error that was printed before says nothing of the crash.
            output.script_backtrace.clear();
            part = Part::Engine;
        } else if text.starts_with("-- END OF") {
            part = Part::Other;
        } else if text.starts_with("GDScript backtrace (most recent call first)") {
            output.script_backtrace.clear();
            part = Part::Script;
        } else if let Some(frame) = frame(text).filter(|_| part != Part::Other) {
            keep(&mut output, part, frame);
        } else if part == Part::Script && !text.is_empty() {
            part = Part::Other;
        }
        if let Some(version) = version(text) {
            output.engine = Some(version.to_owned());
        }
        place_wanted = parse_error(&mut output, text, place_wanted);
    }
    let engine = output.engine_backtrace.iter();
    output.engine_frames = engine.map(|frame| frames::engine(frame)).collect();
    let script = output.script_backtrace.iter();
    output.script_frames = script.map(|frame| frames::script(frame)).collect();
    output.script_line = output
        .script_backtrace
        .first()
        .and_then(|frame| place(frame));
    output
}

fn keep(output: &mut Output, part: Part, frame: &str) {
    let frames = match part {
        Part::Script => &mut output.script_backtrace,
        _ => &mut output.engine_backtrace,
    };
    if frames.len() < FRAMES_MAX {
        frames.push(frame.to_owned());
    }
}

/// `[12] rest` gives `rest`.
fn frame(text: &str) -> Option<&str> {
    let (number, rest) = text.strip_prefix('[')?.split_once("] ")?;
    number.parse::<u32>().ok().map(|_| rest)
}

/// `spin (res://main.gd:9)` gives `res://main.gd:9`.
fn place(frame: &str) -> Option<String> {
    let (_, place) = frame.rsplit_once('(')?;
    Some(place.strip_suffix(')')?.to_owned())
}

fn version(text: &str) -> Option<&str> {
    let text = text.strip_prefix("Engine version: ").unwrap_or(text);
    let version = text.strip_prefix("Godot Engine v")?;
    let version = version.split(" - ").next().unwrap_or(version);
    Some(version.trim())
}

/// Takes up a message about a script that does not load; says whether the next line may be its place.
fn parse_error(output: &mut Output, text: &str, place_wanted: bool) -> bool {
    if place_wanted && text.starts_with("at: ") {
        // The engine's own sources say nothing to the author of a script.
        if let Some(last) = output
            .parse_errors
            .last_mut()
            .filter(|_| text.contains("res://"))
        {
            last.push(' ');
            last.push_str(text);
        }
        return false;
    }
    let is_error = text.starts_with("SCRIPT ERROR: Parse Error")
        || text.starts_with("ERROR: Failed to load script")
        || text.starts_with("ERROR: Failed loading resource")
        || text.starts_with("Error: Couldn't load project data")
        || text.starts_with("Invalid project path specified");
    if is_error && output.parse_errors.len() < PARSE_ERRORS_MAX {
        output.parse_errors.push(text.to_owned());
    }
    is_error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_gives_signal_version_and_both_backtraces() {
        let text = "Godot Engine v4.6.3.stable.debian - https://godotengine.org\n\
            [12] a line of the game\n\
            ================\n\
            handle_crash: Program crashed with signal 11\n\
            Engine version: Godot Engine v4.6.3.stable.debian\n\
            Dumping the backtrace. Please include this when reporting the bug on: https://github.com\n\
            [1] /lib/libc.so.6(+0x406b0) [0x7f587864a6b0] (??:0)\n\
            [2] /usr/bin/godot(main+0x19f) [0x55d07054c02f] (main.cpp:7)\n\
            -- END OF C++ BACKTRACE --\n\
            ================\n\
            GDScript backtrace (most recent call first):\n    \
            [0] spin (res://main.gd:9)\n    \
            [1] _ready (res://main.gd:5)\n\
            -- END OF GDSCRIPT BACKTRACE --\n\
            [3] not a frame\n";
        let output = read(text.lines());
        assert_eq!(output.signal, Some(11));
        assert_eq!(output.engine.as_deref(), Some("4.6.3.stable.debian"));
        assert_eq!(output.engine_backtrace.len(), 2);
        assert_eq!(
            output.script_backtrace,
            ["spin (res://main.gd:9)", "_ready (res://main.gd:5)"]
        );
        assert_eq!(output.script_line.as_deref(), Some("res://main.gd:9"));
        assert!(output.parse_errors.is_empty());
    }

    #[test]
    fn a_script_error_with_a_backtrace_does_not_swallow_what_follows() {
        let text = "SCRIPT ERROR: Invalid call.\n   at: f (res://a.gd:3)\n   GDScript backtrace (most recent call first):\n       \
            [0] f (res://a.gd:3)\nordinary line\n[0] score\n";
        let output = read(text.lines());
        assert_eq!(output.script_backtrace, ["f (res://a.gd:3)"]);
        assert_eq!(output.signal, None);
    }

    #[test]
    fn parse_errors_are_named_with_their_place() {
        let text = "SCRIPT ERROR: Parse Error: Expected expression.\n          at: GDScript::reload (res://main.gd:7)\n\
            ERROR: Failed to load script \"res://main.gd\" with error \"Parse error\".\n   at: load (modules/gdscript/gdscript.cpp:2907)\n";
        let output = read(text.lines());
        assert_eq!(
            output.parse_errors,
            [
                "SCRIPT ERROR: Parse Error: Expected expression. at: GDScript::reload (res://main.gd:7)",
                "ERROR: Failed to load script \"res://main.gd\" with error \"Parse error\"."
            ]
        );
    }
}

#[cfg(test)]
mod golden_tests;
