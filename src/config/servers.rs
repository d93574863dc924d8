//! `[[server]]`: the supervised processes.

use super::build::Context;
use super::error::Fault;
use super::model::{Environment, GroupConfig, ServerConfig};
use super::raw::RawServer;
use super::values::{Size, Span, SpanOrOff, resolve, show_duration};
use super::{contain, groups, probe, template};
use crate::types::ServerId;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;
use toml::Spanned;

/// Set by sidekick itself for each process.
const OWN_VARIABLES: [&str; 5] = [
    "SIDEKICK_SOCKET",
    "SIDEKICK_ADDR",
    "SIDEKICK_TOKEN",
    "SIDEKICK_SERVER",
    "SIDEKICK_STANDBY",
];
/// No timeout is longer, so that a slip of the unit shows.
pub(super) const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);

/// The longest silence that a game may announce, unless the file says otherwise.
const BUSY_MAX: Duration = Duration::from_secs(600);
/// Less is surely a slip of the unit.
const MEMORY_WARN_MIN: u64 = 1 << 20;

/// Servers of one sidekick, as many as its supervisor takes.
const SERVERS_MAX: usize = 1_000;

pub(super) fn build(
    raw: Vec<Spanned<RawServer>>,
    groups: &[GroupConfig],
    context: &mut Context<'_>,
) -> Result<Vec<ServerConfig>, Fault> {
    let mut servers: Vec<ServerConfig> = Vec::new();
    for server in template::expand(raw)? {
        let span = server.id.span();
        if servers.len() == SERVERS_MAX {
            return Err(Fault::at(
                span,
                format!(
                    "there are more than {SERVERS_MAX} servers; lower `count`, or run a second sidekick"
                ),
            ));
        }
        let server = one(server, groups, context)?;
        if servers.iter().any(|other| other.id == server.id) {
            return Err(Fault::at(
                span,
                format!("two servers have the id {:?}; give each its own", server.id),
            ));
        }
        servers.push(server);
    }
    Ok(servers)
}

fn one(
    raw: RawServer,
    groups: &[GroupConfig],
    context: &mut Context<'_>,
) -> Result<ServerConfig, Fault> {
    let id = ServerId::new(raw.id.get_ref())
        .map_err(|error| Fault::at(raw.id.span(), error.to_string()))?;
    let session = raw.session.unwrap_or(true);
    let group = groups::of(raw.group.as_ref(), groups)?;
    let patience = groups::patience(
        &raw.id,
        group,
        raw.max_restarts,
        raw.max_seconds,
        raw.backoff,
        raw.quarantine,
    )?;
    let contained = contain::Raw {
        limits: raw.limits,
        user: raw.user,
        no_new_privs: raw.no_new_privs,
        inherit_env: raw.inherit_env,
        secret_env: raw.secret_env,
        logs: raw.logs,
    };
    let server = ServerConfig {
        group: group.map(|group| group.name.clone()),
        command: command(raw.command, &id, context)?,
        directory: match raw.directory {
            Some(directory) => context.file_path(directory.span(), directory.get_ref())?,
            None => context.base.clone(),
        },
        env: environment(raw.env)?,
        restart: raw.restart,
        max_restarts: patience.max_restarts,
        max_seconds: patience.max_seconds,
        backoff: patience.backoff,
        quarantine: patience.quarantine,
        restart_at: raw.restart_at.map(|time| time.minute),
        restart_when_empty: when_empty(raw.restart_when_empty, session)?,
        start_timeout: timeout("start_timeout", raw.start_timeout, Duration::from_secs(30))?,
        hang_timeout: hang_timeout(raw.hang_timeout, session)?,
        stop_timeout: timeout("stop_timeout", raw.stop_timeout, Duration::from_secs(10))?,
        session,
        on_exit: raw.on_exit,
        autostart: raw.autostart.unwrap_or(true),
        busy_max: timeout("busy_max", raw.busy_max, BUSY_MAX)?,
        memory_warn: memory_warn(raw.memory_warn)?,
        probe: probe::build(raw.probe, session)?,
        contain: contain::build(contained)?,
        standby: standby(raw.standby, session)?,
        id,
    };
    if let Some(pauses) = never_gives_up(&server) {
        context.warnings.push(format!(
            "server {:?} would be restarted for ever: the pauses of `backoff` before restart {} add up to {}, which is past \
             max_seconds = {}; raise max_seconds or lower backoff.initial if it is to give up",
            server.id,
            server.max_restarts.saturating_add(1),
            show_duration(pauses),
            server.max_seconds
        ));
    }
    Ok(server)
}

