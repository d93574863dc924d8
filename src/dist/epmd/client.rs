//! Questions to a port mapper.

use crate::dist::epmd::answer::Answer;
use crate::dist::stream::SharedStream;
use erl_dist::epmd::{EpmdClient, EpmdError, NodeEntry};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, ToSocketAddrs};
use tokio::time::timeout;

/// How long a port mapper may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why a port mapper was of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EpmdFailure {
    /// Nothing answers there.
    #[error("no port mapper answers: {0}")]
    Unreachable(std::io::Error),
    /// It did not answer in time.
    #[error("the port mapper does not answer in time")]
    Timeout,
    /// It refused the registration: the name is taken.
    #[error("the port mapper refused the name (code {0}): it is taken")]
    Refused(u8),
    /// It did not speak the protocol.
    #[error("what listens there is not a port mapper: {0}")]
    Protocol(String),
}

/// The open registration of a node; dropping it takes the node's name out of the port mapper.
#[derive(Debug)]
pub struct Held(SharedStream);

impl Held {
    /// Completes when the port mapper is gone. Cancel-safe.
    pub async fn lost(&self) {
        let mut byte = [0];
        loop {
            if self.0.0.readable().await.is_err() {
                return;
            }
            match self.0.0.try_read(&mut byte) {
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                // Also where it says something: a port mapper says nothing more to a node that is registered.
                _ => return,
            }
        }
    }
}

/// Registers a node of this machine, over whichever loopback address answers; gives the registration and the node's creation.
pub async fn register(
    epmd_port: u16,
    name: &str,
    listen_port: u16,
    visible: bool,
) -> Result<(Held, u32), EpmdFailure> {
    let entry = if visible {
        NodeEntry::new(name, listen_port)
    } else {
        NodeEntry::new_hidden(name, listen_port)
    };
    let ask = async {
        let here: [SocketAddr; 2] = [
            (Ipv4Addr::LOCALHOST, epmd_port).into(),
            (Ipv6Addr::LOCALHOST, epmd_port).into(),
        ];
        let client = connect(&here[..]).await?;
        let (stream, creation) = client.register(entry).await.map_err(failure)?;
        Ok((Held(stream.into_inner()), creation.get()))
    };
    timeout(TIMEOUT, ask)
        .await
        .unwrap_or(Err(EpmdFailure::Timeout))
}

/// The port on which a node of that host listens; none where it is not registered.
pub async fn lookup(host: &str, epmd_port: u16, name: &str) -> Result<Option<u16>, EpmdFailure> {
    let ask = async {
        let client = connect((host, epmd_port)).await?;
        let entry = client.get_node(name).await.map_err(failure)?;
        Ok(entry.map(|entry| entry.port))
    };
    timeout(TIMEOUT, ask)
        .await
        .unwrap_or(Err(EpmdFailure::Timeout))
}

async fn connect(address: impl ToSocketAddrs) -> Result<EpmdClient<Answer>, EpmdFailure> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(EpmdFailure::Unreachable)?;
    Ok(EpmdClient::new(Answer::new(SharedStream(Arc::new(stream)))))
}

fn failure(error: EpmdError) -> EpmdFailure {
    match error {
        EpmdError::RegisterNodeError { code } => EpmdFailure::Refused(code),
        other => EpmdFailure::Protocol(other.to_string()),
    }
}
