//! Crash bundles: everything known of an unplanned end, one JSON file each, synced, only the newest kept.

use super::output::Output;
use super::status::{CrashSummary, EndReason, LogLine};
use crate::guard::files::{ExitRecord, make_private_dir};
use crate::types::{Epoch, UnixMillis};
use serde::Serialize;
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Longest bundle that is read back.
const BUNDLE_MAX: u64 = 16 << 20;

/// What goes into a bundle.
#[derive(Debug, Clone, Serialize)]
pub struct Bundle {
    /// Server id.
    pub server: String,
    /// When it ended.
    pub at_ms: UnixMillis,
    /// Which start of the supervisor's life.
    pub start_number: u64,
    /// Process id.
    pub os_pid: u32,
    /// Epoch of the activation.
    pub epoch: Option<Epoch>,
    /// Why: our own decision, else what the engine printed, else the wait status.
    pub reason: EndReason,
    /// Our own decision, if any.
    pub decision: Option<&'static str>,
    /// What an operator should read first.
    pub detail: Option<String>,
    /// It ended while no sidekick ran.
    pub while_away: bool,
    /// It was a standby, which never played.
    pub standby: bool,
    /// Wait status, times and use, as the guard recorded them.
    pub exit: Option<ExitRecord>,
    /// What the engine printed.
    pub output: Output,
    /// The last lines.
    pub log: Vec<LogLine>,
    /// The last heartbeats, the oldest first.
    pub beats: Vec<Value>,
    /// Memory, CPU and timings.
    pub figures: Value,
    /// Program (without arguments, which may hold secrets) and versions.
    pub versions: Value,
    /// What other rooms know: un-uploaded ranges and so on.
    pub facts: Value,
}

/// The bundles of one server.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
    keep: usize,
}

impl Store {
    /// Bundles in `crash_dir/<id>`, at most `keep` of them.
    pub fn new(crash_dir: &Path, id: &str, keep: usize) -> Self {
        Self {
            dir: crash_dir.join(id),
            keep: keep.max(1),
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:08}.json"))
    }

    fn numbers(&self) -> Vec<u64> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let mut numbers: Vec<u64> = entries
            .filter_map(|entry| {
                entry
                    .file_name()
                    .to_str()?
                    .strip_suffix(".json")?
                    .parse()
                    .ok()
            })
            .collect();
        numbers.sort_unstable();
        numbers
    }

    /// Writes a bundle and removes the oldest; gives its number. Blocks.
    pub fn write(&self, bundle: &Bundle) -> io::Result<u64> {
        make_private_dir(&self.dir)?;
        let numbers = self.numbers();
        let number = numbers.last().map_or(1, |last| last + 1);
        let mut value = serde_json::to_value(bundle).map_err(io::Error::other)?;
        value["number"] = json!(number);
        let path = self.path(number);
        let temporary = path.with_extension("tmp");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&serde_json::to_vec_pretty(&value).map_err(io::Error::other)?)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(&self.dir)?.sync_all()?;
        let surplus = (numbers.len() + 1).saturating_sub(self.keep);
        for old in &numbers[..surplus.min(numbers.len())] {
            let _ = fs::remove_file(self.path(*old));
        }
        Ok(number)
    }

    /// One bundle. Blocks.
    pub fn read(&self, number: u64) -> Option<Value> {
        let path = self.path(number);
        if fs::metadata(&path).ok()?.len() > BUNDLE_MAX {
            return None;
        }
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// All of them, the oldest first. Blocks.
    pub fn list(&self) -> Vec<CrashSummary> {
        self.numbers()
            .into_iter()
            .filter_map(|number| self.summary(number))
            .collect()
    }

    fn summary(&self, number: u64) -> Option<CrashSummary> {
        let bytes = fs::metadata(self.path(number)).ok()?.len();
        let value = self.read(number)?;
        let reason = value.get("reason")?;
        // An enum is a word, or an object with one word and its value.
        let reason = match reason {
            Value::Object(map) => map.iter().next().map(|(word, value)| match value {
                Value::String(text) => format!("{word} {text}"),
                other => format!("{word} {other}"),
            })?,
            other => other.as_str()?.to_owned(),
        };
        Some(CrashSummary {
            number,
            at_ms: value.get("at_ms")?.as_u64()?,
            reason,
            script_line: value["output"]["script_line"].as_str().map(str::to_owned),
            bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(at_ms: u64) -> Bundle {
        Bundle {
            server: "lobby".into(),
            at_ms,
            start_number: 1,
            os_pid: 7,
            epoch: Some(3),
            reason: EndReason::Signal("sigsegv".into()),
            decision: None,
            detail: None,
            while_away: false,
            standby: false,
            exit: None,
            output: Output {
                script_line: Some("res://a.gd:3".into()),
                ..Output::default()
            },
            log: Vec::new(),
            beats: Vec::new(),
            figures: Value::Null,
            versions: Value::Null,
            facts: json!({"streams": {}}),
        }
    }

    #[test]
    fn bundles_are_numbered_listed_and_bounded() {
        let dir = tempfile::tempdir().expect("tempdir");
        let store = Store::new(dir.path(), "lobby", 3);
        assert!(store.list().is_empty());
        for at_ms in 1..=5 {
            assert_eq!(store.write(&bundle(at_ms)).expect("writes"), at_ms);
        }
        let list = store.list();
        assert_eq!(
            list.iter()
                .map(|summary| summary.number)
                .collect::<Vec<_>>(),
            [3, 4, 5]
        );
        assert_eq!(list[0].reason, "signal sigsegv");
        assert_eq!(list[0].script_line.as_deref(), Some("res://a.gd:3"));
        assert_eq!(
            store.read(5).map(|value| value["number"].clone()),
            Some(json!(5))
        );
        assert_eq!(store.read(1), None);
        let later = Store::new(dir.path(), "lobby", 3);
        assert_eq!(later.write(&bundle(6)).expect("writes"), 6);
    }
}
