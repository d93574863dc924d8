//! Why sessions are not served, and why a script did not answer.

use crate::godot::{MapError, Path};
use std::path::PathBuf;

/// Why the session server did not start. Each text says the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// Neither socket nor TCP address was given.
    #[error("sessions need a socket path or a TCP address")]
    NoAddress,
    /// Another process answers on the socket.
    #[error("session socket {} is served by another process; stop that sidekick or choose another run directory", .0.display())]
    InUse(PathBuf),
    /// Unix socket paths are short.
    #[error("session socket path {} is longer than 107 bytes; choose a shorter run directory", .0.display())]
    PathTooLong(PathBuf),
    /// Something that is no socket stands there.
    #[error("{} exists and is not a socket; move it away or choose another run directory", .0.display())]
    NotASocket(PathBuf),
    /// The system refused.
    #[error("cannot serve sessions on {address}: {source}; check that it is free and permitted")]
    Bind {
        /// Path or address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Why a script did not answer or did not get a message.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// The server has no session now.
    #[error("the server is not connected")]
    NotConnected,
    /// The term has no Variant.
    #[error("no Variant for {what} at {path}")]
    Unsupported {
        /// Where in the term.
        path: Path,
        /// What it is.
        what: String,
    },
    /// No answer in time; whether the script handled the call is unknown.
    #[error("no answer in time")]
    Timeout,
    /// The script has no handler, could not answer, or its process ended meanwhile.
    #[error("{0}")]
    Failed(String),
}

impl From<MapError> for ScriptError {
    fn from(error: MapError) -> Self {
        Self::Unsupported {
            path: error.path,
            what: error.what,
        }
    }
}
