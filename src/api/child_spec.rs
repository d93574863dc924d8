//! OTP child specs ⇄ [`ServerSpec`].
//!
//! `start` is `{godot, start_link, [#{command => [binary], ...}]}`; the map may also hold `directory`, `env` (map of
//! binaries), `session`, `start_timeout_ms`, `hang_timeout_ms` (or `infinity`), `max_restarts`, `max_seconds`,
//! `standby` (0 or 1) and `on_exit` (`keep` or `stop`), and those of [`child_contain`] and
//! [`child_health`]. `restart` and `shutdown` are OTP's own.

use crate::api::otp_child::OtpChild;
use crate::api::{child_contain, child_health};
use crate::etf::{Atom, Term};
use crate::supervisor::{OnExit, Restart, ServerSpec};
use crate::types::ServerId;
use std::time::Duration;

/// The module named in child specs.
pub const MODULE: &str = "godot";

/// A child spec could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// What is wrong with it.
    #[error("{0}")]
    Invalid(String),
}

fn invalid(text: impl Into<String>) -> SpecError {
    SpecError::Invalid(text.into())
}

/// What a child that OTP accepts means for us.
pub fn from_child(child: &OtpChild) -> Result<ServerSpec, SpecError> {
    let id = child.id.as_text();
    let id = id.ok_or_else(|| invalid("id must be an atom or a binary"))?;
    let id = ServerId::new(id).map_err(|error| invalid(error.to_string()))?;
    let options = start_options(&child.start).ok_or_else(|| {
        invalid("start must be {godot, start_link, [#{command => [Program, Argument, ...]}]}")
    })?;
    let mut spec = ServerSpec::new(id, command(options)?);
    read_options(options, &mut spec)?;
    spec.restart = match child.restart.as_atom().map(Atom::as_str) {
        Some("transient") => Restart::Transient,
        Some("temporary") => Restart::Temporary,
        _ => Restart::Permanent,
    };
    // With `infinity` our own default holds: a game that never ends must not keep sidekick for ever.
    if let Some(ms) = child.shutdown.as_u64() {
        spec.stop_timeout = Duration::from_millis(ms);
    } else if child.shutdown.is_atom("brutal_kill") {
        spec.stop_timeout = Duration::ZERO;
    }
    Ok(spec)
}

fn start_options(start: &Term) -> Option<&Term> {
    match start.as_tuple()? {
        [module, function, arguments]
            if module.is_atom(MODULE) && function.is_atom("start_link") =>
        {
            match arguments.as_list()? {
                [options @ Term::Map(_)] => Some(options),
                _ => None,
            }
        }
        _ => None,
    }
}

fn command(options: &Term) -> Result<Vec<String>, SpecError> {
    let words = options
        .map_get("command")
        .and_then(Term::as_list)
        .filter(|words| !words.is_empty());
    let words =
        words.ok_or_else(|| invalid("command must be a list of binaries, the program first"))?;
    words
        .iter()
        .map(|word| word.as_text().map(str::to_owned))
        .collect::<Option<_>>()
        .ok_or_else(|| invalid("command must be a list of binaries in UTF-8"))
}

fn read_options(options: &Term, spec: &mut ServerSpec) -> Result<(), SpecError> {
    for (key, value) in options.as_map().unwrap_or_default() {
        let name = key.as_text().unwrap_or_default().to_owned();
        let number = || {
            value
                .as_u64()
                .ok_or_else(|| invalid(format!("{name} must be a non-negative integer")))
        };
        match name.as_str() {
            "command" => {}
            "directory" => spec.directory = Some(text(value, &name)?.into()),
            "env" => {
                for (key, value) in value.as_map().ok_or_else(|| invalid("env must be a map"))? {
                    spec.env.insert(text(key, "env")?, text(value, "env")?);
                }
            }
            "session" => {
                spec.session = value
                    .as_bool()
                    .ok_or_else(|| invalid("session must be true or false"))?;
            }
            "start_timeout_ms" => spec.start_timeout = Duration::from_millis(number()?),
            "hang_timeout_ms" if value.is_atom("infinity") => spec.hang_timeout = None,
            "hang_timeout_ms" => spec.hang_timeout = Some(Duration::from_millis(number()?)),
            "max_restarts" => spec.max_restarts = narrow(number()?, &name)?,
            "max_seconds" => spec.max_seconds = narrow(number()?.max(1), &name)?,
            "standby" => {
                spec.standby = u8::try_from(number()?)
                    .ok()
                    .filter(|count| *count <= 1)
                    .ok_or_else(|| invalid("standby must be 0 or 1"))?;
            }
            "on_exit" => {
                spec.on_exit = match value.as_text() {
                    Some("keep") => OnExit::Keep,
                    Some("stop") => OnExit::Stop,
                    _ => return Err(invalid("on_exit must be keep or stop")),
                }
            }
            other => {
                let read = child_contain::read(other, value, &mut spec.contain)
                    .or_else(|| child_health::read(other, value, spec));
                read.ok_or_else(|| invalid(format!("unknown option {key}")))?
                    .map_err(invalid)?;
            }
        }
    }
    if spec.session && spec.probe.is_some() {
        return Err(invalid(
            "a process that speaks the session protocol tells by its heartbeats how it is; leave out probe, or say session => false",
        ));
    }
    Ok(())
}

