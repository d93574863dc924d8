//! What `iex --remsh` and `erl -remsh` call; all else goes on to the functions behind.
//!
//! Seen from OTP 27 and Elixir 1.18, in this order: `code:ensure_loaded(iex | shell)`; `net_kernel:get_net_ticktime()`;
//! `erlang:system_info(system_version)`; `application:get_env(stdlib, shell_slogan, Version)`, whose answer is printed;
//! `erlang:system_info(otp_release)`, which decides how completion is asked for; then `iex:start(Options, {iex,
//! sync_remote, [Parent, Ref]})` or `shell:start()`, which gives the shell's pid. The caller's group leader links
//! itself to it. Tab calls `edlin_expand:expand(ReversedLine, Options)`.

use super::asking::Sidekick;
use super::complete::{complete, line_before};
use super::shell::{Begun, Shell};
use super::terminal::Terminal;
use crate::etf::{Reference, Term};
use crate::node::{Caller, Functions, Node, Outcome};
use crate::ports::BoxFuture;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Shells at once; one more is told so and ends.
const SHELLS_MAX: usize = 16;
/// Shells beyond that are told so, this many at once; others just fail.
const REFUSALS_MAX: usize = 4;
/// Messages that may wait for a shell.
const MAILBOX: usize = 1_024;

/// Functions with an operator's prompt before them.
pub struct ConsoleFunctions {
    node: Node,
    behind: Arc<dyn Functions>,
    shells: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
}

impl ConsoleFunctions {
    /// Puts the prompt before these functions, whose module `sidekick` it asks.
    pub fn new(node: Node, behind: Arc<dyn Functions>) -> Self {
        Self {
            node,
            behind,
            shells: Arc::new(Semaphore::new(SHELLS_MAX)),
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
        }
    }

    /// What needs no waiting.
    fn known(&self, caller: &Caller, module: &str, function: &str, args: &[Term]) -> Option<Term> {
        let text = |text: &str| Some(Term::charlist(text));
        let version = format!("sidekick {}", crate::types::version());
        match (module, function, args) {
            ("code", "ensure_loaded", [Term::Atom(module)]) if is_shell(module.as_str()) => {
                Some(Term::tuple([
                    Term::atom("module"),
                    Term::Atom(module.clone()),
                ]))
            }
            ("application", "get_env", [application, key, _])
                if application.is_atom("stdlib") && key.is_atom("shell_slogan") =>
            {
                text(&version)
            }
            ("erlang", "system_info", [item]) if item.is_atom("system_version") => text(&version),
            // The release whose protocols we speak.
            ("erlang", "system_info", [item]) if item.is_atom("otp_release") => text("27"),
            ("shell", "start", [] | [_]) => Some(self.start(caller, Begun::Erlang)),
            ("iex" | "Elixir.IEx", "start", []) => Some(self.start(caller, Begun::Job)),
            ("iex" | "Elixir.IEx", "start", [_, mfa]) => {
                let begun = remote(mfa).map_or(Begun::Job, |(parent, reference)| {
                    Begun::Remote(parent, reference)
                });
                Some(self.start(caller, begun))
            }
            _ => None,
        }
    }

    /// Starts a shell and gives its pid; what is no pid ends the caller's group with it as the reason.
    fn start(&self, caller: &Caller, begun: Begun) -> Term {
        let Some(leader) = caller
            .group_leader
            .clone()
            .filter(|leader| leader.node == caller.node)
        else {
            return Term::error("no_group_leader", Term::map([]));
        };
        let (permit, refusal) = match self.room() {
            Ok(room) => room,
            Err(full) => return full,
        };
        let process = self.node.spawn(MAILBOX);
        let pid = process.pid().clone();
        let asks = Caller {
            node: self.node.name().atom().clone(),
            pid: Some(pid.clone()),
            group_leader: Some(leader.clone()),
        };
        tracing::info!(peer = %caller.node, refused = refusal.is_some(), "operator's prompt opened");
        let shell = Shell {
            terminal: Terminal::new(self.node.clone(), process, leader),
            sidekick: Sidekick::new(self.behind.clone(), asks),
            begun,
            refusal,
        };
        let peer = caller.node.clone();
        tokio::spawn(async move {
            shell.run().await;
            tracing::info!(%peer, "operator's prompt closed");
            drop(permit);
        });
        Term::Pid(pid)
    }

    /// A place for one more shell, perhaps only to be told that there is none.
    fn room(&self) -> Result<(OwnedSemaphorePermit, Option<String>), Term> {
        if let Ok(permit) = self.shells.clone().try_acquire_owned() {
            return Ok((permit, None));
        }
        let refusal = format!(
            "{SHELLS_MAX} prompts are open on this sidekick already; leave one of them (exit), then try again\n"
        );
        match self.refusals.clone().try_acquire_owned() {
            Ok(permit) => Ok((permit, Some(refusal))),
            Err(_) => Err(Term::error(
                "too_many_shells",
                Term::map([("limit", Term::int(SHELLS_MAX as u64))]),
            )),
        }
    }

    /// `edlin_expand:expand` of a reversed line.
    async fn expand(&self, caller: Caller, line: &Term) -> Term {
        let asks = Caller {
            node: self.node.name().atom().clone(),
            ..caller
        };
        let sidekick = Sidekick::new(self.behind.clone(), asks);
        let before = line_before(line).unwrap_or_default();
        complete(&before, &sidekick).await.to_term()
    }
}

fn is_shell(module: &str) -> bool {
    matches!(module, "iex" | "Elixir.IEx" | "shell")
}

/// Whom `iex --remsh` wants told: `{iex, sync_remote, [Parent, Ref]}`.
fn remote(mfa: &Term) -> Option<(crate::etf::Pid, Reference)> {
    match mfa.as_tuple()?.get(2)?.as_list()? {
        [Term::Pid(parent), Term::Ref(reference)] => Some((parent.clone(), reference.clone())),
        _ => None,
    }
}

impl Functions for ConsoleFunctions {
    fn call<'a>(
        &'a self,
        caller: Caller,
        module: &'a str,
        function: &'a str,
        args: Vec<Term>,
    ) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            if let Some(value) = self.known(&caller, module, function, &args) {
                return Outcome::Return(value);
            }
            match (module, function, args.as_slice()) {
                ("edlin_expand", "expand", [line] | [line, _]) => {
                    Outcome::Return(self.expand(caller, line).await)
                }
                _ => self.behind.call(caller, module, function, args).await,
            }
        })
    }
}
