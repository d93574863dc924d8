//! What stands in the run directory.
//!
//! | file | meaning |
//! |---|---|
//! | `<id>.lock` | held (flock) by the guard as long as anything of the server may run |
//! | `<id>.sock` | where the guard listens for the next sidekick |
//! | `<id>.identity` | the server that runs now; removed by the guard when it has ended |
//! | `<id>.<start>.exit` | how the server of one start ended; removed by the supervisor that has dealt with it |
//!
//! An identity without a guard therefore means that the guard was killed, and an exit file an end nobody has seen.

use super::proc::ProcessId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Longest file that is read back.
const FILE_MAX: u64 = 1 << 20;

/// The server of a guard, written before it is executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Server id.
    pub id: String,
    /// Random name of this start.
    pub start: String,
    /// The guard.
    pub guard: ProcessId,
    /// The server.
    pub server: ProcessId,
    /// The boot these numbers belong to.
    pub boot_id: String,
    /// Epoch of its activation.
    pub epoch: Option<u64>,
    /// Wall clock of the start, milliseconds.
    pub started_at_ms: u64,
    /// Its cgroup: everything in it is of this start.
    #[serde(default)]
    pub cgroup: Option<PathBuf>,
}

/// The wait status of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitEnd {
    /// It exited.
    Exited {
        /// With this status.
        status: i32,
    },
    /// A signal ended it.
    Signalled {
        /// Which.
        signal: i32,
    },
}

/// Why the guard itself ended the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardStop {
    /// sidekick's end of the socket closed and `on_exit` is `stop`.
    OwnerGone,
    /// The guard itself got SIGTERM or SIGINT.
    Terminated,
}

/// What the process used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time in user mode, milliseconds.
    pub user_ms: u64,
    /// CPU time in the kernel, milliseconds.
    pub system_ms: u64,
    /// Page faults without disk.
    pub minor_faults: u64,
    /// Page faults with disk.
    pub major_faults: u64,
    /// Greatest resident memory, of it or a child of it, bytes.
    #[serde(default)]
    pub max_rss_bytes: u64,
}

/// How the server of one start ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// Random name of the start.
    pub start: String,
    /// The server.
    pub server: ProcessId,
    /// Epoch of its activation.
    pub epoch: Option<u64>,
    /// Its wait status.
    pub end: WaitEnd,
    /// Whether the guard had ended it.
    pub stopped_by: Option<GuardStop>,
    /// Wall clock, milliseconds.
    pub at_ms: u64,
    /// Monotonic clock, nanoseconds; means something within one boot only.
    pub at_ns: u64,
    /// The boot.
    pub boot_id: String,
    /// What it used; `None` where it could not be read.
    pub usage: Option<Usage>,
    /// The kernel wrote a core dump, or gave it to a handler.
    #[serde(default)]
    pub core_dumped: bool,
    /// Processes of its tree that the kernel killed for want of memory.
    #[serde(default)]
    pub oom_kills: u64,
}

/// The run directory as seen by one server. Holds the directory open, so that socket paths never grow too long for the kernel
/// (108 bytes): they go through `/proc/self/fd`.
#[derive(Debug)]
pub struct RunFiles {
    dir: PathBuf,
    handle: File,
    id: String,
}

impl RunFiles {
    /// Opens the run directory; makes it (0700) where it is missing.
    pub fn open(dir: &Path, id: &str) -> io::Result<Self> {
        make_private_dir(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            handle: File::open(dir)?,
            id: id.to_owned(),
        })
    }

    /// The lock.
    pub fn lock(&self) -> PathBuf {
        self.dir.join(format!("{}.lock", self.id))
    }

    /// The control socket, as a short path that is valid in this process while this value lives.
    pub fn socket(&self) -> PathBuf {
        PathBuf::from(format!(
            "/proc/self/fd/{}/{}.sock",
            self.handle.as_raw_fd(),
            self.id
        ))
    }

    /// The identity.
    pub fn identity(&self) -> PathBuf {
        self.dir.join(format!("{}.identity", self.id))
    }

    /// The exit record of one start.
    pub fn exit(&self, start: &str) -> PathBuf {
        self.dir.join(format!("{}.{start}.exit", self.id))
    }

    /// All exit records that nobody has dealt with.
    pub fn exits(&self) -> Vec<(PathBuf, ExitRecord)> {
        let prefix = format!("{}.", self.id);
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let mut found: Vec<_> = entries
            .filter(|entry| {
                entry.file_name().to_str().is_some_and(|name| {
                    name.starts_with(&prefix)
                        && Path::new(name).extension().is_some_and(|ext| ext == "exit")
                })
            })
            .filter_map(|entry| Some((entry.path(), read_json::<ExitRecord>(&entry.path())?)))
            .collect();
        found.sort_by_key(|(_, record)| record.at_ms);
        found
    }

    /// Makes renames and removals in the directory durable.
    pub fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }
}

/// Opens the lock file; the caller locks it.
pub fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
}

/// Makes a directory, and those above it, that only this user may enter. An existing one is left as it is.
pub fn make_private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Writes a file as a whole: it is either there with all its content or not at all. Not synced; returns it for that.
pub fn write_json(path: &Path, value: &impl Serialize) -> io::Result<File> {
    let temporary = path.with_extension("tmp");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(&serde_json::to_vec(value).map_err(io::Error::other)?)?;
    fs::rename(&temporary, path)?;
    Ok(file)
}

/// Reads such a file; `None` where it is missing or not what it should be.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let size = fs::metadata(path).ok()?.len();
    if size > FILE_MAX {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
