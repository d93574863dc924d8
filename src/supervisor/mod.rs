//! Starts, watches, restarts and adopts game servers.

mod error;
mod event;
mod feed;
mod spec;
mod status;

pub use error::{SupervisorError, SupervisorStartError};
pub use event::{EventKind, SupervisorEvent};
pub use feed::SessionFeed;
pub use spec::{Backoff, LogLimits, OnExit, Restart, ServerSpec, SupervisorOptions};
pub use status::{
    CrashSummary, EndReason, Health, LastExit, LogLine, LogSource, SessionInfo, State, Status,
    Timings,
};

use crate::ports::{Activations, BundleFacts, SessionEvent, SessionObserver, Sessions};
use crate::shutdown::Shutdown;
use crate::types::ServerId;
use std::sync::Arc;
use tokio::sync::broadcast;

/// What an exit signal from Erlang asks for. The restart policy applies afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitRequest {
    /// `exit(pid, :shutdown)`: graceful stop; a permanent server comes back.
    Shutdown,
    /// `exit(pid, :kill)`.
    Kill,
    /// Any other reason: graceful stop that counts as abnormal.
    Other,
}

/// Handle to the supervisor; clones are the same one.
#[derive(Clone)]
pub struct Supervisor {}

#[allow(clippy::unused_async, unused_variables, missing_docs)]
impl Supervisor {
    /// Makes the directories, adopts what an earlier sidekick left running, starts what is to be started.
    /// Returns before the servers play. `feed` is what was given to the sessions as their observer.
    pub async fn start(
        options: SupervisorOptions,
        specs: Vec<ServerSpec>,
        activations: Arc<dyn Activations>,
        sessions: Arc<dyn Sessions>,
        facts: Arc<dyn BundleFacts>,
        feed: SessionFeed,
        shutdown: Shutdown,
    ) -> Result<Self, SupervisorStartError> {
        todo!()
    }

    /// All servers, in the order of their start.
    pub fn servers(&self) -> Vec<Status> {
        todo!()
    }

    /// One server.
    pub fn server(&self, id: &ServerId) -> Option<Status> {
        todo!()
    }

    /// Its spec.
    pub fn spec(&self, id: &ServerId) -> Option<ServerSpec> {
        todo!()
    }

    /// Starts it; done once it plays (without a session: once its process runs). Releases a quarantine.
    pub async fn start_server(&self, id: &ServerId) -> Result<(), SupervisorError> {
        todo!()
    }

    /// Stops it gracefully; done once it is gone. It stays stopped.
    pub async fn stop_server(&self, id: &ServerId) -> Result<(), SupervisorError> {
        todo!()
    }

    /// Stops it gracefully and starts it again; done once it plays. Not counted as a restart.
    pub async fn restart_server(&self, id: &ServerId) -> Result<(), SupervisorError> {
        todo!()
    }

    /// SIGKILL to the whole tree; done once it is gone. The restart policy applies.
    pub async fn kill_server(&self, id: &ServerId) -> Result<(), SupervisorError> {
        todo!()
    }

    /// Asks the game to drain; done once it is gone. It stays stopped.
    pub async fn drain_server(&self, id: &ServerId) -> Result<(), SupervisorError> {
        todo!()
    }

    /// An exit signal to the process of that start; ignored where another start is current.
    pub async fn exit(&self, id: &ServerId, start_number: u64, request: ExitRequest) {
        todo!()
    }

    /// OTP `start_child`: adds and starts. Does not wait for play.
    pub async fn start_child(&self, spec: ServerSpec) -> Result<(), SupervisorError> {
        todo!()
    }

    /// OTP `terminate_child`: stops it, keeps the spec. Also fine where it does not run.
    pub async fn terminate_child(&self, id: &ServerId) -> Result<(), SupervisorError> {
        todo!()
    }

    /// OTP `restart_child`: starts a stopped one; [`SupervisorError::AlreadyStarted`] where it runs.
    pub async fn restart_child(&self, id: &ServerId) -> Result<(), SupervisorError> {
        todo!()
    }

    /// OTP `delete_child`: forgets a stopped one; [`SupervisorError::Running`] where it runs.
    pub async fn delete_child(&self, id: &ServerId) -> Result<(), SupervisorError> {
        todo!()
    }

    /// Log lines after a cursor (the oldest first), or the last `limit` ones without it.
    pub async fn logs(
        &self,
        id: &ServerId,
        limit: usize,
        after: Option<u64>,
    ) -> Result<Vec<LogLine>, SupervisorError> {
        todo!()
    }

    /// Its crash bundles, the oldest first.
    pub async fn crashes(&self, id: &ServerId) -> Result<Vec<CrashSummary>, SupervisorError> {
        todo!()
    }

    /// One crash bundle.
    pub async fn crash(&self, id: &ServerId, number: u64) -> Option<serde_json::Value> {
        todo!()
    }

    /// Events from now on. A receiver that lags loses the oldest.
    pub fn events(&self) -> broadcast::Receiver<SupervisorEvent> {
        todo!()
    }

    /// Log lines of all servers from now on. A receiver that lags loses the oldest.
    pub fn log_events(&self) -> broadcast::Receiver<(ServerId, LogLine)> {
        todo!()
    }

    /// Stops all servers gracefully, the last started first; hurried by [`Shutdown::hurrying`]. Returns once all are gone.
    pub async fn shutdown(&self) {
        todo!()
    }

    /// Lets go of all servers without stopping them: each guard does what `on_exit` says.
    pub async fn leave(&self) {
        todo!()
    }
}

impl SessionObserver for Supervisor {
    fn session_event(&self, _server: &ServerId, _event: SessionEvent) {
        todo!()
    }
}
