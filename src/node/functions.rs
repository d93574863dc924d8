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
        if let Some(value) = self.own_function(module, function, &args) {
            return Box::pin(std::future::ready(Outcome::Return(value)));
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

impl Node {
    /// The little that OTP's tools ask of any node.
    fn own_function(&self, module: &str, function: &str, args: &[Term]) -> Option<Term> {
        let peers = |all: bool| {
            let connections = self.inner.connections.all();
            let shown = connections.iter().filter(|c| all || !c.hidden);
            Term::list(
                shown
                    .map(|c| Term::Atom(c.peer.atom().clone()))
                    .collect::<Vec<_>>(),
            )
        };
        let ticktime_s = self.inner.options.ticktime.as_secs() as i64;
        match (module, function, args) {
            ("erlang", "node", []) => Some(Term::Atom(self.inner.options.name.atom().clone())),
            ("erlang", "is_alive", []) => Some(Term::bool(true)),
            ("erlang", "nodes", []) => Some(peers(false)),
            ("erlang", "nodes", [Term::Atom(kind)]) if *kind == "connected" => Some(peers(true)),
            ("net_kernel", "get_net_ticktime", []) => Some(Term::Int(ticktime_s)),
            _ => None,
        }
    }
}
