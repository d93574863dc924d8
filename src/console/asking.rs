//! The console's requests: the same functions of module `sidekick` that any node may call.

use super::json::{self, Refused};
use crate::etf::Term;
use crate::node::{Caller, Functions, Outcome};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Who is asked, and for whom.
#[derive(Clone)]
pub struct Sidekick {
    functions: Arc<dyn Functions>,
    caller: Caller,
}

impl Sidekick {
    /// Asks in the name of this caller.
    pub fn new(functions: Arc<dyn Functions>, caller: Caller) -> Self {
        Self { functions, caller }
    }

    /// The reply as it comes.
    pub async fn term(&self, request: &str, arguments: Vec<Term>) -> Term {
        let call = self
            .functions
            .call(self.caller.clone(), "sidekick", request, arguments);
        if let Outcome::Return(reply) = call.await {
            reply
        } else {
            Term::error("unknown_request", Term::map([]))
        }
    }

    /// The reply as a value to show.
    pub async fn ask(&self, request: &str, arguments: Vec<Term>) -> Result<Value, Refused> {
        json::reply(&self.term(request, arguments).await)
    }

    /// The values of one field of a list; empty where there is none.
    pub async fn names(&self, request: &str, field: &str) -> Vec<String> {
        let reply = self.ask(request, vec![]).await;
        let items = reply.ok().and_then(|reply| match reply {
            Value::Array(items) => Some(items),
            _ => None,
        });
        let names = items.unwrap_or_default().into_iter();
        names
            .filter_map(|item| item[field].as_str().map(str::to_owned))
            .collect()
    }

    /// The ids of the servers.
    pub async fn servers(&self) -> Vec<String> {
        self.names("servers", "id").await
    }

    /// The names of the streams.
    pub async fn streams(&self) -> Vec<String> {
        self.names("streams", "name").await
    }

    /// The names of the sinks.
    pub async fn sinks(&self) -> Vec<String> {
        self.names("sinks", "name").await
    }
}

/// A refusal without facts.
pub fn refused(code: &str) -> Refused {
    Refused {
        code: code.to_owned(),
        facts: Map::new(),
    }
}
