//! What an operator should read first of an end.

use super::run::Run;
use crate::guard::files::{ExitRecord, WaitEnd};
use crate::supervisor::machine::Decision;
use crate::supervisor::output::Output;
use crate::supervisor::spec::ServerSpec;
use crate::supervisor::status::Health;
use nix::sys::signal::Signal;

/// What is known of a process besides its last words.
pub(super) struct Seen<'a> {
    pub spec: &'a ServerSpec,
    /// `None` for one that never was the server's process.
    pub run: Option<&'a Run>,
    pub health: &'a Health,
}

impl Seen<'_> {
    /// One sentence on an end, where there is something to say.
    pub(super) fn detail(
        &self,
        decision: Option<Decision>,
        output: &Output,
        record: Option<&ExitRecord>,
    ) -> Option<String> {
        if let Some(killed) = self.oom(record) {
            return Some(killed);
        }
        match decision {
            Some(Decision::StartTimeout) => Some(self.never_played(output)),
            Some(Decision::Hang) => Some(self.hung(output)),
            None => self
                .load_errors(output)
                .or_else(|| output.script_line.as_ref().map(|line| format!("at {line}")))
                .or_else(|| self.out_of_memory(record)),
            Some(Decision::Shutdown | Decision::Killed) => None,
        }
    }

    fn load_errors(&self, output: &Output) -> Option<String> {
        let played = self.run.is_some_and(|run| run.played);
        (!played && !output.parse_errors.is_empty()).then(|| output.parse_errors.join("; "))
    }

    fn never_played(&self, output: &Output) -> String {
        let timeout = humantime::format_duration(self.spec.start_timeout);
        if let Some(probe) = self.spec.probe.as_ref().filter(|_| !self.spec.session) {
            let error = self.run.and_then(|run| run.probe_error.as_deref());
            let error = error.map_or_else(
                || format!("the probe of {probe} was never answered"),
                str::to_owned,
            );
            return format!(
                "it did not serve within {timeout}: {error}; does it listen there, and is start_timeout long enough?"
            );
        }
        let missing = if self.run.is_some_and(|run| run.connected) {
            "it said hello but did not come to play"
        } else {
            "no hello"
        };
        match self.load_errors(output) {
            Some(errors) => format!("{missing} within {timeout}: {errors}"),
            None => format!(
                "{missing} within {timeout}; is the addon's autoload active, and is start_timeout long enough?"
            ),
        }
    }

    fn hung(&self, output: &Output) -> String {
        if let Some(line) = &output.script_line {
            return format!("its main loop hung at {line}");
        }
        let doing = self.health.activity.as_ref();
        let doing = doing.map_or_else(String::new, |activity| format!(": {activity}"));
        match self.run.and_then(|run| run.probe_error.as_ref()) {
            Some(error) => format!("it did not answer, {error}{doing}"),
            None => format!("its main loop hung{doing}"),
        }
    }

    /// Told by the kernel, where the server has a cgroup of its own.
    fn oom(&self, record: Option<&ExitRecord>) -> Option<String> {
        let kills = record
            .map(|record| record.oom_kills)
            .filter(|kills| *kills > 0)?;
        let limit = self.spec.contain.limits.memory;
        let limit = limit.map_or_else(
            || "its cgroup's bound".to_owned(),
            |bytes| format!("limits.memory = {bytes} bytes"),
        );
        Some(format!(
            "the kernel killed {kills} of its processes for want of memory: it passed {limit}; raise it or find the leak"
        ))
    }

    /// Elsewhere the kernel says nothing to those whom it kills for their memory, so this is a guess and says so.
    fn out_of_memory(&self, record: Option<&ExitRecord>) -> Option<String> {
        let killed = record.is_some_and(|record| {
            let signal = Signal::SIGKILL as i32;
            record.stopped_by.is_none() && record.end == WaitEnd::Signalled { signal }
        });
        let health = self.health;
        let rss_mib = health.rss_bytes.filter(|_| killed && health.memory_high)? >> 20;
        Some(format!(
            "killed while its memory was high ({rss_mib} MiB): probably by the kernel, for lack of memory"
        ))
    }
}
