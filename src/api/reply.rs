//! Replies as terms: maps with atom keys from a fixed set, text as binaries, times in integer milliseconds.

use crate::buffer::{Info, Limit, StreamInfo};
use crate::etf::{Pid, Term};
use crate::ports::Beat;
use crate::supervisor::{
    Activity, CrashSummary, EndReason, Health, LastExit, LogLine, Restores, SessionInfo, Standby,
    Status, Timings,
};
use crate::upload::Lag;
use std::time::Duration;

/// How a process ended, as monitors and links report it.
pub fn end_reason(reason: &EndReason) -> Term {
    match reason {
        EndReason::Signal(name) => Term::tuple(vec![Term::atom("signal"), Term::atom(name)]),
        EndReason::ExitStatus(status) => {
            Term::tuple(vec![Term::atom("exit_status"), Term::int(*status)])
        }
        EndReason::Normal => Term::atom("normal"),
        EndReason::Hang => Term::atom("hang"),
        EndReason::Shutdown => Term::atom("shutdown"),
        EndReason::Oom => Term::atom("oom"),
        EndReason::Unknown => Term::atom("unknown"),
    }
}

/// The status of a server.
pub fn status(status: &Status, pid: Option<&Pid>) -> Term {
    Term::map([
        ("id", Term::text(status.id.as_str())),
        (
            "pid",
            pid.map_or_else(Term::nil, |pid| Term::Pid(pid.clone())),
        ),
        ("os_pid", optional(status.os_pid)),
        ("state", Term::atom(status.state.as_str())),
        ("since_ms", Term::int(status.since_ms)),
        ("epoch", optional(status.epoch)),
        ("start_number", Term::int(status.start_number)),
        ("adopted", Term::bool(status.adopted)),
        ("restarts", Term::int(status.restarts)),
        (
            "last_exit",
            status.last_exit.as_ref().map_or_else(Term::nil, last_exit),
        ),
        (
            "problem",
            status.problem.as_deref().map_or_else(Term::nil, Term::text),
        ),
        (
            "session",
            status.session.as_ref().map_or_else(Term::nil, session),
        ),
        ("health", health(&status.health)),
        ("rss_bytes", optional(status.health.rss_bytes)),
        ("timings", timings(&status.timings)),
        ("next_start_ms", optional(status.next_start_ms)),
        (
            "standby",
            status.standby.as_ref().map_or_else(Term::nil, standby),
        ),
        ("restore_ms", restores(&status.restores)),
        ("planned_restore_ms", restores(&status.planned_restores)),
    ])
}

fn standby(standby: &Standby) -> Term {
    Term::map([
        ("state", Term::atom(standby.state.as_str())),
        ("since_ms", Term::int(standby.since_ms)),
        ("os_pid", optional(standby.os_pid)),
        ("rss_bytes", optional(standby.rss_bytes)),
        ("failures", Term::int(standby.failures)),
        (
            "problem",
            standby
                .problem
                .as_deref()
                .map_or_else(Term::nil, Term::text),
        ),
        ("next_start_ms", optional(standby.next_start_ms)),
    ])
}

/// Times in whole milliseconds, rounded up: nothing was restored in none.
fn restores(restores: &Restores) -> Term {
    let ms =
        |time: Option<Duration>| optional(time.map(|time| time.as_micros().div_ceil(1_000) as u64));
    Term::map([
        ("count", Term::int(restores.count())),
        ("p50", ms(restores.quantile(0.5))),
        ("p90", ms(restores.quantile(0.9))),
        ("p99", ms(restores.quantile(0.99))),
        ("max", ms(restores.max())),
        ("last", ms(restores.last())),
    ])
}

fn last_exit(exit: &LastExit) -> Term {
    Term::map([
        ("reason", end_reason(&exit.reason)),
        ("at_ms", Term::int(exit.at_ms)),
        (
            "detail",
            exit.detail.as_deref().map_or_else(Term::nil, Term::text),
        ),
        ("bundle", optional(exit.bundle)),
    ])
}

fn session(session: &SessionInfo) -> Term {
    Term::map([
        ("since_ms", Term::int(session.since_ms)),
        ("engine", Term::text(&session.engine)),
        ("resumed", Term::bool(session.resumed)),
        ("ready", Term::bool(session.ready)),
    ])
}

fn health(health: &Health) -> Term {
    let mut fields = vec![
        ("beat_at_ms", optional(health.beat_at_ms)),
        ("rss_bytes", optional(health.rss_bytes)),
        ("rss_bytes_max", optional(health.rss_bytes_max)),
        (
            "cpu_percent",
            health.cpu_percent.map_or_else(Term::nil, Term::Float),
        ),
        ("memory_high", Term::bool(health.memory_high)),
        (
            "activity",
            health.activity.as_ref().map_or_else(Term::nil, activity),
        ),
    ];
    if let Some(beat) = &health.beat {
        fields.extend(beat_fields(beat));
    }
    Term::map(fields)
}

fn activity(activity: &Activity) -> Term {
    Term::map([
        ("kind", Term::atom(activity.kind.as_str())),
        ("state", Term::text(&activity.state.to_string())),
        (
            "wchan",
            activity.wchan.as_deref().map_or_else(Term::nil, Term::text),
        ),
        ("over_ms", Term::int(activity.over_ms)),
        (
            "main_percent",
            activity.main_percent.map_or_else(Term::nil, Term::Float),
        ),
    ])
}

