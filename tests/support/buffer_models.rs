//! What `tests/buffer_model.rs` believes of a buffer: simple models of a stream and of a scope.

use crate::buffers::stream;
use sidekick::buffer::{Change, Limit, Past, StreamRule, WhenFull};
use sidekick::types::{Key, Payload, StreamName};
use std::collections::BTreeMap;

/// What two of the streams may hold that the sink lacks: the one refuses more, the other drops its oldest.
pub const REFUSES: (&str, u64) = ("s2", 30);
pub const DROPS: (&str, u64) = ("s3", 20);
/// One of the scopes keeps so many earlier values of its keys.
pub const KEEPS: (&str, usize) = ("c0", 3);

#[derive(Default)]
pub struct StreamModel {
    pub events: Vec<Payload>,
    pub cursor: u64,
    pub producer: Option<(u64, u64, u64)>,
    /// All up to here were dropped or acknowledged; so many were lost.
    pub gone: u64,
    pub dropped: u64,
}

impl StreamModel {
    /// What the sink lacks.
    pub fn held(&self) -> u64 {
        self.events.len() as u64 - self.cursor.max(self.gone)
    }

    /// Adds events; drops the oldest beyond a limit.
    pub fn push(&mut self, name: &StreamName, payload: Payload) {
        self.events.push(payload);
        let (drops, limit) = DROPS;
        if *name == stream(drops) && self.held() > limit {
            let gone = self.events.len() as u64 - limit;
            self.dropped += gone - self.cursor.max(self.gone);
            self.gone = gone;
        }
    }
}

#[derive(Default)]
pub struct ScopeModel {
    pub state: BTreeMap<Key, Payload>,
    pub epoch: u64,
    pub batch: u64,
    pub last: Option<(u64, u64)>,
    pub rev: u64,
    pub tail: Vec<(StreamName, u64)>,
    pub has_point: bool,
    /// What the sink has: revision and state.
    pub sink: (u64, BTreeMap<Key, Payload>),
    /// Every change of every key.
    pub changes: BTreeMap<Key, Vec<Past>>,
}

impl ScopeModel {
    /// One commit's changes.
    pub fn change(&mut self, changes: &[Change]) {
        self.rev += 1;
        for change in changes {
            let (key, value) = match change {
                Change::Put(key, value) => (key, Some(value.clone())),
                Change::Delete(key) => (key, None),
            };
            let revisions = self.changes.entry(key.clone()).or_default();
            revisions.retain(|past| past.rev < self.rev);
            revisions.push(Past {
                rev: self.rev,
                value,
            });
        }
        apply(&mut self.state, changes);
    }
}

fn apply(state: &mut BTreeMap<Key, Payload>, changes: &[Change]) {
    for change in changes {
        match change {
            Change::Put(key, value) => drop(state.insert(key.clone(), value.clone())),
            Change::Delete(key) => drop(state.remove(key)),
        }
    }
}

pub fn limits() -> Vec<StreamRule> {
    let rule = |(pattern, count): (&str, u64), when_full| StreamRule {
        pattern: pattern.to_owned(),
        limit: Limit {
            count: Some(count),
            ..Limit::default()
        },
        when_full: Some(when_full),
        ..StreamRule::default()
    };
    vec![
        rule(REFUSES, WhenFull::Reject),
        rule(DROPS, WhenFull::DropOldest),
    ]
}
