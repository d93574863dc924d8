//! Which sidekick to talk to: its runtime directory, and what stands there.

use super::args::CtlArgs;
use super::error::CtlError;
use crate::config;
use serde::Deserialize;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// In the runtime directory while sidekick runs, mode 0600: `{"port": 40123, "node": "sidekick@127.0.0.1"}`.
pub const CONTROL_FILE: &str = "control.json";
/// Beside it, mode 0600: the cookie of the control listener, which has nothing to do with the cluster's.
pub const COOKIE_FILE: &str = "control.cookie";

/// How to reach one sidekick.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The control file it was read from.
    pub file: PathBuf,
    /// The listener's port on loopback.
    pub port: u16,
    /// The part of the node's name before the `@`.
    pub alive: String,
    /// The listener's cookie.
    pub cookie: String,
}

#[derive(Deserialize)]
struct ControlFile {
    port: u16,
    node: String,
}

/// Finds the runtime directory: what was typed, else what the configuration says.
pub(super) fn run_dir(args: &CtlArgs) -> Result<PathBuf, CtlError> {
    match &args.run_dir {
        Some(dir) => Ok(dir.clone()),
        None => Ok(config::run_dir(
            args.config
                .as_deref()
                .unwrap_or(Path::new(config::DEFAULT_FILE)),
        )?),
    }
}

/// Reads the control files of a runtime directory.
pub(super) fn find(run_dir: &Path) -> Result<Target, CtlError> {
    let file = run_dir.join(CONTROL_FILE);
    let text = read(&file, run_dir)?;
    let control: ControlFile =
        serde_json::from_str(&text).map_err(|error| CtlError::ControlFile {
            file: file.clone(),
            reason: format!("it is not a control file ({error})"),
            remedy: "restart sidekick, which writes it anew",
        })?;
    let cookie = read(&run_dir.join(COOKIE_FILE), run_dir)?;
    Ok(Target {
        file,
        port: control.port,
        alive: control
            .node
            .split('@')
            .next()
            .unwrap_or_default()
            .to_owned(),
        cookie: cookie.trim().to_owned(),
    })
}

fn read(file: &Path, run_dir: &Path) -> Result<String, CtlError> {
    std::fs::read_to_string(file).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => CtlError::NotRunning {
            run_dir: run_dir.to_owned(),
        },
        kind => CtlError::ControlFile {
            file: file.to_owned(),
            reason: error.to_string(),
            remedy: if kind == ErrorKind::PermissionDenied {
                "run this as the user who runs sidekick"
            } else {
                "restart sidekick, which writes it anew"
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_make_a_target() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join(CONTROL_FILE),
            r#"{"port": 40123, "node": "sidekick@host.example"}"#,
        )
        .unwrap();
        std::fs::write(dir.path().join(COOKIE_FILE), "secret\n").unwrap();
        let target = find(dir.path()).unwrap();
        assert_eq!(
            (target.port, target.alive.as_str(), target.cookie.as_str()),
            (40123, "sidekick", "secret")
        );
    }

    #[test]
    fn without_files_nothing_runs() {
        let dir = tempfile::tempdir().unwrap();
        let message = find(dir.path()).unwrap_err().to_string();
        assert!(
            message.contains("no sidekick runs") && message.contains("sidekick run"),
            "{message}"
        );
    }

    #[test]
    fn a_broken_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(CONTROL_FILE), "{").unwrap();
        let message = find(dir.path()).unwrap_err().to_string();
        assert!(
            message.contains("control.json") && message.contains("restart sidekick"),
            "{message}"
        );
    }
}
