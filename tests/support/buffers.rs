//! Small things that the buffer's tests share.
#![allow(dead_code, reason = "each test file uses some")]

use sidekick::buffer::{Buffer, Options, Record, SessionBatch, SinkRule, Start};
use sidekick::types::{Epoch, Key, Payload, Scope, SinkName, StreamName, Token};
use std::collections::BTreeMap;
use std::path::Path;

pub fn stream(name: &str) -> StreamName {
    StreamName::try_from(name).expect("a valid name")
}

pub fn scope(name: &str) -> Scope {
    Scope::try_from(name).expect("a valid name")
}

pub fn key(name: &str) -> Key {
    Key::try_from(name).expect("a valid name")
}

pub fn sink(name: &str) -> SinkName {
    SinkName::try_from(name).expect("a valid name")
}

pub fn payload(text: &str) -> Payload {
    Payload::copy_from_slice(text.as_bytes())
}

/// Small segments, so that a test sees many.
pub fn options(dir: &Path) -> Options {
    let mut options = Options::new(dir.join("buffer"));
    options.segment_bytes = 64 << 10;
    options.max_bytes = 8 << 20;
    options
}

/// A sink for all streams.
pub fn sink_rule(name: &str, start: Start) -> SinkRule {
    SinkRule {
        name: sink(name),
        patterns: vec!["*".to_owned()],
        start,
    }
}

/// Opens a buffer beside the runtime.
pub async fn open(options: &Options) -> Buffer {
    let options = options.clone();
    tokio::task::spawn_blocking(move || Buffer::open(options))
        .await
        .expect("no panic")
        .expect("opens")
}

pub async fn activate(buffer: &Buffer, name: &str) -> Epoch {
    buffer
        .activate(&scope(name), Token::new("secret"))
        .await
        .expect("activates")
}

pub fn batch(name: &str, epoch: Epoch, number: u64) -> SessionBatch {
    SessionBatch {
        scope: scope(name),
        epoch,
        batch: number,
        events: Vec::new(),
        changes: Vec::new(),
    }
}

/// Waits until the buffer's figures fit; wakes with each commit and each trim.
pub async fn until(buffer: &Buffer, what: &str, mut holds: impl FnMut(&Buffer) -> bool) {
    let mut committed = buffer.committed();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        committed.borrow_and_update();
        if holds(buffer) {
            return;
        }
        tokio::time::timeout_at(deadline, committed.changed())
            .await
            .unwrap_or_else(|_| panic!("{what}: not within 30 s"))
            .expect("still open");
    }
}

/// All events of a stream up to `last`. A read ends early where trimming overtakes it; then it is begun anew.
pub async fn everything(buffer: &Buffer, name: &StreamName, last: u64) -> Vec<Record> {
    loop {
        let records = buffer
            .read(name, 1, usize::MAX, usize::MAX)
            .await
            .expect("reads");
        if records.last().is_none_or(|record| record.seq >= last) {
            return records;
        }
    }
}

/// Everything a buffer answers, in the form of `journal_reader.exs`.
pub async fn witnessed(buffer: &Buffer) -> Vec<String> {
    let mut lines = Vec::new();
    for info in buffer.streams() {
        let name = hex(info.name.as_bytes());
        lines.push(format!("stream {name} {} {}", info.first, info.last));
        lines.extend(
            info.cursors
                .iter()
                .map(|(sink, seq)| format!("cursor {} {name} {seq}", hex(sink.as_bytes()))),
        );
        let records = everything(buffer, &info.name, info.last).await;
        lines.extend(
            records
                .iter()
                .map(|r| format!("event {name} {} {} {}", r.seq, r.at_ms, hex(&r.payload))),
        );
    }
    for scope in buffer.scopes() {
        let name = hex(scope.as_bytes());
        let restored = buffer.restore(&scope).await.expect("restores");
        let (epoch, batch) = restored.last.unwrap_or_default();
        lines.push(format!(
            "scope {name} {} {epoch} {batch} {}",
            restored.epoch, restored.revision
        ));
        lines.extend(
            restored
                .state
                .iter()
                .map(|(key, value)| format!("state {name} {} {}", hex(key.as_bytes()), hex(value))),
        );
        for (key, _) in &restored.state {
            let past = buffer.history(&scope, key).await.expect("reads");
            let past = past.iter().skip(1);
            let set = past.map_while(|past| Some((past.rev, past.value.as_ref()?)));
            let key = hex(key.as_bytes());
            lines.extend(set.map(|(rev, value)| format!("past {name} {key} {rev} {}", hex(value))));
        }
        lines.extend(
            restored
                .tail
                .iter()
                .map(|event| format!("tail {name} {} {}", hex(event.stream.as_bytes()), event.seq)),
        );
    }
    lines.sort();
    lines
}

/// What the independent reader finds, or why it refuses.
pub fn independent(dir: &Path) -> Result<Vec<String>, String> {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/support/journal_reader.exs"
    );
    let output = std::process::Command::new("elixir")
        .args([Path::new(script), dir])
        .output()
        .expect("elixir runs (eval \"$(./scripts/setup --env)\" puts it on the PATH)");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(output.stdout).expect("text");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert!(
        lines.pop().is_some_and(|last| last.starts_with("ok ")),
        "{text}"
    );
    Ok(lines)
}

pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// What no sink has yet. Events behind the cursor are trimmed when the keeper comes to it: whether the journal already says so
/// at the moment of closing is nobody's promise, and the next opening trims them from the cursor alone.
pub fn beyond_cursors(facts: &[String]) -> Vec<String> {
    let words = |fact: &str| fact.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let cursors: BTreeMap<String, u64> = facts
        .iter()
        .map(|fact| words(fact))
        .filter(|words| words[0] == "cursor")
        .map(|words| (words[2].clone(), words[3].parse().expect("a number")))
        .collect();
    let mut kept = Vec::new();
    for fact in facts {
        let words = words(fact);
        match words[0].as_str() {
            "event" => {
                let seq: u64 = words[2].parse().expect("a number");
                if cursors.get(&words[1]).is_none_or(|cursor| seq > *cursor) {
                    kept.push(fact.clone());
                }
            }
            "stream" => kept.push(format!("stream {} {}", words[1], words[3])),
            _ => kept.push(fact.clone()),
        }
    }
    kept
}
