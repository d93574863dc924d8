//! What can be seen of our processes: `registered`, `whereis`, `process_info`.

use super::{MODULE, pair};
use crate::etf::{Pid, Term};
use crate::node::Node;
use crate::node::registry::Portrait;

/// What `process_info/1` tells, in OTP's order.
const USUAL: [&str; 17] = [
    "registered_name",
    "current_function",
    "initial_call",
    "status",
    "message_queue_len",
    "links",
    "dictionary",
    "trap_exit",
    "error_handler",
    "priority",
    "group_leader",
    "total_heap_size",
    "heap_size",
    "stack_size",
    "reductions",
    "garbage_collection",
    "suspending",
];

/// What `proc_lib:translate_initial_call/1` says of each.
pub(super) fn initial_call() -> Term {
    function("init")
}

fn function(name: &str) -> Term {
    Term::tuple([Term::atom(MODULE), Term::atom(name), Term::Int(1)])
}

impl Node {
    pub(super) fn registered(&self) -> Term {
        let mut names = self.inner.registry.names();
        names.extend(["net_kernel", "rex"].map(crate::etf::Atom::new));
        Term::list(names.into_iter().map(Term::Atom).collect::<Vec<_>>())
    }

    pub(super) fn all_pids(&self) -> Term {
        let mut pids = vec![self.inner.system.clone()];
        pids.extend(self.inner.registry.pids());
        Term::list(pids.into_iter().map(Term::Pid).collect::<Vec<_>>())
    }

    pub(super) fn whereis_term(&self, name: &Term) -> Option<Term> {
        let name = name.as_atom()?;
        if Self::is_own_name(name) {
            return Some(Term::Pid(self.inner.system.clone()));
        }
        let pid = self.whereis(name.as_str());
        Some(pid.map_or_else(|| Term::atom("undefined"), Term::Pid))
    }

    pub(super) fn is_process_alive(&self, pid: &Term) -> Option<Term> {
        let pid = pid.as_pid().filter(|pid| self.is_local(pid))?;
        Some(Term::bool(self.portrait(pid).is_some()))
    }

    /// `process_info(Pid)`, `process_info(Pid, Item)` and `process_info(Pid, Items)`; none is `badarg`.
    pub(super) fn process_info(&self, pid: &Term, items: Option<&Term>) -> Option<Term> {
        let pid = pid.as_pid().filter(|pid| self.is_local(pid))?;
        let Some(portrait) = self.portrait(pid) else {
            return Some(Term::atom("undefined"));
        };
        let told = |item: &Term| {
            let value = self.process_item(&portrait, item)?;
            Some(Term::tuple([item.clone(), value]))
        };
        match items {
            None => {
                let usual = USUAL.iter().map(|item| Term::atom(item));
                let named = usual.skip(usize::from(portrait.name.is_none()));
                Some(Term::list(
                    named.filter_map(|i| told(&i)).collect::<Vec<_>>(),
                ))
            }
            Some(Term::List(items)) => {
                let told: Option<Vec<Term>> = items.iter().map(told).collect();
                told.map(Term::list)
            }
            // As in OTP, a process without a name is told by an empty list.
            Some(item) if item.is_atom("registered_name") && portrait.name.is_none() => {
                Some(Term::list([]))
            }
            Some(item) => told(item),
        }
    }

    fn portrait(&self, pid: &Pid) -> Option<Portrait> {
        if *pid == self.inner.system {
            return Some(Portrait {
                name: Some(crate::etf::Atom::new("net_kernel")),
                queued: 0,
                links: Vec::new(),
                monitored_by: Vec::new(),
            });
        }
        self.inner.registry.portrait((pid.id, pid.serial))
    }

    fn process_item(&self, portrait: &Portrait, item: &Term) -> Option<Term> {
        let pids =
            |pids: &[Pid]| Term::list(pids.iter().cloned().map(Term::Pid).collect::<Vec<_>>());
        let system = || Term::Pid(self.inner.system.clone());
        if let Some([kind, _]) = item.as_tuple() {
            return kind.is_atom("dictionary").then(|| Term::atom("undefined"));
        }
        Some(match item.as_atom()?.as_str() {
            "registered_name" => portrait
                .name
                .clone()
                .map_or_else(|| Term::list([]), Term::Atom),
            "current_function" => function("loop"),
            "current_stacktrace" => Term::list([location()]),
            "current_location" => location(),
            "initial_call" => {
                Term::tuple([Term::atom("proc_lib"), Term::atom("init_p"), Term::Int(5)])
            }
            "status" => Term::atom("waiting"),
            "message_queue_len" => Term::int(portrait.queued as u64),
            "message_queue_data" => Term::atom("off_heap"),
            "links" => pids(&portrait.links),
            "monitored_by" => pids(&portrait.monitored_by),
            "dictionary" => Term::list([
                pair("$initial_call", initial_call()),
                pair("$ancestors", Term::list([system()])),
            ]),
            "trap_exit" => Term::bool(true),
            "error_handler" => Term::atom("error_handler"),
            "priority" => Term::atom("normal"),
            "group_leader" | "parent" => system(),
            "last_calls" | "async_dist" => Term::bool(false),
            "label" => Term::atom("undefined"),
            // Messages may be anybody's secret; the rest there is not.
            "messages"
            | "monitors"
            | "suspending"
            | "binary"
            | "sequential_trace_token"
            | "garbage_collection_info" => Term::list([]),
            "garbage_collection" => Term::list(
                [
                    "min_bin_vheap_size",
                    "min_heap_size",
                    "fullsweep_after",
                    "minor_gcs",
                ]
                .map(|name| pair(name, Term::Int(0))),
            ),
            "backtrace" => Term::text(""),
            "total_heap_size" | "heap_size" | "stack_size" | "memory" | "reductions"
            | "catchlevel" | "trace" | "min_heap_size" | "min_bin_vheap_size"
            | "fullsweep_after" => Term::Int(0),
            _ => return None,
        })
    }
}

fn location() -> Term {
    let [module, function] = [MODULE, "loop"].map(Term::atom);
    Term::tuple([module, function, Term::Int(1), Term::list([])])
}
