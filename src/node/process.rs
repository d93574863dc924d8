//! Local processes: an identity with a bounded mailbox.

use crate::etf::{Pid, Term};

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
#[derive(Debug)]
pub struct Process {
    pid: Pid,
}

impl Process {
    /// Its pid.
    pub fn pid(&self) -> &Pid {
        &self.pid
    }

    /// The next signal; none once the process was ended. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Signal> {
        todo!()
    }
}
