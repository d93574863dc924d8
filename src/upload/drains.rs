//! Who waits for a drain of one sink, and until when.

use super::breaker::BreakerState;
use super::core::Core;
use super::drain::{DrainReport, Patience};
use super::lane::Moment;
use super::status::SinkState;
use crate::types::SinkName;
use tokio::sync::oneshot;

struct Waiting {
    until: Moment,
    patience: Patience,
    done: oneshot::Sender<DrainReport>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Drains {
    waiting: Vec<Waiting>,
}

impl Drains {
    /// Somebody waits.
    pub(super) fn add(
        &mut self,
        until: Moment,
        patience: Patience,
        done: oneshot::Sender<DrainReport>,
    ) {
        self.waiting.push(Waiting {
            until,
            patience,
            done,
        });
    }

    /// Nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When the first of them gives up.
    pub(super) fn until(&self) -> Option<Moment> {
        self.waiting.iter().map(|waiting| waiting.until).min()
    }

    /// Tells those for whom it is over: stored, too late, or hopeless.
    pub(super) fn tell(&mut self, now: Moment, core: &Core, sink: &SinkName) {
        let (stored, state) = (core.drained(), core.state());
        let refused = core.drain_is_refused();
        let open = core.breaker() == BreakerState::Open;
        for waiting in std::mem::take(&mut self.waiting) {
            let away = open || state == SinkState::Waiting;
            let gives_up = waiting.patience == Patience::Once && away;
            let hopeless = gives_up || refused || state == SinkState::Halted;
            if stored || hopeless || now >= waiting.until {
                // The asker may have gone; that ends its drain all the same.
                let _ = waiting.done.send(core.proof(sink.clone()));
            } else if !waiting.done.is_closed() {
                self.waiting.push(waiting);
            }
        }
    }
}
