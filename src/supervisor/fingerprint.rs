//! Recognising the same crash again: pure.
//!
//! A fingerprint is made of what stays the same when the same thing goes wrong once more: why it ended and where. Where a script was
//! running its innermost frames say where, with file and line; only where none was do the frames of the engine count: by
//! function without numbers, or by the place in the file where no symbol is known. Addresses never do. Times, process ids and the texts of log lines never count.

use super::frames::Frame;
use super::output::Output;
use super::status::EndReason;

/// Innermost frames of a script that count. Deeper ones tell how it came there, which differs from case to case.
const SCRIPT_FRAMES: usize = 3;
/// Innermost frames of the engine that count.
const ENGINE_FRAMES: usize = 8;

/// FNV-1a over bytes, as 16 hexadecimal digits. Stable over versions and machines; not made against an adversary.
pub fn hash(bytes: &[u8]) -> String {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

/// The fingerprint of an end.
pub fn of(reason: &EndReason, decision: Option<&str>, output: &Output) -> String {
    let mut parts = vec![match decision {
        Some(decision @ ("hang" | "start_timeout")) => decision.to_owned(),
        _ => reason.to_string(),
    }];
    // An error that a script printed long ago has a backtrace too; only where the engine died in it does it say where.
    let died_in_script = output.signal.is_some() || matches!(reason, EndReason::ExitStatus(_));
    if died_in_script && !output.script_frames.is_empty() {
        let frames = output.script_frames.iter().take(SCRIPT_FRAMES);
        parts.extend(frames.map(script));
    } else if !output.engine_frames.is_empty() {
        let frames = output.engine_frames.iter().take(ENGINE_FRAMES);
        parts.extend(frames.map(engine));
    } else {
        parts.extend(
            output
                .parse_errors
                .first()
                .map(|error| without_numbers(error)),
        );
    }
    hash(parts.join("\n").as_bytes())
}

fn script(frame: &Frame) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let line = frame.line.unwrap_or(0);
    format!("{} {}:{line}", text(&frame.function), text(&frame.file))
}

fn engine(frame: &Frame) -> String {
    // The same library stands in another directory on another machine.
    let module = frame.module.as_deref().unwrap_or_default();
    let module = module.rsplit('/').next().unwrap_or_default();
    match (&frame.function, frame.offset) {
        (Some(function), _) => without_numbers(&format!("{module} {function}")),
        // Engines without symbols are what players get: then the place in the file is all there is to tell crashes apart.
        (None, Some(offset)) => format!("{module} +{offset:x}"),
        (None, None) => module.to_owned(),
    }
}

/// Every number, hexadecimal ones too, becomes `#`.
fn without_numbers(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let digits = match rest.strip_prefix("0x") {
            Some(hex) => 2 + hex.bytes().take_while(u8::is_ascii_hexdigit).count(),
            None => rest.bytes().take_while(u8::is_ascii_digit).count(),
        };
        if digits > 0 {
            kept.push('#');
            rest = &rest[digits..];
        } else {
            kept.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::super::output;
    use super::*;
    use proptest::prelude::*;

    /// What Godot prints, with everything in it that differs from one time to the next.
    fn crash(address: u64, pid: u32, base: &str, offset: u32, line: u32) -> String {
        format!(
            "[{pid}] a line of the game at {address}\n\
             handle_crash: Program crashed with signal 11\n\
             [1] {base}/libc.so.6(+0x{offset:x}) [0x{address:x}] (??:0)\n\
             [2] {base}/godot(main+0x{:x}) [0x{:x}] (??:0)\n\
             -- END OF C++ BACKTRACE --\n\
             GDScript backtrace (most recent call first):\n    \
             [0] spin (res://main.gd:{line})\n    \
             [1] _process (res://main.gd:5)\n\
             -- END OF GDSCRIPT BACKTRACE --\n",
            address & 0xfff,
            address.wrapping_add(77)
        )
    }

    fn engine_only(text: &str) -> Output {
        let end = text.find("GDScript backtrace").expect("stands there");
        output::read(text[..end].lines())
    }

    fn segv() -> EndReason {
        EndReason::Signal("sigsegv".into())
    }

    proptest! {
        #[test]
        fn addresses_pids_and_directories_do_not_count(
            one in any::<(u64, u32)>(), other in any::<(u64, u32)>(), line in 1u32..100_000,
            base in "/[a-z0-9/]{0,20}",
        ) {
            let first = crash(one.0, one.1, "/usr/lib", 77, line);
            let second = crash(other.0, other.1, &base, 77, line);
            let read = |text: &str| output::read(text.lines());
            prop_assert_eq!(of(&segv(), None, &read(&first)), of(&segv(), None, &read(&second)));
            prop_assert_eq!(
                of(&segv(), None, &engine_only(&first)),
                of(&segv(), None, &engine_only(&second))
            );
            let elsewhere = crash(other.0, other.1, &base, 78, line);
            prop_assert_ne!(of(&segv(), None, &engine_only(&first)), of(&segv(), None, &engine_only(&elsewhere)));
            prop_assert_eq!(of(&segv(), None, &read(&first)), of(&segv(), None, &read(&elsewhere)));
        }

        #[test]
        fn other_lines_reasons_and_decisions_count(a in 1u32..100_000, b in 1u32..100_000) {
            prop_assume!(a != b);
            let [first, second] = [a, b].map(|line| output::read(crash(1, 1, "/usr", 77, line).lines()));
            let one = of(&segv(), None, &first);
            prop_assert_ne!(&one, &of(&segv(), None, &second));
            prop_assert_ne!(&one, &of(&EndReason::Signal("sigabrt".into()), None, &first));
            prop_assert_ne!(&one, &of(&EndReason::Hang, Some("hang"), &first));
            let hang = of(&EndReason::Hang, Some("hang"), &first);
            prop_assert_ne!(hang, of(&EndReason::Hang, Some("start_timeout"), &first));
        }

        #[test]
        fn any_text_loses_its_numbers_and_nothing_else(text in "\\PC{0,40}") {
            let kept = without_numbers(&text);
            prop_assert!(!kept.bytes().any(|byte| byte.is_ascii_digit()));
            let letters = |text: &str| text.chars().filter(|c| !c.is_ascii_hexdigit() && !"x#".contains(*c)).collect::<String>();
            prop_assert_eq!(letters(&kept), letters(&text));
        }
    }

    #[test]
    fn an_old_script_error_says_nothing_of_a_kill() {
        let error = |line| {
            let text = format!(
                "SCRIPT ERROR: Invalid call.\nGDScript backtrace (most recent call first):\n    [0] f (res://a.gd:{line})\n"
            );
            output::read(text.lines())
        };
        let killed = EndReason::Signal("sigkill".into());
        assert_eq!(of(&killed, None, &error(1)), of(&killed, None, &error(2)));
        let quit = EndReason::ExitStatus(1);
        assert_ne!(of(&quit, None, &error(1)), of(&quit, None, &error(2)));
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(hash(b""), "cbf29ce484222325");
        assert_eq!(hash(b"foobar"), "85944171f73967e8");
    }
}
