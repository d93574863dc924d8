//! Facts: small absolute statements about everything but events and state values.
//!
//! Each segment begins with a *checkpoint*, one commit that starts with [`Fact::Reset`] and states all facts anew. So
//! any segment may be freed once its live events and state entries were moved: what it said besides is said again later.

use super::codec::{Malformed, Put, Take};
use crate::buffer::options::StateRule;
use crate::types::{
    BatchNumber, Epoch, Key, Origin, Revision, Scope, Sequence, SinkName, StreamName, Token,
    UnixMillis,
};
use bytes::Bytes;

/// One batch of a producer and where it landed.
pub(in crate::buffer) type Landed = (u64, Sequence, Sequence);

/// All about a stream but its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::buffer) struct StreamFact {
    pub name: StreamName,
    pub first: Sequence,
    pub next: Sequence,
    pub cost: u64,
    pub dropped: u64,
    pub ranges: Vec<(Sequence, Sequence)>,
}

/// All about a scope but its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::buffer) struct ScopeFact {
    pub scope: Scope,
    pub epoch: Epoch,
    pub token: Option<Token>,
    pub last: (Epoch, BatchNumber),
    pub rev: Revision,
    /// The batch that last changed state; `(0, 0)` where none did.
    pub point: (Epoch, BatchNumber),
    /// First event of the tail in each stream that has one.
    pub tail: Vec<(StreamName, Sequence)>,
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::buffer) enum Fact {
    /// A checkpoint begins: cursors, producers and histories stated before are void.
    Reset,
    /// How often the buffer was opened.
    Incarnation(u64),
    /// No later commit has an earlier time.
    Clock(UnixMillis),
    /// The segments the journal consists of, this one included.
    Segments(Vec<u64>),
    /// This segment is no longer part of the journal.
    Freed(u64),
    Stream(StreamFact),
    Scope(ScopeFact),
    Activation {
        scope: Scope,
        epoch: Epoch,
        token: Token,
    },
    Cursor {
        sink: SinkName,
        stream: StreamName,
        seq: Sequence,
    },
    StateCursor {
        sink: SinkName,
        scope: Scope,
        rev: Revision,
    },
    /// The sink is no more, and all its cursors with it.
    Forget(SinkName),
    Producer {
        stream: StreamName,
        name: Bytes,
        used_ms: UnixMillis,
        landed: Vec<Landed>,
    },
    /// The buffer that this one was salvaged from.
    Parent(Origin),
    /// From here on so many earlier values of keys are kept, by scope.
    Histories(Vec<StateRule>),
}

