//! What another configuration of the servers would change: pure.

use super::spec::ServerSpec;
use crate::types::ServerId;

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
    }

    /// The other spec, but with the process of this one.
    pub(super) fn with_process_of(self, running: &Self) -> Self {
        Self {
            command: running.command.clone(),
            directory: running.directory.clone(),
            env: running.env.clone(),
            session: running.session,
            on_exit: running.on_exit,
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
        start_timeout,
        hang_timeout,
        stop_timeout,
        session,
        on_exit,
        autostart,
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
        ("start_timeout", *start_timeout != new.start_timeout),
        ("hang_timeout", *hang_timeout != new.hang_timeout),
        ("stop_timeout", *stop_timeout != new.stop_timeout),
        ("session", *session != new.session),
        ("on_exit", *on_exit != new.on_exit),
        ("autostart", *autostart != new.autostart),
    ];
    let differing = compared.into_iter().filter(|(_, differs)| *differs);
    differing.map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn spec(name: &str) -> ServerSpec {
        ServerSpec::new(ServerId::new(name).expect("valid"), vec!["x".into()])
    }

    #[test]
    fn each_difference_has_its_name_and_its_price() {
        let old = [spec("same"), spec("number"), spec("command"), spec("down")];
        let mut new = [
            old[0].clone(),
            old[1].clone(),
            old[2].clone(),
            old[3].clone(),
        ];
        new[1].stop_timeout = Duration::from_secs(99);
        new[1].max_restarts = 99;
        new[2].command.push("--more".into());
        new[3].env.insert("A".into(), "B".into());
        let (gone, of_peer, taken) = (spec("gone"), spec("of_peer"), spec("taken"));
        let is = |spec, configured, up| Known {
            spec,
            configured,
            up,
        };
        let known = [
            is(&old[0], true, true),
            is(&old[1], true, true),
            is(&old[2], true, true),
            is(&old[3], true, false),
            is(&gone, true, true),
            is(&of_peer, false, true),
            is(&taken, false, true),
        ];
        let mut wanted = new.to_vec();
        wanted.extend([taken.clone(), spec("fresh")]);
        let plan = Plan::new(&known, &wanted);
        let names = |ids: &[ServerId]| {
            let names = ids.iter().map(ServerId::as_str);
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(&plan.added), "fresh");
        assert_eq!(names(&plan.removed), "gone");
        assert_eq!(names(&plan.unchanged), "same taken");
        let changed = plan.changed.iter();
        let changed: Vec<_> = changed
            .map(|one| (one.id.as_str(), one.keys.join(" "), one.restart))
            .collect();
        assert_eq!(
            changed,
            [
                ("number", "max_restarts stop_timeout".to_owned(), false),
                ("command", "command".to_owned(), true),
                ("down", "env".to_owned(), false),
            ]
        );
        let kept = new[2].clone().with_process_of(&old[2]);
        assert_eq!(differences(&old[2], &kept), [""; 0]);
    }
}
