//! The command line: what can be typed, and the exit codes.
//!
//! 0 done, 1 failed, 2 usage or configuration. Everything that fails says so in one message on stderr that
//! begins `sidekick: ` and names the remedy. A reader that goes away (`| head`) is no failure.

mod inspect;

use crate::config::{Config, DEFAULT_FILE, LogFormat, Overrides};
use crate::telemetry::{self, Fact};
use crate::{app, ctl, guard, types};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit code of a failure.
const FAILED: u8 = 1;
/// Exit code of a wrong command line or configuration.
const USAGE: u8 = 2;

/// Stands beside a Godot game server: supervises it, keeps its data, joins the Erlang cluster as a hidden node.
#[derive(Debug, Parser)]
#[command(name = "sidekick", version = types::version(), propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run until a signal: start the configured servers, keep their data, upload it
    Run(ConfigArgs),
    /// Check a configuration and print its effective values, secrets masked
    Check(ConfigArgs),
    /// Talk to a running sidekick on this machine
    Ctl(ctl::CtlArgs),
    /// Look into a buffer directory without changing it
    Inspect {
        /// The directory
        dir: PathBuf,
        /// Print the report as JSON
        #[arg(long)]
        json: bool,
        /// Print every record as one line of JSON instead of the report
        #[arg(long, conflicts_with = "json")]
        dump: bool,
        /// Copy every good record into this empty or new directory, which gets an origin of its own, and say what is missing
        #[arg(long, value_name = "OUT", conflicts_with = "dump")]
        salvage: Option<PathBuf>,
    },
    /// The parent of one server process (started by `run`)
    #[command(hide = true, disable_help_flag = true)]
    Guard {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// The configuration
    #[arg(long, short, value_name = "FILE", env = "SIDEKICK_CONFIG", default_value = DEFAULT_FILE)]
    config: PathBuf,
    /// Node name, in place of `[node] name`
    #[arg(long, value_name = "NAME@HOST", env = "SIDEKICK_NAME")]
    name: Option<String>,
    /// In place of `[node] cookie_file`; the cookie itself can be given as `SIDEKICK_COOKIE`
    #[arg(long, value_name = "FILE", env = "SIDEKICK_COOKIE_FILE")]
    cookie_file: Option<PathBuf>,
    /// In place of `[run] dir`
    #[arg(long, value_name = "DIR", env = "SIDEKICK_RUN_DIR")]
    run_dir: Option<PathBuf>,
    /// In place of `[buffer] dir`
    #[arg(long, value_name = "DIR", env = "SIDEKICK_BUFFER_DIR")]
    buffer_dir: Option<PathBuf>,
    /// In place of `[log] format`
    #[arg(long, value_name = "FORMAT", env = "SIDEKICK_LOG_FORMAT")]
    log_format: Option<Format>,
    /// In place of `[log] filter`
    #[arg(long, value_name = "FILTER", env = "SIDEKICK_LOG")]
    log: Option<String>,
    /// Port of the Erlang port mapper, in place of `[node.epmd] port`
    #[arg(long, value_name = "PORT", env = "ERL_EPMD_PORT")]
    epmd_port: Option<u16>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Human,
    Json,
}

impl ConfigArgs {
    fn load(self) -> Result<(Config, Overrides), Failure> {
        let cookie = match std::env::var("SIDEKICK_COOKIE") {
            Ok(cookie) => Some(cookie),
            Err(std::env::VarError::NotPresent) => None,
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(Failure::new(
                    USAGE,
                    "SIDEKICK_COOKIE is not text; use one line of letters and digits",
                ));
            }
        };
        let overrides = Overrides {
            name: self.name,
            cookie_file: self.cookie_file,
            cookie,
            run_dir: self.run_dir,
            buffer_dir: self.buffer_dir,
            log_format: self.log_format.map(|format| match format {
                Format::Human => LogFormat::Human,
                Format::Json => LogFormat::Json,
            }),
            log_filter: self.log,
            epmd_port: self.epmd_port,
        };
        let config = Config::load(&self.config, &overrides);
        let config = config.map_err(|error| Failure::new(USAGE, error))?;
        Ok((config, overrides))
    }
}

