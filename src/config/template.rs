//! Templates: one `[[server]]` with `count = N` stands for N servers.
//!
//! In `id`, `command`, `directory`, `env` and the probe's `port`, `{n}` is the number of the instance from 1, `{id}` its id and `{port}` its port: the n-th
//! of `ports`, so that an instance keeps number, id and port over every restart. `{{n}}` means the text `{n}`, and `${n}` is
//! left to whoever reads it (a shell). Other braces are ordinary text, but in a template a lower-case word in braces that is none
//! of the three is taken for a slip.

use super::error::Fault;
use super::raw::RawServer;
use super::values::{PortText, Ports};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use toml::Spanned;

const NAMES: [&str; 3] = ["n", "id", "port"];

/// What the braces of one instance stand for.
struct Instance<'a> {
    n: Option<String>,
    id: Option<&'a str>,
    port: Option<String>,
    template: bool,
}

/// Every instance of every section, in the order of the file.
pub(super) fn expand(sections: Vec<Spanned<RawServer>>) -> Result<Vec<RawServer>, Fault> {
    let mut instances = Vec::new();
    let mut taken: Vec<(Ports, String)> = Vec::new();
    for section in sections {
        let section = section.into_inner();
        check_ports(&section, &mut taken)?;
        let Some(count) = &section.count else {
            instances.push(instance(&section, None)?);
            continue;
        };
        if *count.get_ref() == 0 {
            return Err(Fault::at(
                count.span(),
                "count must be at least 1; to have no such server remove its section",
            ));
        }
        if !section.id.get_ref().contains("{n}") {
            let id = section.id.get_ref();
            return Err(Fault::at(
                section.id.span(),
                format!(
                    "with `count` every instance needs an id of its own; write such as id = \"{id}_{{n}}\""
                ),
            ));
        }
        for n in 1..=*count.get_ref() {
            instances.push(instance(&section, Some(n))?);
        }
    }
    Ok(instances)
}

/// Enough of them, and none twice.
fn check_ports(section: &RawServer, taken: &mut Vec<(Ports, String)>) -> Result<(), Fault> {
    let Some(ports) = &section.ports else {
        return Ok(());
    };
    let (range, id) = (*ports.get_ref(), section.id.get_ref());
    let count = section.count.as_ref().map_or(1, |count| *count.get_ref());
    let there = u32::from(range.last - range.first) + 1;
    if there < u32::from(count) {
        return Err(Fault::at(
            ports.span(),
            format!(
                "{count} instances of {id:?} need {count} ports, but the range holds {there}; end it at {}",
                u32::from(range.first) + u32::from(count) - 1
            ),
        ));
    }
    let overlaps =
        |(other, _): &&(Ports, String)| other.first <= range.last && range.first <= other.last;
    if let Some((_, other)) = taken.iter().find(overlaps) {
        return Err(Fault::at(
            ports.span(),
            format!("these ports overlap with those of server {other:?}; give each its own range"),
        ));
    }
    taken.push((range, id.clone()));
    Ok(())
}

fn instance(section: &RawServer, n: Option<u16>) -> Result<RawServer, Fault> {
    let mut server = section.clone();
    let port = section.ports.as_ref().map(|ports| {
        let first = ports.get_ref().first;
        (first + n.map_or(0, |n| n - 1)).to_string()
    });
    let mut braces = Instance {
        n: n.map(|n| n.to_string()),
        id: None,
        port,
        template: section.count.is_some() || section.ports.is_some(),
    };
    let id = braces.fill(section.id.get_ref(), &section.id.span())?;
    server.id = Spanned::new(section.id.span(), id.clone());
    braces.id = Some(&id);
    let span = section.command.span();
    let words = section.command.get_ref().iter();
    let words = words.map(|word| braces.fill(word, &span));
    server.command = Spanned::new(span.clone(), words.collect::<Result<_, _>>()?);
    if let Some(directory) = &section.directory {
        let (span, text) = (directory.span(), directory.get_ref().to_string_lossy());
        server.directory = Some(Spanned::new(
            span.clone(),
            PathBuf::from(braces.fill(&text, &span)?),
        ));
    }
    if let Some(env) = &section.env {
        let span = env.span();
        let mut filled = BTreeMap::new();
        for (name, value) in env.get_ref() {
            filled.insert(name.clone(), braces.fill(value, &span)?);
        }
        server.env = Some(Spanned::new(span, filled));
    }
    if let Some(probe) = &section.probe {
        let (whole, port) = (probe.span(), &probe.get_ref().port);
        let filled = PortText(braces.fill(&port.get_ref().0, &port.span())?);
        let mut probe = probe.get_ref().clone();
        probe.port = Spanned::new(probe.port.span(), filled);
        server.probe = Some(Spanned::new(whole, probe));
    }
    Ok(server)
}

impl Instance<'_> {
    fn fill(&self, text: &str, span: &Range<usize>) -> Result<String, Fault> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, braced) = rest.split_at(at);
            filled.push_str(before);
            let name = word(&braced[1..]);
            let escaped = braced.strip_prefix("{{").and_then(word);
            let length = match (escaped, name) {
                (Some(name), _)
                    if NAMES.contains(&name) && braced[name.len() + 2..].starts_with("}}") =>
                {
                    filled.push_str(&braced[1..name.len() + 3]);
                    name.len() + 4
                }
                (_, Some(name)) if !filled.ends_with(['$', '{']) => {
                    match self.value(name, span)? {
                        Some(value) => filled.push_str(value),
                        None => filled.push_str(&braced[..name.len() + 2]),
                    }
                    name.len() + 2
                }
                _ => {
                    filled.push('{');
                    1
                }
            };
            rest = &braced[length..];
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// What a name stands for; `None` where it is ordinary text.
    fn value(&self, name: &str, span: &Range<usize>) -> Result<Option<&str>, Fault> {
        let missing = |remedy: &str| {
            Fault::at(
                span.clone(),
                format!(
                    "{{{name}}} stands here, but {remedy}; for the text itself write {{{{{name}}}}}"
                ),
            )
        };
        match name {
            "n" => match &self.n {
                Some(n) => Ok(Some(n)),
                None => Err(missing("the server has no `count`; add such as count = 4")),
            },
            "port" => match &self.port {
                Some(port) => Ok(Some(port)),
                None => Err(missing(
                    "the server has no `ports`; add such as ports = \"7000-7015\"",
                )),
            },
            "id" => match self.id {
                Some(id) => Ok(Some(id)),
                None => Err(missing("an id cannot hold itself; use {n}")),
            },
            _ if self.template => Err(Fault::at(
                span.clone(),
                format!(
                    "{{{name}}} is not known; a template has {{n}}, {{id}} and {{port}} (a shell's own variable is written ${{{name}}})"
                ),
            )),
            _ => Ok(None),
        }
    }
}

/// The lower-case word before the next `}`.
fn word(text: &str) -> Option<&str> {
    let word = &text[..text.find('}')?];
    let plain = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    plain.then_some(word)
}

/// Words as they must stand in a file to mean themselves.
pub(super) fn escaped_words<S: Serializer>(
    words: &[String],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let escape = |word: &String| {
        NAMES.iter().fold(word.clone(), |word, name| {
            word.replace(&format!("{{{name}}}"), &format!("{{{{{name}}}}}"))
                .replace(&format!("${{{{{name}}}}}"), &format!("${{{name}}}"))
        })
    };
    words
        .iter()
        .map(escape)
        .collect::<Vec<_>>()
        .serialize(serializer)
}

#[cfg(test)]
pub(super) mod tests;
