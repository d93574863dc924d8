//! Bodies of data records, read without copying: one commit, or live data moved out of a segment that is to be freed.
//!
//! A decoder checks the whole form once; the iterators it hands out then cannot fail.

use super::codec::{Malformed, Put, Take};
use crate::types::{BatchNumber, Epoch, Revision, Sequence, UnixMillis};

const SESSION: u8 = 1;
const PRODUCER: u8 = 2;
const CHANGES: u8 = 4;
const PUT: u8 = 1;
const DELETE: u8 = 2;

/// The batch of a session that a record carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::buffer) struct Session<'a> {
    pub scope: &'a [u8],
    pub epoch: Epoch,
    pub batch: BatchNumber,
}

/// The append of a producer that a record carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::buffer) struct Produced<'a> {
    pub stream: &'a [u8],
    pub name: &'a [u8],
    pub batch: u64,
}

/// Consecutive events of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::buffer) struct Run<'a> {
    pub stream: &'a [u8],
    pub first: Sequence,
    pub count: u32,
    raw: &'a [u8],
}

impl<'a> Run<'a> {
    fn decode(take: &mut Take<'a>) -> Result<Self, Malformed> {
        let (stream, first) = (take.name()?, take.u64()?);
        let count = take.count(4)?;
        let before = take.0;
        for _ in 0..count {
            take.blob()?;
        }
        if count == 0 || first == 0 || first.checked_add(u64::from(count)).is_none() {
            return Err(Malformed("a run has no events or no sequence"));
        }
        let raw = &before[..before.len() - take.0.len()];
        Ok(Self {
            stream,
            first,
            count,
            raw,
        })
    }

    /// Sequence of the last event.
    pub fn last(&self) -> Sequence {
        self.first + u64::from(self.count) - 1
    }

    /// What the run takes in a journal, its share of framing included.
    pub fn cost(&self) -> u64 {
        run_cost(self.stream, self.raw.len() as u64)
    }

    /// Its events.
    pub fn events(&self) -> impl Iterator<Item = (Sequence, &'a [u8])> + use<'a> {
        let mut take = Take(self.raw);
        (self.first..).map_while(move |seq| take.blob().ok().map(|payload| (seq, payload)))
    }
}

/// What a run takes in a journal, given the bytes of its payloads and 4 for each.
pub(in crate::buffer) fn run_cost(stream: &[u8], bytes: u64) -> u64 {
    bytes + stream.len() as u64 + 48
}

/// Changes to one scope's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::buffer) struct Changes<'a> {
    pub scope: &'a [u8],
    pub rev: Revision,
    raw: &'a [u8],
}

impl<'a> Changes<'a> {
    fn decode(take: &mut Take<'a>) -> Result<Self, Malformed> {
        let (scope, rev) = (take.name()?, take.u64()?);
        let count = take.count(3)?;
        let before = take.0;
        for _ in 0..count {
            Self::one(take)?;
        }
        let raw = &before[..before.len() - take.0.len()];
        Ok(Self { scope, rev, raw })
    }

    fn one(take: &mut Take<'a>) -> Result<(&'a [u8], Option<&'a [u8]>), Malformed> {
        match take.u8()? {
            PUT => Ok((take.name()?, Some(take.blob()?))),
            DELETE => Ok((take.name()?, None)),
            _ => Err(Malformed("a change is neither put nor delete")),
        }
    }

    /// Each key with its new value, `None` where it is removed.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let mut take = Take(self.raw);
        std::iter::from_fn(move || Self::one(&mut take).ok())
    }
}

/// One atomic write: events, state changes, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::buffer) struct Commit<'a> {
    pub at_ms: UnixMillis,
    pub session: Option<Session<'a>>,
    pub produced: Option<Produced<'a>>,
    pub runs: Vec<Run<'a>>,
    pub changes: Option<Changes<'a>>,
}

impl<'a> Commit<'a> {
    /// Reads a body.
    pub fn decode(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut take = Take(body);
        let at_ms = take.u64()?;
        let flags = take.u8()?;
        let session = (flags & SESSION != 0)
            .then(|| {
                Ok(Session {
                    scope: take.name()?,
                    epoch: take.u64()?,
                    batch: take.u64()?,
                })
            })
            .transpose()?;
        let produced = (flags & PRODUCER != 0)
            .then(|| {
                Ok(Produced {
                    stream: take.name()?,
                    name: take.name()?,
                    batch: take.u64()?,
                })
            })
            .transpose()?;
        let count = take.count(18)?;
        let runs = (0..count)
            .map(|_| Run::decode(&mut take))
            .collect::<Result<_, _>>()?;
        let changes = (flags & CHANGES != 0)
            .then(|| Changes::decode(&mut take))
            .transpose()?;
        take.end()?;
        Ok(Self {
            at_ms,
            session,
            produced,
            runs,
            changes,
        })
    }
}

