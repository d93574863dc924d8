//! What a `[[server]]` may use and see: `limits`, `user`, `inherit_env`, `secret_env`, `logs`.

use super::error::Fault;
use super::raw::{RawServerLimits, RawServerLogs};
use super::servers::TIMEOUT_MAX;
use super::values::{Size, show_duration, show_size};
use crate::types::{Contain, Limits, UNLIMITED};
use serde::Serializer;
use serde::ser::SerializeMap;
use std::collections::BTreeMap;
use std::time::Duration;
use toml::Spanned;

/// Below this no process starts, so that a slip of the unit shows.
const MEMORY_MIN: u64 = 16 << 20;
/// Fewer open files than this leave a game none of its own.
const NOFILE_MIN: u64 = 16;
/// Two files, what is compressed of them, and what is written before it is noticed.
const LOG_BYTES_MIN: u64 = 4 << 20;
/// Names in one list.
const NAMES_MAX: usize = 64;

/// The keys as they stand in the file.
pub(super) struct Raw {
    pub limits: RawServerLimits,
    pub user: Option<Spanned<String>>,
    pub no_new_privs: Option<bool>,
    pub inherit_env: Vec<Spanned<String>>,
    pub secret_env: Vec<Spanned<String>>,
    pub logs: RawServerLogs,
}

pub(super) fn build(raw: Raw) -> Result<Contain, Fault> {
    Ok(Contain {
        limits: limits(&raw.limits)?,
        user: raw.user.map(user).transpose()?,
        no_new_privs: raw.no_new_privs,
        inherit_env: names("inherit_env", raw.inherit_env, true)?,
        secret_env: names("secret_env", raw.secret_env, false)?,
        log_bytes: size("logs.bytes", raw.logs.bytes.as_ref(), LOG_BYTES_MIN)?,
        log_age: raw
            .logs
            .age
            .map(|age| {
                let value = age.get_ref().0;
                if value < Duration::from_secs(1) || value > 366 * TIMEOUT_MAX {
                    let shown = show_duration(value);
                    return Err(Fault::at(
                        age.span(),
                        format!("logs.age is {shown}; it must be from 1s to 366days"),
                    ));
                }
                Ok(value)
            })
            .transpose()?,
    })
}

fn limits(raw: &RawServerLimits) -> Result<Limits, Fault> {
    let limits = Limits {
        memory: size("limits.memory", raw.memory.as_ref(), MEMORY_MIN)?,
        memory_high: size("limits.memory_high", raw.memory_high.as_ref(), MEMORY_MIN)?,
        cpu_millis: raw.cpu.as_ref().map(cpu).transpose()?,
        pids: least("limits.pids", raw.pids.as_ref(), 1)?,
        cgroup: raw.cgroup,
        nofile: least("limits.nofile", raw.nofile.as_ref(), NOFILE_MIN)?,
        nproc: least("limits.nproc", raw.nproc.as_ref(), 1)?,
        core: raw.core.map(|core| core.0),
        address_space: size(
            "limits.address_space",
            raw.address_space.as_ref(),
            MEMORY_MIN,
        )?,
    };
    if let (Some(high), Some(raw)) = (limits.memory_high, &raw.memory_high) {
        if limits.memory.is_some_and(|max| high > max) {
            return Err(Fault::at(
                raw.span(),
                "limits.memory_high is above limits.memory and would never matter; lower it",
            ));
        }
    }
    Ok(limits)
}

fn cpu(raw: &Spanned<f64>) -> Result<u32, Fault> {
    let cores = *raw.get_ref();
    if !(0.01..=4096.0).contains(&cores) {
        return Err(Fault::at(
            raw.span(),
            format!(
                "limits.cpu is {cores}; it counts cores, such as 1.5, and must be from 0.01 to 4096"
            ),
        ));
    }
    Ok((cores * 1000.0).round() as u32)
}

fn least<T: Copy + PartialOrd + std::fmt::Display>(
    key: &str,
    raw: Option<&Spanned<T>>,
    least: T,
) -> Result<Option<T>, Fault> {
    match raw {
        Some(raw) if *raw.get_ref() < least => Err(Fault::at(
            raw.span(),
            format!("{key} is {}; it must be at least {least}", raw.get_ref()),
        )),
        raw => Ok(raw.map(|raw| *raw.get_ref())),
    }
}

