//! The loopback listener for `sidekick ctl`.

use crate::dist::{Cookie, NodeName};
use crate::node::Functions;
use crate::shutdown::Shutdown;
use std::sync::Arc;

/// A listener on the loopback address that answers `erpc` calls of module `sidekick` and is not part of the cluster.
#[derive(Debug)]
pub struct ControlListener {
    port: u16,
}

impl ControlListener {
    /// Starts listening on a free port of 127.0.0.1.
    pub async fn start(
        name: NodeName,
        cookie: Cookie,
        functions: Arc<dyn Functions>,
        shutdown: Shutdown,
    ) -> std::io::Result<Self> {
        let _ = (name, cookie, functions, shutdown);
        todo!()
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }
}
