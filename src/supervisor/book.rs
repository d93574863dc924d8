//! The last lines of one server, in memory.

use super::status::{LogLine, LogSource};
use crate::types::{ServerId, now_ms};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use tokio::sync::broadcast;

/// Longest line; longer ones are cut.
pub const LINE_MAX: usize = 8 << 10;
/// Bytes of all lines of a server together.
const BYTES_MAX: usize = 2 << 20;

/// Lines of one server. Shared by the thread that reads the files and those who ask.
#[derive(Debug)]
pub struct LogBook {
    id: ServerId,
    capacity: usize,
    events: broadcast::Sender<(ServerId, LogLine)>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    lines: VecDeque<LogLine>,
    bytes: usize,
    next: u64,
    secrets: Vec<String>,
}

impl LogBook {
    /// An empty book of at most `capacity` lines.
    pub fn new(
        id: ServerId,
        capacity: usize,
        events: broadcast::Sender<(ServerId, LogLine)>,
    ) -> Self {
        let inner = Inner {
            // Later sidekicks continue above: nobody writes a line per microsecond.
            next: now_ms() * 1000,
            ..Inner::default()
        };
        Self {
            id,
            capacity: capacity.max(1),
            events,
            inner: Mutex::new(inner),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These texts, and no others, are replaced wherever a line holds them; the longest first, since one may hold another.
    pub fn hide(&self, mut secrets: Vec<String>) {
        secrets.retain(|secret| !secret.is_empty());
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        self.lock().secrets = secrets;
    }

    /// Adds a line of the supervisor itself.
    pub fn note(&self, line: &str) {
        self.push(LogSource::Sidekick, line.as_bytes());
    }

    /// Adds a line.
    pub fn push(&self, source: LogSource, line: &[u8]) {
        let text = String::from_utf8_lossy(&line[..line.len().min(LINE_MAX)]);
        let mut inner = self.lock();
        let line = mask(text.into_owned(), &inner.secrets, line.len() >= LINE_MAX);
        inner.next += 1;
        let line = LogLine {
            at_ms: now_ms(),
            source,
            line,
            cursor: inner.next,
        };
        inner.bytes += line.line.len();
        inner.lines.push_back(line.clone());
        while inner.lines.len() > self.capacity || inner.bytes > BYTES_MAX {
            let Some(old) = inner.lines.pop_front() else {
                break;
            };
            inner.bytes -= old.line.len();
        }
        drop(inner);
        if self.events.receiver_count() > 0 {
            let _ = self.events.send((self.id.clone(), line));
        }
    }

    /// The cursor of the newest line.
    pub fn cursor(&self) -> u64 {
        self.lock().next
    }

    /// The oldest lines after a cursor, or the newest ones.
    pub fn read(&self, limit: usize, after: Option<u64>) -> Vec<LogLine> {
        let inner = self.lock();
        let start = match after {
            Some(after) => inner.lines.partition_point(|line| line.cursor <= after),
            None => inner.lines.len().saturating_sub(limit),
        };
        inner.lines.range(start..).take(limit).cloned().collect()
    }

    /// The newest lines after a cursor, at most so many.
    pub fn since(&self, cursor: u64, limit: usize) -> Vec<LogLine> {
        let mut lines = self.read(usize::MAX, Some(cursor));
        lines.drain(..lines.len().saturating_sub(limit));
        lines
    }
}

/// The text without these secrets. Where it was cut its end may be the beginning of one.
fn mask(mut text: String, secrets: &[String], cut: bool) -> String {
    for secret in secrets {
        if text.contains(secret.as_str()) {
            text = text.replace(secret.as_str(), "***");
        }
        if cut {
            let ends = secret.char_indices().rev().map(|(at, _)| &secret[..at]);
            let mut begun = ends.filter(|begun| !begun.is_empty());
            if let Some(begun) = begun.find(|begun| text.ends_with(begun)) {
                text.truncate(text.len() - begun.len());
                text.push_str("***");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests;
