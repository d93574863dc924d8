//! How a game's script reaches the BEAM: the `Cluster` port over the node.

use crate::etf::{self, Term};
use crate::node::{CallError, Node, NodeName};
use crate::ports::{BoxFuture, Cluster, ClusterError};
use crate::types::{Payload, ServerId};
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::Duration;

/// The port; the node is put in once it runs, which is after the sessions were made.
#[derive(Default)]
pub struct NodeCluster {
    node: OnceLock<Node>,
}

impl NodeCluster {
    /// The node runs.
    pub fn set(&self, node: Node) {
        let _ = self.node.set(node);
    }

    async fn reach(&self, node: &str) -> Result<(&Node, NodeName), ClusterError> {
        let name =
            NodeName::from_str(node).map_err(|error| ClusterError::Failed(error.to_string()))?;
        let local = self.node.get().ok_or(ClusterError::NoConnection)?;
        if &name != local.name() {
            local
                .connect(&name)
                .await
                .map_err(|_| ClusterError::NoConnection)?;
        }
        Ok((local, name))
    }
}

impl Cluster for NodeCluster {
    fn send<'a>(
        &'a self,
        _from: &'a ServerId,
        name: &'a str,
        node: &'a str,
        message: Payload,
    ) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(async move {
            let term = decode(message)?;
            let (local, node) = self.reach(node).await?;
            local
                .send_name(None, name, &node, term)
                .map_err(|_| ClusterError::NoConnection)
        })
    }

    fn call<'a>(
        &'a self,
        _from: &'a ServerId,
        name: &'a str,
        node: &'a str,
        request: Payload,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Payload, ClusterError>> {
        Box::pin(async move {
            let term = decode(request)?;
            let (local, node) = self.reach(node).await?;
            let reply =
                local
                    .call(name, &node, term, timeout)
                    .await
                    .map_err(|error| match error {
                        CallError::NoConnection => ClusterError::NoConnection,
                        CallError::NoProc => ClusterError::NoProc,
                        CallError::Timeout => ClusterError::Timeout,
                        other => ClusterError::Failed(other.to_string()),
                    })?;
            Ok(etf::encode(&reply))
        })
    }
}

fn decode(payload: Payload) -> Result<Term, ClusterError> {
    etf::decode(payload).map_err(|error| ClusterError::Failed(error.to_string()))
}
