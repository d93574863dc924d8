//! Why sidekick could not start or had to end.

use crate::buffer::OpenError;
use crate::godot::SessionError;
use crate::node::NodeError;
use crate::supervisor::SupervisorStartError;
use std::path::PathBuf;

/// A failure that ends sidekick. Its text names the thing and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// The buffer cannot be opened.
    #[error(transparent)]
    Buffer(#[from] OpenError),
    /// The node cannot start.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// Sessions cannot be served.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The supervisor cannot start.
    #[error(transparent)]
    Supervisor(#[from] SupervisorStartError),
    /// The run directory cannot be used.
    #[error("run directory {}: {source}; make it writable for this user or choose another [run] dir", path.display())]
    RunDir {
        /// The path it was about.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another sidekick uses the run directory.
    #[error("run directory {} is in use by another sidekick{}; stop it or choose another [run] dir", path.display(), pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    RunDirLocked {
        /// The directory.
        path: PathBuf,
        /// Who holds it, where known.
        pid: Option<u32>,
    },
    /// A value of the configuration that only shows to be wrong now.
    #[error("{0}")]
    Config(String),
    /// The async runtime cannot start.
    #[error("cannot start: {0}")]
    Runtime(std::io::Error),
    /// Something failed after which nothing may be acknowledged.
    #[error(
        "stopped: {0}; what was acknowledged is safe, start sidekick again once the cause is mended"
    )]
    Stopped(String),
}

impl AppError {
    /// The documented exit code: 2 for configuration, 1 for anything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Node(NodeError::Tls(_)) => 2,
            _ => 1,
        }
    }
}
