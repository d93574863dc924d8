//! The directories of a buffer: private, and there after a power cut.

use super::OpenError;
use super::journal::segment::{io_at, sync_dir};
use rustix::io::Errno;
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

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

pub(super) fn not_writable(path: &Path, source: io::Error) -> OpenError {
    OpenError::NotWritable {
        path: path.to_owned(),
        source,
    }
}

/// Makes the names durable that lead to the segments. An earlier life may have been killed between making, renaming or removing
/// one and syncing it; what is built on it now must not find it undone by a power cut. So may one that made the directories above.
pub(super) fn sync_names(dir: &Path, journal_dir: &Path) -> Result<(), OpenError> {
    sync_dir(journal_dir).map_err(io_at(journal_dir))?;
    for (n, dir) in dir.ancestors().enumerate() {
        let dir = if dir.as_os_str().is_empty() {
            Path::new(".")
        } else {
            dir
        };
        match sync_dir(dir) {
            // Directories further up may be closed to us; then others made them.
            Err(error) if n < 2 || Errno::from_io_error(&error) == Some(Errno::IO) => {
                return Err(io_at(dir)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Without this much free space on the device the index is not written; sled does not take that well.
pub(super) const INDEX_SPACE: u64 = 32 << 20;

/// Whether the device of a directory has so much space, as far as it can be told.
pub(super) fn has_space(dir: &Path, bytes: u64) -> bool {
    rustix::fs::statvfs(dir).map_or(true, |stat| stat.f_bavail * stat.f_frsize > bytes)
}
