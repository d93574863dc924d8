//! Containment in child specs: `limits` (a map), `user`, `no_new_privs`, `inherit_env`, `secret_env`, `log_bytes`, `log_age_ms`.

use crate::etf::Term;
use crate::types::{Contain, Limits, UNLIMITED};
use std::time::Duration;

/// Reads one key; `None` where it is none of these.
pub fn read(name: &str, value: &Term, contain: &mut Contain) -> Option<Result<(), String>> {
    let number = || {
        value
            .as_u64()
            .ok_or_else(|| format!("{name} must be a non-negative integer"))
    };
    let names = || {
        let words = value
            .as_list()
            .map(|words| words.iter().map(|word| word.as_text().map(str::to_owned)));
        words
            .and_then(Iterator::collect::<Option<Vec<_>>>)
            .ok_or_else(|| format!("{name} must be a list of binaries"))
    };
    let done = match name {
        "limits" => limits(value).map(|limits| contain.limits = limits),
        "user" => match value.as_text() {
            Some(user) => {
                contain.user = Some(user.to_owned());
                Ok(())
            }
            None => Err("user must be a binary such as <<\"game:players\">>".to_owned()),
        },
        "no_new_privs" => match value.as_bool() {
            Some(forbids) => {
                contain.no_new_privs = Some(forbids);
                Ok(())
            }
            None => Err("no_new_privs must be true or false".to_owned()),
        },
        "inherit_env" => names().map(|names| contain.inherit_env = names),
        "secret_env" => names().map(|names| contain.secret_env = names),
        "log_bytes" => number().map(|bytes| contain.log_bytes = Some(bytes)),
        "log_age_ms" => {
            number().map(|ms| contain.log_age = Some(Duration::from_millis(ms.max(1000))))
        }
        _ => return None,
    };
    Some(done)
}

fn limits(value: &Term) -> Result<Limits, String> {
    let mut limits = Limits::default();
    for (key, value) in value.as_map().ok_or("limits must be a map")? {
        let name = key.as_text().unwrap_or_default();
        let number = value
            .as_u64()
            .or_else(|| value.is_atom("infinity").then_some(UNLIMITED));
        let number = || {
            number
                .ok_or_else(|| format!("limits.{name} must be a non-negative integer or infinity"))
        };
        let narrow = || {
            number()
                .and_then(|n| u32::try_from(n).map_err(|_| format!("limits.{name} is too large")))
        };
        match name {
            "memory_bytes" => limits.memory = Some(number()?),
            "memory_high_bytes" => limits.memory_high = Some(number()?),
            "cpu_millis" => limits.cpu_millis = Some(narrow()?.max(10)),
            "pids" => limits.pids = Some(narrow()?),
            "cgroup" => {
                limits.cgroup = value
                    .as_bool()
                    .ok_or("limits.cgroup must be true or false")?;
            }
            "nofile" => limits.nofile = Some(number()?),
            "nproc" => limits.nproc = Some(number()?),
            "core_bytes" => limits.core = Some(number()?),
            "address_space_bytes" => limits.address_space = Some(number()?),
            _ => return Err(format!("limits holds the unknown key {key}")),
        }
    }
    Ok(limits)
}

/// The keys that say something.
pub fn write(contain: &Contain) -> Vec<(&'static str, Term)> {
    let Contain {
        limits,
        user,
        no_new_privs,
        inherit_env,
        secret_env,
        log_bytes,
        log_age,
    } = contain;
    let names = |names: &[String]| {
        (!names.is_empty()).then(|| {
            Term::list(
                names
                    .iter()
                    .map(|name| Term::text(name))
                    .collect::<Vec<_>>(),
            )
        })
    };
    let pairs = [
        ("limits", (!limits.is_empty()).then(|| limits_map(limits))),
        ("user", user.as_deref().map(Term::text)),
        ("no_new_privs", no_new_privs.map(Term::bool)),
        ("inherit_env", names(inherit_env)),
        ("secret_env", names(secret_env)),
        ("log_bytes", log_bytes.map(Term::int)),
        (
            "log_age_ms",
            log_age.map(|age| Term::int(age.as_millis() as u64)),
        ),
    ];
    pairs
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
}

fn limits_map(limits: &Limits) -> Term {
    let number = |number: Option<u64>| match number {
        Some(UNLIMITED) => Some(Term::atom("infinity")),
        number => number.map(Term::int),
    };
    let pairs = [
        ("memory_bytes", number(limits.memory)),
        ("memory_high_bytes", number(limits.memory_high)),
        ("cpu_millis", limits.cpu_millis.map(Term::int)),
        ("pids", limits.pids.map(Term::int)),
        ("cgroup", limits.cgroup.then(|| Term::bool(true))),
        ("nofile", number(limits.nofile)),
        ("nproc", number(limits.nproc)),
        ("core_bytes", number(limits.core)),
        ("address_space_bytes", number(limits.address_space)),
    ];
    Term::map(
        pairs
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?))),
    )
}

#[cfg(test)]
mod tests;
