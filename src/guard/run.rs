//! The guard's loop: everything it does, it does because a descriptor became readable or a deadline passed.

use super::cgroup::Cgroup;
use super::clock::monotonic_ns;
use super::files::{ExitRecord, GuardStop, write_json};
use super::peer::Peer;
use super::protocol::{self, FromGuard, OnExit, ToGuard};
use super::server::{Reaped, Server};
use super::spawn::Stub;
use super::tree;
use crate::failpoints;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag};
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

/// Between the first two rounds of killing what is left of a tree; doubles, for what even SIGKILL cannot end at once.
const KILL_PAUSE_NS: u64 = 5_000_000;
/// Longest pause between such rounds.
const KILL_PAUSE_MAX_NS: u64 = 1_000_000_000;
/// Runs a guard for a server; the supervisor's socket is descriptor 0.
pub fn main(id: &str) -> ExitCode {
    let guard = match Guard::new() {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("guard of {id}: {error}");
            return ExitCode::FAILURE;
        }
    };
    guard.run();
    ExitCode::SUCCESS
}

/// What the guard is doing about ending the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopping {
    No,
    /// SIGTERM was sent; SIGKILL at this time.
    Term {
        kill_ns: u64,
    },
    /// Killing; the next round at this time, after this pause.
    Kill {
        next_ns: u64,
        pause_ns: u64,
    },
}

struct Guard {
    owner: Option<Peer>,
    signals: SignalFd,
    stopping: Stopping,
    stopped_by: Option<GuardStop>,
    server: Option<Server>,
}

impl Guard {
    fn new() -> io::Result<Self> {
        // Signals from sidekick's terminal pass the guard by; orphans of the server's tree become its children.
        let _ = nix::unistd::setsid();
        rustix::process::set_child_subreaper(Pid::from_raw(1))?;
        std::env::set_current_dir("/")?;
        let mut mask = SigSet::empty();
        for signal in [
            Signal::SIGCHLD,
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGHUP,
        ] {
            mask.add(signal);
        }
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let socket = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?;
        nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
        Ok(Self {
            owner: Some(Peer::new(UnixStream::from(socket))?),
            signals,
            stopping: Stopping::No,
            stopped_by: None,
            server: None,
        })
    }

    fn run(mut self) {
        while !self.is_done() {
            let ready = self.wait();
            if ready.signals {
                self.on_signals();
            }
            if ready.stub {
                self.on_stub();
            }
            if ready.owner {
                self.on_owner();
            }
            if ready.listener {
                self.on_listener();
            }
            if ready.logs {
                if let Some(server) = &mut self.server {
                    server.logs.written();
                }
            }
            self.on_time();
        }
        self.finish();
    }

    /// Nobody to serve and nothing to watch, or everything told.
    fn is_done(&self) -> bool {
        match &self.server {
            None => self.owner.is_none(),
            Some(server) => server.reaped && no_children(),
        }
    }

    fn wait(&self) -> Ready {
        let server = self.server.as_ref();
        let stub = server.and_then(|server| server.stub.as_ref());
        let started = server.filter(|server| server.started.is_some());
        let sources = [
            Some(self.signals.as_fd()),
            self.owner.as_ref().map(|owner| owner.stream().as_fd()),
            stub.map(|stub| stub.peer.stream().as_fd()),
            started.map(|server| server.listener.as_fd()),
            server.and_then(|server| server.logs.watch()),
        ];
        let mut fds: Vec<PollFd> = sources
            .iter()
            .flatten()
            .map(|fd| PollFd::new(*fd, PollFlags::POLLIN))
            .collect();
        if poll(&mut fds, self.timeout()).is_err() {
            return Ready::default();
        }
        let mut states = fds.iter().map(|fd| fd.any().unwrap_or(true));
        let mut ready = sources
            .map(|source| source.is_some() && states.next().unwrap_or(false))
            .into_iter();
        let mut next = || ready.next().unwrap_or(false);
        Ready {
            signals: next(),
            owner: next(),
            stub: next(),
            listener: next(),
            logs: next(),
        }
    }

    fn timeout(&self) -> PollTimeout {
        let stop = match self.stopping {
            Stopping::No => None,
            Stopping::Term { kill_ns: at } | Stopping::Kill { next_ns: at, .. } => Some(at),
        };
        let logs = self.server.as_ref().and_then(|server| server.logs.due_ns());
        let Some(due) = stop.into_iter().chain(logs).min() else {
            return PollTimeout::NONE;
        };
        let wait_ms = due.saturating_sub(monotonic_ns()).div_ceil(1_000_000);
        PollTimeout::try_from(wait_ms).unwrap_or(PollTimeout::MAX)
    }

