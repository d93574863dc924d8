//! A node with a process that answers, for tests of the node.

#![allow(dead_code, clippy::unwrap_used)]

use sidekick::etf::{Pid, Term};
use sidekick::node::gen_call::{self, Incoming};
use sidekick::node::{Caller, Cookie, Functions, Node, NodeOptions, Outcome, Signal};
use sidekick::ports::BoxFuture;
use sidekick::shutdown::Shutdown;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Options for a test node.
pub fn options(name: &str, cookie: &str, epmd_port: u16) -> NodeOptions {
    let mut options = NodeOptions::new(name.parse().unwrap(), Cookie::new(cookie));
    options.epmd_port = epmd_port;
    options.listen_address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    options
}

/// Shows what the node logs where `RUST_LOG` asks for it.
pub fn logs() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_test_writer()
        .try_init();
}

/// A running node with default options.
pub async fn node(name: &str, cookie: &str, epmd_port: u16) -> Node {
    logs();
    Node::start(options(name, cookie, epmd_port), Shutdown::new())
        .await
        .unwrap()
}

/// Starts a process of this name. It answers `{echo, X}` with `X`, `ignore` never, everything else with
/// `unknown`; and hands on every signal that is not a call.
pub fn echo(node: &Node, name: &str) -> (Pid, mpsc::UnboundedReceiver<Signal>) {
    let mut process = node.spawn(1024);
    let pid = process.pid().clone();
    assert!(node.register(name, &pid));
    let (hand_on, others) = mpsc::unbounded_channel();
    let node = node.clone();
    tokio::spawn(async move {
        while let Some(signal) = process.recv().await {
            let Signal::Message { from, term } = signal else {
                let _ = hand_on.send(signal);
                continue;
            };
            match gen_call::parse(term) {
                Incoming::Call { from, request } => match request.as_tuple() {
                    Some([echo, value]) if echo.is_atom("echo") => node.reply(&from, value.clone()),
                    _ if request.is_atom("ignore") => {}
                    _ => node.reply(&from, Term::atom("unknown")),
                },
                Incoming::Cast(term) | Incoming::Other(term) => {
                    let _ = hand_on.send(Signal::Message { from, term });
                }
                Incoming::System { .. } => {}
            }
        }
    });
    (pid, others)
}

/// `sidekick:add/2` and `sidekick:whoami/0`; `sidekick:crash/0` panics, `sidekick:sleep/0` never
/// returns.
pub struct Sums;

impl Functions for Sums {
    fn call<'a>(
        &'a self,
        caller: Caller,
        module: &'a str,
        function: &'a str,
        args: Vec<Term>,
    ) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            match (module, function, args.as_slice()) {
                ("sidekick", "add", [a, b]) => {
                    Outcome::Return(Term::Int(a.as_i64().unwrap() + b.as_i64().unwrap()))
                }
                ("sidekick", "whoami", []) => Outcome::Return(Term::Atom(caller.node)),
                ("sidekick", "crash", []) => panic!("asked to"),
                ("sidekick", "sleep", []) => std::future::pending().await,
                _ => Outcome::Undef,
            }
        })
    }
}

/// The functions above.
pub fn sums() -> Arc<dyn Functions> {
    Arc::new(Sums)
}
