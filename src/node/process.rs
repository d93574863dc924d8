//! Local processes: an identity with a bounded mailbox.

use crate::etf::{Pid, Term};
use crate::node::Node;
use crate::node::connection::Held;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::{self, error::TrySendError};

/// How long a peer is read no further while a mailbox that it writes to is full.
pub(super) const FULL_PATIENCE: Duration = Duration::from_secs(5);

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
/// While its mailbox is full the peers that send to it are read no further; after five seconds of that, messages to it are
/// dropped until it has room again. So receive briskly, and never await a call to a peer between two receives.
#[derive(Debug)]
pub struct Process {
    pub(super) pid: Pid,
    pub(super) mailbox: mpsc::Receiver<Letter>,
    pub(super) node: Node,
}

impl Process {
    /// Its pid.
    pub fn pid(&self) -> &Pid {
        &self.pid
    }

    /// The next signal; none once the process was ended and its mailbox is empty. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Signal> {
        Some(self.mailbox.recv().await?.signal)
    }

    /// The next signal, where one is there already.
    pub fn try_recv(&mut self) -> Option<Signal> {
        Some(self.mailbox.try_recv().ok()?.signal)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.node.end(&self.pid, Term::atom("normal"));
    }
}

/// A signal on its way, and what it takes of the memory that its sender may make us hold.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) signal: Signal,
    pub(super) _held: Held,
}

impl From<Signal> for Letter {
    fn from(signal: Signal) -> Self {
        Self {
            signal,
            _held: None,
        }
    }
}

/// The sending end of a mailbox.
#[derive(Clone, Debug)]
pub(super) struct Mailbox {
    sender: mpsc::Sender<Letter>,
    /// It stayed full for longer than patience lasts: nobody waits for it any more.
    congested: Arc<AtomicBool>,
}

impl Mailbox {
    /// A mailbox for so many signals, and its receiving end.
    pub(super) fn new(capacity: usize) -> (Self, mpsc::Receiver<Letter>) {
        let (sender, receiver) = mpsc::channel(capacity.max(1));
        (
            Self {
                sender,
                congested: Arc::default(),
            },
            receiver,
        )
    }

    /// How many signals wait in it.
    pub(super) fn queued(&self) -> usize {
        self.sender.max_capacity() - self.sender.capacity()
    }

    /// Puts a signal in without waiting; gives it back where it is worth waiting for room.
    pub(super) fn try_put(&self, letter: Letter, dropped: &AtomicU64) -> Result<(), Letter> {
        match self.sender.try_send(letter) {
            Ok(()) => self.congested.store(false, Ordering::Relaxed),
            Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(letter)) if !self.congested.load(Ordering::Relaxed) => {
                return Err(letter);
            }
            Err(TrySendError::Full(_)) => {
                dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Puts a signal in, waiting a while for room.
    pub(super) async fn put(&self, letter: Letter, dropped: &AtomicU64) {
        let Err(letter) = self.try_put(letter, dropped) else {
            return;
        };
        if tokio::time::timeout(FULL_PATIENCE, self.sender.send(letter))
            .await
            .is_err()
        {
            dropped.fetch_add(1, Ordering::Relaxed);
            if !self.congested.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "a process does not empty its mailbox; messages to it are dropped until it does"
                );
            }
        }
    }
}
