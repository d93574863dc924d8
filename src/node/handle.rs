//! The handle of a running node.

use crate::dist::NodeName;
use crate::etf::{Pid, Reference, Term};
use crate::node::{From, Functions, NodeError, NodeOptions, Process};
use crate::shutdown::Shutdown;
use crate::types::UnixMillis;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{broadcast, oneshot};

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The peer did.
    Inbound,
    /// We did.
    Outbound,
}

/// One connected peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// Its name.
    pub node: NodeName,
    /// Whether it is hidden.
    pub hidden: bool,
    /// Who connected.
    pub direction: Direction,
    /// Since when.
    pub since_ms: UnixMillis,
    /// Bytes read from it.
    pub received_bytes: u64,
    /// Bytes queued for it so far.
    pub sent_bytes: u64,
}

/// A peer came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerEvent {
    /// Connected.
    Up(NodeName),
    /// Lost.
    Down(NodeName),
}

/// Why a call to another node's process gave no reply.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No connection, or it was lost while waiting.
    #[error("no connection to that node")]
    NoConnection,
    /// Nothing is registered under that name there.
    #[error("no process of that name there")]
    NoProc,
    /// No reply in time; whether the request was handled is unknown.
    #[error("no answer in time")]
    Timeout,
    /// The process ended with this reason instead of answering.
    #[error("the process ended: {0}")]
    Exit(Term),
}

/// Why a message could not be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// No connection to that node.
    #[error("no connection to that node")]
    NoConnection,
}

/// Completes once a watched process has ended or its connection is lost.
#[derive(Debug)]
pub struct Watch {
    ended: oneshot::Receiver<Term>,
}

impl Future for Watch {
    type Output = Term;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Term> {
        Pin::new(&mut self.ended)
            .poll(cx)
            .map(|reason| reason.unwrap_or_else(|_| Term::atom("noconnection")))
    }
}

/// A running node. Clones are the same node.
#[derive(Clone, Debug)]
pub struct Node {}

impl Node {
    /// Listens, registers with the port mapper (or serves it), and accepts peers.
    pub async fn start(options: NodeOptions, shutdown: Shutdown) -> Result<Self, NodeError> {
        let _ = (options, shutdown);
        todo!()
    }

    /// Its name.
    pub fn name(&self) -> &NodeName {
        todo!()
    }

    /// Its incarnation, as the port mapper gave it.
    pub fn creation(&self) -> u32 {
        todo!()
    }

    /// Connected peers.
    pub fn peers(&self) -> Vec<PeerInfo> {
        todo!()
    }

    /// Whether there is a connection to this node now.
    pub fn is_connected(&self, node: &NodeName) -> bool {
        let _ = node;
        todo!()
    }

    /// Comings and goings from now on.
    pub fn peer_events(&self) -> broadcast::Receiver<PeerEvent> {
        todo!()
    }

    /// Connects unless connected.
    pub async fn connect(&self, node: &NodeName) -> Result<(), CallError> {
        let _ = node;
        todo!()
    }

    /// Keeps connections to these nodes, trying again with growing, jittered pauses.
    pub fn keep_connected(&self, nodes: Vec<NodeName>) {
        let _ = nodes;
        todo!()
    }

    /// A new local process whose mailbox holds so many signals.
    pub fn spawn(&self, capacity: usize) -> Process {
        let _ = capacity;
        todo!()
    }

    /// Gives a local process a name; false where the name is taken, the process is gone or already has one.
    pub fn register(&self, name: &str, pid: &Pid) -> bool {
        let _ = (name, pid);
        todo!()
    }

    /// Frees a name.
    pub fn unregister(&self, name: &str) {
        let _ = name;
        todo!()
    }

    /// Ends a local process: frees its name, tells monitors and links, and any later use finds `noproc`.
    pub fn end(&self, pid: &Pid, reason: Term) {
        let _ = (pid, reason);
        todo!()
    }

    /// Sends to a process; lost where there is no connection, as in Erlang.
    pub fn send(&self, to: &Pid, message: Term) {
        let _ = (to, message);
        todo!()
    }

    /// Sends to a registered name from `sender` (or nobody in particular).
    pub fn send_name(
        &self,
        sender: Option<&Pid>,
        name: &str,
        node: &NodeName,
        message: Term,
    ) -> Result<(), SendError> {
        let _ = (sender, name, node, message);
        todo!()
    }

    /// Answers a call.
    pub fn reply(&self, from: &From, reply: Term) {
        let _ = (from, reply);
        todo!()
    }

    /// `GenServer.call({name, node}, request, timeout)`. Not sent again; late replies are dropped. Cancel-safe: dropping it forgets the call.
    pub async fn call(
        &self,
        name: &str,
        node: &NodeName,
        request: Term,
        timeout: Duration,
    ) -> Result<Term, CallError> {
        let _ = (name, node, request, timeout);
        todo!()
    }

    /// Watches a remote process (or a local one).
    pub fn watch(&self, pid: &Pid) -> Watch {
        let _ = pid;
        todo!()
    }

    /// A fresh reference of this node.
    pub fn make_ref(&self) -> Reference {
        todo!()
    }

    /// Offers functions to `rpc` and `erpc`.
    pub fn serve_functions(&self, functions: Arc<dyn Functions>) {
        let _ = functions;
        todo!()
    }
}
