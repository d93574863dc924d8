//! What a drain proved, or what is missing.

use crate::types::{Revision, Scope, Sequence, SinkName, StreamName};

/// Streams and scopes that one line for people names.
const MISSING_TOLD: usize = 5;

/// A stream in a drain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamProof {
    /// Its name.
    pub stream: StreamName,
    /// Its newest sequence when the drain began.
    pub last: Sequence,
    /// What the store said since that it holds; none where it did not answer.
    pub watermark: Option<Sequence>,
    /// It holds all of it, or was told what is missing on purpose.
    pub stored: bool,
    /// It acknowledged all of it at some time, whether or not it confirmed that now.
    pub acknowledged: bool,
}

/// A scope of state in a drain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeProof {
    /// Its name.
    pub scope: Scope,
    /// Its revision when the drain began.
    pub rev: Revision,
    /// The store acknowledged this revision or a later one, since the drain began or as all there was.
    pub stored: bool,
    /// It acknowledged it at some time.
    pub acknowledged: bool,
}

/// What became of the drain of one sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainReport {
    /// The sink.
    pub sink: SinkName,
    /// Everything that was there when it began is stored.
    pub stored: bool,
    /// Each stream that the sink reads.
    pub streams: Vec<StreamProof>,
    /// Each scope of state.
    pub scopes: Vec<ScopeProof>,
    /// What stands in the way, where the sink knows.
    pub error: Option<String>,
}

impl DrainReport {
    /// What is not proved to be stored, for people; none where all is.
    pub fn missing(&self) -> Option<String> {
        (!self.stored).then(|| {
            self.told(|stored, _| !stored)
                .unwrap_or_else(|| self.unable())
        })
    }

    /// What was never acknowledged and so has yet to go up, for people; none where nothing is left.
    pub fn unacknowledged(&self) -> Option<String> {
        let nothing_known = self.streams.is_empty() && self.scopes.is_empty();
        if self.stored || nothing_known {
            return (!self.stored).then(|| self.unable());
        }
        self.told(|stored, acknowledged| !stored && !acknowledged)
    }

    fn unable(&self) -> String {
        let error = self.error.as_deref().unwrap_or("nothing is known");
        format!("sink {}: {error}", self.sink)
    }

    fn told(&self, lacks: impl Fn(bool, bool) -> bool) -> Option<String> {
        let streams = self.streams.iter();
        let streams = streams.filter(|stream| lacks(stream.stored, stream.acknowledged));
        let mut parts: Vec<String> = streams
            .map(|stream| match stream.watermark {
                Some(held) => format!(
                    "{} is stored up to {held} of {}",
                    stream.stream, stream.last
                ),
                None => format!("{} up to {} is not confirmed", stream.stream, stream.last),
            })
            .collect();
        let scopes = self.scopes.iter();
        let scopes = scopes.filter(|scope| lacks(scope.stored, scope.acknowledged));
        parts.extend(scopes.map(|scope| format!("state of {} is not stored", scope.scope)));
        if parts.is_empty() {
            return None;
        }
        let more = parts.len().saturating_sub(MISSING_TOLD);
        parts.truncate(MISSING_TOLD);
        if more > 0 {
            parts.push(format!("and {more} more"));
        }
        parts.extend(self.error.clone());
        Some(format!("sink {}: {}", self.sink, parts.join(", ")))
    }
}

/// How long a drain goes on where the sink cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Until its time is over: it may come back.
    Long,
    /// Until one more try, made at once, has failed too.
    Once,
}
