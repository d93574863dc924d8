//! Functions that peers may call by `rpc` and `erpc`.

use crate::etf::{Atom, Pid, Term};
use crate::ports::BoxFuture;

/// Who calls a function.
#[derive(Debug, Clone, PartialEq)]
pub struct Caller {
    /// The caller's node, as the handshake established it.
    pub node: Atom,
    /// The calling process, where known.
    pub pid: Option<Pid>,
}

/// How a function call ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The value.
    Return(Term),
    /// No such function: the caller sees `undef`, as OTP would say it.
    Undef,
}

/// What the node offers beyond the few functions it answers itself.
pub trait Functions: Send + Sync + 'static {
    /// Calls `module:function(args)`.
    fn call<'a>(
        &'a self,
        caller: Caller,
        module: &'a str,
        function: &'a str,
        args: Vec<Term>,
    ) -> BoxFuture<'a, Outcome>;
}
