//! Figures of the whole node: `system_info`, `statistics`, `memory`.
//!
//! What a BEAM counts and we have not (atoms in a table, ports, run queues, reductions) is zero. Sizes are those of the process
//! as the kernel knows it.

use super::pair;
use crate::etf::Term;
use crate::node::Node;
use crate::types::version;

/// Our version.
/// The OTP release whose protocols we speak.
const OTP_RELEASE: &str = "27";
/// Clock ticks of the kernel's accounting in a second; a fixed part of Linux's interface.
const TICKS: u64 = 100;
/// Numbers that a process can have.
const PROCESSES_MAX: i64 = 1 << 28;
/// A BEAM's own defaults; here nothing is counted against them, but tools divide by them.
const ATOMS_MAX: i64 = 1 << 20;
const TABLES_MAX: i64 = 8_192;
/// Bytes of a word.
const WORD: i64 = 8;

/// What `erlang:memory/0` lists.
const MEMORY: [&str; 9] = [
    "total",
    "processes",
    "processes_used",
    "system",
    "atom",
    "atom_used",
    "binary",
    "code",
    "ets",
];

/// What `observer_backend:sys_info/0` takes from `system_info`.
const OBSERVED: [&str; 21] = [
    "logical_processors",
    "logical_processors_online",
    "logical_processors_available",
    "schedulers",
    "schedulers_online",
    "otp_release",
    "version",
    "system_architecture",
    "kernel_poll",
    "smp_support",
    "threads",
    "thread_pool_size",
    "process_count",
    "atom_limit",
    "atom_count",
    "process_limit",
    "port_limit",
    "port_count",
    "ets_limit",
    "ets_count",
    "dist_buf_busy_limit",
];

impl Node {
    /// `erlang:system_info(Item)`; none is `badarg`.
    pub(super) fn system_info(&self, item: &Term) -> Option<Term> {
        if let Some([kind, _]) = item.as_tuple() {
            return match kind.as_atom()?.as_str() {
                "wordsize" => Some(Term::Int(WORD)),
                "allocator" | "allocator_sizes" => Some(Term::list([])),
                _ => None,
            };
        }
        let cores = || {
            let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            Term::int(cores as u64)
        };
        Some(match item.as_atom()?.as_str() {
            "system_version" => Term::charlist(&format!(
                "sidekick {} (Rust, speaks OTP {OTP_RELEASE}) [64-bit]\n",
                version()
            )),
            "otp_release" => Term::charlist(OTP_RELEASE),
            "version" => Term::charlist(version()),
            "machine" => Term::charlist("sidekick"),
            "system_architecture" => {
                let (arch, os) = (std::env::consts::ARCH, std::env::consts::OS);
                Term::charlist(&format!("{arch}-unknown-{os}-gnu"))
            }
            "wordsize" => Term::Int(WORD),
            "logical_processors"
            | "logical_processors_online"
            | "logical_processors_available"
            | "schedulers"
            | "schedulers_online" => cores(),
            "multi_scheduling" => Term::atom("enabled"),
            "kernel_poll" | "smp_support" | "threads" => Term::bool(true),
            "process_count" => Term::int(self.inner.registry.pids().len() as u64 + 1),
            "process_limit" => Term::Int(PROCESSES_MAX),
            "port_count" => Term::int(self.inner.connections.len() as u64),
            "port_limit" => Term::int(self.inner.options.peers_max as u64),
            "atom_limit" => Term::Int(ATOMS_MAX),
            "ets_limit" => Term::Int(TABLES_MAX),
            "atom_count"
            | "ets_count"
            | "thread_pool_size"
            | "dirty_cpu_schedulers"
            | "dirty_cpu_schedulers_online"
            | "dirty_io_schedulers" => Term::Int(0),
            "dist_buf_busy_limit" => Term::int(self.inner.options.queue_bytes_max as u64),
            "creation" => Term::int(self.creation()),
            "alloc_util_allocators" | "allocated_areas" => Term::list([]),
            _ => return None,
        })
    }