impl Fact {
    /// Appends the fact to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Reset => out.u8(1),
            Self::Incarnation(n) => tagged(out, 2).u64(*n),
            Self::Clock(at_ms) => tagged(out, 3).u64(*at_ms),
            Self::Segments(ids) => {
                tagged(out, 4).u32(ids.len() as u32);
                for id in ids {
                    out.u64(*id);
                }
            }
            Self::Freed(id) => tagged(out, 5).u64(*id),
            Self::Stream(stream) => stream.encode(tagged(out, 6)),
            Self::Scope(scope) => scope.encode(tagged(out, 7)),
            Self::Activation {
                scope,
                epoch,
                token,
            } => {
                tagged(out, 8).name(scope.as_bytes());
                out.u64(*epoch);
                out.blob(token.expose().as_bytes());
            }
            Self::Cursor { sink, stream, seq } => {
                tagged(out, 9).name(sink.as_bytes());
                out.name(stream.as_bytes());
                out.u64(*seq);
            }
            Self::StateCursor { sink, scope, rev } => {
                tagged(out, 10).name(sink.as_bytes());
                out.name(scope.as_bytes());
                out.u64(*rev);
            }
            Self::Forget(sink) => tagged(out, 11).name(sink.as_bytes()),
            Self::Producer {
                stream,
                name,
                used_ms,
                landed,
            } => {
                tagged(out, 12).name(stream.as_bytes());
                out.name(name);
                out.u64(*used_ms);
                out.u32(landed.len() as u32);
                for (batch, first, last) in landed {
                    out.u64(*batch);
                    out.u64(*first);
                    out.u64(*last);
                }
            }
            Self::Parent(origin) => tagged(out, 13).extend_from_slice(origin.as_bytes()),
            Self::Histories(rules) => {
                tagged(out, 14).u32(rules.len() as u32);
                for rule in rules {
                    out.name(rule.pattern.as_bytes());
                    out.u32(rule.history);
                }
            }
        }
    }

    fn decode(take: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(match take.u8()? {
            1 => Self::Reset,
            2 => Self::Incarnation(take.u64()?),
            3 => Self::Clock(take.u64()?),
            4 => {
                let count = take.count(8)?;
                Self::Segments((0..count).map(|_| take.u64()).collect::<Result<_, _>>()?)
            }
            5 => Self::Freed(take.u64()?),
            6 => Self::Stream(StreamFact::decode(take)?),
            7 => Self::Scope(ScopeFact::decode(take)?),
            8 => Self::Activation {
                scope: scope(take)?,
                epoch: take.u64()?,
                token: token(take)?.ok_or(Malformed("no token"))?,
            },
            9 => Self::Cursor {
                sink: sink(take)?,
                stream: stream(take)?,
                seq: take.u64()?,
            },
            10 => Self::StateCursor {
                sink: sink(take)?,
                scope: scope(take)?,
                rev: take.u64()?,
            },
            11 => Self::Forget(sink(take)?),
            12 => {
                let (stream, name) = (stream(take)?, Bytes::copy_from_slice(take.name()?));
                let used_ms = take.u64()?;
                let count = take.count(24)?;
                let landed = (0..count)
                    .map(|_| Ok((take.u64()?, take.u64()?, take.u64()?)))
                    .collect::<Result<_, Malformed>>()?;
                Self::Producer {
                    stream,
                    name,
                    used_ms,
                    landed,
                }
            }
            13 => {
                let bytes = take.bytes(16)?.try_into().expect("took 16 bytes");
                Self::Parent(Origin::from_bytes(bytes))
            }
            14 => {
                let count = take.count(6)?;
                let rules = (0..count).map(|_| rule(take));
                Self::Histories(rules.collect::<Result<_, _>>()?)
            }
            _ => return Err(Malformed("an unknown fact")),
        })
    }
}

impl StreamFact {
    fn encode(&self, out: &mut Vec<u8>) {
        out.name(self.name.as_bytes());
        for n in [self.first, self.next, self.cost, self.dropped] {
            out.u64(n);
        }
        out.u32(self.ranges.len() as u32);
        for (from, to) in &self.ranges {
            out.u64(*from);
            out.u64(*to);
        }
    }

    fn decode(take: &mut Take<'_>) -> Result<Self, Malformed> {
        let name = stream(take)?;
        let (first, next, cost, dropped) = (take.u64()?, take.u64()?, take.u64()?, take.u64()?);
        let count = take.count(16)?;
        let ranges = (0..count)
            .map(|_| Ok((take.u64()?, take.u64()?)))
            .collect::<Result<_, Malformed>>()?;
        Ok(Self {
            name,
            first,
            next,
            cost,
            dropped,
            ranges,
        })
    }
}

impl ScopeFact {
    fn encode(&self, out: &mut Vec<u8>) {
        out.name(self.scope.as_bytes());
        out.u64(self.epoch);
        out.blob(
            self.token
                .as_ref()
                .map_or(&[], |token| token.expose().as_bytes()),
        );
        for n in [
            self.last.0,
            self.last.1,
            self.rev,
            self.point.0,
            self.point.1,
        ] {
            out.u64(n);
        }
        out.u32(self.tail.len() as u32);
        for (stream, first) in &self.tail {
            out.name(stream.as_bytes());
            out.u64(*first);
        }
    }

    fn decode(take: &mut Take<'_>) -> Result<Self, Malformed> {
        let scope = scope(take)?;
        let (epoch, token) = (take.u64()?, token(take)?);
        let (last, rev, point) = (
            (take.u64()?, take.u64()?),
            take.u64()?,
            (take.u64()?, take.u64()?),
        );
        let count = take.count(10)?;
        let tail = (0..count)
            .map(|_| Ok((stream(take)?, take.u64()?)))
            .collect::<Result<_, Malformed>>()?;
        Ok(Self {
            scope,
            epoch,
            token,
            last,
            rev,
            point,
            tail,
        })
    }
}

