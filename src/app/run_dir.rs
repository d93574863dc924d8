//! The run directory: private, and used by one sidekick at a time.

use super::AppError;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the sidekick before may take to be gone: of one that was killed the kernel frees the lock only once its last thread
/// has ended, which may wait for a disk.
const FAREWELL: Duration = Duration::from_secs(1);
/// Between two attempts.
const RETRY: Duration = Duration::from_millis(10);

/// A run directory that this process owns until the value is dropped.
pub struct RunDir {
    _lock: Flock<File>,
}

impl RunDir {
    /// Makes the directory where it is missing and locks it. Blocks for a moment where another sidekick has it.
    ///
    /// # Errors
    /// Where it cannot be used, or another sidekick uses it.
    pub fn take(path: &Path) -> Result<Self, AppError> {
        let failed = |source| AppError::RunDir {
            path: path.to_owned(),
            source,
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("sidekick.lock"))
            .map_err(failed)?;
        let mut holder = String::new();
        file.read_to_string(&mut holder).map_err(failed)?;
        let mut lock = patient(file).ok_or_else(|| AppError::RunDirLocked {
            path: path.to_owned(),
            pid: holder.trim().parse().ok(),
        })?;
        lock.set_len(0).map_err(failed)?;
        lock.rewind().map_err(failed)?;
        writeln!(&mut *lock, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { _lock: lock })
    }
}

fn patient(mut file: File) -> Option<Flock<File>> {
    let began = Instant::now();
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Some(lock),
            Err((back, _)) if began.elapsed() < FAREWELL => file = back,
            Err(_) => return None,
        }
        std::thread::sleep(RETRY);
    }
}
