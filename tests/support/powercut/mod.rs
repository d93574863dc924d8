//! Processes behind the preload library of `shim.c`, and the record of what they did to a directory.
#![allow(dead_code, reason = "each test file uses some")]

pub mod disk;
pub mod record;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Nothing fits any more: writes and new files.
pub const NO_SPACE: u32 = 1;
/// Writes fail.
pub const WRITE_FAILS: u32 = 2;
/// Syncs fail.
pub const SYNC_FAILS: u32 = 4;
/// As [`NO_SPACE`], but what is allocated already can be written: a full disk that honours preallocation.
pub const NO_GROWTH: u32 = 16;
/// Syncs say that they succeeded and make nothing durable.
pub const SYNC_LIES: u32 = 32;
/// The faults meet the journal alone, not the index.
pub const JOURNAL_ONLY: u32 = 8;

/// The library, built once for this process.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/powercut/shim.c");
        let own = dir.join(format!("powercut-{}.so", std::process::id()));
        let status = Command::new("cc")
            .args([
                "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o",
            ])
            .args([&own, Path::new(source)])
            .arg("-lpthread")
            .status()
            .expect("a C compiler named cc (Rust links with it too)");
        assert!(status.success(), "the preload library does not build");
        // Built apart and renamed, since other tests may build it at the same time.
        let path = dir.join("powercut.so");
        std::fs::rename(own, &path).expect("renames");
        path
    })
}

/// A directory behind the library: `root` is what is recorded; record and control file lie beside it.
pub struct Behind {
    root: PathBuf,
    log: PathBuf,
    control: File,
    control_path: PathBuf,
}

impl Behind {
    /// In a directory of the test's own.
    pub fn new(place: &Path) -> Self {
        let place = place.canonicalize().expect("is there");
        let root = place.join("disk");
        std::fs::create_dir_all(&root).expect("makes the directory");
        let control_path = place.join("control");
        let control = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&control_path)
            .expect("makes the control file");
        control.set_len(4096).expect("sizes it");
        let log = place.join("log");
        Self {
            root,
            log,
            control,
            control_path,
        }
    }

    /// What is recorded.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Puts a process behind the library.
    pub fn wrap<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .env("LD_PRELOAD", library())
            .env("POWERCUT_DIR", &self.root)
            .env("POWERCUT_LOG", &self.log)
            .env("POWERCUT_CONTROL", &self.control_path)
    }

    /// The next process is killed before its `n`th operation.
    pub fn kill_at(&self, n: u64) {
        self.put(0, &0u64.to_le_bytes());
        self.put(8, &n.to_le_bytes());
    }

    /// From now on these faults are met, and each sync takes so long.
    pub fn faults(&self, faults: u32, sync_ms: u32) {
        self.faults_at(0, faults, sync_ms);
    }

    /// The same, from the next process's `n`th operation on.
    pub fn faults_at(&self, n: u64, faults: u32, sync_ms: u32) {
        self.put(40, &n.to_le_bytes());
        self.put(36, &sync_ms.to_le_bytes());
        self.put(32, &faults.to_le_bytes());
    }

    /// How many faults were met so far.
    pub fn hit(&self) -> u64 {
        self.get(16)
    }

    /// How many syncs were begun so far.
    pub fn syncs(&self) -> u64 {
        self.get(24)
    }

    fn put(&self, at: u64, bytes: &[u8]) {
        self.control.write_all_at(bytes, at).expect("writes");
    }

    fn get(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, at).expect("reads");
        u64::from_le_bytes(bytes)
    }

    /// The record so far.
    pub fn record(&self) -> Vec<record::Entry> {
        record::parse(&std::fs::read(&self.log).unwrap_or_default())
    }

    /// Begins a new record.
    pub fn forget(&self) {
        std::fs::remove_file(&self.log).ok();
    }
}
