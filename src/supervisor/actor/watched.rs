//! What is seen of a process from outside: memory and CPU, what it does while it is silent, whether it answers its probes.

use super::{Actor, now};
use crate::guard::proc::{self, Stat, TICKS_PER_SECOND};
use crate::supervisor::activity::Look;
use crate::supervisor::event::EventKind;
use crate::supervisor::machine::Input;
use crate::supervisor::probe::{Prober, Verdict};
use crate::supervisor::status::{ActivityKind, Sample, State};
use crate::telemetry::{Fact, MemoryHigh, ServerSilent};
use crate::types::now_ms;
use nix::sys::signal::Signal;
use std::time::Duration;

/// Samples kept for a bundle.
const SAMPLES: usize = 20;

impl Actor {
    /// Reads memory and CPU of the process.
    pub(super) fn sample(&mut self) {
        let Some(run) = &mut self.run else { return };
        let memory = proc::memory(run.server.pid);
        let at_ns = now().as_nanos() as u64;
        let ticks = Stat::read(run.server.pid).map(|stat| stat.user_ticks + stat.system_ticks);
        let cpu_percent = match (run.cpu, ticks) {
            (Some((before, before_ns)), Some(ticks)) if at_ns > before_ns => {
                let seconds = (at_ns - before_ns) as f64 / 1e9;
                Some(
                    ticks.saturating_sub(before) as f64 / TICKS_PER_SECOND as f64 / seconds * 100.0,
                )
            }
            _ => None,
        };
        run.cpu = ticks.map(|ticks| (ticks, at_ns));
        if let Some((rss_bytes, _)) = memory {
            if run.samples.len() == SAMPLES {
                run.samples.pop_front();
            }
            run.samples.push_back(Sample {
                at_ms: now_ms(),
                rss_bytes,
                cpu_percent,
            });
        }
        let alarm = memory.and_then(|(rss, _)| run.memory.take(rss, self.spec.memory_warn));
        let memory_high = run.memory.is_high();
        self.status.send_modify(|status| {
            // One that has just ended has none any more: what it had last counts.
            status.health.rss_bytes = memory.map(|(now, _)| now).or(status.health.rss_bytes);
            status.health.rss_bytes_max =
                memory.map(|(_, max)| max).or(status.health.rss_bytes_max);
            status.health.cpu_percent = cpu_percent;
            status.health.memory_high = memory_high;
        });
        if let (Some(high), Some((rss_bytes, _))) = (alarm, memory) {
            self.tell_memory(high, rss_bytes);
        }
        // A start has one deadline and no heartbeats yet: what it does before is the first look.
        if self.machine.state() == State::Starting {
            self.look();
        }
    }

    fn tell_memory(&self, high: bool, rss_bytes: u64) {
        let (Some(run), warn_bytes) = (&self.run, self.spec.memory_warn.unwrap_or(0)) else {
            return;
        };
        let (now_mib, warn_mib) = (rss_bytes >> 20, warn_bytes >> 20);
        if high {
            self.book.note(&format!(
                "memory is high: {now_mib} MiB, memory_warn is {warn_mib} MiB"
            ));
            MemoryHigh {
                server: &self.spec.id,
                rss_bytes,
                warn_bytes,
            }
            .emit();
        } else {
            self.book
                .note(&format!("memory is no longer high: {now_mib} MiB"));
            tracing::info!(server = %self.spec.id, rss_bytes, warn_bytes, "memory is no longer high");
        }
        let kind = EventKind::Memory {
            start_number: run.start_number,
            high,
            rss_bytes,
            warn_bytes,
        };
        self.context.tell(&self.spec.id, kind);
    }

    fn look(&mut self) {
        if let Some(run) = &mut self.run {
            run.look = Look::at(run.server.pid, now());
        }
    }

    /// Silence begins: what it does from now on tells how it hangs. Nothing of the sort is read while heartbeats come.
    pub(super) fn notice_silence(&mut self) {
        let playing = self.machine.state() == State::Running;
        if playing && self.run.as_ref().is_some_and(|run| run.look.is_none()) {
            self.look();
        }
    }

    /// It lives.
    pub(super) fn silence_ends(&mut self) {
        if let Some(run) = &mut self.run {
            run.look = None;
            run.probe_error = None;
        }
    }

    /// Before the signal that ends it: what it does.
    pub(super) fn tell_hang(&self, silent: Duration) {
        let Some(run) = &self.run else { return };
        let look = Look::at(run.server.pid, now());
        let activity = look.map(|look| look.since(run.look.as_ref()));
        let doing = activity
            .as_ref()
            .map_or_else(|| "unknown".to_owned(), ToString::to_string);
        let why = run
            .probe_error
            .as_ref()
            .map(|error| format!(", {error}"))
            .unwrap_or_default();
        let silent_ms = silent.as_millis() as u64;
        self.book.note(&format!(
            "unresponsive for {silent_ms} ms{why}: {doing}; sending SIGSEGV for a backtrace"
        ));
        ServerSilent {
            server: &self.spec.id,
            activity: &doing,
            os_pid: run.server.pid as u64,
            silent_ms,
        }
        .emit();
        let start_number = run.start_number;
        self.status.send_modify(|status| {
            status.health.activity.clone_from(&activity);
        });
        self.context.tell(
            &self.spec.id,
            EventKind::Hang {
                start_number,
                silent,
                process_state: activity.as_ref().map(|activity| activity.state),
                activity: activity.map(Box::new),
            },
        );
    }

    /// SIGSEGV, so that it prints where it is.
    pub(super) async fn dump(&mut self) {
        self.signal(Signal::SIGSEGV, false).await;
        let kind = self
            .status
            .borrow()
            .health
            .activity
            .as_ref()
            .map(|activity| activity.kind);
        if kind == Some(ActivityKind::Stopped) {
            // It gets the signal once it runs again.
            self.signal(Signal::SIGCONT, false).await;
        }
    }

    /// Asks the process that runs now, where its spec says so.
    pub(super) fn begin_probing(&mut self) {
        let probe = self.spec.probe.as_ref().filter(|_| !self.spec.session);
        self.prober = probe.map(Prober::start);
    }

    /// What came of a probe.
    pub(super) async fn on_asked(&mut self, (verdict, error): (Verdict, Option<String>)) {
        let Some(run) = &mut self.run else { return };
        let probe = self.spec.probe.as_ref();
        if let (Some(probe), Some(error)) = (probe, error) {
            run.probe_error = Some(format!("the probe of {probe} failed: {error}"));
        }
        match verdict {
            Verdict::Answers => {
                let played = run.played;
                self.silence_ends();
                if played {
                    self.apply(Input::Playing).await;
                } else {
                    self.on_playing(0).await;
                }
            }
            Verdict::Waits => self.notice_silence(),
            Verdict::Silent(silent) => self.apply(Input::Silent(silent)).await,
        }
    }
}

/// The next probe, where there are any. Cancel-safe.
pub(super) async fn asked(prober: &mut Option<Prober>) -> (Verdict, Option<String>) {
    match prober {
        Some(prober) => prober.next().await,
        None => std::future::pending().await,
    }
}
