//! Walking through a segment, commit by commit.

use super::frame::Kind;
use super::scan::{Next, Scanner};
use super::segment::HEADER_BYTES;
use crate::buffer::OpenError;
use crate::buffer::tables::ApplyError;
use std::fs::File;
use std::path::Path;

/// A segment whose frames were walked through.
#[derive(Debug, Clone, Default)]
pub(in crate::buffer) struct Walked {
    /// Where the last whole commit begins.
    pub last_begin: u64,
    /// Behind the last whole commit.
    pub end: u64,
    /// Behind the last valid frame, which may belong to a commit without its end.
    pub valid_to: u64,
    /// Number of the last whole commit, and of the first one.
    pub commit: u64,
    pub first_commit: u64,
    pub sealed: bool,
    pub records: u64,
}

/// Why a walk ended before its limit.
pub(in crate::buffer) enum WalkError {
    Io(std::io::Error),
    Damaged { offset: u64, reason: String },
    Apply { offset: u64, error: ApplyError },
}

/// Walks through the whole commits of a segment, handing each frame to `take` (kind, body, offset, end, commit, last).
/// Stops at the first place without a valid frame; what follows there is for the caller to judge.
pub(in crate::buffer) fn walk(
    file: &File,
    id: u64,
    limit: u64,
    mut take: impl FnMut(Frame<'_>) -> Result<(), ApplyError>,
) -> Result<Walked, WalkError> {
    let mut scanner = Scanner::new(file, id, HEADER_BYTES, limit);
    let mut begin = HEADER_BYTES;
    let mut walked = Walked {
        last_begin: HEADER_BYTES,
        end: HEADER_BYTES,
        valid_to: HEADER_BYTES,
        ..Walked::default()
    };
    let mut previous: Option<(u64, bool)> = None;
    while let Next::Frame { offset, head, body } = scanner.next().map_err(WalkError::Io)? {
        let follows = match previous {
            None => true,
            Some((commit, true)) => head.commit == commit + 1,
            Some((commit, false)) => head.commit == commit,
        };
        if !follows || walked.sealed {
            let reason = format!("commit {} is out of order", head.commit);
            return Err(WalkError::Damaged { offset, reason });
        }
        let end = offset + head.framed() as u64;
        let frame = Frame {
            kind: head.kind,
            body,
            offset,
            end,
            commit: head.commit,
            last: head.last,
        };
        take(frame).map_err(|error| WalkError::Apply { offset, error })?;
        walked.records += 1;
        walked.valid_to = end;
        if previous.is_none() {
            walked.first_commit = head.commit;
        }
        if head.last {
            (walked.end, walked.commit) = (end, head.commit);
            (walked.last_begin, begin) = (begin, end);
            walked.sealed = head.kind == Kind::Seal;
        }
        previous = Some((head.commit, head.last));
    }
    Ok(walked)
}

/// A frame met on a walk.
pub(in crate::buffer) struct Frame<'a> {
    pub kind: Kind,
    pub body: &'a [u8],
    pub offset: u64,
    pub end: u64,
    pub commit: u64,
    pub last: bool,
}

/// A walk's failure as a reason not to open.
pub(in crate::buffer) fn walk_error(error: WalkError, path: &Path) -> OpenError {
    match error {
        WalkError::Io(source) => OpenError::Io {
            path: path.to_owned(),
            source,
        },
        WalkError::Damaged { offset, reason } => OpenError::Corrupt {
            file: path.to_owned(),
            offset,
            reason,
        },
        WalkError::Apply { offset, error } => OpenError::Corrupt {
            file: path.to_owned(),
            offset,
            reason: error.to_string(),
        },
    }
}