fn command(
    raw: Spanned<Vec<String>>,
    id: &ServerId,
    context: &Context<'_>,
) -> Result<Vec<String>, Fault> {
    let span = raw.span();
    let mut command = raw.into_inner();
    if command.iter().any(|argument| argument.contains('\0')) {
        return Err(Fault::at(
            span,
            "a command cannot contain a NUL character; remove it",
        ));
    }
    let Some(program) = command.first_mut().filter(|program| !program.is_empty()) else {
        return Err(Fault::at(
            span,
            format!(
                "server {id:?} has an empty command; write the program first, such as command = [\"godot\", \"--headless\"]"
            ),
        ));
    };
    if program.contains('/') {
        let path = resolve(
            Path::new(program.as_str()),
            &context.base,
            context.home.as_deref(),
        )
        .map_err(|message| Fault::at(span, message))?;
        *program = path.to_string_lossy().into_owned();
    } else if program.contains(char::is_whitespace) {
        let words: Vec<&str> = program.split_whitespace().collect();
        return Err(Fault::at(
            span,
            format!(
                "no shell reads the command of server {id:?}; write its words apart: {words:?}"
            ),
        ));
    }
    Ok(command)
}

fn environment(raw: Option<Spanned<BTreeMap<String, String>>>) -> Result<Environment, Fault> {
    let Some(raw) = raw else {
        return Ok(Environment::default());
    };
    let span = raw.span();
    let variables = raw.into_inner();
    for (name, value) in &variables {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(Fault::at(
                span,
                format!("{name:?} is not a possible environment variable; rename it"),
            ));
        }
        if OWN_VARIABLES.contains(&name.as_str()) {
            return Err(Fault::at(
                span,
                format!("sidekick itself sets {name} for each process; remove it here"),
            ));
        }
    }
    Ok(Environment::new(variables))
}

fn timeout(key: &str, raw: Option<Spanned<Span>>, default: Duration) -> Result<Duration, Fault> {
    let Some(raw) = raw else {
        return Ok(default);
    };
    let value = raw.get_ref().0;
    bounded(key, raw.span(), value, Duration::from_millis(100))
}

fn memory_warn(raw: Option<Spanned<Size>>) -> Result<Option<u64>, Fault> {
    match raw {
        Some(raw) if raw.get_ref().0 < MEMORY_WARN_MIN => Err(Fault::at(
            raw.span(),
            "memory_warn is below 1MiB, which every process has; write such as \"1500MiB\"",
        )),
        raw => Ok(raw.map(|raw| raw.get_ref().0)),
    }
}

fn when_empty(raw: Option<Spanned<bool>>, session: bool) -> Result<bool, Fault> {
    match raw {
        Some(raw) if *raw.get_ref() && !session => Err(Fault::at(
            raw.span(),
            "a process with `session = false` tells of no players, so it is never known to be empty; remove restart_when_empty",
        )),
        raw => Ok(raw.is_some_and(Spanned::into_inner)),
    }
}

fn standby(raw: Option<Spanned<i64>>, session: bool) -> Result<u8, Fault> {
    let Some(raw) = raw else { return Ok(0) };
    match raw.get_ref() {
        0 => Ok(0),
        1 if session => Ok(1),
        1 => Err(Fault::at(
            raw.span(),
            "a process with `session = false` cannot be held back until it is to play; remove standby",
        )),
        other => Err(Fault::at(
            raw.span(),
            format!("standby is {other}; a server has 0 or 1"),
        )),
    }
}

fn hang_timeout(raw: Option<Spanned<SpanOrOff>>, session: bool) -> Result<Option<Duration>, Fault> {
    let Some(raw) = raw else {
        return Ok(session.then_some(Duration::from_secs(2)));
    };
    match raw.get_ref().0 {
        None => Ok(None),
        Some(_) if !session => Err(Fault::at(
            raw.span(),
            "a process with `session = false` sends no heartbeats, so its hangs cannot be judged; remove hang_timeout",
        )),
        // Heartbeats come several times a second; anything shorter would judge the scheduler, not the game.
        Some(value) => bounded(
            "hang_timeout",
            raw.span(),
            value,
            Duration::from_millis(500),
        )
        .map(Some),
    }
}

pub(super) fn bounded(
    key: &str,
    span: Range<usize>,
    value: Duration,
    least: Duration,
) -> Result<Duration, Fault> {
    if value < least || value > TIMEOUT_MAX {
        return Err(Fault::at(
            span,
            format!(
                "{key} is {}; it must be from {} to 24h",
                show_duration(value),
                show_duration(least)
            ),
        ));
    }
    Ok(value)
}

/// The sum of pauses before the restart that should be refused, where it is longer than the window.
fn never_gives_up(server: &ServerConfig) -> Option<Duration> {
    let window = Duration::from_secs(u64::from(server.max_seconds.get()));
    let mut pause = server.backoff.initial;
    let mut sum = Duration::ZERO;
    if pause.is_zero() {
        return None;
    }
    for _ in 0..server.max_restarts {
        sum += pause;
        if sum >= window {
            return Some(sum);
        }
        pause = (pause * 2).min(server.backoff.max);
    }
    None
}
