//! One owner per directory.

use super::OpenError;
use super::journal::segment::io_at;
use rustix::fs::{FlockOperation, flock};
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Held for as long as the value lives; the kernel releases it when the process dies, however it dies.
#[derive(Debug)]
pub(super) struct DirLock(File);

impl Drop for DirLock {
    fn drop(&mut self) {
        // Closing is not enough: a child that was just forked holds the same lock until it executes its program.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

impl DirLock {
    /// Makes the directory where it is missing and takes its lock.
    pub fn take(dir: &Path) -> Result<Self, OpenError> {
        make_private_dir(dir)?;
        let path = dir.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|source| not_writable(&path, source))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => {
                let mut text = String::new();
                let _ = file.read_to_string(&mut text);
                return Err(OpenError::Locked {
                    dir: dir.to_owned(),
                    pid: text.trim().parse().unwrap_or(0),
                });
            }
            Err(error) => return Err(io_at(&path)(error.into())),
        }
        // Fixed width, so that rewriting it takes no space on a full disk; the number only serves the message.
        let pid = format!("{:<15}\n", std::process::id());
        let _ = file.write_all_at(pid.as_bytes(), 0);
        Ok(Self(file))
    }
}

/// Makes a directory (and its parents) for this user alone, and checks that it can be used.
pub(super) fn make_private_dir(dir: &Path) -> Result<(), OpenError> {
    if !dir.is_dir() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|source| not_writable(dir, source))?;
        std::fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(io_at(dir))?;
    }
    Ok(())
}

fn not_writable(path: &Path, source: io::Error) -> OpenError {
    OpenError::NotWritable {
        path: path.to_owned(),
        source,
    }
}
