//! The Erlang node: names and pids, mailboxes, monitors, links, calls in and out, rpc and erpc.

mod control;
mod functions;
pub mod gen_call;
mod handle;
mod options;
mod process;

pub use crate::dist::{Cookie, InvalidNodeName, NodeName};
pub use control::ControlListener;
pub use functions::{Caller, Functions, Outcome};
pub use gen_call::{From, Incoming};
pub use handle::{CallError, Direction, Node, PeerEvent, PeerInfo, SendError, Watch};
pub use options::{NodeError, NodeOptions};
pub use process::{Process, Signal};
