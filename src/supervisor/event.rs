//! What the supervisor tells as it happens.

use super::known::Kind;
use super::status::{Activity, EndReason, State};
use crate::types::{Epoch, ServerId, UnixMillis};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::broadcast;

/// Something happened to a server. Log lines have a channel of their own, so that a flood of output loses no event.
#[derive(Debug, Clone, PartialEq)]
pub struct SupervisorEvent {
    /// Which server.
    pub id: ServerId,
    /// Wall clock.
    pub at_ms: UnixMillis,
    /// Monotonic clock, nanoseconds (`CLOCK_MONOTONIC`), when the supervisor learned it.
    pub at_ns: u64,
    /// What.
    pub kind: EventKind,
}

/// Events a receiver may lag behind.
const BEHIND: usize = 4_096;

/// A channel of events.
pub fn event_channel() -> broadcast::Sender<SupervisorEvent> {
    broadcast::Sender::new(BEHIND)
}

/// The kinds of events. Durations are monotonic.
#[derive(Debug, Clone, PartialEq)]
pub enum EventKind {
    /// A server was added.
    Added,
    /// A server was removed.
    Removed,
    /// The state changed.
    State {
        /// Before.
        from: State,
        /// Now.
        to: State,
    },
    /// A process exists: it was executed, or adopted from an earlier sidekick.
    Started {
        /// Counts processes since the supervisor runs.
        start_number: u64,
        /// Its process id.
        os_pid: u32,
        /// Epoch of its activation (sessions only).
        epoch: Option<Epoch>,
        /// It outlived an earlier sidekick.
        adopted: bool,
        /// Since the guard saw the end of the process before it.
        since_exit: Option<Duration>,
    },
    /// The process could not be started. No process exists.
    StartFailed {
        /// One clear message with the remedy.
        message: String,
    },
    /// The process said `hello`.
    Hello {
        /// Its start.
        start_number: u64,
        /// Since the guard saw the end of the process before it.
        since_exit: Option<Duration>,
    },
    /// First tick of play.
    Playing {
        /// Its start.
        start_number: u64,
        /// The tick, as the game numbers it.
        tick: u64,
        /// Since the guard saw the end of the process before it.
        since_exit: Option<Duration>,
        /// Since the start was decided.
        since_start: Option<Duration>,
    },
    /// The game called `report_ready()`.
    Ready {
        /// Its start.
        start_number: u64,
    },
    /// The main loop was silent for too long; the process is being ended.
    Hang {
        /// Its start.
        start_number: u64,
        /// How long it was silent, as observed.
        silent: Duration,
        /// Process state as the kernel shows it: `R` spins, `S` or `D` waits, `T` is stopped.
        process_state: Option<char>,
        /// What it does, by its threads.
        activity: Option<Box<Activity>>,
    },
    /// Resident memory reached `memory_warn`, or fell again by a tenth.
    Memory {
        /// Its start.
        start_number: u64,
        /// It is high.
        high: bool,
        /// Resident memory, bytes.
        rss_bytes: u64,
        /// The bound.
        warn_bytes: u64,
    },
    /// The device of the log files is full, told once a minute: older lines are given up for new ones.
    LogsFull {
        /// The directory of the log files.
        dir: PathBuf,
    },
    /// The process ended.
    Ended {
        /// Its start.
        start_number: u64,
        /// Its process id.
        os_pid: u32,
        /// Why.
        reason: EndReason,
        /// Own words on it: a parse error, for example.
        detail: Option<String>,
        /// Monotonic time at which the guard saw the exit; `None` where it was learned later or never.
        exit_ns: Option<u64>,
        /// From there to the supervisor knowing it.
        exit_to_detected: Option<Duration>,
        /// It ended while no sidekick ran.
        while_away: bool,
    },
    /// A crash bundle was written.
    CrashBundle {
        /// Its number.
        number: u64,
        /// The end it belongs to.
        reason: EndReason,
        /// What was seen of this kind of crash, this one included.
        kind: Kind,
        /// The script line, where one is known.
        script_line: Option<String>,
    },
    /// A standby has loaded everything and waits.
    StandbyReady {
        /// Its process id.
        os_pid: u32,
        /// Since its start was decided.
        since_start: Option<Duration>,
    },
    /// The standby took over: `Started` of the same process follows.
    Promoted {
        /// Its start.
        start_number: u64,
        /// Its process id.
        os_pid: u32,
        /// Epoch of its activation.
        epoch: Option<Epoch>,
        /// Since the guard saw the end of the process before it; after a hang since that was decided.
        since_exit: Option<Duration>,
    },
    /// A standby could not be started, or ended without having been told to.
    StandbyFailed {
        /// Its process id, where there was one.
        os_pid: Option<u32>,
        /// One clear message.
        message: String,
        /// Failures in a row.
        failures: u32,
    },
    /// Crashed too often.
    Quarantined {
        /// Restarts within the period.
        restarts: u32,
        /// The period, seconds.
        seconds: u32,
    },
}
