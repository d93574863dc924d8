//! TOML file to one validated, frozen value.
//!
//! [`Config::load`] reads a file, lays the [`Overrides`] of command line and environment over it and checks
//! everything that can be checked without starting anything. What comes out is plain data that no room can
//! find invalid later; what is refused names the thing, its line and column, and the remedy.
//!
//! Precedence: command line, environment, file, default. Relative paths in the file are relative to the
//! file's own directory, those of the command line and environment to the working directory; a leading `~`
//! is the home directory. Neither the cookie nor a server's environment shows in `Debug` output or in
//! [`Config::effective`].
//!
//! ```text
//! text ──serde──▶ raw (values parse themselves) ──build──▶ Config ──machine──▶ programs, directories there?
//! ```

mod buffer;
mod build;
mod contain;
mod cookie;
mod error;
mod groups;
mod machine;
mod model;
mod node;
mod postgres;
mod probe;
mod raw;
mod servers;
mod sinks;
mod template;
mod values;

#[cfg(test)]
mod tests;

pub use error::{ConfigError, Place};
pub use model::{
    AllowStart, Backoff, BreakerConfig, BufferConfig, Columns, Config, Cookie, DatabaseUrl,
    DeadLettersConfig, Environment, EpmdConfig, GroupConfig, Keep, LogConfig, LogFormat,
    NodeConfig, OnExit, PayloadForm, PostgresConfig, ProbeBytes, ProbeConfig, ProbeKind, Restart,
    RunConfig, ServerConfig, SessionConfig, SinkConfig, SinkKind, SinkLimits, SinkStart, StateRule,
    Strategy, StreamLimit, StreamRule, Tables, TlsConfig, UrlSource, WhenFull,
};

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// The file that is read where none is named.
pub const DEFAULT_FILE: &str = "sidekick.toml";

