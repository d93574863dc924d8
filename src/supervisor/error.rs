//! What can go wrong when the supervisor is asked something.

use crate::types::ServerId;
use std::path::PathBuf;

/// A request could not be fulfilled. The supervisor itself goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SupervisorError {
    /// No server of that id.
    #[error("no server is called {0}")]
    NotFound(ServerId),
    /// No group of that name.
    #[error("no group is called {0}; [[group]] sections of the configuration name them")]
    NoGroup(String),
    /// It has a process already.
    #[error("{0} is already started")]
    AlreadyStarted(ServerId),
    /// It has no process.
    #[error("{0} is not running")]
    NotRunning(ServerId),
    /// A server of that id exists already.
    #[error("a server called {0} exists already; delete it first or choose another id")]
    AlreadyPresent(ServerId),
    /// It must be stopped first.
    #[error("{0} is running; stop it first")]
    Running(ServerId),
    /// The process could not be started or did not come to play; the text says why and what to do.
    #[error("{id} did not start: {message}")]
    StartFailed {
        /// Which.
        id: ServerId,
        /// Why, with the remedy.
        message: String,
    },
    /// The request cannot be answered by a draining game: it has no session.
    #[error("{0} has no session to drain; stop it instead")]
    NoSession(ServerId),
    /// Another request took its place (a stop during a start, for example).
    #[error("the request for {0} was overtaken by a later one")]
    Overtaken(ServerId),
    /// The supervisor is ending.
    #[error("the supervisor is shutting down")]
    ShuttingDown,
}

/// The supervisor could not be started at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SupervisorStartError {
    /// A directory of the options cannot be used.
    #[error("cannot use {path} ({source}); make it a directory that this user may write to", path = .path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Two specs share an id.
    #[error("two servers are called {0}; give each its own id")]
    Duplicate(ServerId),
    /// The thread that reads log files could not be started.
    #[error(
        "cannot start reading log files ({0}); raise the limits of open files and of processes (`ulimit -n`, `ulimit -u`)"
    )]
    LogReader(std::io::Error),
}
