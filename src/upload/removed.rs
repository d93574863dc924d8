//! Sinks that the configuration no longer has, whose cursors still hold records back: so that a sink that was taken out, or given
//! another name, does not fill the buffer unseen.

use super::lag::behind;
use crate::buffer::Buffer;
use crate::types::SinkName;
use std::collections::BTreeMap;

/// A sink of which only the cursors are left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedSink {
    /// Its name.
    pub name: SinkName,
    /// Records that it has not acknowledged, and that are kept for it.
    pub lag_records: u64,
    /// Their payload bytes, roughly.
    pub lag_bytes: u64,
}

/// Those that have a cursor and are none of `running`, by name.
pub(super) fn find(buffer: &Buffer, running: &[SinkName]) -> Vec<RemovedSink> {
    let mut found: BTreeMap<SinkName, (u64, u64)> = BTreeMap::new();
    for info in buffer.streams() {
        let cursors = info.cursors.iter();
        for (name, cursor) in cursors.filter(|(name, _)| !running.contains(name)) {
            let (records, bytes) = behind(&info, *cursor);
            let sum = found.entry(name.clone()).or_default();
            *sum = (sum.0 + records, sum.1 + bytes);
        }
    }
    let found = found.into_iter();
    found
        .map(|(name, (lag_records, lag_bytes))| RemovedSink {
            name,
            lag_records,
            lag_bytes,
        })
        .collect()
}
