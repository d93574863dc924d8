//! One process of a server.

use crate::guard::proc::ProcessId;
use crate::ports::Beat;
use crate::supervisor::activity::Look;
use crate::supervisor::identity::Program;
use crate::supervisor::memory::MemoryAlarm;
use crate::supervisor::slot::Slot;
use crate::supervisor::status::Sample;
use crate::types::{Epoch, UnixMillis};
use std::collections::VecDeque;

/// The process that runs, or ran last.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub server: ProcessId,
    pub start: String,
    pub slot: Slot,
    pub start_number: u64,
    pub epoch: Option<Epoch>,
    /// Log lines after this one are its own.
    pub log_cursor: u64,
    /// When the start was decided; `None` where it was adopted.
    pub decided_ns: Option<u64>,
    pub beats: VecDeque<(UnixMillis, Beat)>,
    pub cpu: Option<(u64, u64)>,
    pub samples: VecDeque<Sample>,
    pub memory: MemoryAlarm,
    /// The look at its threads when its silence began.
    pub look: Option<Look>,
    /// What went wrong with its last probe.
    pub probe_error: Option<String>,
    /// The file that it executes.
    pub program: Option<Program>,
    pub connected: bool,
    pub played: bool,
}

impl Run {
    /// One of which nothing was seen yet.
    pub fn new(server: ProcessId, start: String, slot: Slot, start_number: u64) -> Self {
        Self {
            server,
            start,
            slot,
            start_number,
            epoch: None,
            log_cursor: 0,
            decided_ns: None,
            beats: VecDeque::new(),
            cpu: None,
            samples: VecDeque::new(),
            memory: MemoryAlarm::default(),
            look: None,
            probe_error: None,
            program: None,
            connected: false,
            played: false,
        }
    }
}
