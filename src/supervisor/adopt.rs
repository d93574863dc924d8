//! What an earlier sidekick left in the run directory.

use super::link::{Adopted, Link};
use super::slot::Slot;
use crate::guard::cgroup::Cgroup;
use crate::guard::files::{ExitRecord, Identity, RunFiles, open_lock, read_json};
use crate::guard::proc::{ProcessId, boot_id};
use crate::guard::protocol::{FromGuard, OnExit, ToGuard};
use crate::guard::tree;
use nix::fcntl::{Flock, FlockArg};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

/// How long a guard that is killing its tree may hold the lock before this is given up.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a guard may take to notice that the sidekick before is gone: the kernel frees that one's lock before its sockets.
const FAREWELL: Duration = Duration::from_secs(2);
/// Between two looks.
const RETRY: Duration = Duration::from_millis(20);
/// Rounds of killing what a killed guard left.
const SWEEPS: usize = 300;
/// Rounds that find nothing before it is believed.
const CLEAN_SWEEPS: usize = 3;

/// What was found of one server.
#[derive(Debug)]
pub enum Found {
    /// Nothing: a fresh start.
    Nothing,
    /// A guard with its server.
    Alive(Box<Adopted>),
    /// The server ended while no sidekick ran.
    Ended(ExitRecord),
    /// The guard was killed, and what it left has been.
    Lost(Identity),
}

/// Looks, adopts, cleans up.
///
/// # Errors
/// A message with the remedy, where the server cannot be had.
pub async fn find(run_dir: &Path, id: &str, slot: Slot, on_exit: OnExit) -> Result<Found, String> {
    let id = &slot.name(id);
    let files = RunFiles::open(run_dir, id).map_err(|error| {
        format!(
            "cannot open the run directory {}: {error}",
            run_dir.display()
        )
    })?;
    // Most servers never had a standby.
    if slot == Slot::Second && !files.lock().exists() {
        return Ok(Found::Nothing);
    }
    let began = tokio::time::Instant::now();
    loop {
        match Link::adopt(&files, on_exit).await {
            Ok(adopted) => return Ok(Found::Alive(Box::new(adopted))),
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {
                if began.elapsed() > FAREWELL {
                    return Err(error.to_string());
                }
                tokio::time::sleep(RETRY).await;
                continue;
            }
            Err(_) => {}
        }
        if let Some(lock) = try_lock(&files)? {
            let found = left(&files).await;
            drop(lock);
            return Ok(found);
        }
        if began.elapsed() > PATIENCE {
            return Err(format!(
                "{} is locked but no guard answers; look for a process `sidekick guard {id}`",
                files.lock().display()
            ));
        }
        tokio::time::sleep(RETRY).await;
    }
}

fn try_lock(files: &RunFiles) -> Result<Option<Flock<std::fs::File>>, String> {
    let path = files.lock();
    let file =
        open_lock(&path).map_err(|error| format!("cannot open {}: {error}", path.display()))?;
    Ok(Flock::lock(file, FlockArg::LockExclusiveNonblock).ok())
}

/// No guard runs. What did the last one leave?
async fn left(files: &RunFiles) -> Found {
    let identity: Option<Identity> = read_json(&files.identity());
    let mut exits = files.exits();
    let exit = exits.pop().map(|(_, record)| record);
    for (older, _) in exits {
        let _ = std::fs::remove_file(older);
    }
    if let Some(identity) = identity
        .as_ref()
        .filter(|identity| identity.boot_id == boot_id())
    {
        sweep_of(identity).await;
    }
    let _ = std::fs::remove_file(files.identity());
    match (identity, exit) {
        (Some(identity), Some(record)) if identity.start == record.start => Found::Ended(record),
        (Some(identity), _) => Found::Lost(identity),
        (None, Some(record)) => Found::Ended(record),
        (None, None) => Found::Nothing,
    }
}

/// Kills everything of a start whose guard was killed.
pub async fn clean(run_dir: &Path, id: &str, server: ProcessId, start: &str) {
    let identity = RunFiles::open(run_dir, id).map(|files| files.identity());
    let identity = identity.ok().and_then(|path| read_json::<Identity>(&path));
    match identity.filter(|identity| identity.start == start) {
        Some(identity) => sweep_of(&identity).await,
        None => sweep(server, start).await,
    }
}

/// Its cgroup holds what has given up session and environment.
async fn sweep_of(identity: &Identity) {
    let cgroup = identity.cgroup.clone().map(Cgroup::at);
    let _ = cgroup.as_ref().is_some_and(Cgroup::kill);
    sweep(identity.server, &identity.start).await;
    let _ = cgroup.as_ref().is_some_and(Cgroup::remove);
}

/// Kills everything of a start whose guard is gone. Nothing was left only where several looks in a row find nothing: a process
/// that forks and exits while /proc is read can hide from one.
pub async fn sweep(server: ProcessId, start: &str) {
    let mut clean = 0;
    for _ in 0..SWEEPS {
        let left = tree::sweep(server, start) > 0 || server.is_alive();
        clean = if left { 0 } else { clean + 1 };
        if clean == CLEAN_SWEEPS {
            return;
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    tracing::error!(pid = server.pid, "what a killed guard left does not die");
}

/// Kills a server that is not wanted and waits until nothing of it is left.
pub async fn end_of(mut link: Link, server: ProcessId, start: &str) {
    let _ = link.send(&ToGuard::Kill).await;
    // Also by ourselves, for a guard that is itself stopped.
    tree::signal(server, rustix::process::Signal::KILL);
    let gone = async {
        loop {
            match link.recv().await {
                Some(FromGuard::Gone) => return true,
                Some(_) => {}
                None => return false,
            }
        }
    };
    if !matches!(tokio::time::timeout(PATIENCE, gone).await, Ok(true)) {
        sweep(server, start).await;
    }
}

/// Forgets the ends that were dealt with.
pub fn forget(run_dir: &Path, id: &str, start: &str) -> io::Result<()> {
    match std::fs::remove_file(RunFiles::open(run_dir, id)?.exit(start)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Ids of all servers of which something stands in the run directory.
pub fn ids(run_dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(run_dir).into_iter().flatten().flatten();
    let mut ids: Vec<String> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let name = Path::new(&name);
            let known = name
                .extension()
                .is_some_and(|ext| ext == "identity" || ext == "exit");
            let id = name.to_str()?.split('.').next()?;
            known.then(|| Slot::server(id).to_owned())
        })
        .collect();
    ids.sort();
    ids.dedup();
    ids
}
