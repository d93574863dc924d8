//! A process ends: why, what is kept of it, what follows.

use super::detail::Seen;
use super::run::Run;
use super::{Actor, Command, Gap};
use crate::failpoints;
use crate::guard::clock::monotonic_ns;
use crate::guard::files::{ExitRecord, WaitEnd};
use crate::supervisor::adopt;
use crate::supervisor::book::LogBook;
use crate::supervisor::bundle::Bundle;
use crate::supervisor::core::Dumped;
use crate::supervisor::event::EventKind;
use crate::supervisor::identity;
use crate::supervisor::machine::{Decision, Input};
use crate::supervisor::output::{self, Output};
use crate::supervisor::spec::ServerSpec;
use crate::supervisor::status::{EndReason, Health, LastExit, LogLine, LogSource};
use crate::supervisor::store::Written;
use crate::types::{UnixMillis, now_ms, version};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// How long the last lines may take to be read.
const LAST_LINES: Duration = Duration::from_secs(1);
/// How long other rooms may take for their facts.
const FACTS: Duration = Duration::from_secs(1);
/// Lines searched for the last words of an engine.
const SEARCHED: usize = 2_000;

/// Everything about an end: the three witnesses and what is made of them.
pub(super) struct End {
    reason: EndReason,
    decision: Option<Decision>,
    output: Output,
    record: Option<ExitRecord>,
    pub detail: Option<String>,
    at_ms: UnixMillis,
    exit_to_detected: Option<Duration>,
    while_away: bool,
}

impl End {
    /// Of a process that never played or no longer did.
    pub fn of(
        decision: Option<Decision>,
        output: Output,
        record: Option<ExitRecord>,
        spec: &ServerSpec,
    ) -> Self {
        let seen = Seen {
            spec,
            run: None,
            health: &Health::default(),
        };
        Self::seen(decision, output, record, &seen)
    }

    /// Of a process of which that was seen.
    pub fn seen(
        decision: Option<Decision>,
        output: Output,
        record: Option<ExitRecord>,
        seen: &Seen<'_>,
    ) -> Self {
        Self {
            reason: reason(decision, &output, record.as_ref()),
            detail: seen.detail(decision, &output, record.as_ref()),
            at_ms: record.as_ref().map_or_else(now_ms, |record| record.at_ms),
            exit_to_detected: None,
            decision,
            output,
            record,
            while_away: false,
        }
    }

    /// It was learned of later.
    pub fn while_away(self) -> Self {
        Self {
            while_away: true,
            ..self
        }
    }

    /// For people.
    pub fn words(&self) -> String {
        match &self.detail {
            Some(detail) => detail.clone(),
            None => format!("it ended: {}", self.reason),
        }
    }

    /// We wanted it, or it left by itself in order; a crash on the way is none of that.
    pub fn is_planned(&self) -> bool {
        let wanted = matches!(self.decision, Some(Decision::Shutdown | Decision::Killed));
        let orderly = matches!(self.reason, EndReason::Normal | EndReason::Shutdown);
        (wanted || orderly) && self.output.signal.is_none()
    }
}

impl Actor {
    /// The guard is gone without a word.
    pub(super) async fn guard_lost(&mut self) {
        if let Some(run) = &self.run {
            tracing::warn!(server = %self.spec.id, "the guard was killed");
            let run_dir = &self.context.options.run_dir;
            adopt::clean(run_dir, self.spec.id.as_str(), run.server, &run.start).await;
        }
        self.ended(None, false).await;
    }

    /// The process ended, as the guard recorded it or nobody knows how.
    pub(super) async fn ended(&mut self, record: Option<ExitRecord>, while_away: bool) {
        let detected_ns = monotonic_ns();
        failpoints::hit("supervisor.end_heard");
        let up = self.status.borrow().os_pid.is_some();
        let Some(run) = self.run.clone().filter(|_| up) else {
            return;
        };
        self.prober = None;
        self.context.sessions.close(&self.spec.id);
        let output = self.last_words(&run, &self.book).await;
        self.exit_ns = record
            .as_ref()
            .filter(|_| !while_away)
            .map(|record| record.at_ns);
        let end = self.judge(&run, record, output, while_away, detected_ns);
        self.gap = Some(if end.is_planned() {
            Gap::Planned
        } else {
            Gap::Unplanned
        });
        let health = self.status.borrow().health.clone();
        self.show(&run, &end);
        let attempt = self.attempts;
        self.apply(Input::Ended(end.reason.clone())).await;
        failpoints::hit("supervisor.restart_decided");
        // Otherwise the guard is still killing what the process left, and says when that is done.
        if self.link.is_none() {
            self.down(attempt);
        }
        self.start_failed(attempt, end.words());
        if end.is_planned() {
            self.forget_end(&run);
        } else {
            let log = self
                .book
                .since(run.log_cursor, run.slot, self.bundle_lines());
            let bundle = self.bundle(&run, end, &health, log);
            self.keep(bundle, &run, false);
        }
    }

