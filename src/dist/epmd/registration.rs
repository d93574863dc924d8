//! Our own entry in the port mapper, kept alive over the port mapper's restarts.

use crate::dist::epmd::client::{self, EpmdFailure, Held};
use crate::dist::epmd::server::Server;
use std::net::IpAddr;
use std::time::Duration;

/// A restarted node may find its predecessor's entry for a moment: so long is the name asked for again.
const NAME_PATIENCE: Duration = Duration::from_secs(2);
/// Pause between attempts.
const PAUSE: Duration = Duration::from_millis(200);
/// Longest pause between attempts to register again.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What to register and where.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Port of the port mapper.
    pub epmd_port: u16,
    /// Serve the protocol where nobody does.
    pub serve: bool,
    /// The part of the node's name before the `@`.
    pub name: String,
    /// Where the node listens.
    pub listen_port: u16,
    /// Whether it is a normal rather than a hidden node.
    pub visible: bool,
    /// Where to serve the questions of other machines; on this machine alone where none is given.
    pub answer_at: Option<IpAddr>,
}

/// A registration as it stands.
#[derive(Debug)]
pub struct Registered {
    held: Option<Held>,
    server: Option<Server>,
    /// The node's creation, as first given.
    pub creation: u32,
}

impl Registration {
    /// Registers, serving the port mapper where none answers.
    ///
    /// # Errors
    /// [`EpmdFailure::Refused`] where another node holds the name.
    pub async fn start(&self) -> Result<Registered, EpmdFailure> {
        let mut server = None;
        let deadline = tokio::time::Instant::now() + NAME_PATIENCE;
        loop {
            match self.attempt(&mut server).await {
                Ok((held, creation)) => {
                    return Ok(Registered {
                        held: Some(held),
                        server,
                        creation,
                    });
                }
                Err(EpmdFailure::Refused(_)) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Registers again whenever the port mapper was lost. Never completes; dropping it takes the name out.
    pub async fn keep(self, mut registered: Registered) {
        loop {
            if let Some(held) = &registered.held {
                held.lost().await;
                tracing::warn!(
                    port = self.epmd_port,
                    "the Erlang port mapper is gone; registering again"
                );
            }
            registered.held = None;
            registered.server = None;
            let mut pause = PAUSE;
            while registered.held.is_none() {
                match self.attempt(&mut registered.server).await {
                    Ok((held, _)) => {
                        tracing::info!(
                            port = self.epmd_port,
                            "registered with the Erlang port mapper"
                        );
                        registered.held = Some(held);
                    }
                    Err(error) => {
                        tracing::debug!(%error, "registration failed");
                        tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.5))).await;
                        pause = (pause * 2).min(PAUSE_MAX);
                    }
                }
            }
        }
    }

    async fn attempt(&self, server: &mut Option<Server>) -> Result<(Held, u32), EpmdFailure> {
        let register =
            || client::register(self.epmd_port, &self.name, self.listen_port, self.visible);
        match register().await {
            Err(EpmdFailure::Unreachable(_)) if self.serve && server.is_none() => {
                match Server::start_at(self.epmd_port, self.answer_at).await {
                    Ok(started) => {
                        tracing::info!(
                            port = started.port(),
                            "no Erlang port mapper here: serving it"
                        );
                        *server = Some(started);
                    }
                    // Somebody was quicker: then there is one to register with.
                    Err(error) => tracing::debug!(%error, "cannot serve the port mapper"),
                }
                register().await
            }
            other => other,
        }
    }
}
