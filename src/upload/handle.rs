//! The handle of all sinks.

use super::options::SinkOptions;
use super::sink::{Command, Sink};
use super::status::SinkStatus;
use crate::buffer::Buffer;
use crate::node::Node;
use crate::shutdown::Shutdown;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// All sinks at work. Clones are the same.
#[derive(Clone)]
pub struct Upload {
    sinks: Arc<Vec<Handle>>,
    stopped: CancellationToken,
}

struct Handle {
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<SinkStatus>,
}

impl Upload {
    /// Starts one task per sink, and has the node keep connected to the sinks' nodes. The tasks end when the shutdown
    /// hurries, with [`stop`](Self::stop), or with the last handle.
    pub fn start(
        buffer: &Buffer,
        node: &Node,
        sinks: Vec<SinkOptions>,
        shutdown: &Shutdown,
    ) -> Self {
        let stopped = CancellationToken::new();
        let handles = sinks.into_iter().map(|options| {
            node.keep_connected(options.nodes.clone());
            let (sink, status) = Sink::new(buffer.clone(), node.clone(), options);
            let (commands, received) = mpsc::channel(8);
            tokio::spawn(sink.run(received, stopped.clone()));
            Handle { commands, status }
        });
        let upload = Self {
            sinks: Arc::new(handles.collect()),
            stopped: stopped.clone(),
        };
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = shutdown.hurrying() => stopped.cancel(),
                () = stopped.cancelled() => {}
            }
        });
        upload
    }

    /// How each sink fares, in the order of the configuration.
    pub fn status(&self) -> Vec<SinkStatus> {
        let seen = |handle: &Handle| handle.status.borrow().clone();
        self.sinks.iter().map(seen).collect()
    }

    /// Sends everything that is in the buffer now, without waiting for more. True once every sink has stored it all; false
    /// where the deadline came first.
    pub async fn drain(&self, deadline: Duration) -> bool {
        let all = futures::future::join_all(self.sinks.iter().map(|handle| async {
            let (done, stored) = oneshot::channel();
            handle.commands.send(Command::Drain(done)).await.is_ok() && stored.await.is_ok()
        }));
        let stored = tokio::time::timeout(deadline, all).await;
        stored.is_ok_and(|stored| stored.into_iter().all(|stored| stored))
    }

    /// Ends the tasks; what is under way may or may not be stored, and is asked for next time.
    pub fn stop(&self) {
        self.stopped.cancel();
    }
}
