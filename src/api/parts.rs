//! What the requests are dispatched to.

use crate::api::pids::ServerPids;
use crate::api::subscriptions::Subscriptions;
use crate::buffer::Buffer;
use crate::config::Config;
use crate::godot::Sessions;
use crate::node::Node;
use crate::ports::Reload;
use crate::supervisor::Supervisor;
use crate::upload::Upload;
use std::sync::Arc;
use std::time::Instant;

/// Everything a request may need; one value, shared by all who serve requests.
pub struct Parts {
    /// The Erlang node.
    pub node: Node,
    /// The supervisor.
    pub supervisor: Supervisor,
    /// The buffer.
    pub buffer: Buffer,
    /// The uploads.
    pub upload: Upload,
    /// The game sessions.
    pub sessions: Sessions,
    /// The configuration with which sidekick started.
    pub config: Arc<Config>,
    /// Who reads it again.
    pub reload: Arc<dyn Reload>,
    /// When sidekick started.
    pub started: Instant,
    pub(super) pids: ServerPids,
    pub(super) subscriptions: Subscriptions,
}

impl Parts {
    /// Puts the parts together.
    pub fn new(
        node: Node,
        supervisor: Supervisor,
        buffer: Buffer,
        upload: Upload,
        sessions: Sessions,
        config: Arc<Config>,
        reload: Arc<dyn Reload>,
    ) -> Arc<Self> {
        Arc::new(Self {
            node,
            supervisor,
            buffer,
            upload,
            sessions,
            config,
            reload,
            started: Instant::now(),
            pids: ServerPids::default(),
            subscriptions: Subscriptions::default(),
        })
    }
}
