//! A read-only look at a buffer directory; works beside a running sidekick.
//!
//! It reads the journal alone. Where a running sidekick owns the directory the newest segment is read as far as it is whole
//! at that moment, and segments that are freed meanwhile are passed over.

use super::index::{Index, Location, Store};
use super::journal::facts::{self, Fact};
use super::journal::frame::Kind;
use super::journal::record::{Commit, Moved, Run};
use super::journal::recovery::{journal_dir, read_headers, read_last};
use super::journal::segment::{self, SegmentHeader};
use super::journal::walk::{Frame, WalkError, walk, walk_error};
use super::tables::Tables;
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What a check of all segments found.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Report {
    /// The directory's origin.
    pub origin: String,
    /// The origin it was salvaged from.
    pub parent: Option<String>,
    /// A running sidekick owns the directory.
    pub in_use: bool,
    /// How often it was opened.
    pub incarnation: u64,
    /// One entry per segment, oldest first.
    pub segments: Vec<SegmentReport>,
    /// Streams, with what of them is readable.
    pub streams: Vec<StreamReport>,
    /// Scopes of state.
    pub scopes: Vec<ScopeReport>,
    /// What is wrong; empty where the journal would open.
    pub problems: Vec<String>,
}

/// One segment file.
#[derive(Debug, Clone, serde::Serialize)]
pub struct SegmentReport {
    /// The file.
    pub file: PathBuf,
    /// Its id.
    pub id: u64,
    /// Valid records.
    pub records: u64,
    /// Bytes they take, header included.
    pub used_bytes: u64,
    /// Whether it ends with a seal (all but the last must).
    pub sealed: bool,
}

/// One stream.
#[derive(Debug, Clone, serde::Serialize)]
pub struct StreamReport {
    /// Its name, lossily as text.
    pub name: String,
    /// Oldest sequence that is kept.
    pub first: u64,
    /// Newest sequence.
    pub last: u64,
    /// Sinks and their cursors.
    pub cursors: BTreeMap<String, u64>,
    /// Events dropped.
    pub dropped: u64,
    /// Ranges that were dropped (or lost, see `--salvage`) before every sink had them.
    pub dropped_ranges: Vec<(u64, u64)>,
}

/// One scope.
#[derive(Debug, Clone, serde::Serialize)]
pub struct ScopeReport {
    /// Its name, lossily as text.
    pub name: String,
    /// Its current epoch.
    pub epoch: u64,
    /// Its revision.
    pub revision: u64,
    /// Its last batch: epoch and number.
    pub last: Option<(u64, u64)>,
}

/// Checks every checksum and every number of a directory.
///
/// # Errors
/// Where the directory cannot be read at all. What is wrong *in* it stands in [`Report::problems`].
pub fn verify(dir: &Path) -> io::Result<Report> {
    let mut report = Report {
        in_use: in_use(dir),
        ..Report::default()
    };
    let journal = journal_dir(dir);
    let headers = match live_headers(&journal, report.in_use, &mut report.problems)? {
        headers if headers.is_empty() => {
            report
                .problems
                .push(format!("{} holds no segment", journal.display()));
            return Ok(report);
        }
        headers => headers,
    };
    let origin = headers[0].origin;
    report.origin = origin.to_string();
    let mut tables = Tables::new(origin, Index::new(Store::Memory(BTreeMap::new())), false);
    let newest = headers.last().map(|header| header.id);
    for header in &headers {
        let path = segment::file(&journal, header.id);
        let Some(file) = open_segment(&path, report.in_use)? else {
            continue;
        };
        tables.begin_segment(header.id, segment::HEADER_BYTES);
        let walked = walk(&file, header.id, header.bytes, |frame| {
            let at = Location {
                segment: header.id,
                offset: frame.offset,
            };
            tables.apply(frame.kind, frame.body, at, frame.end)
        });
        match walked {
            Ok(walked) => {
                if !walked.sealed && newest != Some(header.id) {
                    let place = format!(
                        "{} has no valid record at byte {} and is not the last",
                        path.display(),
                        walked.valid_to
                    );
                    report.problems.push(place);
                }
                report.segments.push(SegmentReport {
                    file: path,
                    id: header.id,
                    records: walked.records,
                    used_bytes: walked.end,
                    sealed: walked.sealed,
                });
            }
            Err(WalkError::Io(error)) => return Err(error),
            Err(error) => report.problems.push(walk_error(error, &path).to_string()),
        }
    }
    fill(&mut report, &tables);
    Ok(report)
}

fn fill(report: &mut Report, tables: &Tables) {
    report.incarnation = tables.incarnation;
    report.parent = tables.parent.map(|parent| parent.to_string());
    report.streams = tables
        .streams
        .iter()
        .map(|stream| StreamReport {
            name: stream.name.to_string(),
            first: stream.first,
            last: stream.last(),
            cursors: stream
                .cursors
                .iter()
                .map(|(sink, cursor)| (sink.to_string(), cursor.durable))
                .collect(),
            dropped: stream.dropped,
            dropped_ranges: stream.ranges.clone(),
        })
        .collect();
    report.scopes = tables
        .scopes
        .iter()
        .map(|(scope, state)| ScopeReport {
            name: scope.to_string(),
            epoch: state.epoch,
            revision: state.rev,
            last: (state.last != (0, 0)).then_some(state.last),
        })
        .collect();
}