/// A run to be written: its stream, first sequence and payloads.
pub(in crate::buffer) struct NewRun<'a, P> {
    pub stream: &'a [u8],
    pub first: Sequence,
    pub payloads: P,
}

/// A change to be written: key and value, `None` to remove.
pub(in crate::buffer) type NewChange<'a> = (&'a [u8], Option<&'a [u8]>);

/// Appends the body of a commit to `out`.
pub(in crate::buffer) fn encode_commit<'a, P: ExactSizeIterator<Item = &'a [u8]>>(
    out: &mut Vec<u8>,
    at_ms: UnixMillis,
    session: Option<Session<'_>>,
    produced: Option<Produced<'_>>,
    runs: Vec<NewRun<'a, P>>,
    changes: Option<(&[u8], Revision, &[NewChange<'_>])>,
) {
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    out.u64(at_ms);
    out.u8(flag(session.is_some(), SESSION)
        | flag(produced.is_some(), PRODUCER)
        | flag(changes.is_some(), CHANGES));
    if let Some(Session {
        scope,
        epoch,
        batch,
    }) = session
    {
        out.name(scope);
        out.u64(epoch);
        out.u64(batch);
    }
    if let Some(Produced {
        stream,
        name,
        batch,
    }) = produced
    {
        out.name(stream);
        out.name(name);
        out.u64(batch);
    }
    out.u32(runs.len() as u32);
    for run in runs {
        out.name(run.stream);
        out.u64(run.first);
        out.u32(run.payloads.len() as u32);
        run.payloads.for_each(|payload| out.blob(payload));
    }
    if let Some((scope, rev, changes)) = changes {
        out.name(scope);
        out.u64(rev);
        out.u32(changes.len() as u32);
        for change in changes {
            encode_change(out, *change);
        }
    }
}

fn encode_change(out: &mut Vec<u8>, (key, value): NewChange<'_>) {
    out.u8(if value.is_some() { PUT } else { DELETE });
    out.name(key);
    if let Some(value) = value {
        out.blob(value);
    }
}

/// Marks a moved run as part of a session's batch, so that a tail can still be restored from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::buffer) struct TailTag<'a> {
    pub session: Session<'a>,
    /// Which run of the batch it was.
    pub run: u32,
}

/// A run written again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::buffer) struct MovedRun<'a> {
    pub at_ms: UnixMillis,
    /// About how much the stream had cost before it.
    pub before: u64,
    pub tail: Option<TailTag<'a>>,
    pub run: Run<'a>,
}

/// A state entry written again: the newest change of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::buffer) struct MovedEntry<'a> {
    pub scope: &'a [u8],
    pub rev: Revision,
    pub key: &'a [u8],
    pub value: Option<&'a [u8]>,
}

impl MovedRun<'_> {
    /// About what it takes in a journal.
    pub fn cost(&self) -> usize {
        self.run.cost() as usize + self.tail.map_or(0, |tag| tag.session.scope.len() + 21)
    }
}

impl MovedEntry<'_> {
    /// About what it takes in a journal.
    pub fn cost(&self) -> usize {
        self.scope.len() + self.key.len() + self.value.map_or(0, <[u8]>::len) + 16
    }
}

/// Live data of a segment, written again so that the segment can be freed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::buffer) struct Moved<'a> {
    pub runs: Vec<MovedRun<'a>>,
    pub entries: Vec<MovedEntry<'a>>,
}

impl<'a> Moved<'a> {
    /// Reads a body.
    pub fn decode(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut take = Take(body);
        let count = take.count(35)?;
        let runs = (0..count)
            .map(|_| Self::run(&mut take))
            .collect::<Result<_, _>>()?;
        let count = take.count(13)?;
        let entries = (0..count)
            .map(|_| Self::entry(&mut take))
            .collect::<Result<_, _>>()?;
        take.end()?;
        Ok(Self { runs, entries })
    }

