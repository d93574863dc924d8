//! What a buffer is opened with.

use crate::types::{SinkName, StreamName};
use std::path::PathBuf;
use std::time::Duration;

/// Bytes kept back for state once streams have filled the disk.
pub const RESERVE_BYTES: u64 = 64 << 20;
/// Size of a journal segment where the options do not say.
pub const SEGMENT_BYTES: u64 = 16 << 20;

/// What an append meets once the buffer is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// The append waits until there is space: back-pressure.
    #[default]
    Block,
    /// The oldest events of the stream go, counted and listed as dropped.
    DropOldest,
    /// The append is refused with [`AppendError::Full`](super::AppendError::Full).
    Reject,
}

/// How much of a stream stays readable after every sink has it; with no sink, how much stays at all.
/// Each limit alone trims what lies beyond it; `None` everywhere keeps nothing for its own sake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keep {
    /// The newest so many payload bytes (to within 64 KiB).
    pub bytes: Option<u64>,
    /// Events at most this old (to within 64 KiB of neighbours).
    pub age: Option<Duration>,
    /// The newest so many events.
    pub count: Option<u64>,
}

impl Keep {
    /// Whether any limit is set.
    pub fn is_set(&self) -> bool {
        self.bytes.is_some() || self.age.is_some() || self.count.is_some()
    }
}

/// How much a stream may hold that its sinks lack (all it holds, where no sink has a cursor in it). [`WhenFull`] says what
/// an append meets at the limit. What sinks have does not count: how much of that stays is [`Keep`]'s to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limit {
    /// Bytes as [`StreamInfo::bytes`](super::StreamInfo::bytes) counts them. Never more; where a cursor stands within an
    /// extent up to 64 KiB less, and `DropOldest` drops whole extents of up to 64 KiB.
    pub bytes: Option<u64>,
    /// Events, exactly.
    pub count: Option<u64>,
    /// Older events are dropped (to within 64 KiB of neighbours, and an eighth of the age). Needs [`WhenFull::DropOldest`].
    pub age: Option<Duration>,
}

impl Limit {
    /// Whether any limit is set.
    pub fn is_set(&self) -> bool {
        self.bounds_appends() || self.age.is_some()
    }

    /// Whether an append can meet it.
    pub fn bounds_appends(&self) -> bool {
        self.bytes.is_some() || self.count.is_some()
    }
}

/// Rules for the streams whose name matches a pattern; the first match counts.
#[derive(Debug, Clone, Default)]
pub struct StreamRule {
    /// A name in which each `*` stands for any bytes.
    pub pattern: String,
    /// What stays readable.
    pub keep: Keep,
    /// What it may hold that its sinks lack.
    pub limit: Limit,
    /// Overrides [`Options::when_full`].
    pub when_full: Option<WhenFull>,
}

/// At most so many earlier values of a key can be kept.
pub const HISTORY_MAX: u32 = 64;

/// How many earlier values stay readable of each key of the scopes whose name matches; the first match counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRule {
    /// A name (1 to 255 bytes) in which each `*` stands for any bytes.
    pub pattern: String,
    /// So many, at most [`HISTORY_MAX`].
    pub history: u32,
}

/// What holds for one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rule {
    /// What stays readable.
    pub keep: Keep,
    /// What it may hold that its sinks lack.
    pub limit: Limit,
    /// What an append meets at a limit: the stream's or the buffer's.
    pub when_full: WhenFull,
}

/// Where a sink begins in streams that exist when it is first named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// With the oldest event there is.
    #[default]
    First,
    /// With the next event to come.
    Now,
}

/// A sink: a named reader whose cursors hold back trimming.
#[derive(Debug, Clone)]
pub struct SinkRule {
    /// Unique; keys the cursors.
    pub name: SinkName,
    /// The streams it reads, as patterns like [`StreamRule::pattern`].
    pub patterns: Vec<String>,
    /// Where it begins.
    pub start: Start,
}

impl SinkRule {
    /// Whether the sink reads this stream.
    pub fn reads(&self, stream: &StreamName) -> bool {
        self.patterns
            .iter()
            .any(|pattern| matches(pattern.as_bytes(), stream.as_bytes()))
    }
}

/// What a buffer is opened with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The buffer's directory; made where it is missing.
    pub dir: PathBuf,
    /// Bound of the journal's files together, bytes.
    pub max_bytes: u64,
    /// What an append meets once the buffer is full, where no stream rule says otherwise.
    pub when_full: WhenFull,
    /// Size of one segment file. The largest record is half of it.
    pub segment_bytes: u64,
    /// Rules per stream.
    pub streams: Vec<StreamRule>,
    /// Rules per scope of state, at most 64.
    pub states: Vec<StateRule>,
    /// The sinks there are now. A sink known to the journal but not listed still pins until it is forgotten.
    pub sinks: Vec<SinkRule>,
    /// Bytes of `max_bytes` that events cannot use, so that state still fits (at most a quarter of `max_bytes`).
    pub reserve_bytes: u64,
}

impl Options {
    /// Defaults for a directory: 4 GiB, blocking when full, no rules, no sinks.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            max_bytes: 4 << 30,
            when_full: WhenFull::Block,
            segment_bytes: SEGMENT_BYTES,
            streams: Vec::new(),
            states: Vec::new(),
            sinks: Vec::new(),
            reserve_bytes: RESERVE_BYTES,
        }
    }

    /// What holds for a stream.
    pub fn rule(&self, stream: &StreamName) -> Rule {
        self.streams
            .iter()
            .find(|rule| matches(rule.pattern.as_bytes(), stream.as_bytes()))
            .map_or(
                Rule {
                    when_full: self.when_full,
                    ..Rule::default()
                },
                |rule| Rule {
                    keep: rule.keep,
                    limit: rule.limit,
                    when_full: rule.when_full.unwrap_or(self.when_full),
                },
            )
    }

    /// Whether appends to some streams can meet a limit of the stream.
    pub fn has_limits(&self) -> bool {
        self.streams.iter().any(|rule| rule.limit.bounds_appends())
    }
}

/// Whether `name` matches `pattern`, in which each `*` stands for any bytes.
pub fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            retry = Some((p + 1, n));
            p += 1;
        } else if pattern.get(p) == Some(&name[n]) {
            p += 1;
            n += 1;
        } else if let Some((after_star, from)) = retry {
            p = after_star;
            n = from + 1;
            retry = Some((after_star, from + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&b| b == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_stand_for_any_bytes() {
        for (pattern, name, expected) in [
            ("*", "anything", true),
            ("match.*", "match.lobby", true),
            ("match.*", "score.lobby", false),
            ("*.log", "a.log.log", true),
            ("a*b*c", "a--b--c", true),
            ("a*b*c", "a--c--b", false),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("", "a", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }
}
