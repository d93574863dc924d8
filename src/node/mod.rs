//! The Erlang node: names and pids, mailboxes, monitors, links, calls in and out, rpc and erpc.
//!
//! [`Node`] is a clonable handle. Each connection has a task that reads and does what the messages say ([`dispatch`]),
//! and one that writes what its outbox holds. Processes are mailboxes in the [`registry`]; the node does the
//! bookkeeping of monitors and links, a process only receives. Whoever waits for a remote process, for its reply or its
//! end, stands in [`waiters`] under a reference.
//!
//! Architecture Invariants: on the loss of a connection every monitor, link and waiter that hung on it is gone and told;
//! no send ever waits (a peer that reads too slowly loses its connection instead); peers spawn nothing but `erpc` calls.

mod call;
mod connect;
mod connection;
mod control;
mod dispatch;
mod erpc;
mod functions;
pub mod gen_call;
mod handle;
mod keeper;
mod options;
mod process;
mod registry;
mod rex;
pub mod sys;
mod tools;
mod waiters;

pub use crate::dist::tls::{TlsFiles, TlsFilesError};
pub use crate::dist::{Cookie, InvalidNodeName, NodeName};
pub use call::{CallError, Watch};
pub use connect::ConnectError;
pub use connection::Direction;
pub use control::ControlListener;
pub use functions::{Caller, Functions, Outcome};
pub use gen_call::{From, Incoming};
pub use handle::{Node, PeerEvent, PeerInfo, SendError};
pub use options::{Faults, NodeError, NodeOptions};
pub use process::{Process, Signal};
