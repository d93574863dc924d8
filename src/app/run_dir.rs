//! The run directory: private, and used by one sidekick at a time.

use super::AppError;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// A run directory that this process owns until the value is dropped.
pub struct RunDir {
    _lock: Flock<File>,
}

impl RunDir {
    /// Makes the directory where it is missing and locks it.
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
        let mut lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, _)| {
            AppError::RunDirLocked {
                path: path.to_owned(),
                pid: holder.trim().parse().ok(),
            }
        })?;
        lock.set_len(0).map_err(failed)?;
        lock.rewind().map_err(failed)?;
        writeln!(&mut *lock, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { _lock: lock })
    }
}