    pub(super) fn bundle_lines(&self) -> usize {
        self.context.options.logs.bundle_lines
    }

    /// A later sidekick need not deal with it.
    pub(super) fn forget_end(&self, run: &Run) {
        let name = run.slot.name(self.spec.id.as_str());
        let _ = adopt::forget(&self.context.options.run_dir, &name, &run.start);
    }

    fn judge(
        &self,
        run: &Run,
        record: Option<ExitRecord>,
        output: Output,
        while_away: bool,
        detected_ns: u64,
    ) -> End {
        let decision = self.machine.decision();
        let seen = Seen {
            spec: &self.spec,
            run: Some(run),
            health: &self.status.borrow().health,
        };
        End {
            exit_to_detected: self
                .exit_ns
                .map(|at| Duration::from_nanos(detected_ns.saturating_sub(at))),
            while_away,
            ..End::seen(decision, output, record, &seen)
        }
    }

    pub(super) fn show(&self, run: &Run, end: &End) {
        self.status.send_modify(|status| {
            status.os_pid = None;
            status.session = None;
            status.health = Health::default();
            status.timings.exit_to_detected = end.exit_to_detected;
            status.problem.clone_from(&end.detail);
            status.last_exit = Some(LastExit {
                reason: end.reason.clone(),
                at_ms: end.at_ms,
                detail: end.detail.clone(),
                bundle: None,
            });
        });
        let os_pid = run.server.pid as u32;
        let (reason, detail, while_away) = (&end.reason, end.detail.as_deref(), end.while_away);
        let words = detail
            .map(|detail| format!(": {detail}"))
            .unwrap_or_default();
        self.book
            .note(&format!("process {os_pid} ended: {reason}{words}"));
        if matches!(reason, EndReason::Normal | EndReason::Shutdown) {
            tracing::info!(server = %self.spec.id, pid = os_pid, %reason, while_away, "ended");
        } else {
            tracing::warn!(server = %self.spec.id, pid = os_pid, %reason, detail, while_away, "ended");
        }
        let kind = EventKind::Ended {
            start_number: run.start_number,
            os_pid,
            reason: reason.clone(),
            detail: end.detail.clone(),
            exit_ns: self.exit_ns,
            exit_to_detected: end.exit_to_detected,
            while_away,
        };
        self.context.tell(&self.spec.id, kind);
    }

    pub(super) fn bundle(&self, run: &Run, end: End, health: &Health, log: Vec<LogLine>) -> Bundle {
        let last_restore = self.status.borrow().restores.last();
        Bundle {
            server: self.spec.id.to_string(),
            at_ms: end.at_ms,
            start_number: run.start_number,
            start: run.start.clone(),
            os_pid: run.server.pid as u32,
            epoch: run.epoch,
            decision: end.decision.map(decision_name),
            log,
            standby: false,
            beats: run
                .beats
                .iter()
                .map(|(at_ms, beat)| beat_facts(*at_ms, beat))
                .collect(),
            activity: health.activity.clone(),
            samples: run.samples.iter().cloned().collect(),
            core_dump: None,
            binary: run.program.clone(),
            figures: json!({
                "rss_bytes": health.rss_bytes,
                "rss_bytes_max": health.rss_bytes_max,
                "cpu_percent": health.cpu_percent,
                "memory_high": health.memory_high,
                "ran_ms": run.decided_ns.map(|at| monotonic_ns().saturating_sub(at) / 1_000_000),
                "exit_to_detected_us": end.exit_to_detected.map(|time| time.as_micros() as u64),
                "restarts": self.machine.restarts(),
                "last_restore_ms": last_restore.map(|time| time.as_millis() as u64),
            }),
            versions: json!({
                "sidekick": version(),
                "engine": end.output.engine,
                "program": self.spec.command.first(),
            }),
            facts: Value::Null,
            detail: end.detail,
            while_away: end.while_away,
            exit: end.record,
            output: end.output,
            reason: end.reason,
        }
    }

    /// Everything the process wrote, read for what the engine says of its end.
    pub(super) async fn last_words(&self, run: &Run, book: &LogBook) -> Output {
        let name = run.slot.name(self.spec.id.as_str());
        let drained = self.context.tail.drain(&name, true);
        let _ = tokio::time::timeout(LAST_LINES, drained).await;
        let lines = book.since(run.log_cursor, run.slot, SEARCHED);
        let own = lines
            .iter()
            .filter(|line| line.source != LogSource::Sidekick);
        output::read(own.map(|line| line.line.as_str()))
    }