    /// `erlang:statistics(Item)`; none is `badarg`.
    pub(super) fn statistics(&self, item: &Term) -> Option<Term> {
        let two = |a: Term, b: Term| Term::tuple([a, b]);
        Some(match item.as_atom()?.as_str() {
            // The second is the time since the last call, which nobody keeps for all callers.
            "wall_clock" => two(self.uptime_ms(), Term::Int(0)),
            "runtime" => two(cpu_ms(), Term::Int(0)),
            "reductions" | "exact_reductions" | "context_switches" => {
                two(Term::Int(0), Term::Int(0))
            }
            "garbage_collection" => Term::tuple([Term::Int(0), Term::Int(0), Term::Int(0)]),
            "run_queue"
            | "total_run_queue_lengths"
            | "total_run_queue_lengths_all"
            | "total_active_tasks"
            | "total_active_tasks_all" => Term::Int(0),
            "run_queue_lengths" | "run_queue_lengths_all" | "active_tasks" | "active_tasks_all" => {
                Term::list([])
            }
            "scheduler_wall_time" | "scheduler_wall_time_all" | "microstate_accounting" => {
                Term::atom("undefined")
            }
            "io" => {
                let (input, output) = self.traffic();
                two(pair("input", input), pair("output", output))
            }
            _ => return None,
        })
    }

    /// `observer_backend:sys_info/0`.
    pub(super) fn observer_info(&self) -> Term {
        let (input, output) = self.traffic();
        let mut info = vec![
            pair("uptime", self.uptime_ms()),
            pair("run_queue", Term::Int(0)),
            pair("io_input", input),
            pair("io_output", output),
            pair(
                "schedulers_available",
                self.system_info(&Term::atom("schedulers"))
                    .unwrap_or(Term::Int(1)),
            ),
            pair("wordsize_internal", Term::Int(WORD)),
            pair("wordsize_external", Term::Int(WORD)),
            pair("alloc_info", allocators()),
        ];
        for item in OBSERVED {
            if let Some(value) = self.system_info(&Term::atom(item)) {
                info.push(pair(item, value));
            }
        }
        if let Term::List(memory) = memory() {
            info.extend(memory);
        }
        Term::list(info)
    }

    fn uptime_ms(&self) -> Term {
        let uptime = self.inner.registry.started().elapsed();
        Term::int(i128::try_from(uptime.as_millis()).unwrap_or(0))
    }

    /// Bytes of the present connections, in and out.
    fn traffic(&self) -> (Term, Term) {
        let peers = self.peers();
        let sum =
            |bytes: fn(&crate::node::PeerInfo) -> u64| -> u64 { peers.iter().map(bytes).sum() };
        (
            Term::int(sum(|peer| peer.received_bytes)),
            Term::int(sum(|peer| peer.sent_bytes)),
        )
    }
}

/// `erlang:memory/0`: all of it is the system's.
pub(super) fn memory() -> Term {
    Term::list(MEMORY.map(|name| pair(name, Term::int(memory_bytes(name)))))
}

/// `erlang:memory(Type)` and `erlang:memory([Type])`; none is `badarg`.
pub(super) fn memory_of(types: &Term) -> Option<Term> {
    let known = |name: &Term| {
        let name = name.as_atom()?.as_str().to_owned();
        MEMORY.contains(&name.as_str()).then_some(name)
    };
    if let Some(list) = types.as_list() {
        let all: Option<Vec<Term>> = list
            .iter()
            .map(|name| known(name).map(|name| pair(&name, Term::int(memory_bytes(&name)))))
            .collect();
        return all.map(Term::list);
    }
    known(types).map(|name| Term::int(memory_bytes(&name)))
}

/// What observer's window of memory allocators draws, as one allocator: it divides by the sum of what they hold, so there has to
/// be one.
fn allocators() -> Term {
    let bytes = || Term::int(memory_bytes("total").max(1));
    let figures = |key: &str| Term::tuple([Term::atom(key), bytes(), bytes(), bytes()]);
    let blocks = Term::list([pair("system_alloc", Term::list([figures("size")]))]);
    let carriers = Term::list([pair("blocks", blocks), figures("carriers_size")]);
    let instance = [
        Term::atom("instance"),
        Term::Int(0),
        Term::list([pair("mbcs", carriers)]),
    ];
    Term::list([pair("system_alloc", Term::list([Term::tuple(instance)]))])
}

fn memory_bytes(kind: &str) -> u64 {
    if !matches!(kind, "total" | "system") {
        return 0;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = resident.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// CPU time of all threads.
fn cpu_ms() -> Term {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the program's name, in brackets, and may hold anything.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let ticks = |at: usize| -> u64 {
        let field = fields.split(' ').nth(at);
        field.and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    Term::int((ticks(11) + ticks(12)) * 1000 / TICKS)
}