fn beat_fields(beat: &Beat) -> [(&'static str, Term); 8] {
    [
        ("tick", Term::int(beat.tick)),
        ("frame_ms", Term::Float(beat.frame_ms)),
        ("frame_ms_max", Term::Float(beat.frame_ms_max)),
        ("physics_ms", Term::Float(beat.physics_ms)),
        ("tick_lag_ms", Term::Float(beat.tick_lag_ms)),
        ("players", optional(beat.players)),
        ("memory_bytes", Term::int(beat.memory_bytes)),
        ("in_flight", Term::int(beat.in_flight)),
    ]
}

fn timings(timings: &Timings) -> Term {
    Term::map([
        ("exit_to_detected_us", micros(timings.exit_to_detected)),
        ("exit_to_spawned_us", micros(timings.exit_to_spawned)),
        ("exit_to_hello_us", micros(timings.exit_to_hello)),
        ("exit_to_playing_us", micros(timings.exit_to_playing)),
        ("start_to_spawned_us", micros(timings.start_to_spawned)),
        ("start_to_playing_us", micros(timings.start_to_playing)),
    ])
}

/// A duration in microseconds, or `nil`.
pub fn micros(duration: Option<Duration>) -> Term {
    duration.map_or_else(Term::nil, |d| {
        Term::int(i128::try_from(d.as_micros()).unwrap_or(i128::MAX))
    })
}

/// A number, or `nil`.
pub fn optional<T: Into<i128>>(value: Option<T>) -> Term {
    value.map_or_else(Term::nil, Term::int)
}

/// A line of a server's log.
pub fn log_line(line: &LogLine) -> Term {
    Term::map([
        ("at_ms", Term::int(line.at_ms)),
        ("source", Term::atom(line.source.as_str())),
        ("line", Term::text(&line.line)),
        ("cursor", Term::int(line.cursor)),
    ])
}

/// A crash bundle in a list.
pub fn crash_summary(crash: &CrashSummary) -> Term {
    let kind = crash.kind.as_ref();
    Term::map([
        ("number", Term::int(crash.number)),
        ("at_ms", Term::int(crash.at_ms)),
        ("reason", Term::text(&crash.reason)),
        (
            "script_line",
            crash
                .script_line
                .as_deref()
                .map_or_else(Term::nil, Term::text),
        ),
        ("bytes", Term::int(crash.bytes)),
        (
            "fingerprint",
            kind.map_or_else(Term::nil, |kind| Term::text(&kind.fingerprint)),
        ),
        ("count", optional(kind.map(|kind| kind.count))),
        (
            "first_seen_ms",
            optional(kind.map(|kind| kind.first_seen_ms)),
        ),
        ("last_seen_ms", optional(kind.map(|kind| kind.last_seen_ms))),
        (
            "damaged",
            crash.damaged.as_deref().map_or_else(Term::nil, Term::text),
        ),
    ])
}

/// What is known of a stream. Sink names are data, so they are binaries.
pub fn stream(info: &StreamInfo, lags: &[Lag]) -> Term {
    let cursors = info
        .cursors
        .iter()
        .map(|(sink, seq)| (Term::Binary(sink.to_bytes()), Term::int(*seq)))
        .collect();
    Term::map([
        ("name", Term::Binary(info.name.to_bytes())),
        ("first", Term::int(info.first)),
        ("last", Term::int(info.last)),
        ("bytes", Term::int(info.bytes)),
        ("cursors", Term::Map(cursors)),
        ("lag", Term::Map(lags.iter().map(lag).collect())),
        ("dropped", Term::int(info.dropped)),
        ("limit", limit(&info.limit)),
        ("full", Term::bool(info.full)),
    ])
}

/// How far a sink is behind.
fn lag(lag: &Lag) -> (Term, Term) {
    let fields = Term::map([
        ("records", Term::int(lag.records)),
        ("bytes", Term::int(lag.bytes)),
        ("age_ms", Term::int(lag.age_ms)),
    ]);
    (Term::Binary(lag.sink.to_bytes()), fields)
}

/// The limits that are set, or `nil`.
fn limit(limit: &Limit) -> Term {
    if !limit.is_set() {
        return Term::nil();
    }
    let age_ms = limit.age.map(|age| age.as_millis() as u64);
    let fields = [
        ("bytes", limit.bytes),
        ("count", limit.count),
        ("age_ms", age_ms),
    ];
    let set = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name, Term::int(value?))));
    Term::map(set.collect::<Vec<_>>())
}

/// Figures of the buffer.
pub fn buffer(info: &Info) -> Term {
    Term::map([
        ("bytes", Term::int(info.bytes)),
        ("max_bytes", Term::int(info.max_bytes)),
        ("segments", Term::int(info.segments)),
        ("full", Term::bool(info.full)),
        ("streams", Term::int(info.streams)),
        ("streams_full", Term::int(info.streams_full)),
        ("scopes", Term::int(info.scopes)),
        ("commits", Term::int(info.commits)),
        ("dropped", Term::int(info.dropped)),
        ("state_bytes", Term::int(info.state_bytes)),
        (
            "index_rebuilt",
            info.opened
                .index_rebuilt
                .as_deref()
                .map_or_else(Term::nil, Term::text),
        ),
        ("cut_bytes", Term::int(info.opened.cut_bytes)),
    ])
}
