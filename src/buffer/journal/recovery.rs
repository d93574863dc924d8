//! Opening: every checksum of the journal is checked, every record replayed.
//!
//! The last segment alone may end in an unfinished commit, which was never acknowledged and is cut; a last commit
//! that is whole is made durable before anything is built on it. A valid frame of a *later* commit behind a bad place
//! proves that the bad place had been acknowledged: then nothing is cut and the buffer does not open. All other segments
//! must be whole, sealed, and there.

use super::facts::{self, Fact};
use super::frame::Kind;
use super::mend::mend;
use super::replay::{Replay, Replayed};
use super::scan::Scanner;
use super::segment::{self, BadHeader, HEADER_BYTES, SegmentDir, SegmentHeader, VERSION, io_at};
use super::walk::{Walked, walk, walk_error};
use crate::buffer::OpenError;
use crate::buffer::index::{Generation, Index, IndexError, Mark, Store};
use crate::buffer::options::Options;
use crate::buffer::tables::Tables;
use crate::types::Origin;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The journal's part of a buffer directory.
pub(in crate::buffer) fn journal_dir(dir: &Path) -> PathBuf {
    dir.join("journal")
}

/// The index's part of a buffer directory.
pub(in crate::buffer) fn index_dir(dir: &Path) -> PathBuf {
    dir.join("index")
}

/// Present where the index was found wrong while it was in use.
pub(in crate::buffer) fn doubt_file(dir: &Path) -> PathBuf {
    dir.join("index.doubt")
}

/// What recovery hands on.
pub(in crate::buffer) struct Recovered {
    pub tables: Tables,
    pub dir: SegmentDir,
    pub active: File,
    pub active_bytes: u64,
    pub records: u64,
    pub checked_bytes: u64,
    pub cut_bytes: u64,
    pub index_rebuilt: Option<String>,
    /// The index as of this segment is in the store.
    pub mark: Option<Mark>,
}

/// The segments found.
struct Files {
    dir: PathBuf,
    headers: Vec<SegmentHeader>,
}

/// The last segment, and what it says about the others.
pub(in crate::buffer) struct Last {
    pub header: SegmentHeader,
    pub walked: Walked,
    pub segments: BTreeSet<u64>,
    /// Bytes of an unfinished commit behind it, to be overwritten with zeros.
    pub torn: u64,
}

/// Recovers a directory that is locked. Makes a journal where there is none.
pub(in crate::buffer) fn recover(options: &Options) -> Result<Recovered, OpenError> {
    let dir = journal_dir(&options.dir);
    let mut files = Files {
        headers: read_headers(&dir)?,
        dir,
    };
    drop_unborn(&mut files)?;
    let Some(newest) = files.headers.last().copied() else {
        return fresh(options);
    };
    let last = read_last(&files.dir, newest)?;
    refuse_missing(&files, &last)?;
    let dir = SegmentDir {
        path: files.dir.clone(),
        origin: newest.origin,
        segment_bytes: options.segment_bytes,
    };
    let (store, mark, mut doubt) = open_index(options, newest.origin);
    if let Some(mark) = &mark {
        refuse_lost_tail(&dir, mark, &last)?;
    }
    let replay = Replay::new(&dir, &files.headers, &last, options);
    let mut replayed = replay.run(Index::new(store), mark)?;
    if let Replayed::Doubt(reason) = replayed {
        let store = rebuilt_index(options, &reason);
        doubt = Some(reason);
        replayed = replay.run(Index::new(store), None)?;
    }
    if let Replayed::Doubt(reason) = replayed {
        tracing::warn!(reason, "the buffer's index stays in memory for now");
        replayed = replay.run(Index::new(in_memory()), None)?;
    }
    let Replayed::Done {
        tables,
        records,
        checked_bytes,
        marked,
    } = replayed
    else {
        return Err(OpenError::Options(
            "the index failed while it was rebuilt".to_owned(),
        ));
    };
    let active = dir.open_writable(newest.id).map_err(io_at(&dir.path))?;
    mend(&active, &last).map_err(io_at(&dir.path))?;
    for header in files
        .headers
        .iter()
        .filter(|header| !last.segments.contains(&header.id))
    {
        // The file outlived a crash. Only now, as what freed the segment may be the very commit that was just made durable.
        fs::remove_file(dir.file(header.id)).map_err(io_at(&dir.path))?;
    }
    Ok(Recovered {
        tables: *tables,
        dir,
        active,
        active_bytes: last.header.bytes,
        records,
        checked_bytes,
        cut_bytes: last.torn,
        index_rebuilt: doubt,
        mark: marked,
    })
}