fn size(key: &str, raw: Option<&Spanned<Size>>, least: u64) -> Result<Option<u64>, Fault> {
    match raw {
        Some(raw) if raw.get_ref().0 < least => {
            let (is, least) = (show_size(raw.get_ref().0), show_size(least));
            Err(Fault::at(
                raw.span(),
                format!("{key} is {is}; it must be at least {least}"),
            ))
        }
        raw => Ok(raw.map(|raw| raw.get_ref().0)),
    }
}

fn user(raw: Spanned<String>) -> Result<String, Fault> {
    let span = raw.span();
    let text = raw.into_inner();
    let parts: Vec<&str> = text.split(':').collect();
    let plain = |part: &&str| !part.is_empty() && !part.contains(['\0', '/', ' ']);
    if parts.len() > 2 || !parts.iter().all(plain) {
        return Err(Fault::at(
            span,
            format!(
                "{text:?} is no user; write such as \"game\", \"game:players\" or \"1001:1001\""
            ),
        ));
    }
    Ok(text)
}

fn names(key: &str, raw: Vec<Spanned<String>>, prefixes: bool) -> Result<Vec<String>, Fault> {
    if let Some(first) = raw.get(NAMES_MAX) {
        return Err(Fault::at(
            first.span(),
            format!("{key} holds more than {NAMES_MAX} names; use a prefix such as \"GAME_*\""),
        ));
    }
    let one = |raw: Spanned<String>| {
        let (span, text) = (raw.span(), raw.into_inner());
        let name = text.strip_suffix('*').filter(|_| prefixes).unwrap_or(&text);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || !name.bytes().all(plain) {
            let form = if prefixes {
                "\"NAME\" or \"PREFIX_*\""
            } else {
                "\"NAME\""
            };
            return Err(Fault::at(
                span,
                format!("{text:?} in {key} is no name of a variable; write {form}"),
            ));
        }
        Ok(text)
    };
    raw.into_iter().map(one).collect()
}

/// As the keys would be written; those that say nothing are left out.
pub(super) fn contain_keys<S: Serializer>(
    contain: &Contain,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let Contain {
        limits,
        user,
        no_new_privs,
        inherit_env,
        secret_env,
        log_bytes,
        log_age,
    } = contain;
    let mut map = serializer.serialize_map(None)?;
    if let Some(user) = user {
        map.serialize_entry("user", user)?;
    }
    map.serialize_entry("no_new_privs", &no_new_privs.unwrap_or(user.is_some()))?;
    for (key, names) in [("inherit_env", inherit_env), ("secret_env", secret_env)] {
        if !names.is_empty() {
            map.serialize_entry(key, names)?;
        }
    }
    if !limits.is_empty() {
        map.serialize_entry("limits", &limits_table(limits))?;
    }
    let logs = [
        ("bytes", log_bytes.map(show_size)),
        ("age", log_age.map(show_duration)),
    ];
    let logs: BTreeMap<_, _> = logs
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect();
    if !logs.is_empty() {
        map.serialize_entry("logs", &logs)?;
    }
    map.end()
}

fn limits_table(limits: &Limits) -> BTreeMap<&'static str, toml::Value> {
    let size = |size: Option<u64>| size.map(|size| toml::Value::String(show_size(size)));
    let count = |count: Option<u64>| {
        count.map(|count| toml::Value::Integer(i64::try_from(count).unwrap_or(i64::MAX)))
    };
    let core = match limits.core {
        Some(UNLIMITED) => Some(toml::Value::String("unlimited".into())),
        other => size(other),
    };
    let table = [
        ("memory", size(limits.memory)),
        ("memory_high", size(limits.memory_high)),
        (
            "cpu",
            limits
                .cpu_millis
                .map(|millis| toml::Value::Float(f64::from(millis) / 1000.0)),
        ),
        ("pids", count(limits.pids.map(u64::from))),
        (
            "cgroup",
            limits.cgroup.then_some(toml::Value::Boolean(true)),
        ),
        ("nofile", count(limits.nofile)),
        ("nproc", count(limits.nproc)),
        ("core", core),
        ("address_space", size(limits.address_space)),
    ];
    table
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
}

#[cfg(test)]
mod tests;