/// What ends the process early: its exit code and the message.
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    fn new(code: u8, message: impl std::fmt::Display) -> Self {
        Self {
            code,
            message: message.to_string(),
        }
    }

    /// Writing to stdout failed; silent where only the reader went away.
    fn output(error: &std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Self {
                code: 0,
                message: String::new(),
            },
            _ => Self::new(FAILED, format!("cannot write to stdout: {error}")),
        }
    }
}

/// Runs what was typed.
pub fn main() -> ExitCode {
    // A guard is started between the end of one game process and the next: it does not wait for the parser.
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == "guard") {
        return guard::main(words);
    }
    let result = match Cli::parse().command {
        Command::Run(args) => run(args),
        Command::Check(args) => check(args),
        Command::Ctl(args) => return control(args),
        Command::Inspect {
            dir,
            json,
            salvage: Some(out),
            ..
        } => inspect::salvage(&dir, &out, json),
        Command::Inspect {
            dir, json, dump, ..
        } => inspect::run(&dir, json, dump),
        Command::Guard { args } => return guard::main(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure.message);
            ExitCode::from(failure.code)
        }
    }
}

/// One message on stderr; a closed stderr is no reason to panic.
fn complain(message: &str) {
    if !message.is_empty() {
        let _ = writeln!(std::io::stderr(), "sidekick: {message}");
    }
}

fn run(args: ConfigArgs) -> Result<(), Failure> {
    let (config, overrides) = args.load()?;
    let unusable = config.check_machine().err();
    if let Some(error) = unusable.as_ref().filter(|_| !games_may_play(&config)) {
        return Err(Failure::new(USAGE, error));
    }
    telemetry::init(&config.log).map_err(|error| Failure::new(FAILED, error))?;
    if let Some(error) = unusable {
        tracing::error!(%error, "a server cannot be started; sidekick runs all the same, to adopt the games that play");
    }
    for warning in &config.warnings {
        telemetry::Suspicious { warning }.emit();
    }
    app::run(config, overrides).map_err(|error| Failure::new(error.exit_code(), error))
}

/// Whether an earlier sidekick left games that this one should adopt: then no server's fault may keep it from running.
fn games_may_play(config: &Config) -> bool {
    let guards = config.run.guard_dir();
    config
        .servers
        .iter()
        .any(|server| guards.join(format!("{}.identity", server.id)).exists())
}

fn check(args: ConfigArgs) -> Result<(), Failure> {
    let (config, _) = args.load()?;
    config
        .check_machine()
        .map_err(|error| Failure::new(USAGE, error))?;
    app::check_certificates(&config).map_err(|error| Failure::new(USAGE, error))?;
    // As this very process sees it; the one that runs may stand elsewhere.
    let warnings = config
        .warnings
        .iter()
        .cloned()
        .chain(app::check_containment(&config));
    for warning in warnings {
        complain(&format!("warning: {warning}"));
    }
    let text = format!(
        "# the effective values of {}\n{}",
        config.file.display(),
        config.effective()
    );
    print(text.as_bytes())
}

fn control(args: ctl::CtlArgs) -> ExitCode {
    let json = args.json;
    let mut out = std::io::stdout();
    match ctl::run(args, &mut out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.exit_code();
            if code != 0 {
                complain(&error.to_string());
                if json {
                    // The exit code tells already; a reader that went away needs no second message.
                    let _ = print(format!("{:#}\n", error.to_json()).as_bytes());
                }
            }
            ExitCode::from(code)
        }
    }
}

fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|error| Failure::output(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_guard_gets_its_arguments_untouched() {
        let cli = Cli::try_parse_from([
            "sidekick",
            "guard",
            "--fd",
            "3",
            "--",
            "godot",
            "--headless",
        ])
        .unwrap();
        let Command::Guard { args } = cli.command else {
            panic!("not guard")
        };
        assert_eq!(
            args,
            ["--fd", "3", "--", "godot", "--headless"].map(OsString::from)
        );
    }
}
