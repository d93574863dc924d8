//! The handle of all sinks.

use super::options::{Destination, SinkOptions};
use super::postgres::{Database, InitError, Initialized};
use super::sink::{Command, Sink};
use super::status::SinkStatus;
use crate::buffer::Buffer;
use crate::node::Node;
use crate::shutdown::Shutdown;
use crate::types::SinkName;
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
    name: SinkName,
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<SinkStatus>,
    database: Option<Arc<Database>>,
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
            node.keep_connected(options.to.nodes().to_vec());
            let database = match &options.to {
                Destination::Beam(_) => None,
                Destination::Postgres(database) => {
                    let database = Database::new((**database).clone(), options.timeout);
                    Some(Arc::new(database))
                }
            };
            let name = options.name.clone();
            let (sink, status) = Sink::new(buffer.clone(), node.clone(), options, database.clone());
            let (commands, received) = mpsc::channel(8);
            tokio::spawn(sink.run(received, stopped.clone()));
            Handle {
                name,
                commands,
                status,
                database,
            }
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

    /// Makes the tables of a sink of kind `postgres` where they are missing, and checks those that are there.
    ///
    /// # Errors
    /// Says what the database refused, or what is wrong with a table.
    pub async fn init(&self, sink: &SinkName) -> Result<Initialized, InitError> {
        self.database(sink)?.init().await
    }

    /// The statements by which [`init`](Self::init) makes them.
    ///
    /// # Errors
    /// Where no such sink runs, or it has no tables.
    pub fn schema_sql(&self, sink: &SinkName) -> Result<String, InitError> {
        Ok(self.database(sink)?.schema_sql())
    }

    fn database(&self, sink: &SinkName) -> Result<&Arc<Database>, InitError> {
        let handle = self.sinks.iter().find(|handle| handle.name == *sink);
        let database = &handle.ok_or(InitError::UnknownSink)?.database;
        database.as_ref().ok_or(InitError::NoTables)
    }

    /// Ends the tasks; what is under way may or may not be stored, and is asked for next time.
    pub fn stop(&self) {
        self.stopped.cancel();
    }
}
