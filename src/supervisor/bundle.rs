//! What goes into a crash bundle: everything known of an unplanned end.

use super::fingerprint;
use super::identity::Program;
use super::output::Output;
use super::status::{Activity, EndReason, LogLine, Sample};
use crate::guard::files::ExitRecord;
use crate::types::{Epoch, UnixMillis};
use serde::Serialize;
use serde_json::Value;

/// What goes into a bundle.
#[derive(Debug, Clone, Serialize)]
pub struct Bundle {
    /// Server id.
    pub server: String,
    /// When it ended.
    pub at_ms: UnixMillis,
    /// Which start of the supervisor's life.
    pub start_number: u64,
    /// Random name of the start, by which a bundle that was written already is recognised.
    pub start: String,
    /// Process id.
    pub os_pid: u32,
    /// Epoch of the activation.
    pub epoch: Option<Epoch>,
    /// Why: our own decision, else what the engine printed, else the wait status.
    pub reason: EndReason,
    /// Our own decision, if any.
    pub decision: Option<&'static str>,
    /// What an operator should read first.
    pub detail: Option<String>,
    /// It ended while no sidekick ran.
    pub while_away: bool,
    /// It was a standby, which never played.
    pub standby: bool,
    /// Wait status, times and use, as the guard recorded them.
    pub exit: Option<ExitRecord>,
    /// What the engine printed.
    pub output: Output,
    /// The last lines.
    pub log: Vec<LogLine>,
    /// The last heartbeats, the oldest first.
    pub beats: Vec<Value>,
    /// What it did while it was silent, for hangs.
    pub activity: Option<Activity>,
    /// Memory, CPU and timings.
    pub figures: Value,
    /// The last samples of memory and CPU, the oldest first.
    pub samples: Vec<Sample>,
    /// Where its core dump is, or what became of it; `None` where there is none.
    pub core_dump: Option<String>,
    /// Program (without arguments, which may hold secrets), versions and builds.
    pub versions: Value,
    /// The file that ran.
    pub binary: Option<Program>,
    /// What other rooms know: un-uploaded ranges and so on.
    pub facts: Value,
}

impl Bundle {
    /// The same crash has the same again.
    pub fn fingerprint(&self) -> String {
        fingerprint::of(&self.reason, self.decision, &self.output)
    }
}