    fn on_time(&mut self) {
        let now = monotonic_ns();
        match self.stopping {
            Stopping::Term { kill_ns: at } | Stopping::Kill { next_ns: at, .. } if at <= now => {
                self.kill();
            }
            _ => {}
        }
        if let Some(server) = &mut self.server {
            if server.logs.due_ns().is_some_and(|due| due <= now) && server.logs.check() {
                self.tell(&FromGuard::LogsFull);
            }
        }
    }

    fn tell(&mut self, message: &FromGuard) {
        if let Some(owner) = &mut self.owner {
            owner.send(&protocol::line(message));
        }
    }

    fn on_owner(&mut self) {
        let Some(owner) = &mut self.owner else { return };
        let input = owner.read();
        for line in input.lines {
            if let Some(message) = protocol::parse::<ToGuard>(&line) {
                self.on_message(message);
            }
        }
        if input.closed {
            self.owner = None;
            self.on_owner_gone();
        }
    }

    fn on_owner_gone(&mut self) {
        let Some(server) = &self.server else { return };
        if server.started.is_none() {
            self.kill();
        } else if server.prepare.on_exit == OnExit::Stop {
            self.stop(GuardStop::OwnerGone);
        }
    }

    fn on_message(&mut self, message: ToGuard) {
        match (message, &mut self.server) {
            (ToGuard::Prepare(prepare), None) => match Server::prepare(prepare) {
                Ok(server) => {
                    let pid = server.process.pid;
                    self.server = Some(server);
                    self.tell(&FromGuard::Prepared { pid });
                    failpoints::hit("guard.prepared");
                }
                Err(message) => {
                    self.tell(&FromGuard::Failed { message });
                    self.owner = None;
                }
            },
            (ToGuard::Start(start), Some(server)) => {
                if let Err(error) = server.start(start) {
                    let message = format!("cannot record the start in the run directory: {error}");
                    self.tell(&FromGuard::Failed { message });
                    self.kill();
                }
            }
            (ToGuard::Adopt { on_exit }, Some(server)) => {
                server.prepare.on_exit = on_exit;
                if let Some((identity, note)) = server.started.clone() {
                    let exited = server.exited.as_ref().map(|(record, _)| record.clone());
                    self.tell(&FromGuard::Adopted {
                        identity,
                        note,
                        exited,
                    });
                    failpoints::hit("guard.adopted");
                }
            }
            (ToGuard::Signal { signal, group }, Some(server)) => server.signal(signal, group),
            (ToGuard::Kill, Some(_)) => self.kill(),
            (ToGuard::Promote { epoch, note }, Some(server)) => server.promote(epoch, note),
            _ => {}
        }
    }

    fn on_listener(&mut self) {
        let Some(server) = &self.server else { return };
        let Ok((stream, _)) = server.listener.accept() else {
            return;
        };
        // The directory is private, the check is for those who made it public.
        let own = rustix::process::geteuid();
        if rustix::net::sockopt::socket_peercred(&stream)
            .is_ok_and(|peer| peer.uid != own && !peer.uid.is_root())
        {
            return;
        }
        let Ok(mut peer) = Peer::new(stream) else {
            return;
        };
        match &self.owner {
            None => self.owner = Some(peer),
            Some(owner) => {
                let owner = rustix::net::sockopt::socket_peercred(owner.stream())
                    .map_or(0, |peer| peer.pid.as_raw_pid());
                peer.send(&protocol::line(&FromGuard::Busy { owner }));
            }
        }
    }

    fn on_stub(&mut self) {
        let Some(server) = &mut self.server else {
            return;
        };
        let outcome = server.stub.as_mut().and_then(Stub::outcome);
        let Some(outcome) = outcome else { return };
        server.stub = None;
        let pid = server.process.pid;
        let started = server.started.is_some();
        match outcome {
            Ok(()) if started => {
                let at_ns = monotonic_ns();
                failpoints::hit("guard.executed");
                self.tell(&FromGuard::Spawned { pid, at_ns });
                failpoints::hit("guard.spawn_told");
            }
            // It died before it was given anything.
            Ok(()) => self.tell(&FromGuard::Failed {
                message: "the process died before its start".into(),
            }),
            Err(message) => {
                server.started = None;
                self.tell(&FromGuard::Failed { message });
            }
        }
    }

