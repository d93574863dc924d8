//! `sidekick inspect`: a buffer directory for people and for programs.

use super::{FAILED, Failure, print};
use crate::buffer;
use std::io::{ErrorKind, Write};
use std::path::Path;

/// Runs the command.
pub(super) fn run(dir: &Path, json: bool, dump: bool) -> Result<(), Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::new(
            FAILED,
            format!(
                "cannot look into {}: {error}; name a buffer directory ([buffer] dir) that this user can read",
                dir.display()
            ),
        )
    };
    if dump {
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        return buffer::inspect::dump(dir, &mut out)
            .and_then(|()| out.flush())
            .map_err(|error| match error.kind() {
                ErrorKind::BrokenPipe => Failure::output(&error),
                _ => unreadable(error),
            });
    }
    let report = buffer::inspect::verify(dir).map_err(unreadable)?;
    let text =
        serde_json::to_string_pretty(&report).map_err(|error| Failure::new(FAILED, error))?;
    if json {
        print(format!("{text}\n").as_bytes())?;
    } else {
        print(tell(&report).as_bytes())?;
    }
    match report.problems.len() {
        0 => Ok(()),
        count => Err(Failure::new(
            FAILED,
            format!(
                "{count} problems found in {}; keep a copy before you change anything",
                dir.display()
            ),
        )),
    }
}

/// Copies what is readable.
pub(super) fn salvage(dir: &Path, out: &Path, json: bool) -> Result<(), Failure> {
    let done = buffer::salvage::salvage(dir, out).map_err(|error| Failure::new(FAILED, error))?;
    if json {
        let text =
            serde_json::to_string_pretty(&done).map_err(|error| Failure::new(FAILED, error))?;
        return print(format!("{text}\n").as_bytes());
    }
    let mut lines = vec![format!(
        "copied {} events and {} values of state into {}\norigin {}, parent {}",
        done.events,
        done.values,
        out.display(),
        done.origin,
        done.parent
    )];
    let ranges = |ranges: &[(u64, u64)]| {
        let each: Vec<String> = ranges.iter().map(|(a, b)| format!("{a}..{b}")).collect();
        each.join(", ")
    };
    lines.extend(done.damage.iter().map(|place| format!("DAMAGE {place}")));
    lines.extend(done.left_out.iter().map(|what| format!("left out: {what}")));
    for (stream, missing) in &done.missing_events {
        lines.push(format!("MISSING stream {stream}: {}", ranges(missing)));
    }
    for (scope, missing) in &done.missing_revisions {
        lines.push(format!(
            "MISSING state {scope}: revisions {}; what they changed has an older value or none",
            ranges(missing)
        ));
    }
    lines.push(if done.is_complete() {
        "nothing is missing".to_owned()
    } else {
        "cursors, epochs, values and the newest events may have been lost with what is damaged"
            .to_owned()
    });
    print((lines.join("\n") + "\n").as_bytes())
}

/// The report for people.
fn tell(report: &buffer::inspect::Report) -> String {
    let parent = report.parent.as_ref();
    let parent = parent.map_or(String::new(), |parent| format!(", salvaged from {parent}"));
    let mut lines = vec![format!("origin {}{parent}", report.origin)];
    lines.extend(report.segments.iter().map(|segment| {
        format!(
            "segment {}  {} records  {} bytes  {}  {}",
            segment.id,
            segment.records,
            segment.used_bytes,
            if segment.sealed { "sealed" } else { "open" },
            segment.file.display()
        )
    }));
    lines.extend(report.streams.iter().map(|stream| {
        let cursors: Vec<String> = stream
            .cursors
            .iter()
            .map(|(sink, cursor)| format!("  {sink} at {cursor}"))
            .collect();
        format!(
            "stream {}  {}..{}  dropped {}{}",
            stream.name,
            stream.first,
            stream.last,
            stream.dropped,
            cursors.concat()
        )
    }));
    lines.extend(report.scopes.iter().map(|scope| {
        format!(
            "state {}  epoch {}  revision {}",
            scope.name, scope.epoch, scope.revision
        )
    }));
    lines.extend(
        report
            .problems
            .iter()
            .map(|problem| format!("PROBLEM {problem}")),
    );
    lines.join("\n") + "\n"
}
