//! Keeps connections to configured nodes: tries again with growing, jittered pauses, and logs only changes.

use crate::dist::NodeName;
use crate::node::{Node, PeerEvent};
use std::time::Duration;
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// First pause after a failure.
const PAUSE: Duration = Duration::from_millis(250);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(10);

impl Node {
    /// Keeps one connection until the node is closed.
    pub(super) async fn keep(self, peer: NodeName) {
        let mut events = self.peer_events();
        let mut pause = PAUSE;
        let mut told = None;
        loop {
            match self.connected(&peer).await {
                Ok(_) => {
                    (pause, told) = (PAUSE, None);
                    while self.is_connected(&peer) && changed(&mut events, &peer).await {}
                    // A peer that lets us in and hangs up at once must not make us spin.
                    tokio::time::sleep(PAUSE.mul_f64(rand::random_range(0.5..1.0))).await;
                }
                Err(error) => {
                    // Each reason is told when it first shows: a wrong cookie after a node that was down is news.
                    let why = error.to_string();
                    if told.as_ref() != Some(&why) {
                        tracing::warn!(%peer, error = why, "no connection; trying again until there is one");
                        told = Some(why);
                    }
                    // The peer may come to us meanwhile.
                    let wait = pause.mul_f64(rand::random_range(0.5..1.0));
                    let _ = tokio::time::timeout(wait, changed(&mut events, &peer)).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }
}

/// Completes when something happened to this peer; false once nothing ever will. Cancel-safe.
async fn changed(events: &mut Receiver<PeerEvent>, peer: &NodeName) -> bool {
    loop {
        match events.recv().await {
            Ok(PeerEvent::Up(name) | PeerEvent::Down(name)) if name == *peer => return true,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return true,
            Err(RecvError::Closed) => return false,
        }
    }
}
