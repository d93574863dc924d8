//! Frames: what surrounds each record in a segment.
//!
//! ```text
//! 0        4          8         16     17      18     20         24
//! header   body       commit    kind   flags   zero   body       body …, zero bytes to the next multiple of 8
//! CRC32C   length     number                          CRC32C (padding included)
//! ```
//!
//! The header's checksum also covers the segment's id and the frame's offset (the salt), so neither a recycled
//! segment's old frames nor a displaced one can pass. All frames written by one `fdatasync` share one commit number, the
//! last of them carries [`LAST`]; numbers are consecutive. Hence a reader can tell an unfinished write from damage:
//! a frame behind a bad one belongs to the same commit, or the bad one had been acknowledged.

use crc32c::{crc32c, crc32c_append};

/// Length of a frame's header.
pub(in crate::buffer) const HEADER: usize = 24;
/// Frames begin at multiples of this.
pub(in crate::buffer) const ALIGN: usize = 8;
/// Flag: last frame of its commit.
pub(in crate::buffer) const LAST: u8 = 1;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::buffer) enum Kind {
    /// Absolute facts (see `facts`).
    Facts = 1,
    /// One append, session batch or state change.
    Commit = 2,
    /// Live data of another segment, written again.
    Moved = 3,
    /// The end of a full segment; no body.
    Seal = 4,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Facts, Self::Commit, Self::Moved, Self::Seal]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// A checked header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::buffer) struct Head {
    pub body_len: u32,
    pub commit: u64,
    pub kind: Kind,
    pub last: bool,
    body_crc: u32,
}

impl Head {
    /// Bytes from the start of this frame to the next.
    pub fn framed(&self) -> usize {
        framed(self.body_len as usize)
    }

    /// Whether these bytes behind the header (body and padding) belong to it.
    pub fn body_fits(&self, padded: &[u8]) -> bool {
        padded.len() + HEADER == self.framed() && crc32c(padded) == self.body_crc
    }
}

/// Bytes that a record with a body of this length takes.
pub(in crate::buffer) const fn framed(body_len: usize) -> usize {
    (HEADER + body_len).next_multiple_of(ALIGN)
}

fn salted(segment: u64, offset: u64, header: &[u8]) -> u32 {
    let mut salt = [0; 16];
    salt[..8].copy_from_slice(&segment.to_le_bytes());
    salt[8..].copy_from_slice(&offset.to_le_bytes());
    crc32c_append(crc32c(&salt), &header[4..HEADER])
}

/// Fills in the header of the frame that starts at `frame[0]` and whose body already stands behind it.
pub(in crate::buffer) fn seal(
    frame: &mut [u8],
    segment: u64,
    offset: u64,
    commit: u64,
    kind: Kind,
    body_len: usize,
    last: bool,
) {
    let body_crc = crc32c(&frame[HEADER..framed(body_len)]);
    frame[4..8].copy_from_slice(&(body_len as u32).to_le_bytes());
    frame[8..16].copy_from_slice(&commit.to_le_bytes());
    frame[16..20].copy_from_slice(&[kind as u8, if last { LAST } else { 0 }, 0, 0]);
    frame[20..24].copy_from_slice(&body_crc.to_le_bytes());
    let crc = salted(segment, offset, frame);
    frame[..4].copy_from_slice(&crc.to_le_bytes());
}

/// Checks a header against its place. `None`: no frame begins here.
pub(in crate::buffer) fn head(bytes: &[u8], segment: u64, offset: u64) -> Option<Head> {
    let header = bytes.get(..HEADER)?;
    let word = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    // The cheap checks first: recovery tries every eighth byte of a tail.
    let kind = Kind::from_byte(header[16])?;
    if header[17] & !LAST != 0
        || header[18] != 0
        || header[19] != 0
        || word(0) != salted(segment, offset, header)
    {
        return None;
    }
    Some(Head {
        body_len: word(4),
        commit: u64::from(word(8)) | u64::from(word(12)) << 32,
        kind,
        last: header[17] & LAST != 0,
        body_crc: word(20),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; framed(body.len())];
        bytes[HEADER..HEADER + body.len()].copy_from_slice(body);
        seal(&mut bytes, 7, 4096, 99, Kind::Commit, body.len(), true);
        bytes
    }

    #[test]
    fn a_frame_passes_in_its_place_only() {
        let bytes = frame(b"hello");
        let found = head(&bytes, 7, 4096).expect("valid");
        assert_eq!(
            (found.commit, found.kind, found.last, found.framed()),
            (99, Kind::Commit, true, 32)
        );
        assert!(found.body_fits(b"hello\0\0\0") && !found.body_fits(b"hellp\0\0\0"));
        assert_eq!(head(&bytes, 8, 4096), None, "another segment");
        assert_eq!(head(&bytes, 7, 4104), None, "another offset");
        assert_eq!(head(&[0; HEADER], 7, 4096), None, "zeros");
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let good = frame(b"hello");
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let passes = head(&bytes, 7, 4096).is_some_and(|head| {
                bytes
                    .get(HEADER..head.framed())
                    .is_some_and(|rest| head.body_fits(rest))
            });
            assert!(!passes, "bit {bit}");
        }
    }
}
