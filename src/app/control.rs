//! The control listener of `sidekick ctl` and the files by which it is found.

use super::{AppError, secret};
use crate::node::{ControlListener, Cookie, Functions, NodeName};
use crate::shutdown::Shutdown;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A running control listener; its files are in the run directory, readable by this user alone.
pub struct Control {
    file: PathBuf,
    /// Listens until it is dropped.
    _listener: ControlListener,
}

impl Control {
    /// Starts listening under a fresh cookie and writes `control.cookie`, then `control.json`.
    ///
    /// # Errors
    /// Where the listener or a file cannot be made.
    pub async fn start(
        run_dir: &Path,
        node: &NodeName,
        functions: Arc<dyn Functions>,
        shutdown: Shutdown,
    ) -> Result<Self, AppError> {
        let secret = secret::fresh();
        // erl_rpc connects to the host part of the name, and listening is on loopback.
        let name = format!("{}_ctl@127.0.0.1", node.name());
        let name: NodeName = name
            .parse()
            .map_err(|error| AppError::Config(format!("{error}")))?;
        let listener =
            ControlListener::start(name.clone(), Cookie::new(&secret), functions, shutdown)
                .await
                .map_err(AppError::Runtime)?;
        let file = run_dir.join("control.json");
        write(&run_dir.join("control.cookie"), &secret)?;
        let facts = json!({"port": listener.port(), "node": name.to_string(), "os_pid": std::process::id()});
        write(&file, &facts.to_string())?;
        Ok(Self {
            file,
            _listener: listener,
        })
    }

    /// Nobody is to find the listener any more.
    pub fn close(self) {
        if let Err(error) = std::fs::remove_file(&self.file) {
            tracing::debug!(%error, "control file not removed");
        }
    }
}

/// Replaces a file atomically, mode 0600.
fn write(path: &Path, text: &str) -> Result<(), AppError> {
    let failed = |source| AppError::RunDir {
        path: path.to_owned(),
        source,
    };
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    std::fs::rename(&fresh, path).map_err(failed)
}
