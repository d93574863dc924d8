//! What recovery writes into the newest segment before it is written to again.

use super::recovery::Last;
use super::walk::Walked;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Settles the last commit, and takes away what is left of one that was not finished.
pub(super) fn mend(file: &File, last: &Last) -> io::Result<()> {
    settle(file, &last.walked)?;
    if last.torn > 0 {
        erase(file, last.walked.end, last.header.bytes)?;
    }
    Ok(())
}

/// Makes the last commit durable. The life that wrote it may have been killed before its sync, or its sync may have failed: then
/// what was just read came from memory only, and a page that could not be written counts as clean. So it is written again.
/// All earlier commits were synced, for each waits for the one before.
fn settle(file: &File, walked: &Walked) -> io::Result<()> {
    let mut commit = vec![0; (walked.end - walked.last_begin) as usize];
    file.read_exact_at(&mut commit, walked.last_begin)?;
    file.write_all_at(&commit, walked.last_begin)?;
    file.sync_data()
}

/// Overwrites with zeros.
fn erase(file: &File, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 18];
    let mut at = from;
    while at < to {
        let n = (to - at).min(zeros.len() as u64);
        file.write_all_at(&zeros[..n as usize], at)?;
        at += n;
    }
    file.sync_data()
}
