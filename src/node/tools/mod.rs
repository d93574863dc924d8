//! What OTP's tools ask of any node they meet: `observer`, `iex`, `c`, dashboards.
//!
//! Small honest answers where there is one, `badarg` where OTP would say so, and for all the rest no answer, which makes the
//! caller see `undef`. Nothing here changes anything, runs anything, or tells a secret.

mod processes;
mod system;

use crate::etf::{Atom, Pid, Term};
use crate::node::{CallError, Node, Outcome, sys};
use crate::types::version;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The module that our processes say they run.
const MODULE: &str = "sidekick";
/// How long a process may take over a system message.
const SYSTEM_TIMEOUT: Duration = Duration::from_secs(5);

/// Functions of `observer_backend` that we answer.
const OBSERVED: [(&str, i64); 5] = [
    ("sys_info", 0),
    ("get_table_list", 2),
    ("get_port_list", 0),
    ("get_socket_list", 0),
    ("socket_info", 0),
];

/// A question that a local process answers by the `sys` protocol.
#[derive(Debug)]
pub(super) struct SystemQuestion {
    target: Option<Pid>,
    request: Term,
    timeout: Duration,
}

impl Node {
    /// The answer of a function that any node has.
    pub(super) fn tool(&self, module: &str, function: &str, args: &[Term]) -> Option<Outcome> {
        let value = match module {
            "erlang" => return self.tool_erlang(function, args),
            "observer_backend" => self.tool_observer(function, args)?,
            "net_kernel" => self.tool_net_kernel(function, args)?,
            "init" => match (function, args) {
                ("get_status", []) => pair("started", Term::atom("started")),
                ("script_id", []) => {
                    Term::tuple([Term::charlist(MODULE), Term::charlist(version())])
                }
                ("get_arguments" | "get_plain_arguments", []) => Term::list([]),
                _ => return None,
            },
            "application" => match (function, args) {
                ("which_applications", [] | [_]) | ("loaded_applications", []) => {
                    let about = "stands beside a Godot server";
                    let texts = [about, version()].map(Term::charlist);
                    let [about, vsn] = texts;
                    Term::list([Term::tuple([Term::atom(MODULE), about, vsn])])
                }
                _ => return None,
            },
            // Observer's window of applications insists on a process to ask; the node's own hears it and has nothing to tell.
            "appmon_info" if (function, args.len()) == ("start_link2", 3) => {
                pair("ok", Term::Pid(self.inner.system.clone()))
            }
            // LiveDashboard sends its own code to where this says `false`, and shows the reason of an error.
            "code" if (function, args.len()) == ("is_loaded", 1) => {
                Term::tuple([Term::atom("error"), Term::atom("notsup")])
            }
            "proc_lib" => match (function, args) {
                ("translate_initial_call", [Term::Pid(_)]) => processes::initial_call(),
                ("get_label", [Term::Pid(_)]) => Term::atom("undefined"),
                _ => return None,
            },
            MODULE if function == "module_info" => match args {
                [kind] if kind.is_atom("attributes") => {
                    Term::list([pair("behaviour", Term::list([Term::atom("gen_server")]))])
                }
                [kind] if kind.is_atom("exports") => Term::list([]),
                _ => return None,
            },
            _ => return None,
        };
        Some(Outcome::Return(value))
    }

