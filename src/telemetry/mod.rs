//! One struct per fact that emits both log and metric.
//!
//! [`init`] sets up the log on stderr, once. A room that learns a fact builds its struct from [`facts`] and
//! calls [`Fact::emit`]: the line in the log and the counter can then not drift apart, and an operator finds
//! every fact there is in one file. Levels: ERROR means loss or that an operator must act; WARN that
//! something failed and was handled; INFO the life of servers, peers and sinks. Counters are
//! `sidekick_<name>_<unit>_total`; where no recorder is installed they cost nothing.
//!
//! Operators may look on by [`live`].
//!
//! Plain `tracing` macros are for detail (DEBUG, TRACE) that is no fact of its own.

mod facts;
pub mod live;

pub use facts::*;

use crate::config::{LogConfig, LogFormat};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// A fact that can be told.
pub trait Fact {
    /// Writes the log line and counts.
    fn emit(self);
}

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not one.
    #[error(
        "log filter {0:?} is not valid; write such as \"info\" or \"info,sidekick::node=debug\""
    )]
    Filter(String),
    /// A log was set up before in this process.
    #[error("the log of this process is already set up")]
    Twice,
}

/// Sends the log to stderr from now on. Lines that cannot be written are lost silently: a closed stderr must
/// not end sidekick.
///
/// # Errors
/// Where the filter is not valid or a log was set up before.
pub fn init(config: &LogConfig) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&config.filter)
        .map_err(|_| TelemetryError::Filter(config.filter.clone()))?;
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    let layer = match config.format {
        LogFormat::Human => layer
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .with(live::layer())
        .try_init()
        .map_err(|_| TelemetryError::Twice)
}
