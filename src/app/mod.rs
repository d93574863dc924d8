//! Wiring: builds every part from the configuration, runs them, and ends them in order.
//!
//! Start: run directory → buffer → node → sessions → supervisor → uploads → requests → control listener.
//! Each part that fails to start ends sidekick with one message that names the thing and the remedy.
//!
//! End, by SIGTERM or SIGINT: servers stop over their sessions → sessions close → what is left is uploaded until a
//! deadline → the buffer syncs and closes → peers are closed. A second signal cuts every wait short. Nothing is
//! lost either way: what was acknowledged is on disk before the drain begins.

mod control;
mod convert;
mod error;
mod memory;
mod ports;
mod reload;
mod run_dir;
mod secret;
mod signals;

pub use convert::{check_certificates, check_containment};
pub use error::AppError;

use crate::api::{self, NodeCluster, Parts};
use crate::buffer::Buffer;
use crate::config::{Config, Overrides};
use crate::console::ConsoleFunctions;
use crate::godot::Sessions;
use crate::node::Node;
use crate::shutdown::Shutdown;
use crate::supervisor::{SessionFeed, Supervisor};
use crate::upload::{DrainReport, Upload};
use control::Control;
use reload::Reloader;
use run_dir::RunDir;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// How long uploads may go on after the servers have stopped.
const UPLOAD_DRAIN: Duration = Duration::from_secs(10);

/// One way to end each phase of the drain.
#[derive(Default)]
struct Phases {
    /// Begun by the operator's signal.
    servers: Shutdown,
    sessions: Shutdown,
    uploads: Shutdown,
    node: Shutdown,
}

/// Everything that runs.
struct Running {
    parts: Arc<Parts>,
    control: Control,
    phases: Phases,
    /// Held until the end.
    _run_dir: RunDir,
}

/// Runs sidekick until it is told to end. `overrides` are those with which the configuration was read, and is read again.
///
/// # Errors
/// What could not be started, or the failure that ended it.
pub fn run(config: Config, overrides: Overrides) -> Result<(), AppError> {
    memory::keep_little();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(8)
        .thread_name("sidekick")
        .enable_all()
        .build()
        .map_err(AppError::Runtime)?;
    runtime.block_on(async {
        let phases = Phases::default();
        let hangups = Arc::new(Notify::new());
        signals::listen(phases.servers.clone(), hangups.clone()).map_err(AppError::Runtime)?;
        warn_of_same_user(&config);
        let running = start(Arc::new(config), overrides, hangups, phases).await?;
        let failure = wait(&running).await;
        finish(running, failure).await
    })
}

/// A game that is taken over can then read sidekick's memory, its cookie and the other servers' tokens.
fn warn_of_same_user(config: &Config) {
    let same = config
        .servers
        .iter()
        .filter(|server| server.contain.user.is_none());
    let same: Vec<&str> = same.map(|server| server.id.as_str()).collect();
    if !same.is_empty() {
        let servers = same.join(" ");
        tracing::warn!(
            servers,
            "run as the same user as sidekick, whose secrets they can read; set `user` where that matters"
        );
    }
}

async fn start(
    config: Arc<Config>,
    overrides: Overrides,
    hangups: Arc<Notify>,
    phases: Phases,
) -> Result<Running, AppError> {
    let run_dir = RunDir::take(&config.run.dir)?;
    let options = convert::buffer_options(&config);
    let buffer = tokio::task::spawn_blocking(move || Buffer::open(options))
        .await
        .map_err(|_| AppError::Stopped("the buffer could not be opened".into()))??;
    let node = Node::start(convert::node_options(&config)?, phases.node.clone()).await?;

    let cluster = Arc::new(NodeCluster::default());
    cluster.set(node.clone());
    let feed = SessionFeed::new();
    let sessions = Sessions::start(
        convert::session_options(&config),
        buffer.clone(),
        Arc::new(feed.clone()),
        cluster,
        phases.sessions.clone(),
    )
    .await?;
    let supervisor = Supervisor::start(
        convert::supervisor_options(&config)?,
        convert::server_specs(&config),
        ports::rooms(&buffer, &sessions, feed),
        phases.servers.clone(),
    )
    .await?;
    let sinks = convert::sinks(&config)?;
    let upload = Upload::start(&buffer, &node, sinks, &phases.uploads);

    node.keep_connected(convert::nodes_to_keep(&config)?);
    let reloader = Reloader {
        started: config.clone(),
        overrides,
        supervisor: supervisor.clone(),
    };
    tokio::spawn(reloader.clone().at_hangup(hangups));
    let parts = Parts::new(
        node,
        supervisor,
        buffer,
        upload,
        sessions,
        config.clone(),
        Arc::new(reloader),
    );
    let functions = api::start(&parts);
    let console = ConsoleFunctions::new(parts.node.clone(), functions.clone());
    parts.node.serve_functions(Arc::new(console));
    let control = Control::start(
        &config.run.dir,
        parts.node.name(),
        functions,
        phases.node.clone(),
    )
    .await?;
    tracing::info!(
        node = %parts.node.name(),
        origin = %parts.buffer.origin(),
        incarnation = parts.buffer.incarnation(),
        servers = config.servers.len(),
        "sidekick runs"
    );
    Ok(Running {
        parts,
        control,
        phases,
        _run_dir: run_dir,
    })
}

/// Until the operator's signal, or a failure after which nothing may be acknowledged any more.
async fn wait(running: &Running) -> Option<String> {
    let mut failure = running.parts.buffer.failure();
    tokio::select! {
        () = running.phases.servers.draining() => None,
        failed = failure.wait_for(Option::is_some) => match failed {
            Ok(reason) => reason.clone(),
            Err(_) => Some("the buffer's threads ended".to_owned()),
        },
    }
}

/// What the sinks lack, once each has everything or is not worth waiting for: one that cannot be reached is tried once more.
async fn drain_uploads(upload: &Upload) -> Vec<String> {
    let reports = upload.finish(UPLOAD_DRAIN).await;
    reports
        .iter()
        .filter_map(DrainReport::unacknowledged)
        .collect()
}

async fn finish(running: Running, failure: Option<String>) -> Result<(), AppError> {
    let Running {
        parts,
        control,
        phases,
        ..
    } = running;
    control.close();
    if let Some(reason) = failure {
        // Games with on_exit = "keep" play on; what they record waits in their addon for the next sidekick.
        parts.supervisor.leave().await;
        return Err(AppError::Stopped(reason));
    }
    tracing::info!("stopping servers; signal again to hurry");
    parts.supervisor.shutdown().await;
    phases.sessions.signal();
    let missing = tokio::select! {
        missing = drain_uploads(&parts.upload) => missing,
        () = phases.servers.hurrying() => vec!["not waited for".to_owned()],
    };
    for missing in missing {
        tracing::warn!(
            missing,
            "some records are not uploaded yet; they are safe in the buffer and go up at the next start"
        );
    }
    parts.upload.stop();
    parts.buffer.close().await;
    phases.node.signal();
    // What waits for peers is written before they are closed.
    parts.node.close().await;
    tracing::info!("sidekick has ended");
    Ok(())
}
