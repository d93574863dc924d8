//! One owner per directory.

use super::OpenError;
use super::dirs::{make_private_dir, not_writable};
use super::journal::segment::io_at;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long an owner that was killed may take to be gone: the kernel frees its lock once its last thread has ended.
const FAREWELL: Duration = Duration::from_millis(500);
/// Between two attempts.
const RETRY: Duration = Duration::from_millis(10);

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
    /// Makes the directory where it is missing and takes its lock. Blocks for a moment where another process has it.
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
        let began = Instant::now();
        let mut locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
        while locked == Err(Errno::WOULDBLOCK) && began.elapsed() < FAREWELL {
            std::thread::sleep(RETRY);
            locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
        }
        match locked {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
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
