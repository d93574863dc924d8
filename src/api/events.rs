//! Events of subscriptions as terms.

use crate::api::reply::{self, micros, optional};
use crate::buffer::Record;
use crate::etf::{self, Pid, Term};
use crate::node::PeerEvent;
use crate::supervisor::{EventKind, LogLine, SupervisorEvent};
use crate::types::ServerId;

type Fields = Vec<(&'static str, Term)>;

/// `{kind, id}`
pub fn server_topic(kind: &str, id: &ServerId) -> Term {
    Term::tuple(vec![Term::atom(kind), Term::text(id.as_str())])
}

/// Type and fields of what happened to a server. `at_ns` is `CLOCK_MONOTONIC` of sidekick's machine.
pub fn supervisor(event: &SupervisorEvent, pid: Option<Pid>) -> (&'static str, Fields) {
    let (kind, mut fields) = happened(&event.kind);
    fields.push(("id", Term::text(event.id.as_str())));
    fields.push(("pid", pid.map_or_else(Term::nil, Term::Pid)));
    fields.push(("at_ns", Term::int(event.at_ns)));
    (kind, fields)
}

fn happened(kind: &EventKind) -> (&'static str, Fields) {
    let told = life(kind)
        .or_else(|| trouble(kind))
        .or_else(|| health(kind))
        .or_else(|| standby(kind));
    told.unwrap_or(("other", vec![]))
}

/// What belongs to a good life.
fn life(kind: &EventKind) -> Option<(&'static str, Fields)> {
    let told = match kind {
        EventKind::Added => ("added", vec![]),
        EventKind::Removed => ("removed", vec![]),
        EventKind::State { from, to } => (
            "state",
            vec![
                ("from", Term::atom(from.as_str())),
                ("state", Term::atom(to.as_str())),
            ],
        ),
        EventKind::Started {
            start_number,
            os_pid,
            epoch,
            adopted,
            since_exit,
        } => (
            "started",
            vec![
                ("start_number", Term::int(*start_number)),
                ("os_pid", Term::int(*os_pid)),
                ("epoch", optional(*epoch)),
                ("adopted", Term::bool(*adopted)),
                ("since_exit_us", micros(*since_exit)),
            ],
        ),
        EventKind::Hello {
            start_number,
            since_exit,
        } => (
            "hello",
            vec![
                ("start_number", Term::int(*start_number)),
                ("since_exit_us", micros(*since_exit)),
            ],
        ),
        EventKind::Playing {
            start_number,
            tick,
            since_exit,
            since_start,
        } => (
            "playing",
            vec![
                ("start_number", Term::int(*start_number)),
                ("tick", Term::int(*tick)),
                ("since_exit_us", micros(*since_exit)),
                ("since_start_us", micros(*since_start)),
            ],
        ),
        EventKind::Ready { start_number } => {
            ("ready", vec![("start_number", Term::int(*start_number))])
        }
        _ => return None,
    };
    Some(told)
}

/// What concerns a standby.
fn standby(kind: &EventKind) -> Option<(&'static str, Fields)> {
    let told = match kind {
        EventKind::StandbyReady {
            os_pid,
            since_start,
        } => (
            "standby_ready",
            vec![
                ("os_pid", Term::int(*os_pid)),
                ("since_start_us", micros(*since_start)),
            ],
        ),
        EventKind::Promoted {
            start_number,
            os_pid,
            epoch,
            since_exit,
        } => (
            "promoted",
            vec![
                ("start_number", Term::int(*start_number)),
                ("os_pid", Term::int(*os_pid)),
                ("epoch", optional(*epoch)),
                ("since_exit_us", micros(*since_exit)),
            ],
        ),
        EventKind::StandbyFailed {
            os_pid,
            message,
            failures,
        } => (
            "standby_failed",
            vec![
                ("os_pid", optional(*os_pid)),
                ("detail", Term::text(message)),
                ("failures", Term::int(*failures)),
            ],
        ),
        _ => return None,
    };
    Some(told)
}

/// What went wrong.
fn trouble(kind: &EventKind) -> Option<(&'static str, Fields)> {
    let text = |text: &Option<String>| text.as_deref().map_or_else(Term::nil, Term::text);
    let told = match kind {
        EventKind::StartFailed { message } => {
            ("start_failed", vec![("detail", Term::text(message))])
        }
        EventKind::Ended {
            start_number,
            os_pid,
            reason,
            detail,
            exit_ns,
            exit_to_detected,
            while_away,
        } => (
            "ended",
            vec![
                ("start_number", Term::int(*start_number)),
                ("os_pid", Term::int(*os_pid)),
                ("reason", reply::end_reason(reason)),
                ("detail", text(detail)),
                ("exit_ns", optional(*exit_ns)),
                ("exit_to_detected_us", micros(*exit_to_detected)),
                ("while_away", Term::bool(*while_away)),
            ],
        ),
        EventKind::CrashBundle {
            number,
            reason,
            kind,
            script_line,
        } => (
            "crash",
            vec![
                ("number", Term::int(*number)),
                ("reason", reply::end_reason(reason)),
                ("script_line", text(script_line)),
                ("fingerprint", Term::text(&kind.fingerprint)),
                ("count", Term::int(kind.count)),
                ("first_seen_ms", Term::int(kind.first_seen_ms)),
                ("last_seen_ms", Term::int(kind.last_seen_ms)),
            ],
        ),
        EventKind::Quarantined { restarts, seconds } => (
            "quarantined",
            vec![
                ("restarts", Term::int(*restarts)),
                ("seconds", Term::int(*seconds)),
            ],
        ),
        _ => return None,
    };
    Some(told)
}

/// What is seen of how it fares.
fn health(kind: &EventKind) -> Option<(&'static str, Fields)> {
    let told = match kind {
        EventKind::Hang {
            start_number,
            silent,
            process_state,
            activity,
        } => (
            "hang",
            vec![
                ("start_number", Term::int(*start_number)),
                ("silent_us", micros(Some(*silent))),
                (
                    "process_state",
                    process_state.map_or_else(Term::nil, |c| Term::text(&c.to_string())),
                ),
                (
                    "activity",
                    activity
                        .as_ref()
                        .map_or_else(Term::nil, |activity| Term::atom(activity.kind.as_str())),
                ),
            ],
        ),
        EventKind::Memory {
            start_number,
            high,
            rss_bytes,
            warn_bytes,
        } => (
            "memory",
            vec![
                ("start_number", Term::int(*start_number)),
                ("high", Term::bool(*high)),
                ("rss_bytes", Term::int(*rss_bytes)),
                ("warn_bytes", Term::int(*warn_bytes)),
            ],
        ),
        EventKind::LogsFull { dir } => (
            "logs_full",
            vec![("dir", Term::text(&dir.to_string_lossy()))],
        ),
        _ => return None,
    };
    Some(told)
}

/// Fields of a log line.
pub fn log_fields(id: &ServerId, line: &LogLine) -> Fields {
    vec![
        ("id", Term::text(id.as_str())),
        ("source", Term::atom(line.source.as_str())),
        ("line", Term::text(&line.line)),
        ("cursor", Term::int(line.cursor)),
    ]
}

/// Type and node of a peer's coming or going.
pub fn peer(event: &PeerEvent) -> (&'static str, Term) {
    match event {
        PeerEvent::Up(node) => ("up", Term::Atom(node.atom().clone())),
        PeerEvent::Down(node) => ("down", Term::Atom(node.atom().clone())),
    }
}

/// A record as `%{seq:, at_ms:, payload:}`; none where the journal holds bytes that are no term, which only a
/// foreign writer could have put there.
pub fn record(record: &Record) -> Option<Term> {
    let payload = etf::decode(record.payload.clone()).ok()?;
    Some(Term::map([
        ("seq", Term::int(record.seq)),
        ("at_ms", Term::int(record.at_ms)),
        ("payload", payload),
    ]))
}