    /// Where it may have been when it died.
    fn directories(&self) -> Vec<PathBuf> {
        let home = self.context.options.home_dir.join(self.spec.id.as_str());
        self.spec
            .directory
            .clone()
            .into_iter()
            .chain([home, "/".into()])
            .collect()
    }

    /// Writes the bundle beside the restart, which waits for nothing.
    pub(super) fn keep(&self, mut bundle: Bundle, run: &Run, standby: bool) {
        bundle.standby = standby;
        let start = run.start.clone();
        let name = run.slot.name(self.spec.id.as_str());
        let (context, id) = (self.context.clone(), self.spec.id.clone());
        let spec = self.spec.clone();
        let (store, commands) = (self.bundles.clone(), self.commands.clone());
        let start_number = bundle.start_number;
        let dumped = bundle
            .exit
            .as_ref()
            .filter(|exit| exit.core_dumped)
            .map(|exit| Dumped {
                pid: exit.server.pid,
                directories: self.directories(),
            });
        self.context.tasks.spawn(async move {
            let facts = tokio::time::timeout(FACTS, context.facts.facts(&id)).await;
            bundle.facts = facts.unwrap_or_else(|_| json!({"error": "no answer in time"}));
            let (reason, script_line) = (bundle.reason.clone(), bundle.output.script_line.clone());
            let run_dir = context.options.run_dir.clone();
            let written = tokio::task::spawn_blocking(move || {
                bundle.versions["build"] = json!(identity::build());
                bundle.versions["config"] = json!(identity::spec(&spec));
                bundle.versions["project"] = json!(identity::project(&spec));
                bundle.core_dump = dumped.map(|dumped| dumped.find());
                let written = store.write(&bundle);
                failpoints::hit("supervisor.bundle_written");
                // The end is dealt with once it is on disk; before, a later sidekick would find it again.
                let _ = adopt::forget(&run_dir, &name, &start);
                failpoints::hit("supervisor.end_forgotten");
                written
            });
            match written.await {
                Ok(Ok(Written { number, kind })) => {
                    if let Some(commands) = commands.upgrade().filter(|_| !standby) {
                        let _ = commands
                            .send(Command::Bundled {
                                start_number,
                                number,
                            })
                            .await;
                    }
                    context.tell(
                        &id,
                        EventKind::CrashBundle {
                            number,
                            kind,
                            reason,
                            script_line,
                        },
                    );
                }
                Ok(Err(error)) => {
                    tracing::error!(server = %id, %error, "a crash bundle could not be written");
                }
                Err(error) => {
                    tracing::error!(server = %id, %error, "a crash bundle could not be written");
                }
            }
        });
    }
}

/// Our own decision, then what the engine printed, then the wait status.
fn reason(decision: Option<Decision>, output: &Output, record: Option<&ExitRecord>) -> EndReason {
    match decision {
        Some(Decision::Hang | Decision::StartTimeout) => return EndReason::Hang,
        Some(Decision::Shutdown) => return EndReason::Shutdown,
        Some(Decision::Killed) | None => {}
    }
    let Some(record) = record else {
        return EndReason::Unknown;
    };
    if record.stopped_by.is_some() {
        return EndReason::Shutdown;
    }
    match (record.end, output.signal) {
        (WaitEnd::Signalled { .. }, _) if record.oom_kills > 0 => EndReason::Oom,
        (WaitEnd::Exited { status: 0 }, _) => EndReason::Normal,
        (WaitEnd::Exited { status }, _) => EndReason::ExitStatus(status),
        // The engine's handler turns the signal it saw into an abort.
        (WaitEnd::Signalled { .. }, Some(seen)) => EndReason::Signal(signal_name(seen)),
        (WaitEnd::Signalled { signal }, None) => EndReason::Signal(signal_name(signal)),
    }
}

fn signal_name(signal: i32) -> String {
    nix::sys::signal::Signal::try_from(signal).map_or_else(
        |_| format!("sig{signal}"),
        |signal| signal.as_str().to_lowercase(),
    )
}

fn decision_name(decision: Decision) -> &'static str {
    match decision {
        Decision::Hang => "hang",
        Decision::StartTimeout => "start_timeout",
        Decision::Shutdown => "shutdown",
        Decision::Killed => "killed",
    }
}

fn beat_facts(at_ms: u64, beat: &crate::ports::Beat) -> Value {
    json!({
        "at_ms": at_ms,
        "tick": beat.tick,
        "frame_ms": beat.frame_ms,
        "frame_ms_max": beat.frame_ms_max,
        "physics_ms": beat.physics_ms,
        "tick_lag_ms": beat.tick_lag_ms,
        "players": beat.players,
        "memory_bytes": beat.memory_bytes,
        "in_flight": beat.in_flight,
    })
}
