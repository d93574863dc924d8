//! What another configuration of the servers would change: pure.

use super::spec::ServerSpec;
use crate::types::{Contain, ServerId};

/// A server as it is now.
pub struct Known<'a> {
    /// The spec by which it runs.
    pub spec: &'a ServerSpec,
    /// From the configuration, not from a request.
    pub configured: bool,
    /// A process of it may exist.
    pub up: bool,
}

/// What differs, in the order of the new configuration (removed ones: of the old).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Not there yet.
    pub added: Vec<ServerId>,
    /// There, with another spec.
    pub changed: Vec<Changed>,
    /// Configured no more: stopped and forgotten.
    pub removed: Vec<ServerId>,
    /// There, with the same spec.
    pub unchanged: Vec<ServerId>,
}

/// A server whose spec differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Which.
    pub id: ServerId,
    /// The keys whose values differ.
    pub keys: Vec<&'static str>,
    /// Its process has to be another one.
    pub restart: bool,
}

impl Plan {
    /// Compares. Servers that peers started stay as they are, unless the configuration now holds them: then they are its own.
    pub fn new(known: &[Known<'_>], wanted: &[ServerSpec]) -> Self {
        let mut plan = Self::default();
        for spec in wanted {
            let id = spec.id.clone();
            let Some(now) = known.iter().find(|now| now.spec.id == id) else {
                plan.added.push(id);
                continue;
            };
            let keys = differences(now.spec, spec);
            if keys.is_empty() {
                plan.unchanged.push(id);
                continue;
            }
            let restart = now.up && now.spec.needs_other_process(spec);
            plan.changed.push(Changed { id, keys, restart });
        }
        let gone =
            |now: &&Known<'_>| now.configured && !wanted.iter().any(|spec| spec.id == now.spec.id);
        let removed = known.iter().filter(gone);
        plan.removed = removed.map(|now| now.spec.id.clone()).collect();
        plan
    }
}

impl ServerSpec {
    /// Whether the process that runs by this spec is not the one that the other wants.
    pub fn needs_other_process(&self, other: &Self) -> bool {
        self.command != other.command
            || self.directory != other.directory
            || self.env != other.env
            || self.session != other.session
            || self.on_exit != other.on_exit
            || self.contain != other.contain
    }

    /// The other spec, but with the process of this one.
    pub(super) fn with_process_of(self, running: &Self) -> Self {
        Self {
            command: running.command.clone(),
            directory: running.directory.clone(),
            env: running.env.clone(),
            session: running.session,
            on_exit: running.on_exit,
            contain: running.contain.clone(),
            // One of the spec to come, which may know no session.
            standby: self.has_standby().into(),
            ..self
        }
    }
}

/// The keys whose values differ, by their names in the file.
fn differences(old: &ServerSpec, new: &ServerSpec) -> Vec<&'static str> {
    // Taken apart, so that whoever adds a field must say here what its change means.
    let ServerSpec {
        id: _,
        command,
        directory,
        env,
        restart,
        max_restarts,
        max_seconds,
        backoff,
        quarantine,
        group,
        restart_at,
        restart_when_empty,
        start_timeout,
        hang_timeout,
        stop_timeout,
        session,
        on_exit,
        autostart,
        busy_max,
        memory_warn,
        probe,
        contain,
        standby,
    } = old;
    let compared = [
        ("command", *command != new.command),
        ("directory", *directory != new.directory),
        ("env", *env != new.env),
        ("restart", *restart != new.restart),
        ("max_restarts", *max_restarts != new.max_restarts),
        ("max_seconds", *max_seconds != new.max_seconds),
        ("backoff", *backoff != new.backoff),
        ("quarantine", *quarantine != new.quarantine),
        ("group", *group != new.group),
        ("restart_at", *restart_at != new.restart_at),
        (
            "restart_when_empty",
            *restart_when_empty != new.restart_when_empty,
        ),
        ("start_timeout", *start_timeout != new.start_timeout),
        ("hang_timeout", *hang_timeout != new.hang_timeout),
        ("stop_timeout", *stop_timeout != new.stop_timeout),
        ("session", *session != new.session),
        ("on_exit", *on_exit != new.on_exit),
        ("autostart", *autostart != new.autostart),
        ("busy_max", *busy_max != new.busy_max),
        ("memory_warn", *memory_warn != new.memory_warn),
        ("probe", *probe != new.probe),
        ("standby", *standby != new.standby),
    ];
    let compared = compared.into_iter().chain(contained(contain, &new.contain));
    let differing = compared.filter(|(_, differs)| *differs);
    differing.map(|(key, _)| key).collect()
}

/// The same of what a server may use and see.
fn contained(old: &Contain, new: &Contain) -> [(&'static str, bool); 6] {
    let Contain {
        limits,
        user,
        no_new_privs,
        inherit_env,
        secret_env,
        log_bytes,
        log_age,
    } = old;
    let logs = *log_bytes != new.log_bytes || *log_age != new.log_age;
    [
        ("limits", *limits != new.limits),
        ("user", *user != new.user),
        ("no_new_privs", *no_new_privs != new.no_new_privs),
        ("inherit_env", *inherit_env != new.inherit_env),
        ("secret_env", *secret_env != new.secret_env),
        ("logs", logs),
    ]
}

#[cfg(test)]
mod tests;