/// Writes every valid record as one line of JSON (payloads in hexadecimal; tokens masked).
///
/// # Errors
/// Where the directory cannot be read or `out` cannot be written. Damage ends a segment's lines; `verify` names it.
pub fn dump(dir: &Path, out: &mut dyn Write) -> io::Result<()> {
    let in_use = in_use(dir);
    let journal = journal_dir(dir);
    for header in live_headers(&journal, in_use, &mut Vec::new())? {
        let Some(file) = open_segment(&segment::file(&journal, header.id), in_use)? else {
            continue;
        };
        let mut failed = None;
        let _ = walk(&file, header.id, header.bytes, |frame| {
            if failed.is_none() {
                failed = line(header.id, &frame)
                    .and_then(|line| writeln!(out, "{line}"))
                    .err();
            }
            Ok(())
        });
        failed.map_or(Ok(()), Err)?;
    }
    Ok(())
}

/// The headers of the segments that belong to the journal, as far as they can be read.
fn live_headers(
    journal: &Path,
    in_use: bool,
    problems: &mut Vec<String>,
) -> io::Result<Vec<SegmentHeader>> {
    segment::list(journal)?;
    let headers = match read_headers(journal) {
        Ok(headers) => headers,
        // A segment may come or go between the listing and the look at it.
        Err(_) if in_use => {
            read_headers(journal).map_err(|error| io::Error::other(error.to_string()))?
        }
        Err(error) => {
            problems.push(error.to_string());
            return Ok(Vec::new());
        }
    };
    let Some(newest) = headers.last() else {
        return Ok(headers);
    };
    match read_last(journal, *newest) {
        Ok(last) if last.walked.records > 0 => {
            for id in last
                .segments
                .iter()
                .filter(|id| headers.iter().all(|header| header.id != **id))
            {
                problems.push(format!("segment {id:016x}.seg is missing"));
            }
            Ok(headers
                .into_iter()
                .filter(|header| last.segments.contains(&header.id))
                .collect())
        }
        Ok(_) => Ok(headers),
        // While it is written the newest segment's tail moves under the look at it.
        Err(_) if in_use => Ok(headers),
        Err(error) => {
            problems.push(error.to_string());
            Ok(headers)
        }
    }
}

fn open_segment(path: &Path, in_use: bool) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if in_use && error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a running process holds the directory's lock.
fn in_use(dir: &Path) -> bool {
    owner_lock(dir).is_err()
}

/// Keeps others from opening the directory for as long as the file lives (`None`: it has no lock). An error where one has it open.
pub(super) fn owner_lock(dir: &Path) -> Result<Option<File>, ()> {
    let Ok(file) = File::open(dir.join("lock")) else {
        return Ok(None);
    };
    let taken = flock(&file, FlockOperation::NonBlockingLockShared);
    if taken == Err(rustix::io::Errno::WOULDBLOCK) {
        return Err(());
    }
    Ok(Some(file))
}

fn line(segment: u64, frame: &Frame<'_>) -> io::Result<Value> {
    let malformed = |error: super::journal::codec::Malformed| io::Error::other(error.0);
    let content = match frame.kind {
        Kind::Seal => json!({}),
        Kind::Facts => Value::Array(
            facts::decode(frame.body)
                .map_err(malformed)?
                .iter()
                .map(fact)
                .collect(),
        ),
        Kind::Commit => commit(&Commit::decode(frame.body).map_err(malformed)?),
        Kind::Moved => moved(&Moved::decode(frame.body).map_err(malformed)?),
    };
    let kind = format!("{:?}", frame.kind).to_lowercase();
    Ok(
        json!({ "segment": segment, "offset": frame.offset, "commit": frame.commit, "kind": kind, "content": content }),
    )
}

fn fact(fact: &Fact) -> Value {
    // Tokens mask themselves.
    Value::String(format!("{fact:?}"))
}

fn commit(commit: &Commit<'_>) -> Value {
    let session = commit
        .session
        .map(|s| json!({ "scope": text(s.scope), "epoch": s.epoch, "batch": s.batch }));
    let producer = commit
        .produced
        .map(|p| json!({ "name": text(p.name), "batch": p.batch }));
    let events: Vec<Value> = commit.runs.iter().flat_map(events).collect();
    let changes = commit.changes.map(|changes| {
        let each: Vec<Value> = changes
            .iter()
            .map(|(key, value)| json!({ "key": text(key), "value": value.map(hex) }))
            .collect();
        json!({ "scope": text(changes.scope), "rev": changes.rev, "changes": each })
    });
    json!({ "at_ms": commit.at_ms, "session": session, "producer": producer, "events": events, "state": changes })
}

fn moved(moved: &Moved<'_>) -> Value {
    let events: Vec<Value> = moved
        .runs
        .iter()
        .flat_map(|moved| events(&moved.run))
        .collect();
    let entries: Vec<Value> = moved
        .entries
        .iter()
        .map(|e| json!({ "scope": text(e.scope), "rev": e.rev, "key": text(e.key), "value": e.value.map(hex) }))
        .collect();
    json!({ "events": events, "state": entries })
}

fn events<'a>(run: &Run<'a>) -> impl Iterator<Item = Value> + use<'a> {
    let stream = text(run.stream);
    let count = run.count as usize;
    run.events()
        .take(count)
        .map(move |(seq, payload)| json!({ "stream": stream, "seq": seq, "payload": hex(payload) }))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
            // Writing to a string does not fail.
            let _ = write!(out, "{byte:02x}");
            out
        })
}