/// What command line and environment say; each `Some` wins over the file. Paths are as typed.
#[derive(Clone, Default)]
pub struct Overrides {
    /// `--name`, `SIDEKICK_NAME`
    pub name: Option<String>,
    /// `--cookie-file`, `SIDEKICK_COOKIE_FILE`
    pub cookie_file: Option<PathBuf>,
    /// `SIDEKICK_COOKIE` alone: a command line shows in `ps`.
    pub cookie: Option<String>,
    /// `--run-dir`, `SIDEKICK_RUN_DIR`
    pub run_dir: Option<PathBuf>,
    /// `--buffer-dir`, `SIDEKICK_BUFFER_DIR`
    pub buffer_dir: Option<PathBuf>,
    /// `--log-format`, `SIDEKICK_LOG_FORMAT`
    pub log_format: Option<LogFormat>,
    /// `--log`, `SIDEKICK_LOG`
    pub log_filter: Option<String>,
    /// `ERL_EPMD_PORT`, as OTP has it.
    pub epmd_port: Option<u16>,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// One [`ConfigError`], the first that is found.
    pub fn load(file: &Path, overrides: &Overrides) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
        Self::parse(&text, file, overrides)
    }

    /// Checks the text of a file; only the cookie is read from elsewhere.
    ///
    /// # Errors
    /// One [`ConfigError`], the first that is found.
    pub fn parse(text: &str, file: &Path, overrides: &Overrides) -> Result<Self, ConfigError> {
        Self::read(text, file, overrides, build::build)
    }

    /// Deserializes and hands over; faults get their place.
    fn read<Raw: DeserializeOwned, T>(
        text: &str,
        file: &Path,
        overrides: &Overrides,
        build: impl FnOnce(Raw, &mut build::Context<'_>) -> Result<T, error::Fault>,
    ) -> Result<T, ConfigError> {
        let place = |fault: error::Fault| match fault.span {
            Some(span) => ConfigError::Invalid {
                file: file.to_owned(),
                place: Place::at(text, span.start),
                message: fault.message,
            },
            None => ConfigError::Outside(fault.message),
        };
        let raw: Raw = toml::from_str(text).map_err(|error| {
            place(error::Fault::at(
                error.span().unwrap_or(0..0),
                error::explain(error.message()),
            ))
        })?;
        build::Context::new(file, overrides)
            .and_then(|mut context| build(raw, &mut context))
            .map_err(place)
    }

    /// Checks what the configuration names on this machine: programs, working directories, projects.
    ///
    /// # Errors
    /// Names the first thing that is missing, and the remedy.
    pub fn check_machine(&self) -> Result<(), ConfigError> {
        machine::check(self).map_err(ConfigError::Outside)
    }

    /// The sections other than `[[group]]` and `[[server]]` whose values differ.
    ///
    /// # Panics
    /// Never: every value has a TOML form.
    pub fn other_sections(&self, other: &Self) -> Vec<&'static str> {
        let text = |config: &Self| {
            let toml = |value: Result<toml::Value, _>| value.expect("every field has a TOML form");
            [
                ("node", toml(toml::Value::try_from(&config.node))),
                ("buffer", toml(toml::Value::try_from(&config.buffer))),
                (
                    "stream",
                    toml(toml::Value::try_from(&config.buffer.streams)),
                ),
                ("run", toml(toml::Value::try_from(&config.run))),
                ("session", toml(toml::Value::try_from(&config.session))),
                ("log", toml(toml::Value::try_from(&config.log))),
                ("sink", toml(toml::Value::try_from(&config.sinks))),
            ]
        };
        let cookie = self.node.cookie.expose() != other.node.cookie.expose();
        let urls = self.urls() != other.urls();
        let pairs = text(self).into_iter().zip(text(other));
        let differs = pairs.filter(|((name, a), (_, b))| {
            a != b || (*name == "node" && cookie) || (*name == "sink" && urls)
        });
        differs.map(|((name, _), _)| name).collect()
    }

    /// Connection strings, which are masked in every other form.
    fn urls(&self) -> Vec<&str> {
        let urls = self.sinks.iter().filter_map(|sink| match &sink.kind {
            SinkKind::Postgres(postgres) => Some(postgres.url.expose()),
            SinkKind::Beam { .. } => None,
        });
        urls.collect()
    }

    /// The effective values as TOML, secrets masked.
    ///
    /// # Panics
    /// Never: every value has a TOML form.
    pub fn effective(&self) -> String {
        #[derive(Serialize)]
        struct Effective<'a> {
            node: &'a NodeConfig,
            buffer: &'a BufferConfig,
            run: &'a RunConfig,
            session: &'a SessionConfig,
            log: &'a LogConfig,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            stream: &'a [StreamRule],
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            state: &'a [StateRule],
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            group: &'a [GroupConfig],
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            server: &'a [ServerConfig],
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            sink: &'a [SinkConfig],
        }
        toml::to_string(&Effective {
            node: &self.node,
            buffer: &self.buffer,
            run: &self.run,
            session: &self.session,
            log: &self.log,
            stream: &self.buffer.streams,
            state: &self.buffer.states,
            group: &self.groups,
            server: &self.servers,
            sink: &self.sinks,
        })
        .expect("every field has a TOML form")
    }
}

/// The runtime directory that a file names. The rest is not checked, so that `ctl` needs no cookie and works while a file is being
/// changed that sidekick would refuse.
///
/// # Errors
/// Where the file cannot be read or is no TOML, or its `[run]` is wrong.
pub fn run_dir(file: &Path) -> Result<PathBuf, ConfigError> {
    let text = std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
    let overrides = Overrides::default();
    let run = Config::read(&text, file, &overrides, |raw: raw::RunAlone, context| {
        build::run(raw.run, context)
    });
    run.map(|run| run.dir)
}

fn unreadable(file: &Path, error: &std::io::Error) -> ConfigError {
    let remedy = match error.kind() {
        std::io::ErrorKind::NotFound => {
            "name the right file with --config, or start from docs/examples/minimal.toml".to_owned()
        }
        std::io::ErrorKind::PermissionDenied => "let the user who runs sidekick read it".to_owned(),
        std::io::ErrorKind::InvalidData => "save it as UTF-8 text".to_owned(),
        _ => "check the path".to_owned(),
    };
    ConfigError::Unreadable {
        file: file.to_owned(),
        reason: error.to_string(),
        remedy,
    }
}
