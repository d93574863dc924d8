//! Finding every frame of a segment that passes, also behind damage.

use crate::buffer::journal::facts::{self, Fact};
use crate::buffer::journal::frame::{self, HEADER, Kind};
use crate::buffer::journal::segment::HEADER_BYTES;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What a failing device is asked for at once; a part that cannot be read counts as zeros.
const SECTOR: usize = 4096;

/// A frame that passed.
pub(super) struct Found<'a> {
    pub kind: Kind,
    pub body: &'a [u8],
    pub commit: u64,
    pub last: bool,
    pub offset: u64,
    pub end: u64,
}

/// Finds frames, up to the seal. Each comes with the place from which on nothing had passed before it; so does, at last, the end.
pub(super) fn frames<'a>(
    bytes: &'a [u8],
    id: u64,
    mut take: impl FnMut(Option<u64>, Option<Found<'a>>),
) {
    let (mut at, mut bad) = (HEADER_BYTES as usize, None);
    while at + HEADER <= bytes.len() {
        let head = frame::head(&bytes[at..], id, at as u64);
        let end = head.map_or(at + frame::ALIGN, |head| at + head.framed());
        let padded = bytes.get(at + HEADER..end).unwrap_or(&[]);
        if let Some(head) = head.filter(|head| head.body_fits(padded)) {
            let found = Found {
                kind: head.kind,
                body: &padded[..head.body_len as usize],
                commit: head.commit,
                last: head.last,
                offset: at as u64,
                end: end as u64,
            };
            take(bad.take(), Some(found));
            if head.kind == Kind::Seal {
                return;
            }
            at = end;
            continue;
        }
        bad.get_or_insert(at as u64);
        // A header that passes tells the length even where the body does not.
        at = if end <= bytes.len() {
            end
        } else {
            at + frame::ALIGN
        };
    }
    take(bad.or((at < bytes.len()).then_some(at as u64)), None);
}

/// The last commit of the newest segment that is known to be whole: its last frame is there, or a later commit.
pub(super) fn last_whole(bytes: &[u8], id: u64) -> u64 {
    let (mut newest, mut whole) = (0, 0);
    frames(bytes, id, |_, found| {
        let Some(found) = found else { return };
        if found.commit > newest {
            (whole, newest) = (newest, found.commit);
        }
        if found.last {
            whole = whole.max(found.commit);
        }
    });
    whole
}

pub(super) fn facts_of(found: Option<&Found<'_>>) -> Vec<Fact> {
    found
        .filter(|found| found.kind == Kind::Facts)
        .and_then(|found| facts::decode(found.body).ok())
        .unwrap_or_default()
}

/// A whole file; what cannot be read counts as zeros. Also says how many bytes that were.
pub(super) fn read(path: &Path) -> io::Result<(Vec<u8>, u64)> {
    let file = File::open(path)?;
    let mut bytes = vec![0; file.metadata()?.len() as usize];
    if file.read_exact_at(&mut bytes, 0).is_ok() {
        return Ok((bytes, 0));
    }
    let mut unreadable = 0;
    for (n, sector) in bytes.chunks_mut(SECTOR).enumerate() {
        if file.read_exact_at(sector, (n * SECTOR) as u64).is_err() {
            sector.fill(0);
            unreadable += sector.len() as u64;
        }
    }
    Ok((bytes, unreadable))
}
