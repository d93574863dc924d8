//! One server under its guard: the lock, the files, the process.

use super::cgroup::Cgroup;
use super::clock::monotonic_ns;
use super::files::{ExitRecord, Identity, RunFiles, Usage, WaitEnd, open_lock, write_json};
use super::logs::{LogBound, rotate_and_open};
use super::proc::{ProcessId, Stat, TICKS_PER_SECOND, boot_id};
use super::protocol::{Prepare, Start};
use super::spawn::Stub;
use crate::failpoints;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::Signal;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions};
use std::fs::File;
use std::io;
use std::os::unix::net::UnixListener;
use std::time::Duration;

/// Between two attempts to get the lock.
const LOCK_RETRY: Duration = Duration::from_millis(1);

/// In a wait status.
const CORE_FLAG: i32 = 0x80;

/// The end of the server.
pub(super) struct Reaped {
    pub end: WaitEnd,
    pub usage: Option<Usage>,
    pub core_dumped: bool,
}

/// Everything that exists from `Prepare` on.
pub(super) struct Server {
    pub prepare: Prepare,
    pub files: RunFiles,
    pub lock: Flock<File>,
    pub listener: UnixListener,
    pub logs: LogBound,
    pub cgroup: Option<Cgroup>,
    pub process: ProcessId,
    /// While it waits for its command, or has not yet told what became of it.
    pub stub: Option<Stub>,
    pub started: Option<(Identity, String)>,
    /// The exit record, and its file for the sync at the end.
    pub exited: Option<(ExitRecord, Option<File>)>,
    pub reaped: bool,
}

impl Server {
    /// Takes the lock, listens, opens the log files, starts the stub.
    pub fn prepare(prepare: Prepare) -> Result<Self, String> {
        let describe =
            |what: &str, error: &dyn std::fmt::Display| format!("cannot {what}: {error}");
        let files = RunFiles::open(&prepare.run_dir, &prepare.id)
            .map_err(|error| describe("open the run directory", &error))?;
        let lock = lock(&files, prepare.lock_wait_ms)?;
        failpoints::hit("guard.locked");
        let _ = std::fs::remove_file(files.socket());
        let listener = UnixListener::bind(files.socket())
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(|error| describe("listen in the run directory", &error))?;
        let open = |path| {
            rotate_and_open(path, prepare.logs)
                .map_err(|error| describe(&format!("open the log file {}", path.display()), &error))
        };
        let (stdout, stderr) = (open(&prepare.stdout)?, open(&prepare.stderr)?);
        let clone = |file: &File| {
            file.try_clone()
                .map_err(|error| describe("share a log file", &error))
        };
        let bound = vec![
            (prepare.stdout.clone(), clone(&stdout)?),
            (prepare.stderr.clone(), clone(&stderr)?),
        ];
        let logs = LogBound::new(bound, prepare.logs);
        let cgroup = prepare.cgroup.as_ref().map(Cgroup::make).transpose()?;
        let stub = Stub::start(stdout, stderr).map_err(|error| describe("start a process", &error));
        let entered = stub.and_then(|stub| {
            let process = ProcessId::of(stub.pid);
            let process = process.ok_or("the new process cannot be seen in /proc; mount it")?;
            // The stub waits: no instruction of the server runs outside.
            let enter = |cgroup: &Cgroup| cgroup.enter(stub.pid);
            cgroup.as_ref().map_or(Ok(()), enter)?;
            Ok((stub, process))
        });
        let (stub, process) = match entered {
            Ok(entered) => entered,
            Err(message) => {
                // The stub ends with its socket; a cgroup it is still in goes with the next start.
                let _ = cgroup.as_ref().map(Cgroup::remove);
                return Err(message);
            }
        };
        Ok(Self {
            prepare,
            files,
            lock,
            listener,
            logs,
            cgroup,
            process,
            stub: Some(stub),
            started: None,
            exited: None,
            reaped: false,
        })
    }

