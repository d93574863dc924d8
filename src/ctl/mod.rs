//! The command-line client of a running sidekick.
//!
//! It speaks Erlang distribution through a client we did not write (`erl_rpc`), over the loopback control
//! listener: the runtime directory holds its port ([`CONTROL_FILE`]) and its own cookie
//! ([`COOKIE_FILE`]), both readable by their owner alone. Each command is one or a few calls of module
//! `sidekick`; replies become JSON values once, from which `--json` and the tables are both made.
//!
//! ```text
//! args ──▶ target (runtime directory) ──▶ connection (erl_rpc) ──▶ term → JSON ──▶ show
//! ```
//!
//! Everything runs on one thread with a large stack, because the client's term decoder recurses.

mod args;
mod commands;
mod connection;
mod error;
mod target;
mod term;

pub use args::{Command, CtlArgs, SinkCommand};
pub use error::CtlError;
pub use target::{CONTROL_FILE, COOKIE_FILE};

use std::io::Write;

/// Enough for terms nested as deeply as sidekick itself accepts them; untouched pages cost nothing.
const STACK_BYTES: usize = 256 << 20;

/// Runs one command and writes what it shows.
///
/// # Errors
/// A [`CtlError`] that says what to do.
pub fn run(args: CtlArgs, out: &mut (dyn Write + Send)) -> Result<(), CtlError> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("ctl".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, move || commands::run(&args, out))
            .map_err(CtlError::Output)?
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
