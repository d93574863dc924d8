//! One crash bundle for people: what is read first comes first.

use super::values::{duration, harmless, plain, size, time};
use serde_json::Value;
use std::fmt::Write as _;

/// Frames, heartbeats and samples that are shown; `--json` has them all.
const SHOWN: usize = 16;
/// Lines of its output that are shown.
const LINES_SHOWN: usize = 40;

/// A whole bundle as text.
pub fn crash(bundle: &Value) -> String {
    let mut text = String::new();
    if let Some(why) = bundle["damaged"].as_str() {
        return format!(
            "crash {} is damaged: {}\n",
            plain(&bundle["number"]),
            harmless(why)
        );
    }
    head(&mut text, bundle);
    let output = &bundle["output"];
    frames(&mut text, "script backtrace", &output["script_backtrace"]);
    frames(&mut text, "engine backtrace", &output["engine_backtrace"]);
    frames(&mut text, "could not be loaded", &output["parse_errors"]);
    activity(&mut text, &bundle["activity"]);
    beats(&mut text, &bundle["beats"]);
    lacking(&mut text, &bundle["facts"]["not_uploaded"]);
    log(&mut text, &bundle["log"]);
    text
}

fn head(text: &mut String, bundle: &Value) {
    let mut line = |name: &str, value: String| {
        if value != "-" {
            let _ = writeln!(text, "{name:<12}  {value}");
        }
    };
    let (versions, binary) = (&bundle["versions"], &bundle["binary"]);
    let server = format!(
        "{}  crash {}",
        plain(&bundle["server"]),
        plain(&bundle["number"])
    );
    line("server", server);
    line("at", time(&bundle["at_ms"]));
    line("reason", plain(&bundle["reason"]));
    line("detail", plain(&bundle["detail"]));
    line("decision", plain(&bundle["decision"]));
    line("wait status", plain(&bundle["exit"]["end"]));
    line("fingerprint", seen(bundle));
    line("process", process(bundle));
    line("used", used(bundle));
    line("core dump", plain(&bundle["core_dump"]));
    line("engine", plain(&versions["engine"]));
    line("project", plain(&versions["project"]));
    let changed = time(&binary["modified_ms"]);
    if !binary.is_null() {
        let path = plain(&binary["path"]);
        line(
            "binary",
            format!("{path}  {}  changed {changed}", size(&binary["bytes"])),
        );
    }
    let (build, config) = (plain(&versions["build"]), plain(&versions["config"]));
    line(
        "sidekick",
        format!(
            "{}  build {build}  config {config}",
            plain(&versions["sidekick"])
        ),
    );
}

fn seen(bundle: &Value) -> String {
    let Some(fingerprint) = bundle["fingerprint"].as_str() else {
        return "-".to_owned();
    };
    let fingerprint = harmless(fingerprint);
    if bundle["count"] == 1 {
        return format!("{fingerprint}  seen for the first time");
    }
    let (count, first) = (plain(&bundle["count"]), time(&bundle["first_seen_ms"]));
    format!("{fingerprint}  seen {count} times by then, first at {first}")
}

fn process(bundle: &Value) -> String {
    let ran = duration(&bundle["figures"]["ran_ms"]);
    let away = if bundle["while_away"] == true {
        "  (ended while no sidekick ran)"
    } else {
        ""
    };
    format!(
        "{}  epoch {}  start {}  ran {ran}{away}",
        plain(&bundle["os_pid"]),
        plain(&bundle["epoch"]),
        plain(&bundle["start_number"])
    )
}

fn used(bundle: &Value) -> String {
    let usage = &bundle["exit"]["usage"];
    let most = match usage["max_rss_bytes"].as_u64() {
        Some(bytes) if bytes > 0 => size(&usage["max_rss_bytes"]),
        _ => size(&bundle["figures"]["rss_bytes_max"]),
    };
    format!(
        "{most} at most  CPU {} in user mode, {} in the kernel",
        duration(&usage["user_ms"]),
        duration(&usage["system_ms"])
    )
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn frames(text: &mut String, title: &str, frames: &Value) {
    let frames = items(frames);
    if frames.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}");
    for (number, frame) in frames.iter().take(SHOWN).enumerate() {
        let _ = writeln!(text, "  [{number}] {}", plain(frame));
    }
    more(text, frames.len(), SHOWN);
}

fn more(text: &mut String, there: usize, shown: usize) {
    if there > shown {
        let _ = writeln!(text, "  … {} more in --json", there - shown);
    }
}

