//! Which crashes a server has had, over all that were ever seen: one small file beside its bundles, which outlasts them.

use crate::types::UnixMillis;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Kinds of crashes remembered for each server; beyond it the one that was seen least recently is forgotten.
const KINDS_MAX: usize = 256;
/// Longest file that is read back: far more than so many kinds need.
const FILE_MAX: u64 = 1 << 20;

/// One kind of crash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kind {
    /// Tells it from others.
    pub fingerprint: String,
    /// How often it was seen.
    pub count: u64,
    /// When first.
    pub first_seen_ms: UnixMillis,
    /// When last.
    pub last_seen_ms: UnixMillis,
}

/// All kinds of one server, and the greatest number a bundle ever had.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Bundles are numbered above this.
    pub last_number: u64,
    kinds: Vec<Kind>,
}

impl Known {
    /// Notes one more; gives what is known of its kind.
    pub fn note(&mut self, fingerprint: &str, at_ms: UnixMillis, number: u64) -> Kind {
        self.last_number = self.last_number.max(number);
        let at = self
            .kinds
            .iter()
            .position(|kind| kind.fingerprint == fingerprint);
        let mut kind = at.map_or_else(
            || Kind {
                fingerprint: fingerprint.to_owned(),
                count: 0,
                first_seen_ms: at_ms,
                last_seen_ms: at_ms,
            },
            |at| self.kinds.remove(at),
        );
        kind.count += 1;
        kind.first_seen_ms = kind.first_seen_ms.min(at_ms);
        kind.last_seen_ms = kind.last_seen_ms.max(at_ms);
        // The order is that of the last time seen, so that the first is the one to forget.
        self.kinds.push(kind.clone());
        if self.kinds.len() > KINDS_MAX {
            self.kinds.remove(0);
        }
        kind
    }

    /// Takes over what a bundle says of its kind, where nothing or less is known.
    pub fn learn(&mut self, kind: Kind, number: u64) {
        self.last_number = self.last_number.max(number);
        let found = self
            .kinds
            .iter_mut()
            .find(|known| known.fingerprint == kind.fingerprint);
        match found {
            Some(known) if known.count < kind.count => *known = kind,
            Some(_) => {}
            None => self.kinds.push(kind),
        }
    }

    /// What is known of a kind.
    pub fn get(&self, fingerprint: &str) -> Option<&Kind> {
        let mut kinds = self.kinds.iter();
        kinds.find(|kind| kind.fingerprint == fingerprint)
    }

    fn path(dir: &Path) -> PathBuf {
        dir.join("known.json")
    }

    /// Reads the file; `Ok(None)` where there is none. Blocks.
    ///
    /// # Errors
    /// Where it cannot be read, or is damaged.
    pub fn read(dir: &Path) -> io::Result<Option<Self>> {
        let path = Self::path(dir);
        match fs::metadata(&path) {
            Ok(meta) if meta.len() > FILE_MAX => return Err(io::ErrorKind::InvalidData.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        Ok(Some(serde_json::from_slice(&fs::read(path)?)?))
    }

    /// Puts a damaged file aside, for whoever wants to look at it.
    pub fn put_aside(dir: &Path) {
        let _ = fs::rename(Self::path(dir), dir.join("known.damaged"));
    }

    /// Writes the file, durable. Blocks.
    ///
    /// # Errors
    /// Where it cannot be written; the old one stays then.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        let bytes = serde_json::to_vec(self).map_err(io::Error::other)?;
        write_whole(&Self::path(dir), &bytes)
    }
}

/// Writes a file that is either there with all its content or not at all, and syncs it and its directory. Blocks.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    path.parent()
        .map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn it_survives_and_tells_where_it_is_damaged() {
        let dir = tempfile::tempdir().expect("tempdir");
        assert_eq!(Known::read(dir.path()).expect("reads"), None);
        let mut known = Known::default();
        assert_eq!(known.note("a", 5, 1).count, 1);
        let again = known.note("a", 9, 2);
        assert_eq!(
            (again.count, again.first_seen_ms, again.last_seen_ms),
            (2, 5, 9)
        );
        known.write(dir.path()).expect("writes");
        assert_eq!(Known::read(dir.path()).expect("reads"), Some(known));
        fs::write(dir.path().join("known.json"), b"{\"last_nu").expect("writes");
        assert!(Known::read(dir.path()).is_err());
    }

    proptest! {
        #[test]
        fn counts_are_exact_and_the_number_of_kinds_is_bounded(
            story in prop::collection::vec(0u16..400, 0..900),
        ) {
            let mut known = Known::default();
            let mut model: BTreeMap<u16, (u64, u64)> = BTreeMap::new();
            for (at, which) in story.iter().enumerate() {
                let at = at as u64;
                let kind = known.note(&which.to_string(), at, at);
                let expected = model.entry(*which).or_insert((0, at));
                expected.0 += 1;
                prop_assert_eq!((kind.count, kind.last_seen_ms), (expected.0, at));
                expected.1 = at;
                if model.len() > KINDS_MAX {
                    let oldest = *model.iter().min_by_key(|(_, (_, last))| *last).expect("some").0;
                    model.remove(&oldest);
                }
                prop_assert_eq!(known.kinds.len(), model.len());
            }
        }
    }
}
