//! What a server may use and see: limits, user, environment, logs. The same words from the file to the guard.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// No limit, where one may be asked for by name.
pub const UNLIMITED: u64 = u64::MAX;

/// Bounds of one server. What is `None` is as sidekick itself has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Memory of the whole tree, bytes: past it the kernel kills the tree (cgroup).
    pub memory: Option<u64>,
    /// From here on the kernel slows the tree down and takes memory back, bytes (cgroup).
    pub memory_high: Option<u64>,
    /// CPU time of the whole tree, thousandths of a core (cgroup).
    pub cpu_millis: Option<u32>,
    /// Processes and threads of the whole tree (cgroup).
    pub pids: Option<u32>,
    /// A cgroup of its own even without one of the limits above: it is killed as a whole.
    pub cgroup: bool,
    /// Open files of each process (rlimit).
    pub nofile: Option<u64>,
    /// Processes and threads of the *user* (rlimit); the kernel does not hold root to it.
    pub nproc: Option<u64>,
    /// Size of a core dump, bytes (rlimit): 0 for none, [`UNLIMITED`].
    pub core: Option<u64>,
    /// Address space of each process, bytes (rlimit).
    pub address_space: Option<u64>,
}

impl Limits {
    /// The controllers that the limits need; `None` where no cgroup is needed.
    pub fn controllers(&self) -> Option<Vec<&'static str>> {
        let needed = [
            (
                "memory",
                self.memory.is_some() || self.memory_high.is_some(),
            ),
            ("cpu", self.cpu_millis.is_some()),
            ("pids", self.pids.is_some()),
        ];
        let names: Vec<_> = needed
            .iter()
            .filter(|(_, is)| *is)
            .map(|(name, _)| *name)
            .collect();
        (self.cgroup || !names.is_empty()).then_some(names)
    }

    /// Nothing is bounded.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How a server is kept apart from sidekick and from others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Contain {
    /// Bounds.
    pub limits: Limits,
    /// `user`, `user:group`, by names or numbers; `None`: sidekick's own.
    pub user: Option<String>,
    /// Neither it nor what it executes gains rights; `None`: where it has a user of its own.
    pub no_new_privs: Option<bool>,
    /// Variables of sidekick's environment that it gets too: names, or `PREFIX_*`.
    pub inherit_env: Vec<String>,
    /// Variables whose values are masked in lines, beside those whose names look secret.
    pub secret_env: Vec<String>,
    /// All its log files together, bytes on disk.
    pub log_bytes: Option<u64>,
    /// Lines older than this are moved into a compressed file.
    pub log_age: Option<Duration>,
}

impl Contain {
    /// Whether rights can be gained.
    pub fn forbids_privs(&self) -> bool {
        self.no_new_privs.unwrap_or(self.user.is_some())
    }
}

/// Whether a name is one of these names or begins as one of these `PREFIX_*`.
pub fn matches(name: &str, patterns: &[String]) -> bool {
    patterns
        .iter()
        .any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == pattern,
        })
}

/// Whether the value of a variable of this name is taken for a secret.
pub fn looks_secret(name: &str) -> bool {
    const PARTS: [&str; 7] = [
        "TOKEN",
        "SECRET",
        "PASSW",
        "COOKIE",
        "CREDENTIAL",
        "PRIVATE",
        "DATABASE_URL",
    ];
    let name = name.to_ascii_uppercase();
    PARTS.iter().any(|part| name.contains(part))
        || name.ends_with("_KEY")
        || name == "KEY"
        || name.ends_with("_DSN")
}

#[cfg(test)]
mod tests;
