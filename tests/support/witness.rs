//! What the demo game wrote down of its life, and whether a journal agrees with it.

#![allow(dead_code, clippy::unwrap_used)]

use sidekick::buffer::Buffer;
use sidekick::etf::{self, Term};
use sidekick::types::StreamName;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// One line of the game's witness file.
#[derive(Debug, Clone)]
pub struct Line {
    pub kind: String,
    pub fields: HashMap<String, String>,
}

impl Line {
    pub fn number(&self, field: &str) -> u64 {
        self.fields[field].parse().unwrap()
    }

    pub fn ids(&self) -> Vec<String> {
        self.fields["ids"].split(',').map(str::to_owned).collect()
    }
}

/// All lines, in order.
pub fn lines(file: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    // A last line without its end was not whole when the game died.
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    whole.lines().map(line).collect()
}

/// One of them.
pub fn line(text: &str) -> Line {
    let (kind, rest) = text.split_once(' ').unwrap();
    let field = |field: &str| {
        field
            .split_once('=')
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
    };
    Line {
        kind: kind.to_owned(),
        fields: rest.split(' ').filter_map(field).collect(),
    }
}

/// Those of one kind.
pub fn lines_of(file: &Path, kind: &str) -> Vec<Line> {
    let mut lines = lines(file);
    lines.retain(|line| line.kind == kind);
    lines
}

/// Every event of a stream, in order.
pub async fn events(buffer: &Buffer, stream: &str) -> Vec<Term> {
    let stream = StreamName::try_from(stream).unwrap();
    let mut events = Vec::new();
    loop {
        let from = events.len() as u64 + 1;
        let records = buffer.read(&stream, from, 10_000, 64 << 20).await.unwrap();
        if records.is_empty() {
            return events;
        }
        for record in records {
            assert_eq!(record.seq, events.len() as u64 + 1);
            events.push(etf::decode(record.payload).unwrap());
        }
    }
}

/// A field of an event.
pub fn field(event: &Term, name: &str) -> Term {
    let Term::Map(pairs) = event else {
        panic!("an event that is no map: {event}")
    };
    let pair = pairs.iter().find(|(key, _)| key.as_text() == Some(name));
    pair.unwrap_or_else(|| panic!("no {name} in {event}"))
        .1
        .clone()
}

/// Counts from outside: nothing acknowledged is missing, nothing is there twice, ticks follow one another, and every restore gave
/// the world of a tick at or after the last acknowledged one. Gives the worlds' hashes by tick.
pub fn judge(told: &[Line], events: &[Term]) -> Result<HashMap<u64, String>, String> {
    let mut seen = HashSet::new();
    let mut hashes = HashMap::new();
    for event in events {
        let id = field(event, "id").as_text().unwrap().to_owned();
        if !seen.insert(id.clone()) {
            return Err(format!("{id} is there twice"));
        }
        let tick = field(event, "tick").as_u64().unwrap();
        if field(event, "kind").as_text() == Some("tick") {
            if tick != hashes.len() as u64 + 1 {
                return Err(format!("tick {tick} follows tick {}", hashes.len()));
            }
            hashes.insert(tick, field(event, "hash").as_text().unwrap().to_owned());
        }
    }
    let mut acknowledged = 0;
    for line in told {
        let tick = line.number("tick");
        if line.kind == "acked" {
            if let Some(id) = line.ids().iter().find(|id| !seen.contains(*id)) {
                return Err(format!("{id} was acknowledged and is missing"));
            }
            acknowledged = acknowledged.max(tick);
        } else if tick < acknowledged || line.fields["verified"] != "true" {
            return Err(format!(
                "tick {acknowledged} was acknowledged, but {line:?}"
            ));
        }
        let same = hashes.get(&tick) == line.fields.get("hash");
        // The world before the first tick stands in no event.
        if !same && tick > 0 {
            return Err(format!(
                "the journal has another world at tick {tick}: {line:?}"
            ));
        }
    }
    Ok(hashes)
}
