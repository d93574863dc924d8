//! Signals of the operator.

use crate::shutdown::Shutdown;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

/// SIGTERM and SIGINT begin the drain, a second one hurries it. SIGHUP is told on.
///
/// # Errors
/// Where a handler cannot be installed.
pub fn listen(shutdown: Shutdown, hangups: Arc<Notify>) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => shutdown.signal(),
                _ = interrupt.recv() => shutdown.signal(),
                _ = hangup.recv() => hangups.notify_one(),
            }
        }
    });
    Ok(())
}
