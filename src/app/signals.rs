//! Signals of the operator.

use crate::shutdown::Shutdown;
use tokio::signal::unix::{SignalKind, signal};

/// SIGTERM and SIGINT begin the drain, a second one hurries it. SIGHUP changes nothing and says so.
///
/// # Errors
/// Where a handler cannot be installed.
pub fn listen(shutdown: Shutdown) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => shutdown.signal(),
                _ = interrupt.recv() => shutdown.signal(),
                _ = hangup.recv() => {
                    tracing::warn!("SIGHUP: this version does not read the configuration again; restart sidekick, games play on");
                }
            }
        }
    });
    Ok(())
}
