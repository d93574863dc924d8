//! `[[group]]`: servers that belong together, and who counts their restarts.

use super::build::Context;
use super::error::Fault;
use super::model::{Backoff, GroupConfig, ServerConfig, Strategy};
use super::raw::{RawBackoff, RawGroup};
use super::servers::{TIMEOUT_MAX, bounded};
use super::values::{SpanOrOff, show_duration};
use crate::types::ServerId;
use std::num::NonZeroU32;
use std::time::Duration;
use toml::Spanned;

pub(super) fn build(raw: Vec<RawGroup>) -> Result<Vec<GroupConfig>, Fault> {
    let mut groups: Vec<GroupConfig> = Vec::new();
    for raw in raw {
        let name = raw.name.get_ref();
        // The form of ids, so that it can be typed and shown alike.
        if ServerId::new(name).is_err() {
            return Err(Fault::at(
                raw.name.span(),
                format!(
                    "group name {name:?} must be a lower-case letter followed by at most 63 lower-case letters, digits or _"
                ),
            ));
        }
        if groups.iter().any(|group| group.name == *name) {
            return Err(Fault::at(
                raw.name.span(),
                format!("two groups have the name {name:?}; give each its own"),
            ));
        }
        groups.push(GroupConfig {
            name: name.clone(),
            strategy: raw.strategy,
            max_restarts: raw.max_restarts.unwrap_or(3),
            max_seconds: window(raw.max_seconds)?,
            backoff: backoff(raw.backoff)?,
            quarantine: quarantine(raw.quarantine)?,
        });
    }
    Ok(groups)
}

/// The group that a server names.
pub(super) fn of<'a>(
    named: Option<&Spanned<String>>,
    groups: &'a [GroupConfig],
) -> Result<Option<&'a GroupConfig>, Fault> {
    let Some(named) = named else { return Ok(None) };
    let found = groups.iter().find(|group| group.name == *named.get_ref());
    found.map(Some).ok_or_else(|| {
        let known: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
        let remedy = if known.is_empty() {
            "add it".to_owned()
        } else {
            format!("known here: {}; or add it", known.join(", "))
        };
        let name = named.get_ref();
        Fault::at(
            named.span(),
            format!("there is no group {name:?}; {remedy}:  [[group]] name = {name:?}"),
        )
    })
}

/// How often one is restarted, and what follows when that was too often.
#[derive(PartialEq, Eq)]
pub(super) struct Patience {
    pub max_restarts: u32,
    pub max_seconds: NonZeroU32,
    pub backoff: Backoff,
    pub quarantine: Option<Duration>,
}

/// The server's own, what it leaves open from its group. Where the members are restarted together the group counts, and a member
/// that says otherwise contradicts it.
pub(super) fn patience(
    id: &Spanned<String>,
    group: Option<&GroupConfig>,
    max_restarts: Option<u32>,
    max_seconds: Option<Spanned<u32>>,
    raw_backoff: RawBackoff,
    raw_quarantine: Option<Spanned<SpanOrOff>>,
) -> Result<Patience, Fault> {
    let says_backoff = raw_backoff.initial.is_some() || raw_backoff.max.is_some();
    let says_window = max_seconds.is_some();
    let says_quarantine = raw_quarantine.is_some();
    let mut own = Patience {
        max_restarts: max_restarts.unwrap_or(3),
        max_seconds: window(max_seconds)?,
        backoff: backoff(raw_backoff)?,
        quarantine: quarantine(raw_quarantine)?,
    };
    let Some(group) = group else { return Ok(own) };
    if max_restarts.is_none() {
        own.max_restarts = group.max_restarts;
    }
    if !says_window {
        own.max_seconds = group.max_seconds;
    }
    if !says_backoff {
        own.backoff = group.backoff;
    }
    if !says_quarantine {
        own.quarantine = group.quarantine;
    }
    let of_group = Patience {
        max_restarts: group.max_restarts,
        max_seconds: group.max_seconds,
        backoff: group.backoff,
        quarantine: group.quarantine,
    };
    if group.strategy != Strategy::OneForOne && own != of_group {
        let name = &group.name;
        return Err(Fault::at(
            id.span(),
            format!(
                "the members of group {name:?} are restarted together, so max_restarts, max_seconds, backoff and quarantine are \
                 the group's; move them from server {:?} to the [[group]]",
                id.get_ref()
            ),
        ));
    }
    Ok(own)
}

/// A group without members is most probably a misspelt one.
pub(super) fn warn_of_empty(
    groups: &[GroupConfig],
    servers: &[ServerConfig],
    context: &mut Context<'_>,
) {
    for group in groups {
        let is_member = |server: &ServerConfig| server.group.as_ref() == Some(&group.name);
        if !servers.iter().any(is_member) {
            let name = &group.name;
            context.warnings.push(format!(
                "group {name:?} has no members; say  group = {name:?}  at its servers, or remove it"
            ));
        }
    }
}

fn quarantine(raw: Option<Spanned<SpanOrOff>>) -> Result<Option<Duration>, Fault> {
    let Some(raw) = raw else { return Ok(None) };
    let Some(value) = raw.get_ref().0 else {
        return Ok(None);
    };
    bounded("quarantine", raw.span(), value, Duration::from_secs(1)).map(Some)
}

fn window(raw: Option<Spanned<u32>>) -> Result<NonZeroU32, Fault> {
    let Some(raw) = raw else {
        return Ok(NonZeroU32::new(5).expect("5 is not 0"));
    };
    NonZeroU32::new(*raw.get_ref()).ok_or_else(|| {
        Fault::at(
            raw.span(),
            "max_seconds must be at least 1: it is the window in which max_restarts are counted",
        )
    })
}

fn backoff(raw: RawBackoff) -> Result<Backoff, Fault> {
    let span = raw.max.as_ref().or(raw.initial.as_ref()).map(Spanned::span);
    let initial = raw
        .initial
        .map_or(Duration::from_millis(100), |initial| initial.into_inner().0);
    let max = raw.max.map_or(Duration::from_secs(30).max(initial), |max| {
        max.into_inner().0
    });
    if initial > max || max > TIMEOUT_MAX {
        let message = format!(
            "backoff goes from {} to {}; `initial` must not be above `max`, nor `max` above 24h",
            show_duration(initial),
            show_duration(max)
        );
        return Err(Fault { span, message });
    }
    Ok(Backoff { initial, max })
}

#[cfg(test)]
mod tests;
