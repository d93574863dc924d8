//! The end of a process whose place was taken.

use super::Command;
use crate::guard::proc::ProcessId;
use crate::guard::protocol::{FromGuard, ToGuard};
use crate::guard::tree;
use crate::supervisor::adopt;
use crate::supervisor::link::Link;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Reads a guard's last words. An end without any means that it was killed, and the kernel killed its server.
pub(super) async fn see_off(
    mut link: Link,
    server: ProcessId,
    start: String,
    mut kill_at: Option<Instant>,
    commands: mpsc::WeakSender<Command>,
) {
    let mut exited = None;
    loop {
        let kill = async {
            match kill_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let message = tokio::select! {
            message = link.recv() => message,
            () = kill => {
                kill_at = None;
                let _ = link.send(&ToGuard::Kill).await;
                // Also by ourselves, for a guard that is itself stopped.
                tree::signal(server, rustix::process::Signal::KILL);
                continue;
            }
        };
        match message {
            Some(FromGuard::Exited(record)) => exited = Some(record),
            Some(FromGuard::Gone) => break,
            Some(_) => {}
            None => {
                adopt::sweep(server, &start).await;
                break;
            }
        }
    }
    if let Some(commands) = commands.upgrade() {
        let _ = commands.send(Command::Left(exited.map(Box::new))).await;
    }
}
