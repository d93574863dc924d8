//! What others see of the standby.

use super::{Actor, now};
use crate::guard::proc;
use crate::supervisor::status::{self, State};
use crate::types::now_ms;

impl Actor {
    /// Makes the standby visible.
    pub(super) fn publish_standby(&self) {
        let state = self.machine.standby();
        let (failures, next) = self.machine.standby_failures();
        let launched = self.standby.as_ref().and_then(|it| it.launched.as_ref());
        let os_pid = launched.map(|launched| launched.server.pid as u32);
        let next = next.map(|at| now_ms() + at.saturating_sub(now()).as_millis() as u64);
        let problem = &self.standby_problem;
        self.status.send_if_modified(|status| {
            let old = status.standby.as_ref();
            if state == State::Stopped {
                return status.standby.take().is_some();
            }
            let same = old.is_some_and(|old| {
                old.state == state
                    && old.os_pid == os_pid
                    && old.failures == failures
                    && old.problem == *problem
            });
            if same {
                return false;
            }
            let kept = old.filter(|old| old.os_pid == os_pid);
            status.standby = Some(status::Standby {
                since_ms: old
                    .filter(|old| old.state == state)
                    .map_or_else(now_ms, |old| old.since_ms),
                rss_bytes: kept.and_then(|old| old.rss_bytes),
                state,
                os_pid,
                failures,
                problem: problem.clone(),
                next_start_ms: next,
            });
            true
        });
    }

    /// Reads the memory of the standby.
    pub(super) fn sample_standby(&self) {
        let launched = self.standby.as_ref().and_then(|it| it.launched.as_ref());
        let memory = launched.and_then(|launched| proc::memory(launched.server.pid));
        self.status.send_if_modified(|status| {
            let Some(standby) = &mut status.standby else {
                return false;
            };
            standby.rss_bytes = memory.map(|(now, _)| now);
            true
        });
    }
}