fn activity(text: &mut String, activity: &Value) {
    if activity.is_null() {
        return;
    }
    let (kind, state) = (plain(&activity["kind"]), plain(&activity["state"]));
    let _ = writeln!(text, "\nwhile it was silent it was {kind} (state {state})");
    for thread in items(&activity["threads"]) {
        let _ = writeln!(
            text,
            "  {:>8}  {:<16}  {}  {} %",
            plain(&thread["tid"]),
            plain(&thread["name"]),
            plain(&thread["state"]),
            plain(&thread["cpu_percent"])
        );
    }
}

fn beats(text: &mut String, beats: &Value) {
    let beats = items(beats);
    if beats.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nlast heartbeats");
    for beat in &beats[beats.len().saturating_sub(SHOWN)..] {
        let ms = |name: &str| {
            beat[name]
                .as_f64()
                .map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"))
        };
        let _ = writeln!(
            text,
            "  {}  tick {}  frame {} (max {})  physics {}  lag {}  players {}  {}",
            time(&beat["at_ms"]),
            plain(&beat["tick"]),
            ms("frame_ms"),
            ms("frame_ms_max"),
            ms("physics_ms"),
            ms("tick_lag_ms"),
            plain(&beat["players"]),
            size(&beat["memory_bytes"])
        );
    }
}

fn lacking(text: &mut String, ranges: &Value) {
    let ranges = items(ranges);
    if ranges.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nnot uploaded then");
    for range in ranges.iter().take(SHOWN) {
        let _ = writeln!(
            text,
            "  {}  {} to {}  sink {}",
            plain(&range["stream"]),
            plain(&range["from"]),
            plain(&range["to"]),
            plain(&range["sink"])
        );
    }
    more(text, ranges.len(), SHOWN);
}

fn log(text: &mut String, log: &Value) {
    let lines = items(log);
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nlast lines");
    for line in &lines[lines.len().saturating_sub(LINES_SHOWN)..] {
        text.push_str("  ");
        text.push_str(&super::log_line(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_read_first_comes_first_and_nothing_drives_the_terminal() {
        let bundle = json!({
            "server": "lobby", "number": 3, "at_ms": 0, "reason": {"signal": "sigsegv"}, "detail": "at res://a.gd:3",
            "fingerprint": "00ff", "count": 7, "first_seen_ms": 0, "os_pid": 5, "epoch": 2, "start_number": 1,
            "exit": {"end": {"signalled": {"signal": 6}}, "usage": {"user_ms": 1500, "system_ms": 2, "max_rss_bytes": 1 << 20}},
            "output": {"script_backtrace": ["f (res://a.gd:3)"], "engine_backtrace": vec!["x"; 20], "parse_errors": []},
            "activity": {"kind": "spinning", "state": "R", "threads": [{"tid": 5, "name": "godot", "state": "R", "cpu_percent": 99.5}]},
            "beats": [{"at_ms": 0, "tick": 9, "frame_ms": 16.66, "players": null, "memory_bytes": 2048}],
            "facts": {"not_uploaded": [{"stream": "s", "sink": "khepri", "from": 4, "to": 9}]},
            "log": [{"at_ms": 0, "source": "stdout", "line": "\u{1b}[31mred"}],
            "versions": {"engine": "4.6", "sidekick": "1"}
        });
        let text = crash(&bundle);
        assert!(text.starts_with(
            "server        lobby  crash 3\nat            1970-01-01T00:00:00.000Z\nreason"
        ));
        for part in [
            "detail        at res://a.gd:3\n",
            "00ff  seen 7 times by then, first at 1970",
            "1.0 MiB at most  CPU 1s 500ms in user mode",
            "script backtrace\n  [0] f (res://a.gd:3)\n",
            "… 4 more in --json",
            "it was spinning (state R)",
            "frame 16.7 ms (max -)",
            "s  4 to 9  sink khepri",
            "\\u{1b}[31mred",
        ] {
            assert!(text.contains(part), "{part:?} in\n{text}");
        }
        assert!(!text.contains('\u{1b}') && !text.contains("core dump"));
    }

    #[test]
    fn a_damaged_bundle_and_an_old_one_are_shown_too() {
        let damaged = crash(&json!({"number": 2, "damaged": "its file is no bundle"}));
        assert_eq!(damaged, "crash 2 is damaged: its file is no bundle\n");
        assert!(crash(&json!({})).contains("server"));
    }
}