fn narrow(number: u64, name: &str) -> Result<u32, SpecError> {
    u32::try_from(number).map_err(|_| invalid(format!("{name} is too large")))
}

fn text(value: &Term, name: &str) -> Result<String, SpecError> {
    value
        .as_text()
        .map(str::to_owned)
        .ok_or_else(|| invalid(format!("{name} must hold binaries in UTF-8")))
}

/// The child as OTP tells of it. The environment is left out: it may hold secrets.
pub fn to_child(spec: &ServerSpec) -> OtpChild {
    let millis = |d: Duration| Term::int(i128::try_from(d.as_millis()).unwrap_or(i128::MAX));
    let command = spec
        .command
        .iter()
        .map(|word| Term::text(word))
        .collect::<Vec<_>>();
    let mut options = vec![
        ("command", Term::list(command)),
        ("session", Term::bool(spec.session)),
        ("start_timeout_ms", millis(spec.start_timeout)),
        (
            "hang_timeout_ms",
            spec.hang_timeout
                .map_or_else(|| Term::atom("infinity"), millis),
        ),
        ("max_restarts", Term::int(spec.max_restarts)),
        ("max_seconds", Term::int(spec.max_seconds)),
        (
            "on_exit",
            Term::atom(if spec.on_exit == OnExit::Keep {
                "keep"
            } else {
                "stop"
            }),
        ),
    ];
    if let Some(directory) = &spec.directory {
        options.push(("directory", Term::text(&directory.to_string_lossy())));
    }
    if spec.standby > 0 {
        options.push(("standby", Term::int(spec.standby)));
    }
    options.extend(child_contain::write(&spec.contain));
    options.extend(child_health::write(spec));
    let restart = match spec.restart {
        Restart::Permanent => "permanent",
        Restart::Transient => "transient",
        Restart::Temporary => "temporary",
    };
    let start = [
        Term::atom(MODULE),
        Term::atom("start_link"),
        Term::list([Term::map(options)]),
    ];
    let shutdown = if spec.stop_timeout.is_zero() {
        Term::atom("brutal_kill")
    } else {
        millis(spec.stop_timeout)
    };
    OtpChild {
        id: id_atom(&spec.id),
        start: Term::tuple(start),
        restart: Term::atom(restart),
        shutdown,
        kind: Term::atom("worker"),
        modules: Term::list([Term::atom(MODULE)]),
    }
}

fn id_atom(id: &ServerId) -> Term {
    Term::atom(id.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(options: Term) -> Term {
        let start = vec![
            Term::atom("godot"),
            Term::atom("start_link"),
            Term::list(vec![options]),
        ];
        Term::map([
            ("id", Term::atom("arena")),
            ("start", Term::tuple(start)),
            ("restart", Term::atom("transient")),
            ("shutdown", Term::int(2500)),
        ])
    }

    fn read(term: &Term) -> Result<ServerSpec, SpecError> {
        from_child(&OtpChild::parse(term).expect("a spec for OTP"))
    }

    fn command() -> Term {
        Term::list(vec![Term::text("godot"), Term::text("--headless")])
    }

    #[test]
    fn the_map_form_is_read_and_given_back() {
        let read = read(&spec(Term::map([
            ("command", command()),
            ("max_restarts", Term::int(9)),
            ("standby", Term::int(1)),
            ("directory", Term::text("/games/arena")),
        ])))
        .expect("valid");
        assert_eq!(read.command, ["godot", "--headless"]);
        assert_eq!((read.restart, read.max_restarts), (Restart::Transient, 9));
        assert_eq!(read.stop_timeout, Duration::from_millis(2500));
        assert!(read.has_standby());
        assert_eq!(from_child(&to_child(&read)), Ok(read));
    }

    #[test]
    fn the_tuple_form_is_read() {
        let Term::Map(pairs) = spec(Term::map([("command", command())])) else {
            panic!("a map")
        };
        let mut elements: Vec<Term> = pairs.into_iter().map(|(_, value)| value).collect();
        elements.extend([Term::atom("worker"), Term::list(vec![Term::atom("godot")])]);
        assert_eq!(
            read(&Term::tuple(elements)).expect("valid").id.as_str(),
            "arena"
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |options| read(&spec(options)).expect_err("invalid").to_string();
        assert!(wrong(Term::map([])).contains("command"));
        assert!(
            wrong(Term::map([
                ("command", command()),
                ("colour", Term::int(1))
            ]))
            .contains("colour")
        );
        assert!(
            wrong(Term::map([
                ("command", command()),
                ("max_restarts", Term::int(1_i64 << 40))
            ]))
            .contains("too large")
        );
        let two = Term::map([("command", command()), ("standby", Term::int(2))]);
        assert!(wrong(two).contains("0 or 1"));
    }
}
