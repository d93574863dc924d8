//! Remote functions: module `sidekick`, the names and arguments of the requests.

use crate::api::{ApiError, Parts, Request, service};
use crate::etf::Term;
use crate::node::{Caller, Functions, Outcome};
use crate::ports::BoxFuture;
use std::sync::Arc;

/// The module that peers see.
const MODULE: &str = "sidekick";

/// Serves module `sidekick` to `rpc`, `erpc` and the control listener.
pub struct SidekickFunctions {
    parts: Arc<Parts>,
}

impl SidekickFunctions {
    /// Over these parts.
    pub fn new(parts: Arc<Parts>) -> Self {
        Self { parts }
    }
}

impl Functions for SidekickFunctions {
    fn call<'a>(
        &'a self,
        caller: Caller,
        module: &'a str,
        function: &'a str,
        args: Vec<Term>,
    ) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            if module != MODULE {
                return Outcome::Undef;
            }
            match Request::parse(function, args) {
                Ok(request) => {
                    Outcome::Return(service::answer(&self.parts, &caller.node, request).await)
                }
                Err(ApiError::UnknownRequest(_)) => Outcome::Undef,
                Err(error) => Outcome::Return(error.to_term()),
            }
        })
    }
}
