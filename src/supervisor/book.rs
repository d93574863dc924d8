//! The last lines of one server, in memory.

use super::slot::Slot;
use super::status::{LogLine, LogSource};
use crate::types::{ServerId, now_ms};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast;

/// Longest line; longer ones are cut.
pub const LINE_MAX: usize = 8 << 10;
/// Bytes of all lines of a server together.
const BYTES_MAX: usize = 2 << 20;
/// Secrets of so many processes are hidden: of the one that plays, of its standby, of one on its way out.
const SECRETS: usize = 4;

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
    /// With the place of the process that wrote it; `None` where that was the supervisor.
    lines: VecDeque<(Option<Slot>, LogLine)>,
    bytes: usize,
    next: u64,
    /// Of each process by itself, the newest last.
    hidden: VecDeque<Vec<String>>,
    /// All of them, the longest first, since one may hold another.
    secrets: Vec<String>,
    /// Where lines go instead.
    diverted: Option<Arc<LogBook>>,
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

    /// Of one more process: these texts are replaced wherever a line holds them.
    pub fn hide(&self, secrets: Vec<String>) {
        let mut inner = self.lock();
        inner.hidden.push_back(secrets);
        if inner.hidden.len() > SECRETS {
            inner.hidden.pop_front();
        }
        let mut all: Vec<String> = inner.hidden.iter().flatten().cloned().collect();
        all.retain(|secret| !secret.is_empty());
        all.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        all.dedup();
        inner.secrets = all;
    }

    /// Adds a line of the supervisor itself.
    pub fn note(&self, line: &str) {
        self.push(None, LogSource::Sidekick, line.as_bytes());
    }

    /// Adds a line of the process in that place.
    pub fn push(&self, of: Option<Slot>, source: LogSource, line: &[u8]) {
        let cut = line.len() >= LINE_MAX;
        let text = String::from_utf8_lossy(&line[..line.len().min(LINE_MAX)]);
        self.add(of, source, text.into_owned(), cut);
    }

    /// Everything that is here, and whatever comes, goes to another book: the process became that of the other.
    pub fn divert(&self, to: &Arc<Self>) {
        let mut inner = self.lock();
        for (of, line) in std::mem::take(&mut inner.lines) {
            let cut = line.line.len() >= LINE_MAX;
            to.add(of, line.source, line.line, cut);
        }
        inner.bytes = 0;
        inner.diverted = Some(to.clone());
    }

    fn add(&self, of: Option<Slot>, source: LogSource, text: String, cut: bool) {
        let mut inner = self.lock();
        if let Some(to) = inner.diverted.clone() {
            drop(inner);
            return to.add(of, source, text, cut);
        }
        let text = mask(text, &inner.secrets, cut);
        inner.next += 1;
        let line = LogLine {
            at_ms: now_ms(),
            source,
            line: text,
            cursor: inner.next,
        };
        inner.bytes += line.line.len();
        inner.lines.push_back((of, line.clone()));
        while inner.lines.len() > self.capacity || inner.bytes > BYTES_MAX {
            let Some((_, old)) = inner.lines.pop_front() else {
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
            Some(after) => inner
                .lines
                .partition_point(|(_, line)| line.cursor <= after),
            None => inner.lines.len().saturating_sub(limit),
        };
        let lines = inner.lines.range(start..).take(limit);
        lines.map(|(_, line)| line.clone()).collect()
    }

    /// The newest lines after a cursor, at most so many, of the process in that place and of the supervisor.
    pub fn since(&self, cursor: u64, of: Slot, limit: usize) -> Vec<LogLine> {
        let inner = self.lock();
        let start = inner
            .lines
            .partition_point(|(_, line)| line.cursor <= cursor);
        let own = |(by, _): &&(Option<Slot>, LogLine)| by.is_none_or(|by| by == of);
        let lines = inner.lines.range(start..).filter(own);
        let mut lines: Vec<LogLine> = lines.map(|(_, line)| line.clone()).collect();
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