    /// Puts the start on record, then lets the stub execute.
    pub fn start(&mut self, mut start: Start) -> io::Result<()> {
        let (Some(stub), None) = (&mut self.stub, &self.started) else {
            return Ok(());
        };
        let me = std::process::id() as i32;
        let identity = Identity {
            id: self.prepare.id.clone(),
            start: self.prepare.start.clone(),
            guard: ProcessId::of(me).unwrap_or(ProcessId {
                pid: me,
                start_time: 0,
            }),
            server: self.process,
            boot_id: boot_id(),
            epoch: start.epoch,
            started_at_ms: crate::types::now_ms(),
            cgroup: self.cgroup.as_ref().map(|cgroup| cgroup.dir().to_owned()),
        };
        write_json(&self.files.identity(), &identity)?;
        failpoints::hit("guard.identity_written");
        let note = std::mem::take(&mut start.note);
        self.started = Some((identity, note));
        stub.execute(start)?;
        failpoints::hit("guard.start_given");
        Ok(())
    }

    /// Puts on record that it owns its scope now. Where that cannot be written a later sidekick knows it by the token in the note.
    pub fn promote(&mut self, epoch: u64, note: String) {
        if let Some((identity, kept)) = &mut self.started {
            identity.epoch = Some(epoch);
            *kept = note;
            if self.exited.is_none() {
                let _ = write_json(&self.files.identity(), identity);
            }
        }
    }

    /// Only while the process is not reaped is its number surely its own.
    pub fn signal(&self, signal: i32, group: bool) {
        let Ok(signal) = Signal::try_from(signal) else {
            return;
        };
        if self.reaped {
            return;
        }
        let pid = nix::unistd::Pid::from_raw(self.process.pid);
        // Before the stub made its session there is no group of that number.
        if !group || nix::sys::signal::killpg(pid, signal) == Err(Errno::ESRCH) {
            let _ = nix::sys::signal::kill(pid, signal);
        }
    }

    /// The end of the server, if it has ended; takes the zombie away after having read what it used.
    pub fn reap(&self) -> Option<Reaped> {
        let pid = Pid::from_raw(self.process.pid)?;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        rustix::process::waitid(WaitId::Pid(pid), options).ok()??;
        let mut usage = Stat::read(self.process.pid).map(|stat| Usage {
            user_ms: stat.user_ticks * 1000 / TICKS_PER_SECOND,
            system_ms: stat.system_ticks * 1000 / TICKS_PER_SECOND,
            minor_faults: stat.minor_faults,
            major_faults: stat.major_faults,
            max_rss_bytes: 0,
        });
        let (_, status) = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG).ok()??;
        // The kernel tells it of children that were waited for only.
        if let (Some(usage), Ok(children)) = (&mut usage, getrusage(UsageWho::RUSAGE_CHILDREN)) {
            usage.max_rss_bytes = children.max_rss().unsigned_abs() * 1024;
        }
        let end = match (status.exit_status(), status.terminating_signal()) {
            (Some(status), _) => WaitEnd::Exited { status },
            (None, signal) => WaitEnd::Signalled {
                signal: signal.unwrap_or(0),
            },
        };
        Some(Reaped {
            end,
            usage,
            core_dumped: status.signaled() && status.as_raw() & CORE_FLAG != 0,
        })
    }
}

/// Waits for the guard of the start before, which may still be killing what its server left.
fn lock(files: &RunFiles, wait_ms: u64) -> Result<Flock<File>, String> {
    let path = files.lock();
    let deadline = monotonic_ns() + wait_ms * 1_000_000;
    let mut file =
        open_lock(&path).map_err(|error| format!("cannot open {}: {error}", path.display()))?;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((back, Errno::EWOULDBLOCK)) if monotonic_ns() < deadline => file = back,
            Err((_, Errno::EWOULDBLOCK)) => {
                return Err(format!(
                    "{} is locked: a guard of another sidekick still runs this server; stop that one first",
                    path.display()
                ));
            }
            Err((_, error)) => return Err(format!("cannot lock {}: {error}", path.display())),
        }
        std::thread::sleep(LOCK_RETRY);
    }
}