    fn tool_erlang(&self, function: &str, args: &[Term]) -> Option<Outcome> {
        let badarg = || Outcome::Error(Term::atom("badarg"));
        let or_badarg = |value: Option<Term>| Some(value.map_or_else(badarg, Outcome::Return));
        let value = match (function, args) {
            ("node", []) => Term::Atom(self.name().atom().clone()),
            ("is_alive", []) => Term::bool(true),
            ("nodes", []) => self.nodes_of("visible")?,
            ("nodes", [kind]) => return or_badarg(self.nodes_of_kinds(kind)),
            ("system_info", [item]) => return or_badarg(self.system_info(item)),
            ("statistics", [item]) => return or_badarg(self.statistics(item)),
            ("memory", []) => system::memory(),
            ("memory", [item]) => return or_badarg(system::memory_of(item)),
            ("registered", []) => self.registered(),
            ("whereis", [name]) => return or_badarg(self.whereis_term(name)),
            ("processes", []) => self.all_pids(),
            ("process_info", [pid]) => return or_badarg(self.process_info(pid, None)),
            ("process_info", [pid, items]) => {
                return or_badarg(self.process_info(pid, Some(items)));
            }
            ("is_process_alive", [pid]) => return or_badarg(self.is_process_alive(pid)),
            ("ports", []) => Term::list([]),
            // Observer asks before it opens a window, and ends where there is no answer.
            ("function_exported", [Term::Atom(module), Term::Atom(function), Term::Int(arity)])
                if module.as_str() == "observer_backend" =>
            {
                Term::bool(OBSERVED.contains(&(function.as_str(), *arity)))
            }
            ("port_info", [Term::Port(_), ..]) => Term::atom("undefined"),
            ("localtime" | "universaltime", []) => sys::date_time(SystemTime::now()),
            ("system_time", []) => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH);
                Term::int(i128::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(0))
            }
            _ => return None,
        };
        Some(Outcome::Return(value))
    }

    /// What its windows show of another node; the parts we have not are empty.
    fn tool_observer(&self, function: &str, args: &[Term]) -> Option<Term> {
        match (function, args) {
            ("sys_info", []) => Some(self.observer_info()),
            ("get_table_list", [_, _])
            | ("get_port_list" | "get_socket_list" | "socket_info", []) => Some(Term::list([])),
            _ => None,
        }
    }

    fn tool_net_kernel(&self, function: &str, args: &[Term]) -> Option<Term> {
        let name = || Term::Atom(self.name().atom().clone());
        match (function, args) {
            ("get_net_ticktime", []) => Some(Term::int(self.inner.options.ticktime.as_secs())),
            ("longnames", []) => Some(Term::bool(self.has_long_name())),
            ("nodename", []) => Some(name()),
            ("get_state", []) => {
                let domain = if self.has_long_name() {
                    "longnames"
                } else {
                    "shortnames"
                };
                Some(Term::map([
                    ("started", Term::atom("static")),
                    ("name", name()),
                    ("name_type", Term::atom("static")),
                    ("name_domain", Term::atom(domain)),
                ]))
            }
            _ => None,
        }
    }

    fn has_long_name(&self) -> bool {
        let name = self.name().as_str();
        name.split_once('@')
            .is_some_and(|(_, host)| host.contains('.'))
    }

    /// `nodes(Kind)` and `nodes([Kind])`.
    fn nodes_of_kinds(&self, kinds: &Term) -> Option<Term> {
        if let Some(kind) = kinds.as_atom() {
            return self.nodes_of(kind.as_str());
        }
        let mut all: Vec<Term> = Vec::new();
        for kind in kinds.as_list()? {
            let Term::List(nodes) = self.nodes_of(kind.as_atom()?.as_str())? else {
                return None;
            };
            for node in nodes {
                if !all.contains(&node) {
                    all.push(node);
                }
            }
        }
        Some(Term::list(all))
    }

    fn nodes_of(&self, kind: &str) -> Option<Term> {
        let wanted: fn(bool) -> bool = match kind {
            "visible" => |hidden| !hidden,
            "hidden" => |hidden| hidden,
            "connected" | "known" => |_| true,
            "this" => |_| false,
            _ => return None,
        };
        let connections = self.inner.connections.all();
        let mut nodes: Vec<Term> = connections
            .iter()
            .filter(|connection| wanted(connection.hidden))
            .map(|connection| Term::Atom(connection.peer.atom().clone()))
            .collect();
        if matches!(kind, "this" | "known") {
            nodes.insert(0, Term::Atom(self.name().atom().clone()));
        }
        Some(Term::list(nodes))
    }

    /// `sys:get_state` and `sys:get_status`, as `observer` calls them on the process's own node.
    pub(super) fn system_question(
        &self,
        module: &str,
        function: &str,
        args: &[Term],
    ) -> Option<SystemQuestion> {
        let ("sys", "get_state" | "get_status", [target, timeout @ ..]) = (module, function, args)
        else {
            return None;
        };
        let timeout = match timeout {
            [] => SYSTEM_TIMEOUT,
            [ms] if ms.is_atom("infinity") => SYSTEM_TIMEOUT,
            [ms] => Duration::from_millis(ms.as_u64()?).min(SYSTEM_TIMEOUT),
            _ => return None,
        };
        let target = match target {
            Term::Pid(pid) => Some(pid.clone()),
            Term::Atom(name) => self.whereis(name.as_str()),
            _ => return None,
        };
        let request = Term::atom(function);
        Some(SystemQuestion {
            target,
            request,
            timeout,
        })
    }

    pub(super) async fn ask_system(&self, question: SystemQuestion) -> Outcome {
        let SystemQuestion {
            target,
            request,
            timeout,
        } = question;
        let Some(pid) = target.filter(|pid| self.is_local(pid)) else {
            return Outcome::Error(Term::atom("noproc"));
        };
        let call = self.call_local("system", (pid.id, pid.serial), request);
        let reason = match tokio::time::timeout(timeout, call).await {
            Ok(Ok(reply)) => {
                // `sys:get_state` takes the value out of `{ok, Value}`.
                return Outcome::Return(match reply {
                    Term::Tuple(mut pair) if pair.len() == 2 && pair[0].is_atom("ok") => {
                        pair.swap_remove(1)
                    }
                    reply => reply,
                });
            }
            Ok(Err(CallError::NoProc | CallError::NoConnection)) => Term::atom("noproc"),
            Ok(Err(CallError::Exit(reason))) => reason,
            Ok(Err(CallError::Timeout)) | Err(_) => Term::atom("timeout"),
        };
        Outcome::Error(reason)
    }

    /// The names that belong to the node itself.
    pub(super) fn is_own_name(name: &Atom) -> bool {
        matches!(name.as_str(), "net_kernel" | "rex")
    }
}

fn pair(key: &str, value: Term) -> Term {
    Term::tuple([Term::atom(key), value])
}
