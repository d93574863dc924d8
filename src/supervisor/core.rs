//! Where a core dump is, by what `/proc/sys/kernel/core_pattern` says.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A dump may have been finished so long before its process was seen to end.
const RECENT: Duration = Duration::from_secs(600);

/// What is known of a process whose core was dumped.
#[derive(Debug, Clone)]
pub struct Dumped {
    /// Its number.
    pub pid: i32,
    /// Where relative patterns begin: its working directory as far as it is known.
    pub directories: Vec<PathBuf>,
}

impl Dumped {
    /// Where the core is, or what became of it.
    pub fn find(&self) -> String {
        let read = |file: &str| {
            fs::read_to_string(Path::new("/proc/sys/kernel").join(file)).unwrap_or_default()
        };
        let (pattern, uses_pid) = (read("core_pattern"), read("core_uses_pid"));
        self.find_by(pattern.trim(), uses_pid.trim() == "1")
    }

    fn find_by(&self, pattern: &str, uses_pid: bool) -> String {
        if let Some(handler) = pattern.strip_prefix('|') {
            let program = handler.split_whitespace().next().unwrap_or_default();
            let ask = if program.contains("systemd-coredump") {
                format!("; see: coredumpctl info {}", self.pid)
            } else {
                String::new()
            };
            return format!("given to {program} (kernel.core_pattern){ask}");
        }
        let mut glob = self.glob(pattern);
        if uses_pid && !pattern.contains("%p") {
            glob.push('.');
            glob.push_str(&self.pid.to_string());
        }
        let bases: Vec<PathBuf> = if glob.starts_with('/') {
            vec![PathBuf::from("/")]
        } else {
            self.directories.clone()
        };
        let newest = bases
            .iter()
            .filter_map(|base| newest(&base.join(&glob)))
            .max();
        newest.map_or_else(
            || format!("dumped as {pattern} (kernel.core_pattern), but not found in {bases:?}"),
            |(_, path)| path.display().to_string(),
        )
    }

    /// What is not known of a name (time, host, thread) is a `*`.
    fn glob(&self, pattern: &str) -> String {
        let mut glob = String::new();
        let mut letters = pattern.chars();
        while let Some(letter) = letters.next() {
            match (letter, letter == '%') {
                (_, true) => match letters.next() {
                    Some('%') => glob.push('%'),
                    Some('p' | 'P') => glob.push_str(&self.pid.to_string()),
                    Some(_) => glob.push('*'),
                    None => {}
                },
                (letter, false) => glob.push(letter),
            }
        }
        glob
    }
}

/// The youngest file of such a name, if it is young.
fn newest(glob: &Path) -> Option<(SystemTime, PathBuf)> {
    let (dir, name) = (glob.parent()?, glob.file_name()?);
    let entries = fs::read_dir(dir).ok()?.flatten();
    let named = entries.filter(|entry| fits(&entry.file_name(), name));
    let dated =
        named.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())));
    let young = |(at, _): &(SystemTime, PathBuf)| at.elapsed().unwrap_or_default() < RECENT;
    dated.filter(young).max()
}

fn fits(name: &OsStr, glob: &OsStr) -> bool {
    let (Some(name), Some(glob)) = (name.to_str(), glob.to_str()) else {
        return false;
    };
    let mut parts = glob.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        if let Some(part) = last.replace(part) {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_is_found_by_every_kind_of_pattern() {
        let dir = tempfile::tempdir().expect("tempdir");
        let dumped = Dumped {
            pid: 7,
            directories: vec![dir.path().to_owned()],
        };
        for name in [
            "core",
            "core.7",
            "core.sh.7.1700000000",
            "core.sh.8.1700000000",
        ] {
            fs::write(dir.path().join(name), "").expect("writes");
        }
        let path = |name: &str| dir.path().join(name).display().to_string();
        assert_eq!(dumped.find_by("core", false), path("core"));
        assert_eq!(dumped.find_by("core", true), path("core.7"));
        assert_eq!(
            dumped.find_by("core.%e.%p.%t", true),
            path("core.sh.7.1700000000")
        );
        let absolute = dir.path().join("core.%p");
        assert_eq!(
            dumped.find_by(&absolute.to_string_lossy(), false),
            path("core.7")
        );
        assert!(dumped.find_by("nowhere.%p", false).contains("not found"));
        let piped = dumped.find_by("|/usr/lib/systemd/systemd-coredump %P %u", false);
        assert_eq!(
            piped,
            "given to /usr/lib/systemd/systemd-coredump (kernel.core_pattern); see: coredumpctl info 7"
        );
    }
}
