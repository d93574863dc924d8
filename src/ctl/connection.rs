//! One connection by `erl_rpc`, with the bounds it lacks.

use super::error::CtlError;
use super::target::Target;
use super::term;
use eetf::{Atom, List, Term};
use erl_rpc::{RpcClient, RpcClientHandle};
use serde_json::Value;
use smol::future::{FutureExt, or};
use std::io::ErrorKind;
use std::time::Duration;

/// As long as OTP gives a handshake.
const HANDSHAKE: Duration = Duration::from_secs(7);

/// Makes calls; lives while [`with`] runs.
pub(super) struct Connection {
    handle: RpcClientHandle,
    timeout: Duration,
}

/// Connects, runs the script and closes.
pub(super) fn with<T>(
    target: &Target,
    timeout: Duration,
    script: impl AsyncFnOnce(&mut Connection) -> Result<T, CtlError>,
) -> Result<T, CtlError> {
    smol::block_on(async {
        let client = connect(target).await?;
        let mut connection = Connection {
            handle: client.handle(),
            timeout,
        };
        let run = async {
            Err(CtlError::Lost(match client.run().await {
                Ok(()) => "the client ended".to_owned(),
                Err(error) => error.to_string(),
            }))
        };
        or(script(&mut connection), run).await
    })
}

async fn connect(target: &Target) -> Result<RpcClient, CtlError> {
    let port = target.port;
    let stale = || CtlError::Stale {
        file: target.file.clone(),
        port,
    };
    let handshake = |reason: String| CtlError::Handshake { port, reason };
    // The listener is on loopback, whatever the node's own host is called.
    let name = format!("{}@127.0.0.1", target.alive);
    let connecting = async {
        RpcClient::connect_with_port(&name, port, &target.cookie)
            .await
            .map_err(|error| match error {
                erl_rpc::ConnectError::IoError(error)
                    if error.kind() == ErrorKind::ConnectionRefused =>
                {
                    stale()
                }
                error => handshake(error.to_string()),
            })
    };
    let late = async {
        smol::Timer::after(HANDSHAKE).await;
        Err(handshake("no handshake in time".to_owned()))
    };
    connecting.or(late).await
}

impl Connection {
    /// Calls `sidekick:FUNCTION(ARGUMENTS)`; gives the value of `{:ok, value}`, null for `:ok`.
    pub async fn call(&mut self, function: &str, arguments: Vec<Term>) -> Result<Value, CtlError> {
        let timeout = self.timeout;
        let call = async {
            self.handle
                .call(
                    Atom::from("sidekick"),
                    Atom::from(function),
                    List::from(arguments),
                )
                .await
                .map_err(|error| match error {
                    erl_rpc::CallError::ErrorResponse { reason } => term::exception(&reason),
                    error => CtlError::Lost(error.to_string()),
                })
        };
        let late = async {
            smol::Timer::after(timeout).await;
            Err(CtlError::Timeout(timeout))
        };
        term::reply(&call.or(late).await?)
    }
}
