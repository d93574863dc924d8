//! The way of session events to the servers' actors.
//!
//! Sessions need an observer before the supervisor exists and the supervisor needs the sessions: so this is made first
//! and given to both.

use crate::ports::{SessionEvent, SessionObserver};
use crate::types::ServerId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Events waiting for one actor; it needs microseconds for each, so this is never full unless something is wrong.
const CAPACITY: usize = 4_096;

/// Where sessions put their events. Clones are the same feed.
#[derive(Clone, Default)]
pub struct SessionFeed {
    servers: Arc<Mutex<HashMap<ServerId, mpsc::Sender<SessionEvent>>>>,
}

impl SessionFeed {
    /// A feed to which no supervisor listens yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Events of this server go to the returned receiver from now on.
    pub(super) fn listen(&self, server: &ServerId) -> mpsc::Receiver<SessionEvent> {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        self.servers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(server.clone(), sender);
        receiver
    }

    /// Nobody listens for this server any more.
    pub(super) fn forget(&self, server: &ServerId) {
        self.servers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(server);
    }
}

impl SessionObserver for SessionFeed {
    fn session_event(&self, server: &ServerId, event: SessionEvent) {
        let sender = self
            .servers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(server)
            .cloned();
        let Some(sender) = sender else {
            tracing::debug!(%server, ?event, "session event of an unknown server");
            return;
        };
        if let Err(mpsc::error::TrySendError::Full(event)) = sender.try_send(event) {
            tracing::error!(%server, ?event, "session event lost: the server's actor does not keep up");
        }
    }
}
