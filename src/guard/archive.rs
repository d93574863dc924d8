//! The older parts of a log file: their names, their order, their bound.
//!
//! `x.log` is written by the server. What it wrote earlier is in `x.log.00000007.gz` and so on, the higher number the younger part.
//! The same name without `.gz` is the whole file of an earlier start that nobody has compressed yet.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Compressed parts of one file; where there are more the oldest goes.
const PARTS_MAX: usize = 100;

/// One older part.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Its number.
    pub number: u64,
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is compressed.
    pub packed: bool,
    /// On disk.
    pub bytes: u64,
}

/// The older parts of a log file, the oldest first.
pub fn parts(log: &Path) -> Vec<Part> {
    let (Some(dir), Some(name)) = (log.parent(), log.file_name()) else {
        return Vec::new();
    };
    let prefix = format!("{}.", name.to_string_lossy());
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<Part> = entries
        .filter_map(|entry| {
            let file = entry.file_name();
            let rest = file.to_str()?.strip_prefix(&prefix)?;
            let (number, packed) = match rest.strip_suffix(".gz") {
                Some(number) => (number, true),
                None => (rest, false),
            };
            Some(Part {
                number: number.parse().ok()?,
                path: entry.path(),
                packed,
                bytes: entry.metadata().ok()?.blocks() * 512,
            })
        })
        .collect();
    found.sort();
    found
}

/// Where the next part goes, not compressed and compressed.
pub fn next(log: &Path) -> (PathBuf, PathBuf) {
    let number = parts(log).last().map_or(1, |last| last.number + 1);
    let named = |end: &str| {
        let mut name = log.as_os_str().to_owned();
        name.push(format!(".{number:08}{end}"));
        PathBuf::from(name)
    };
    (named(""), named(".gz"))
}

/// Moves the file of an earlier start away; the next one begins with an empty file.
pub fn retire(log: &Path) -> io::Result<()> {
    match fs::metadata(log) {
        Ok(meta) if meta.len() > 0 => fs::rename(log, next(log).0),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes the oldest parts until what is left has at most so many bytes, and what a killed helper left half done.
pub fn trim(log: &Path, bytes_max: u64) {
    let parts = parts(log);
    let mut bytes: u64 = parts.iter().map(|part| part.bytes).sum();
    let mut count = parts.len();
    for part in &parts {
        if bytes <= bytes_max && count <= PARTS_MAX {
            break;
        }
        let _ = fs::remove_file(&part.path);
        bytes -= part.bytes;
        count -= 1;
    }
}

/// Where a helper writes before its part is whole.
pub fn unfinished(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_numbered_on_and_the_oldest_goes_first() {
        let dir = tempfile::tempdir().expect("tempdir");
        let log = dir.path().join("x.log");
        for round in 0..4 {
            fs::write(&log, vec![round; 8 << 10]).expect("writes");
            retire(&log).expect("moves");
            assert!(!log.exists());
        }
        fs::write(dir.path().join("x.log.notes"), "not ours").expect("writes");
        let numbers = |log: &Path| {
            parts(log)
                .iter()
                .map(|part| part.number)
                .collect::<Vec<_>>()
        };
        assert_eq!(numbers(&log), [1, 2, 3, 4]);
        trim(&log, 16 << 10);
        assert_eq!(numbers(&log), [3, 4]);
        assert!(next(&log).1.ends_with("x.log.00000005.gz"));
        assert!(dir.path().join("x.log.notes").exists());
    }
}
