//! The stub: waits for its command, then becomes the server.

use super::protocol::{self, LINE_MAX};
use super::spawn::{Execute, Refused};
use nix::sys::signal::SigSet;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// Exit status where nothing could be executed, as shells have it.
const NOT_EXECUTED: u8 = 127;

pub fn main() -> ExitCode {
    // If the guard dies the server must not live on unwatched. Set first, checked after: so that no death is missed.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    // The guard blocks the signals it polls for, and a mask is inherited even by what is executed.
    let _ = SigSet::empty().thread_set_mask();
    let Ok(mut socket) = take_socket() else {
        return ExitCode::from(NOT_EXECUTED);
    };
    let mut line = Vec::new();
    let read = BufReader::new(&socket)
        .take(LINE_MAX as u64)
        .read_until(b'\n', &mut line);
    let (Ok(_), Some(execute)) = (read, protocol::parse::<Execute>(&line)) else {
        // The guard gave up.
        return ExitCode::from(NOT_EXECUTED);
    };
    let parent = getppid().map_or(0, rustix::process::Pid::as_raw_pid);
    if parent != execute.guard {
        return ExitCode::from(NOT_EXECUTED);
    }
    let message = run(execute, parent);
    let _ = socket.write_all(&protocol::line(&Refused { message }));
    ExitCode::from(NOT_EXECUTED)
}

/// Moves the socket away from descriptor 0, where the server gets /dev/null.
fn take_socket() -> io::Result<UnixStream> {
    let socket = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?;
    nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
    Ok(UnixStream::from(socket))
}

/// Returns only where the server could not be executed.
fn run(execute: Execute, guard: i32) -> String {
    let start = execute.start;
    // A session and process group of its own: signals from a terminal or to sidekick's group pass it by.
    let _ = nix::unistd::setsid();
    if let Err(message) = start.privs.take_on() {
        return message;
    }
    // Another user is another process to the kernel: it forgets whose death this one wanted to share.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    if getppid().map_or(0, rustix::process::Pid::as_raw_pid) != guard {
        return "the guard ended".into();
    }
    if let Some(directory) = &start.directory {
        if let Err(error) = std::env::set_current_dir(directory) {
            return format!(
                "cannot enter the working directory {} ({error}); set `directory` to one that exists",
                directory.display()
            );
        }
    }
    // The guard blocks what it waits for, and a mask outlives fork and exec: the server begins with none.
    let _ = nix::sys::signal::SigSet::empty().thread_set_mask();
    let Some((name, args)) = start.args.split_first() else {
        return "the command is empty; set `command`".into();
    };
    crate::failpoints::hit("stub.before_exec");
    let error = Command::new(&start.program)
        .arg0(name)
        .args(args)
        .env_clear()
        .envs(start.env)
        .exec();
    let program = start.program.display();
    match error.kind() {
        ErrorKind::NotFound => format!(
            "cannot execute {program}: it, or the interpreter or loader it names, does not exist; correct `command`"
        ),
        ErrorKind::PermissionDenied => {
            format!(
                "cannot execute {program}: permission denied; make it executable for this user (chmod +x)"
            )
        }
        ErrorKind::ArgumentListTooLong => {
            format!("cannot execute {program}: command line and environment are too long together")
        }
        _ => format!("cannot execute {program} ({error})"),
    }
}
