//! Cancellation and phased drain.
//!
//! The first SIGTERM or SIGINT starts an orderly drain; a second one hurries: every deadline becomes now.

use tokio_util::sync::CancellationToken;

/// Two levels of ending. Clones see the same state.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    hurry: CancellationToken,
}

impl Shutdown {
    /// A running state.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins the drain, or hurries it where it has begun.
    pub fn signal(&self) {
        if self.drain.is_cancelled() {
            self.hurry.cancel();
        }
        self.drain.cancel();
    }

    /// Completes once the drain begins. Cancel-safe.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Completes once the drain is to be cut short. Cancel-safe.
    pub async fn hurrying(&self) {
        self.hurry.cancelled().await;
    }

    /// Whether the drain has begun.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Whether the drain is to be cut short.
    pub fn is_hurrying(&self) -> bool {
        self.hurry.is_cancelled()
    }
}
