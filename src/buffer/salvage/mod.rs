//! Salvage: every good record of a damaged buffer directory, copied into a fresh one.
//!
//! The source is only read, and every segment is searched for frames that pass, also behind damage. The first look says what there is
//! and what is missing; the second copies: the new journal begins with a checkpoint, then come all events and all values, written as
//! moved records, which is the form a journal has anyway once its first segments were freed. It has a new origin, and the old one as
//! its parent. Events keep their sequences; those that are missing count as dropped, so that sinks are told. Cursors stay, so that a
//! sink does not get again what it has; what sinks know of state is forgotten, so that they get all of it. Every scope's epoch is
//! raised by one: a session that went on from what is missing cannot write any more.
//!
//! Nothing is called `journal` in the new directory before it is complete and durable.

mod catalogue;
mod frames;
mod lenient;
mod scan;
mod write;

use self::catalogue::Catalogue;
use self::scan::Sources;
use self::write::Writer;
use super::dirs::make_private_dir;
use super::inspect::{self, owner_lock};
use super::journal::recovery::journal_dir;
use super::journal::segment::sync_dir;
use crate::types::Origin;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The new journal's directory until it is complete.
const UNFINISHED: &str = "journal.unfinished";

/// Why nothing was salvaged. Each text says the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SalvageError {
    /// A running sidekick owns the source.
    #[error("{} is in use; stop that sidekick first", .0.display())]
    InUse(PathBuf),
    /// There is something in the target.
    #[error("{} is not empty; name a directory that is empty or does not exist", .0.display())]
    NotEmpty(PathBuf),
    /// No record was found.
    #[error("{} holds no readable record of this format; is it a buffer directory ([buffer] dir)?", .0.display())]
    Nothing(PathBuf),
    /// The file system failed.
    #[error("{}: {source}; what was begun was removed, so it can be tried again", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What was copied and what is missing.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Salvaged {
    /// Origin of the new directory.
    pub origin: String,
    /// Origin of the old one.
    pub parent: String,
    /// Events copied.
    pub events: u64,
    /// Values of state copied.
    pub values: u64,
    /// Per stream: ranges of events that were kept there and cannot be read any more.
    pub missing_events: BTreeMap<String, Vec<(u64, u64)>>,
    /// Per scope: revisions whose changes cannot be read any more. Their keys have older values or none.
    pub missing_revisions: BTreeMap<String, Vec<(u64, u64)>>,
    /// What is wrong in the old directory, place by place.
    pub damage: Vec<String>,
    /// Files that were left out on purpose, and why.
    pub left_out: Vec<String>,
}

impl Salvaged {
    /// Whether anything is known, or has to be feared, to be missing.
    pub fn is_complete(&self) -> bool {
        self.damage.is_empty()
            && self.missing_events.is_empty()
            && self.missing_revisions.is_empty()
    }
}

/// Copies all that is readable of a buffer directory into a fresh one.
///
/// # Errors
/// See [`SalvageError`]. The source is never changed.
pub fn salvage(dir: &Path, out: &Path) -> Result<Salvaged, SalvageError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| SalvageError::Io { path, source }
    };
    let lock = owner_lock(dir).map_err(|()| SalvageError::InUse(dir.to_owned()))?;
    let (journal, unfinished) = (journal_dir(dir), out.join(UNFINISHED));
    if out.exists() && fs::read_dir(out).map_err(at(out))?.next().is_some() {
        return Err(SalvageError::NotEmpty(out.to_owned()));
    }
    let mut report = Salvaged::default();
    let sources = Sources::find(&journal, &mut report).map_err(at(&journal))?;
    let mut catalogue = Catalogue::default();
    sources
        .walk(&mut report, |piece| catalogue.take(piece))
        .map_err(at(&journal))?;
    let (Some(parent), false) = (sources.origin(), catalogue.is_empty()) else {
        return Err(SalvageError::Nothing(dir.to_owned()));
    };
    let origin = Origin::random();
    (report.origin, report.parent) = (origin.to_string(), parent.to_string());
    let plan = catalogue.plan(parent, &mut report);

    for dir in [out, &*unfinished] {
        make_private_dir(dir).map_err(|error| at(dir)(io::Error::other(error.to_string())))?;
    }
    let copied = (|| {
        let mut writer = Writer::begin(&unfinished, origin, sources.segment_bytes(), plan)?;
        let mut failed = Ok(());
        sources.walk(&mut Salvaged::default(), |piece| {
            if failed.is_ok() {
                failed = writer.take(piece);
            }
        })?;
        failed?;
        (report.events, report.values) = writer.finish()?;
        sync_dir(&unfinished)?;
        fs::rename(&unfinished, journal_dir(out))?;
        sync_dir(out)
    })();
    drop(lock);
    if let Err(source) = copied {
        // What is left of it would only stand in the way of the next attempt.
        let _ = fs::remove_dir_all(&unfinished);
        return Err(at(out)(source));
    }
    let check = inspect::verify(out).map_err(at(out))?;
    match check.problems.first() {
        None => Ok(report),
        Some(problem) => Err(at(out)(io::Error::other(format!(
            "the copy does not read back: {problem}"
        )))),
    }
}
