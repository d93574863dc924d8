//! The crash bundles of one server on disk: one JSON file each, synced; only the newest are kept, by number and by bytes.
//!
//! A file that cannot be read is listed as damaged and hinders nothing. What was seen of each kind of crash stands in a file of its
//! own ([`Known`]), so that counts outlast the bundles; where it is damaged it is made again from them.

use super::bundle::Bundle;
use super::known::{Kind, Known, write_whole};
use super::status::CrashSummary;
use crate::guard::files::make_private_dir;
use crate::types::UnixMillis;
use serde_json::{Value, json};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Longest bundle that is read back.
const BUNDLE_MAX: u64 = 16 << 20;

/// The bundles of one server. Clones are the same store.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
    keep: usize,
    keep_bytes: u64,
    /// One writes at a time: ends may follow each other faster than a disk syncs.
    writing: Arc<Mutex<()>>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Number of the bundle.
    pub number: u64,
    /// What is known of its kind, this one included.
    pub kind: Kind,
}

impl Store {
    /// Bundles in `crash_dir/<id>`, at most `keep` of them and `keep_bytes` together; the newest always stays.
    pub fn new(crash_dir: &Path, id: &str, keep: usize, keep_bytes: u64) -> Self {
        Self {
            dir: crash_dir.join(id),
            keep: keep.max(1),
            keep_bytes,
            writing: Arc::default(),
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

    /// Writes a bundle and removes the oldest. One that was written already, by a sidekick that died before it had noted that the
    /// end was dealt with, is not written again. Blocks.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub fn write(&self, bundle: &Bundle) -> io::Result<Written> {
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        make_private_dir(&self.dir)?;
        let numbers = self.numbers();
        let fingerprint = bundle.fingerprint();
        let mut known = self.known(&numbers);
        if let Some(written) = self.already(bundle, &numbers) {
            return Ok(written);
        }
        let last = numbers.last().copied().unwrap_or(0).max(known.last_number);
        let number = last + 1;
        let kind = known.note(&fingerprint, bundle.at_ms, number);
        let mut value = serde_json::to_value(bundle).map_err(io::Error::other)?;
        value["number"] = json!(number);
        value["fingerprint"] = json!(kind.fingerprint);
        value["count"] = json!(kind.count);
        value["first_seen_ms"] = json!(kind.first_seen_ms);
        value["last_seen_ms"] = json!(kind.last_seen_ms);
        let bytes = serde_json::to_vec_pretty(&value).map_err(io::Error::other)?;
        // The bundle first: where we die in between, it is found and not counted twice.
        write_whole(&self.path(number), &bytes)?;
        known.write(&self.dir)?;
        self.remove_oldest();
        Ok(Written { number, kind })
    }

    fn already(&self, bundle: &Bundle, numbers: &[u64]) -> Option<Written> {
        let number = *numbers.last().filter(|_| bundle.while_away)?;
        let value = self.read(number)?;
        let same = value["start"] == bundle.start.as_str();
        Some(Written {
            number,
            kind: kind_of(&value).filter(|_| same)?,
        })
    }

    /// What is known of the kinds of crashes. Where a bundle was written and not yet counted it is counted now.
    fn known(&self, numbers: &[u64]) -> Known {
        let known = match Known::read(&self.dir) {
            Ok(known) => known,
            Err(error) => {
                tracing::warn!(dir = %self.dir.display(), %error, "known.json is damaged; it is put aside and made again from the bundles");
                Known::put_aside(&self.dir);
                None
            }
        };
        let known_up_to = known.as_ref().map_or(0, |known| known.last_number);
        let mut known = known.unwrap_or_default();
        for number in numbers.iter().filter(|number| **number > known_up_to) {
            if let Some(kind) = self.read(*number).as_ref().and_then(kind_of) {
                known.learn(kind, *number);
            }
        }
        known
    }

    fn remove_oldest(&self) {
        let numbers = self.numbers();
        let size = |number: &u64| fs::metadata(self.path(*number)).map_or(0, |meta| meta.len());
        let (mut bytes, mut kept) = (0, 0);
        for number in numbers.iter().rev() {
            bytes += size(number);
            kept += 1;
            if kept > 1 && (kept > self.keep || bytes > self.keep_bytes) {
                let _ = fs::remove_file(self.path(*number));
            }
        }
    }

    /// One bundle; of a damaged one what is wrong with it. Blocks.
    pub fn read(&self, number: u64) -> Option<Value> {
        let path = self.path(number);
        let length = fs::metadata(&path).ok()?.len();
        let damaged = |why: String| json!({ "number": number, "damaged": why });
        if length > BUNDLE_MAX {
            return Some(damaged(format!(
                "its file has {length} bytes, which no bundle has"
            )));
        }
        let value = fs::read(path)
            .map_err(|error| error.to_string())
            .and_then(|bytes| {
                serde_json::from_slice::<Value>(&bytes).map_err(|error| error.to_string())
            });
        Some(match value {
            Ok(value) if value.is_object() => value,
            Ok(_) => damaged("its file is no bundle".to_owned()),
            Err(error) => damaged(format!("its file cannot be read: {error}")),
        })
    }

    /// All of them, the oldest first. Blocks.
    pub fn list(&self) -> Vec<CrashSummary> {
        let known = Known::read(&self.dir).ok().flatten().unwrap_or_default();
        self.numbers()
            .into_iter()
            .filter_map(|number| self.summary(number, &known))
            .collect()
    }

    fn summary(&self, number: u64, known: &Known) -> Option<CrashSummary> {
        let bytes = fs::metadata(self.path(number)).ok()?.len();
        let value = self.read(number)?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let own = kind_of(&value);
        let kind = own
            .as_ref()
            .and_then(|kind| known.get(&kind.fingerprint).cloned())
            .or(own);
        Some(CrashSummary {
            number,
            at_ms: value["at_ms"].as_u64().unwrap_or(0),
            reason: reason(&value["reason"]).unwrap_or_else(|| "unknown".to_owned()),
            script_line: text(&value["output"]["script_line"]),
            damaged: text(&value["damaged"]),
            kind,
            bytes,
        })
    }
}

/// What a bundle says of its kind; one of an earlier version says nothing.
fn kind_of(bundle: &Value) -> Option<Kind> {
    let ms = |name: &str| bundle[name].as_u64() as Option<UnixMillis>;
    Some(Kind {
        fingerprint: bundle["fingerprint"].as_str()?.to_owned(),
        count: bundle["count"].as_u64()?,
        first_seen_ms: ms("first_seen_ms")?,
        last_seen_ms: ms("last_seen_ms")?,
    })
}

/// A reason as text: an enum is a word, or an object with one word and its value.
fn reason(reason: &Value) -> Option<String> {
    match reason {
        Value::Object(map) => map.iter().next().map(|(word, value)| match value {
            Value::String(text) => format!("{word} {text}"),
            other => format!("{word} {other}"),
        }),
        other => other.as_str().map(str::to_owned),
    }
}

#[cfg(test)]
mod tests;
