//! Local processes: an identity with a bounded mailbox.

use crate::etf::{Pid, Term};
use crate::node::Node;
use tokio::sync::mpsc;

/// What arrives at a process.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Signal {
    /// A message.
    Message {
        /// The sender, where the protocol tells.
        from: Option<Pid>,
        /// What was sent.
        term: Term,
    },
    /// An exit signal: of `exit/2`, or of a linked process that ended.
    Exit {
        /// Who sent it, or ended.
        from: Pid,
        /// Why.
        reason: Term,
        /// `exit(Pid, kill)`: not to be refused.
        kill: bool,
        /// A link broke; else somebody called `exit/2`.
        linked: bool,
    },
}

/// The receiving end of a local process. Dropping it ends the process with reason `normal`.
///
/// While its mailbox is full the peers that send to it are read no further, and after a few seconds
/// messages to it are dropped: so receive briskly, and never await a call to a peer between two receives.
#[derive(Debug)]
pub struct Process {
    pub(super) pid: Pid,
    pub(super) mailbox: mpsc::Receiver<Signal>,
    pub(super) node: Node,
}

impl Process {
    /// Its pid.
    pub fn pid(&self) -> &Pid {
        &self.pid
    }

    /// The next signal; none once the process was ended and its mailbox is empty. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Signal> {
        self.mailbox.recv().await
    }

    /// The next signal, where one is there already.
    pub fn try_recv(&mut self) -> Option<Signal> {
        self.mailbox.try_recv().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.node.end(&self.pid, Term::atom("normal"));
    }
}
