//! The tiny parent of one server process.
//!
//! Only a parent learns how a process ended, and only a parent that outlives sidekick can tell the next sidekick. So every
//! server runs under a guard: the same binary, `sidekick guard`, single-threaded, asleep in `poll` unless something happens.
//!
//! ```text
//! sidekick ──socket (fd 0)── guard ──socket (fd 0)── stub ══ exec ══▶ server
//!                             │ flock run/<id>.lock, listens on run/<id>.sock
//! ```
//!
//! 1. sidekick starts the guard and sends [`Prepare`](protocol::Prepare). The guard takes the lock, listens for later
//!    sidekicks, opens the log files (`O_APPEND`: the server holds files, not pipes, and so outlives every reader) and starts
//!    the *stub*: the same binary again, which waits.
//! 2. [`Start`](protocol::Start) brings command and environment (over the socket: neither argv nor a file ever holds a
//!    secret). The guard writes the [`Identity`](files::Identity) and lets the stub execute the server: so there is no moment
//!    at which a server runs that is not on record, and the process id is known before the first instruction of the server.
//! 3. The end of the server is recorded in a file, told over the socket at once, and synced; what is left of its tree is
//!    killed (the guard is a subreaper, so a double fork does not escape); then the lock is released.
//!
//! When sidekick's end of the socket closes the guard stops the tree (`on_exit = "stop"`) or stays for the next sidekick,
//! which connects to `run/<id>.sock`. If the guard itself is killed the kernel kills the server (parent death signal), and
//! nobody knows how it would have ended.
//!
//! The stub takes on limits and user ([`privs`]) and is put into a [`cgroup`] before it executes; log files are bounded and
//! their older parts compressed ([`archive`], [`pack`]).
//!
//! Architecture invariant: at most one guard per id holds the lock, and at most one sidekick at a time owns a guard.
//! Every descriptor is close-on-exec; the server gets the two log files and /dev/null, its own session and process group.

pub mod archive;
pub mod cgroup;
pub mod clock;
pub mod files;
mod logs;
pub mod pack;
mod peer;
pub mod privs;
pub mod proc;
pub mod protocol;
mod run;
mod server;
mod spawn;
mod stub;
pub mod tree;

pub use logs::LogBounds;

use std::ffi::OsString;
use std::process::ExitCode;

/// What follows `guard` on the command line of the stub.
const EXEC: &str = "--exec";

/// The command `sidekick guard`: `args` are what follows the word `guard`. Internal; started by the supervisor only.
pub fn main(args: impl IntoIterator<Item = impl Into<OsString>>) -> ExitCode {
    close_inherited();
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    match args.as_slice() {
        [word] if word == EXEC => stub::main(),
        [word, rest @ ..] if word == pack::PACK => pack::main(rest),
        [id] => run::main(&id.to_string_lossy()),
        _ => {
            eprintln!("sidekick guard is internal: `sidekick run` starts it");
            ExitCode::from(2)
        }
    }
}

/// Whatever sidekick's own parent forgot to close must be held open neither by a guard, which may live for months, nor by a
/// server. Called before this process opens anything itself.
fn close_inherited() {
    let entries = std::fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten();
    let inherited: Vec<i32> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect();
    for fd in inherited {
        // One of them was the listing itself and is closed already.
        let _ = nix::unistd::close(fd);
    }
}