/// Reads the header of every segment file.
pub(in crate::buffer) fn read_headers(dir: &Path) -> Result<Vec<SegmentHeader>, OpenError> {
    let mut headers: Vec<SegmentHeader> = Vec::new();
    for id in segment::list(dir).map_err(io_at(dir))? {
        let path = segment::file(dir, id);
        let file = File::open(&path).map_err(io_at(&path))?;
        let corrupt = |reason: &str| OpenError::Corrupt {
            file: path.clone(),
            offset: 0,
            reason: reason.to_owned(),
        };
        let header = match SegmentHeader::read(&file).map_err(io_at(&path))? {
            Ok(header) => header,
            Err(BadHeader::Version(found)) => {
                return Err(OpenError::Version {
                    file: path,
                    found,
                    expected: VERSION,
                });
            }
            Err(BadHeader::Damaged(reason)) => return Err(corrupt(reason)),
        };
        if header.id != id {
            return Err(corrupt("the file holds another segment than its name says"));
        }
        if headers
            .last()
            .is_some_and(|previous| previous.origin != header.origin)
        {
            return Err(corrupt("the segment belongs to another buffer"));
        }
        if file.metadata().map_err(io_at(&path))?.len() != header.bytes {
            return Err(OpenError::Corrupt {
                file: path,
                offset: header.bytes,
                reason: "the file has another length than it was made with".to_owned(),
            });
        }
        headers.push(header);
    }
    Ok(headers)
}

/// A newest segment without its checkpoint was made by a roll that did not finish: it holds nothing acknowledged.
fn drop_unborn(files: &mut Files) -> Result<(), OpenError> {
    let [.., before, newest] = files.headers[..] else {
        return Ok(());
    };
    let path = segment::file(&files.dir, before.id);
    let previous = File::open(&path).map_err(io_at(&path))?;
    let newest_path = segment::file(&files.dir, newest.id);
    let file = File::open(&newest_path).map_err(io_at(&newest_path))?;
    let walked = walk(&file, newest.id, newest.bytes, |_| Ok(()))
        .map_err(|error| walk_error(error, &newest_path))?;
    if walked.end > HEADER_BYTES {
        return Ok(());
    }
    let previous = walk(&previous, before.id, before.bytes, |_| Ok(()))
        .map_err(|error| walk_error(error, &path))?;
    judge_tail(
        &file,
        &newest_path,
        &newest,
        &walked,
        Some(previous.commit + 1),
    )?;
    // Its number is used again; so nothing of it may stay.
    fs::remove_file(&newest_path).map_err(io_at(&files.dir))?;
    segment::sync_dir(&files.dir).map_err(io_at(&files.dir))?;
    files.headers.pop();
    Ok(())
}

/// Walks through the newest segment and judges its tail.
pub(in crate::buffer) fn read_last(dir: &Path, header: SegmentHeader) -> Result<Last, OpenError> {
    let path = segment::file(dir, header.id);
    let file = File::open(&path).map_err(io_at(&path))?;
    let mut segments = BTreeSet::from([header.id]);
    let mut group = Vec::new();
    let walked = walk(&file, header.id, header.bytes, |frame| {
        if frame.kind == Kind::Facts {
            group.extend(facts::decode(frame.body)?);
        }
        if frame.last {
            for fact in group.drain(..) {
                match fact {
                    Fact::Segments(ids) => segments = ids.into_iter().collect(),
                    Fact::Freed(id) => drop(segments.remove(&id)),
                    _ => {}
                }
            }
        }
        Ok(())
    })
    .map_err(|error| walk_error(error, &path))?;
    let unfinished = (!walked.sealed).then_some(walked.commit + 1);
    let torn = judge_tail(&file, &path, &header, &walked, unfinished)?;
    Ok(Last {
        header,
        walked,
        segments,
        torn,
    })
}

/// How many bytes behind the last whole commit belong to the unfinished commit; refuses where any other commit was written there.
fn judge_tail(
    file: &File,
    path: &Path,
    header: &SegmentHeader,
    walked: &Walked,
    unfinished: Option<u64>,
) -> Result<u64, OpenError> {
    let end = walked.end;
    let mut torn_to = end;
    let mut later = None;
    Scanner::new(file, header.id, end, header.bytes)
        .search(|offset, head, _| {
            torn_to = torn_to.max((offset + head.framed() as u64).min(header.bytes));
            if Some(head.commit) != unfinished && later.is_none() {
                later = Some((offset, head.commit));
            }
        })
        .map_err(io_at(path))?;
    match later {
        None => Ok(torn_to - end),
        Some((offset, commit)) => Err(OpenError::Corrupt {
            file: path.to_owned(),
            offset: walked.valid_to,
            reason: format!(
                "no valid record here, yet one of the later commit {commit} at byte {offset}"
            ),
        }),
    }
}