    fn run(take: &mut Take<'a>) -> Result<MovedRun<'a>, Malformed> {
        let (at_ms, before) = (take.u64()?, take.u64()?);
        let tail = match take.u8()? {
            0 => None,
            1 => {
                let session = Session {
                    scope: take.name()?,
                    epoch: take.u64()?,
                    batch: take.u64()?,
                };
                Some(TailTag {
                    session,
                    run: take.u32()?,
                })
            }
            _ => return Err(Malformed("a moved run is neither tail nor not")),
        };
        Ok(MovedRun {
            at_ms,
            before,
            tail,
            run: Run::decode(take)?,
        })
    }

    fn entry(take: &mut Take<'a>) -> Result<MovedEntry<'a>, Malformed> {
        let (scope, rev) = (take.name()?, take.u64()?);
        let (key, value) = Changes::one(take)?;
        Ok(MovedEntry {
            scope,
            rev,
            key,
            value,
        })
    }

    /// Appends the body to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.u32(self.runs.len() as u32);
        for MovedRun {
            at_ms,
            before,
            tail,
            run,
        } in &self.runs
        {
            out.u64(*at_ms);
            out.u64(*before);
            out.u8(u8::from(tail.is_some()));
            if let Some(TailTag { session, run }) = tail {
                out.name(session.scope);
                out.u64(session.epoch);
                out.u64(session.batch);
                out.u32(*run);
            }
            out.name(run.stream);
            out.u64(run.first);
            out.u32(run.count);
            out.extend_from_slice(run.raw);
        }
        out.u32(self.entries.len() as u32);
        for entry in &self.entries {
            out.name(entry.scope);
            out.u64(entry.rev);
            encode_change(out, (entry.key, entry.value));
        }
    }
}

impl Run<'_> {
    /// The run from `seq` on (which lies within it).
    pub fn from(&self, seq: Sequence) -> Self {
        let skip = seq
            .saturating_sub(self.first)
            .min(u64::from(self.count) - 1);
        let mut take = Take(self.raw);
        for _ in 0..skip {
            take.blob()
                .expect("the run was checked when it was decoded");
        }
        Self {
            first: self.first + skip,
            count: self.count - skip as u32,
            raw: take.0,
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> Vec<u8> {
        let mut out = Vec::new();
        let payloads: Vec<&[u8]> = vec![b"one", b"two", b"three"];
        encode_commit(
            &mut out,
            12,
            Some(Session {
                scope: b"lobby",
                epoch: 2,
                batch: 9,
            }),
            Some(Produced {
                stream: b"s",
                name: b"p",
                batch: 3,
            }),
            vec![NewRun {
                stream: b"s",
                first: 5,
                payloads: payloads.into_iter(),
            }],
            Some((b"lobby", 4, &[(b"k", Some(b"v")), (b"gone", None)])),
        );
        out
    }

    #[test]
    fn a_commit_reads_back() {
        let body = body();
        let commit = Commit::decode(&body).expect("well formed");
        assert_eq!(
            commit.session,
            Some(Session {
                scope: b"lobby",
                epoch: 2,
                batch: 9
            })
        );
        let run = commit.runs[0];
        assert_eq!((run.first, run.last()), (5, 7));
        assert_eq!(
            run.events().collect::<Vec<_>>(),
            [(5, &b"one"[..]), (6, b"two"), (7, b"three")]
        );
        assert_eq!(
            run.from(7).events().collect::<Vec<_>>(),
            [(7, &b"three"[..])]
        );
        let changes: Vec<_> = commit.changes.expect("has changes").iter().collect();
        assert_eq!(changes, [(&b"k"[..], Some(&b"v"[..])), (b"gone", None)]);
    }

    #[test]
    fn no_prefix_of_a_body_passes() {
        let body = body();
        for n in 0..body.len() {
            assert!(Commit::decode(&body[..n]).is_err(), "{n} bytes");
        }
    }

    #[test]
    fn moved_data_reads_back() {
        let body = body();
        let commit = Commit::decode(&body).expect("well formed");
        let tail = commit.session.map(|session| TailTag { session, run: 0 });
        let moved = Moved {
            runs: vec![MovedRun {
                at_ms: 12,
                before: 77,
                tail,
                run: commit.runs[0].from(6),
            }],
            entries: vec![MovedEntry {
                scope: b"lobby",
                rev: 4,
                key: b"k",
                value: Some(b"v"),
            }],
        };
        let mut out = Vec::new();
        moved.encode(&mut out);
        assert_eq!(Moved::decode(&out), Ok(moved));
    }
}