fn tagged(out: &mut Vec<u8>, tag: u8) -> &mut Vec<u8> {
    out.u8(tag);
    out
}

fn scope(take: &mut Take<'_>) -> Result<Scope, Malformed> {
    Scope::new(Bytes::copy_from_slice(take.name()?)).map_err(|_| Malformed("a bad scope"))
}

fn stream(take: &mut Take<'_>) -> Result<StreamName, Malformed> {
    StreamName::new(Bytes::copy_from_slice(take.name()?))
        .map_err(|_| Malformed("a bad stream name"))
}

fn rule(take: &mut Take<'_>) -> Result<StateRule, Malformed> {
    let pattern = std::str::from_utf8(take.name()?);
    Ok(StateRule {
        pattern: pattern
            .map_err(|_| Malformed("a pattern that is not text"))?
            .to_owned(),
        history: take.u32()?,
    })
}

fn sink(take: &mut Take<'_>) -> Result<SinkName, Malformed> {
    SinkName::new(Bytes::copy_from_slice(take.name()?)).map_err(|_| Malformed("a bad sink name"))
}

fn token(take: &mut Take<'_>) -> Result<Option<Token>, Malformed> {
    let text =
        std::str::from_utf8(take.blob()?).map_err(|_| Malformed("a token that is not text"))?;
    Ok((!text.is_empty()).then(|| Token::new(text)))
}

/// Reads the body of a facts record.
pub(in crate::buffer) fn decode(body: &[u8]) -> Result<Vec<Fact>, Malformed> {
    let mut take = Take(body);
    let count = take.count(1)?;
    let facts = (0..count)
        .map(|_| Fact::decode(&mut take))
        .collect::<Result<_, _>>()?;
    take.end()?;
    Ok(facts)
}

/// Appends the body of a facts record to `out`.
pub(in crate::buffer) fn encode(facts: &[Fact], out: &mut Vec<u8>) {
    out.u32(facts.len() as u32);
    for fact in facts {
        fact.encode(out);
    }
}

/// The key of a state entry as a checked name.
pub(in crate::buffer) fn key(bytes: &[u8]) -> Result<Key, Malformed> {
    Key::new(Bytes::copy_from_slice(bytes)).map_err(|_| Malformed("a bad key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_reads_back() {
        let stream = StreamName::try_from("s").expect("valid");
        let scope = Scope::try_from("lobby").expect("valid");
        let sink = SinkName::try_from("khepri").expect("valid");
        let facts = vec![
            Fact::Reset,
            Fact::Incarnation(3),
            Fact::Clock(99),
            Fact::Segments(vec![1, 2, 9]),
            Fact::Freed(3),
            Fact::Stream(StreamFact {
                name: stream.clone(),
                first: 4,
                next: 9,
                cost: 100,
                dropped: 3,
                ranges: vec![(1, 3)],
            }),
            Fact::Scope(ScopeFact {
                scope: scope.clone(),
                epoch: 2,
                token: Some(Token::new("t")),
                last: (2, 7),
                rev: 5,
                point: (2, 6),
                tail: vec![(stream.clone(), 8)],
            }),
            Fact::Activation {
                scope: scope.clone(),
                epoch: 3,
                token: Token::new("u"),
            },
            Fact::Cursor {
                sink: sink.clone(),
                stream: stream.clone(),
                seq: 8,
            },
            Fact::StateCursor {
                sink: sink.clone(),
                scope,
                rev: 5,
            },
            Fact::Forget(sink),
            Fact::Producer {
                stream,
                name: Bytes::from_static(b"p"),
                used_ms: 5,
                landed: vec![(1, 2, 3)],
            },
            Fact::Parent(Origin::from_bytes([7; 16])),
            Fact::Histories(vec![StateRule {
                pattern: "lobby*".to_owned(),
                history: 9,
            }]),
        ];
        let mut out = Vec::new();
        encode(&facts, &mut out);
        assert_eq!(decode(&out), Ok(facts));
        for n in 0..out.len() {
            assert!(decode(&out[..n]).is_err(), "{n} bytes");
        }
    }
}
