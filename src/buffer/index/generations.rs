//! Where stores lie: `index/1`, `index/2` and so on. sled's files never shrink, so from time to time a fresh generation is
//! filled beside the one in use, marked last, and takes over; the old one is removed.
//!
//! A generation without a mark was not finished and is none. The highest that passes counts; one below it reflects an earlier
//! position and is as good, only further behind. All others are removed.

use super::{IndexError, Mark, SledStore};
use std::fs;
use std::path::{Path, PathBuf};

/// The store in use, and where it lies.
#[derive(Clone)]
pub(in crate::buffer) struct Generation {
    pub store: SledStore,
    dir: PathBuf,
    number: u64,
}

impl Generation {
    /// The first one of an index.
    pub fn first(dir: &Path) -> Result<Self, IndexError> {
        Self::create(dir, 1)
    }

    /// An empty one after this.
    pub fn next(&self) -> Result<Self, IndexError> {
        Self::create(&self.dir, self.number + 1)
    }

    fn create(dir: &Path, number: u64) -> Result<Self, IndexError> {
        Ok(Self {
            store: SledStore::create(&path(dir, number))?,
            dir: dir.to_owned(),
            number,
        })
    }

    /// Opens the one that counts, with the position it reflects, and removes what else lies there.
    pub fn open(dir: &Path) -> Result<(Self, Mark), IndexError> {
        let mut failed = None;
        let numbers = list(dir).map_err(|error| IndexError(error.to_string()))?;
        for number in numbers.iter().rev().copied() {
            match SledStore::open(&path(dir, number)) {
                Ok((store, mark)) => {
                    let dir = dir.to_owned();
                    let found = Self { store, dir, number };
                    found.sweep();
                    return Ok((found, mark));
                }
                Err(IndexError(reason)) => {
                    tracing::warn!(number, reason, "a generation of the index does not count");
                    failed.get_or_insert(IndexError(reason));
                }
            }
        }
        Err(failed.unwrap_or_else(|| IndexError("there is none".to_owned())))
    }

    /// Removes all others. What cannot be removed yet only takes space until the next time: a thread of sled's may still be
    /// writing to what was just let go.
    pub fn sweep(&self) {
        let others = list(&self.dir).unwrap_or_default().into_iter();
        for number in others.filter(|number| *number != self.number) {
            if let Err(error) = fs::remove_dir_all(path(&self.dir, number)) {
                tracing::debug!(number, %error, "a generation of the index cannot be removed yet");
            }
        }
    }
}

fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(number.to_string())
}

/// The numbers of all generations, ascending.
fn list(dir: &Path) -> std::io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    if dir.exists() {
        for entry in fs::read_dir(dir)? {
            let name = entry?.file_name();
            numbers.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}