/// A segment that the journal consists of is not there.
fn refuse_missing(files: &Files, last: &Last) -> Result<(), OpenError> {
    if let Some(missing) = last
        .segments
        .iter()
        .find(|id| files.headers.iter().all(|header| header.id != **id))
    {
        let reason = format!("segment {missing:016x}.seg is missing");
        return Err(OpenError::Corrupt {
            file: files.dir.clone(),
            offset: 0,
            reason,
        });
    }
    Ok(())
}

/// The index has seen commits that the journal lacks: they had been acknowledged.
fn refuse_lost_tail(dir: &SegmentDir, mark: &Mark, last: &Last) -> Result<(), OpenError> {
    if mark.commit <= last.walked.commit {
        return Ok(());
    }
    Err(OpenError::Corrupt {
        file: dir.file(last.header.id),
        offset: last.walked.end,
        reason: format!(
            "the journal ends with commit {}, but the index has seen commit {}: acknowledged data is gone (to go on without it, remove the directory `index`)",
            last.walked.commit, mark.commit
        ),
    })
}

/// A directory without segments. Where an index remembers commits, the journal was taken away.
fn fresh(options: &Options) -> Result<Recovered, OpenError> {
    let path = journal_dir(&options.dir);
    if let Ok((_, mark)) = Generation::open(&index_dir(&options.dir)) {
        let reason = format!(
            "all segments are missing, but the index has seen commit {} (to start anew, remove the whole buffer directory)",
            mark.commit
        );
        return Err(OpenError::Corrupt {
            file: path,
            offset: 0,
            reason,
        });
    }
    let dir = SegmentDir {
        path: path.clone(),
        origin: Origin::random(),
        segment_bytes: options.segment_bytes,
    };
    let active = dir.create(1).map_err(|source| {
        if segment::is_full(&source) {
            return OpenError::Full {
                dir: options.dir.clone(),
                needed_bytes: options.segment_bytes,
            };
        }
        OpenError::Io { path, source }
    })?;
    let mut tables = Tables::new(dir.origin, Index::new(fresh_index(options)), true);
    tables.begin_segment(1, HEADER_BYTES);
    Ok(Recovered {
        tables,
        active,
        active_bytes: dir.segment_bytes,
        dir,
        records: 0,
        checked_bytes: 0,
        cut_bytes: 0,
        index_rebuilt: None,
        mark: None,
    })
}

/// Opens the index with the position it reflects, or makes a new one and says why.
fn open_index(options: &Options, origin: Origin) -> (Store, Option<Mark>, Option<String>) {
    let path = index_dir(&options.dir);
    let doubt = doubt_file(&options.dir);
    let found = match fs::read_to_string(&doubt) {
        Ok(reason) => Err(IndexError(reason)),
        Err(_) if !path.exists() => Err(IndexError("there is none".to_owned())),
        Err(_) => Generation::open(&path),
    };
    match found {
        Ok((store, mark)) if mark.origin == origin => (Store::Sled(store), Some(mark), None),
        Ok((store, _)) => {
            drop(store);
            let reason = "it belongs to another buffer".to_owned();
            (rebuilt_index(options, &reason), None, Some(reason))
        }
        Err(IndexError(reason)) => (rebuilt_index(options, &reason), None, Some(reason)),
    }
}

/// Moves the index aside and makes an empty one.
fn rebuilt_index(options: &Options, reason: &str) -> Store {
    tracing::warn!(dir = %options.dir.display(), reason, "the buffer's index is rebuilt from the journal");
    let path = index_dir(&options.dir);
    let aside = options.dir.join("index.bad");
    if path.exists() {
        let _ = fs::remove_dir_all(&aside);
        let moved = fs::rename(&path, &aside).or_else(|_| fs::remove_dir_all(&path));
        if let Err(error) = moved {
            tracing::warn!(%error, "the old index cannot be moved aside; the new one stays in memory");
            return in_memory();
        }
    }
    let _ = fs::remove_file(doubt_file(&options.dir));
    fresh_index(options)
}

fn fresh_index(options: &Options) -> Store {
    match Generation::first(&index_dir(&options.dir)) {
        Ok(store) => Store::Sled(store),
        Err(error) => {
            tracing::warn!(%error, "the buffer's index stays in memory until the next start");
            in_memory()
        }
    }
}

fn in_memory() -> Store {
    Store::Memory(std::collections::BTreeMap::new())
}
