//! Topics of subscriptions.

use crate::api::error::ApiError;
use crate::api::request::{server_id, text};
use crate::etf::{Atom, Term};
use crate::types::{ServerId, StreamName};

/// A topic of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topic {
    /// Everything that happens to any server, without its log lines.
    Servers,
    /// The same for one server.
    Server(ServerId),
    /// Log lines of one server.
    Logs(ServerId),
    /// Crash bundles as they are written.
    Crashes,
    /// Records of one stream as they become durable.
    Stream(StreamName),
    /// Fill level and failures of the buffer.
    Buffer,
    /// Nodes that connect and disconnect.
    Peers,
    /// Troubles of sinks, their circuit breakers and dead letters.
    Sinks,
}

/// A topic from its term.
pub(super) fn topic(term: &Term) -> Result<Topic, ApiError> {
    match (term.as_atom().map(Atom::as_str), term.as_tuple()) {
        (Some("servers"), _) => Ok(Topic::Servers),
        (Some("crashes"), _) => Ok(Topic::Crashes),
        (Some("buffer"), _) => Ok(Topic::Buffer),
        (Some("peers"), _) => Ok(Topic::Peers),
        (Some("sinks"), _) => Ok(Topic::Sinks),
        (_, Some([kind, name])) => match kind.as_atom().map(Atom::as_str) {
            Some("server") => Ok(Topic::Server(server_id(name)?)),
            Some("logs") => Ok(Topic::Logs(server_id(name)?)),
            Some("stream") => text(name)
                .and_then(|name| StreamName::new(name).ok())
                .map(Topic::Stream)
                .ok_or(ApiError::argument(
                    "topic",
                    "a stream name of 1 to 255 bytes",
                )),
            _ => Err(unknown_topic()),
        },
        _ => Err(unknown_topic()),
    }
}

fn unknown_topic() -> ApiError {
    ApiError::argument(
        "topic",
        ":servers, {:server, id}, {:logs, id}, :crashes, {:stream, s}, :buffer, :peers or :sinks",
    )
}
