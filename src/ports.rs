//! The few traits by which rooms meet without knowing each other; `app` wires them. Terms cross here as their external
//! bytes ([`Payload`]), so that no port depends on a codec.

use crate::types::{BatchNumber, Epoch, Payload, ServerId, Token};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// A boxed future, so that ports are object safe.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a port did not do what it was asked; names the thing and the remedy.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct PortError(pub String);

/// One activation: a process became the owner of a server's scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    /// Fences the writes of earlier owners.
    pub epoch: Epoch,
    /// What the process must show in its `hello`.
    pub token: Token,
}

/// Where the supervisor gets epochs from (implemented over the buffer).
pub trait Activations: Send + Sync + 'static {
    /// Makes the next epoch and a fresh token, durable before this returns. Called before a process is started.
    fn activate<'a>(&'a self, server: &'a ServerId)
    -> BoxFuture<'a, Result<Activation, PortError>>;
    /// Makes the next epoch with a token that a standby holds already, durable before this returns.
    fn promote<'a>(
        &'a self,
        server: &'a ServerId,
        token: Token,
    ) -> BoxFuture<'a, Result<Activation, PortError>>;
    /// The last activation, for the adoption of a process that outlived an earlier sidekick.
    fn current<'a>(
        &'a self,
        server: &'a ServerId,
    ) -> BoxFuture<'a, Result<Option<Activation>, PortError>>;
}

/// What the supervisor asks of the sessions (implemented by `godot`). No call blocks.
pub trait Sessions: Send + Sync + 'static {
    /// From now on only this activation may say `hello` for the server; an older session is closed.
    fn expect(&self, server: &ServerId, activation: &Activation);
    /// A standby with this token may say `hello`; the answer waits until its token is expected. `None`: no standby may.
    fn stand_by(&self, server: &ServerId, token: Option<&Token>);
    /// The process is gone or was fenced: close its session after what it had sent was read.
    fn close(&self, server: &ServerId);
    /// Environment by which the process finds its session: `SIDEKICK_SOCKET` or `SIDEKICK_ADDR`, `SIDEKICK_TOKEN`, `SIDEKICK_SERVER`.
    fn environment(&self, server: &ServerId, activation: &Activation) -> Vec<(String, String)>;
    /// From now on processes of this user may come to the local socket too; a token proves them all the same.
    fn admit(&self, _user: u32) {}
    /// Asks the game to drain; false where no session is connected.
    fn drain(&self, server: &ServerId, deadline: Duration) -> bool;
}

/// Figures of one heartbeat from the game's main loop.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Beat {
    /// Physics ticks since the process started play.
    pub tick: u64,
    /// Mean frame time since the last beat, milliseconds.
    pub frame_ms: f64,
    /// Longest frame since the last beat, milliseconds.
    pub frame_ms_max: f64,
    /// Physics step time, milliseconds.
    pub physics_ms: f64,
    /// By how much the physics ticks since the last beat are behind the time that has passed, milliseconds.
    pub tick_lag_ms: f64,
    /// Players, where the game reports them.
    pub players: Option<u64>,
    /// Static memory as the engine counts it.
    pub memory_bytes: u64,
    /// Batches the addon holds that are not acknowledged.
    pub in_flight: u64,
    /// The game declared long work: no hang is to be judged for this long from now on (0: none).
    pub busy_ms: u64,
}

/// What a session tells about its server, in order, as it happens.
#[derive(Debug, Clone, PartialEq)]
pub enum SessionEvent {
    /// A process with the right token connected.
    Hello {
        /// The epoch of its activation.
        epoch: Epoch,
        /// Its own process id, as it says.
        os_pid: u32,
        /// Engine version text.
        engine: String,
        /// True where the process was already playing and came back (after sidekick's own death).
        resumed: bool,
        /// Last batch already committed, as told in the welcome.
        batch: BatchNumber,
    },
    /// The game has applied the restored state and plays: its first tick.
    Playing {
        /// First tick after restore, as the game numbers it (0 where it does not).
        tick: u64,
    },
    /// The game called `report_ready()`.
    Ready,
    /// The main loop is alive.
    Beat(Beat),
    /// The game said it has finished draining and ends by itself.
    Drained,
    /// The connection ended.
    Closed,
    /// A standby has loaded everything and waits.
    StandbyHello {
        /// Its own process id, as it says.
        os_pid: u32,
    },
    /// The connection of a waiting standby ended.
    StandbyClosed,
}

/// Who listens to sessions (implemented by the supervisor). Must not block.
pub trait SessionObserver: Send + Sync + 'static {
    /// Called for each event, in order per server.
    fn session_event(&self, server: &ServerId, event: SessionEvent);
}

/// What a script's call to the cluster ended with.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClusterError {
    /// No connection to that node.
    #[error("no connection to that node")]
    NoConnection,
    /// Nothing of that name runs there.
    #[error("no process of that name there")]
    NoProc,
    /// No answer in time; whether the request was handled is unknown.
    #[error("no answer in time")]
    Timeout,
    /// The process ended instead of answering, or refused.
    #[error("{0}")]
    Failed(String),
}

/// How a game's script reaches the BEAM (implemented over the node).
pub trait Cluster: Send + Sync + 'static {
    /// A plain send to a registered name, as from the server's own pid; lost where there is no connection.
    fn send<'a>(
        &'a self,
        from: &'a ServerId,
        name: &'a str,
        node: &'a str,
        message: Payload,
    ) -> BoxFuture<'a, Result<(), ClusterError>>;
    /// A gen call to a registered name.
    fn call<'a>(
        &'a self,
        from: &'a ServerId,
        name: &'a str,
        node: &'a str,
        request: Payload,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Payload, ClusterError>>;
}

/// What a crash bundle wants to know from elsewhere (implemented by `app` over buffer and upload).
pub trait BundleFacts: Send + Sync + 'static {
    /// A JSON object of facts, such as the un-uploaded range of each stream. Must answer within a second.
    fn facts<'a>(&'a self, server: &'a ServerId) -> BoxFuture<'a, serde_json::Value>;
}

/// Why the configuration was not taken over, or not all of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ReloadRefused {
    /// `bad_configuration`, `shutting_down` (nothing was changed) or `incomplete`.
    pub code: &'static str,
    /// What is wrong and what to do.
    pub detail: String,
    /// What was planned, where the configuration itself is right.
    pub plan: Option<serde_json::Value>,
}

/// Reads the configuration again while sidekick runs (implemented by `app`).
pub trait Reload: Send + Sync + 'static {
    /// Tells what would change, and does it unless `only_plan`: `added`, `changed` (`server`, `keys`, `restart`), `removed`, `unchanged`,
    /// `needs_sidekick` (sections that hold from the next start of sidekick), `warnings`, `file`, `done`. The work goes on if the future is dropped.
    fn reload(&self, only_plan: bool) -> BoxFuture<'_, Result<serde_json::Value, ReloadRefused>>;
}
