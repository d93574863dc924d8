//! Functions that peers may call by `rpc` and `erpc`.

use crate::etf::{Atom, Pid, Term};
use crate::node::Node;
use crate::ports::BoxFuture;
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::PoisonError;

/// Who calls a function.
#[derive(Debug, Clone, PartialEq)]
pub struct Caller {
    /// The caller's node, as the handshake established it.
    pub node: Atom,
    /// The calling process, where known.
    pub pid: Option<Pid>,
    /// Its group leader, by which it does input and output.
    pub group_leader: Option<Pid>,
}

/// How a function call ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The value.
    Return(Term),
    /// No such function: the caller sees `undef`, as OTP would say it.
    Undef,
    /// It raised an error of this reason (`badarg`): the caller sees it as its own.
    Error(Term),
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

/// A call as `rpc` and `erpc` bring it.
#[derive(Debug, Clone)]
pub(super) struct Apply {
    pub(super) caller: Caller,
    pub(super) module: Atom,
    pub(super) function: Atom,
    pub(super) args: Vec<Term>,
}

impl Apply {
    /// Reads `M, F, Args`; none where they are not an atom, an atom and a list.
    pub(super) fn parse(caller: Caller, mfa: &[Term]) -> Option<Self> {
        let [Term::Atom(module), Term::Atom(function), Term::List(args)] = mfa else {
            return None;
        };
        Some(Self {
            caller,
            module: module.clone(),
            function: function.clone(),
            args: args.clone(),
        })
    }

    /// The stack that OTP shows with `undef`: `[{M, F, Args, []}]`.
    pub(super) fn stack(&self) -> Term {
        let frame = [
            Term::Atom(self.module.clone()),
            Term::Atom(self.function.clone()),
            Term::List(self.args.clone()),
            Term::list([]),
        ];
        Term::list([Term::tuple(frame)])
    }

    /// Runs it; an error holds what the caller is told of a fault of ours.
    pub(super) async fn run(&self, functions: &dyn Functions) -> Result<Outcome, Term> {
        let call = functions.call(
            self.caller.clone(),
            self.module.as_str(),
            self.function.as_str(),
            self.args.clone(),
        );
        AssertUnwindSafe(call).catch_unwind().await.map_err(|_| {
            tracing::error!(module = %self.module, function = %self.function, "a function called by a peer panicked");
            Term::atom("internal_error")
        })
    }
}

/// The node's own functions, then those it was given.
impl Functions for Node {
    fn call<'a>(
        &'a self,
        caller: Caller,
        module: &'a str,
        function: &'a str,
        args: Vec<Term>,
    ) -> BoxFuture<'a, Outcome> {
        if let Some(outcome) = self.tool(module, function, &args) {
            return Box::pin(std::future::ready(outcome));
        }
        if let Some(question) = self.system_question(module, function, &args) {
            return Box::pin(self.ask_system(question));
        }
        let given = self
            .inner
            .functions
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Box::pin(async move {
            match given {
                Some(given) => given.call(caller, module, function, args).await,
                None => Outcome::Undef,
            }
        })
    }
}
