//! Keys and values of the index. Keys sort by what they are about; numbers in keys are big-endian for that reason.

use crate::buffer::journal::codec::{Malformed, Put, Take};
use crate::types::{Epoch, Revision, Sequence, UnixMillis};

/// Where the frame of a record begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::buffer) struct Location {
    pub segment: u64,
    pub offset: u64,
}

/// From here on (for at most 64 KiB of journal) lie the events of a stream that follow the key's sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::buffer) struct Extent {
    pub at: Location,
    /// What the stream had cost before it.
    pub before: u64,
    /// When its first event was committed.
    pub at_ms: UnixMillis,
}

/// Where the newest change of a key lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::buffer) struct Entry {
    pub rev: Revision,
    pub at: Location,
    /// What it takes in a journal.
    pub cost: u32,
    /// Whether the key was removed.
    pub deleted: bool,
    /// An older revision was written again behind it.
    pub followed: bool,
}

/// A run of a session's batch that belongs to the tail of its scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::buffer) struct TailRun {
    pub stream: Vec<u8>,
    pub first: Sequence,
    pub count: u32,
    pub cost: u64,
}

fn prefix(kind: u8, name: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 32);
    key.u8(kind);
    key.name(name);
    key
}

fn be(mut key: Vec<u8>, numbers: &[u64]) -> Vec<u8> {
    for n in numbers {
        key.extend_from_slice(&n.to_be_bytes());
    }
    key
}

/// All extents of a stream.
pub(in crate::buffer) fn extents(stream: &[u8]) -> Vec<u8> {
    prefix(b's', stream)
}

/// The extent that begins with a sequence.
pub(in crate::buffer) fn extent(stream: &[u8], first: Sequence) -> Vec<u8> {
    be(extents(stream), &[first])
}

/// The sequence of an extent's key.
pub(in crate::buffer) fn extent_first(key: &[u8]) -> Sequence {
    key.last_chunk::<8>()
        .map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// All entries of a scope's state.
pub(in crate::buffer) fn entries(scope: &[u8]) -> Vec<u8> {
    prefix(b'k', scope)
}

/// The entry of one key.
pub(in crate::buffer) fn entry(scope: &[u8], key: &[u8]) -> Vec<u8> {
    let mut bytes = entries(scope);
    bytes.extend_from_slice(key);
    bytes
}

/// All earlier revisions of a key.
pub(in crate::buffer) fn pasts(scope: &[u8], key: &[u8]) -> Vec<u8> {
    let mut bytes = prefix(b'h', scope);
    bytes.name(key);
    bytes
}

/// One earlier revision of a key.
pub(in crate::buffer) fn past(scope: &[u8], key: &[u8], rev: Revision) -> Vec<u8> {
    be(pasts(scope, key), &[rev])
}

/// All tail runs of a scope.
pub(in crate::buffer) fn tails(scope: &[u8]) -> Vec<u8> {
    prefix(b't', scope)
}

/// One tail run.
pub(in crate::buffer) fn tail(scope: &[u8], epoch: Epoch, batch: u64, run: u32) -> Vec<u8> {
    be(tails(scope), &[epoch, batch, u64::from(run)])
}

impl Extent {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32);
        for n in [self.at.segment, self.at.offset, self.before, self.at_ms] {
            out.u64(n);
        }
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut take = Take(bytes);
        let at = Location {
            segment: take.u64()?,
            offset: take.u64()?,
        };
        let extent = Self {
            at,
            before: take.u64()?,
            at_ms: take.u64()?,
        };
        take.end().map(|()| extent)
    }
}

impl Entry {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(29);
        for n in [self.rev, self.at.segment, self.at.offset] {
            out.u64(n);
        }
        out.u32(self.cost);
        out.u8(u8::from(self.deleted) | u8::from(self.followed) << 1);
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut take = Take(bytes);
        let rev = take.u64()?;
        let at = Location {
            segment: take.u64()?,
            offset: take.u64()?,
        };
        let (cost, flags) = (take.u32()?, take.u8()?);
        let entry = Self {
            rev,
            at,
            cost,
            deleted: flags & 1 != 0,
            followed: flags & 2 != 0,
        };
        take.end().map(|()| entry)
    }
}

impl TailRun {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.stream.len() + 21);
        out.name(&self.stream);
        out.u64(self.first);
        out.u32(self.count);
        out.u64(self.cost);
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut take = Take(bytes);
        let run = Self {
            stream: take.name()?.to_vec(),
            first: take.u64()?,
            count: take.u32()?,
            cost: take.u64()?,
        };
        take.end().map(|()| run)
    }
}