    fn on_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            let signal = signal.ssi_signo as i32;
            if signal == Signal::SIGTERM as i32 || signal == Signal::SIGINT as i32 {
                self.stop(GuardStop::Terminated);
            }
        }
        self.reap();
    }

    fn reap(&mut self) {
        if let Some(server) = self.server.as_mut().filter(|server| !server.reaped) {
            if let Some(end) = server.reap() {
                let noticed_ns = monotonic_ns();
                // An outcome that is still unread belongs before the end.
                self.on_stub();
                self.on_exit(&end, noticed_ns);
            }
        }
        while let Some(pid) = ended_child() {
            let of_server =
                |server: &Server| !server.reaped && server.process.pid == pid.as_raw_pid();
            if self.server.as_ref().is_some_and(of_server) {
                // It ended after the look above; SIGCHLD is pending again.
                return;
            }
            // Zombies of a living server's orphans would take numbers from its limit.
            let status = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG);
            let well = status
                .is_ok_and(|end| end.is_some_and(|(_, status)| status.exit_status() == Some(0)));
            if let Some(server) = &mut self.server {
                server.logs.ended(pid.as_raw_pid(), well);
            }
        }
    }

    fn on_exit(&mut self, reaped: &Reaped, at_ns: u64) {
        let stopped_by = self.stopped_by;
        let Some(server) = &mut self.server else {
            return;
        };
        server.reaped = true;
        failpoints::hit("guard.exit_seen");
        if let Some((identity, _)) = &server.started {
            let record = ExitRecord {
                start: identity.start.clone(),
                server: identity.server,
                epoch: identity.epoch,
                end: reaped.end,
                stopped_by,
                at_ms: crate::types::now_ms(),
                at_ns,
                boot_id: identity.boot_id.clone(),
                usage: reaped.usage,
                core_dumped: reaped.core_dumped,
                oom_kills: server.cgroup.as_ref().map_or(0, Cgroup::oom_kills),
            };
            let file = write_json(&server.files.exit(&record.start), &record).ok();
            server.exited = Some((record.clone(), file));
            failpoints::hit("guard.exit_recorded");
            self.tell(&FromGuard::Exited(record));
            failpoints::hit("guard.exit_told");
        }
        if !no_children() {
            self.kill();
        }
    }

    /// SIGTERM now, SIGKILL after the grace.
    fn stop(&mut self, by: GuardStop) {
        let Some(server) = &mut self.server else {
            self.owner = None;
            return;
        };
        if self.stopping == Stopping::No {
            self.stopped_by = Some(by);
            server.signal(Signal::SIGTERM as i32, true);
            let kill_ns = monotonic_ns() + server.prepare.grace_ms * 1_000_000;
            self.stopping = Stopping::Term { kill_ns };
        }
    }

    /// One round of SIGKILL to everything; another follows until no child is left.
    fn kill(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.cgroup.as_ref().is_some_and(Cgroup::kill);
            server.signal(Signal::SIGKILL as i32, true);
            tree::kill_descendants(std::process::id() as i32);
        }
        let pause_ns = match self.stopping {
            Stopping::Kill { pause_ns, .. } => (pause_ns * 2).min(KILL_PAUSE_MAX_NS),
            _ => KILL_PAUSE_NS,
        };
        let next_ns = monotonic_ns() + pause_ns;
        self.stopping = Stopping::Kill { next_ns, pause_ns };
    }

    fn finish(mut self) {
        let Some(mut server) = self.server.take() else {
            return;
        };
        server.logs.finish();
        if let Some(cgroup) = &server.cgroup {
            cgroup.remove();
        }
        if server.exited.is_some() || server.started.is_none() {
            let _ = std::fs::remove_file(server.files.identity());
        }
        let _ = std::fs::remove_file(server.files.socket());
        // The next start may go on while this one is being synced.
        drop(server.lock);
        failpoints::hit("guard.lock_released");
        self.tell(&FromGuard::Gone);
        failpoints::hit("guard.gone_told");
        if let Some((_, Some(file))) = server.exited {
            let _ = file.sync_all();
            let _ = server.files.sync();
            failpoints::hit("guard.exit_synced");
        }
    }
}

#[derive(Default)]
#[allow(clippy::struct_excessive_bools)] // One for each source of `poll`.
struct Ready {
    signals: bool,
    owner: bool,
    stub: bool,
    listener: bool,
    logs: bool,
}

/// A child that has ended, without taking it away.
fn ended_child() -> Option<Pid> {
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    let status = nix::sys::wait::waitid(Id::All, look).ok()?;
    Pid::from_raw(status.pid()?.as_raw())
}

/// Whether the guard has no child left, not even a zombie.
fn no_children() -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(
        rustix::process::waitid(WaitId::All, options),
        Err(rustix::io::Errno::CHILD)
    )
}
