//! The actor of one server: feeds the machine with what happens and does what the machine says.

mod adopted;
mod begin;
mod detail;
mod end;
mod planned;
mod remains;
mod requests;
mod run;
mod see_off;
mod shown;
mod standby;
mod succession;
mod tell;
mod watched;
mod wishes;

use super::ExitRequest;
use super::book::LogBook;
use super::context::Context;
use super::error::SupervisorError;
use super::event::EventKind;
use super::launch::{Launched, Note};
use super::link::Link;
use super::machine::{Action, Input, Machine};
use super::probe::Prober;
use super::schedule::Schedule;
use super::slot::Slot;
use super::spec::ServerSpec;
use super::status::{State, Status};
use super::store::Store;
use crate::failpoints;
use crate::guard::clock::monotonic_ns;
use crate::guard::files::ExitRecord;
use crate::guard::protocol::{FromGuard, ToGuard};
use crate::guard::tree;
use crate::ports::SessionEvent;
use crate::telemetry::{Fact, LogsFull};
use crate::types::now_ms;
use nix::sys::signal::Signal;
use run::Run;
use standby::Standby;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use succession::Leaving;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use wishes::Wish;

/// Heartbeats kept for a bundle.
const BEATS: usize = 20;

/// The answer to a request.
pub type Reply = oneshot::Sender<Result<(), SupervisorError>>;

/// What an actor is asked.
pub enum Command {
    /// Done once it plays.
    Start(Reply),
    /// Done as soon as the start is decided.
    StartNow(Reply),
    /// Done once it is gone.
    Stop(Reply),
    /// Done once it plays again.
    Restart(Reply),
    /// Done once it is gone.
    Kill(Reply),
    /// Done once it is gone.
    Drain(Reply),
    /// Its group stops it. Done once it is gone.
    Hold(Reply),
    /// Its group starts what it held. Done once it plays.
    Resume(Reply),
    /// Its group gives up. Done once it is gone.
    GiveUp(Reply),
    /// Another spec. Where its process would be another one that holds from the next start.
    Update(Arc<ServerSpec>, Reply),
    /// An exit signal.
    Exit(u64, ExitRequest),
    /// A bundle was written.
    Bundled {
        /// For this start.
        start_number: u64,
        /// Its number.
        number: u64,
    },
    /// Nothing is left of the process whose place the standby took.
    Left(Option<Box<ExitRecord>>),
    /// Ends the actor if there is no process.
    Delete(Reply),
    /// Ends the actor, whatever runs.
    Leave(Reply),
}

/// What kind of end players wait after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gap {
    Planned,
    Unplanned,
}

/// See the module.
pub struct Actor {
    context: Arc<Context>,
    spec: Arc<ServerSpec>,
    running: watch::Sender<Arc<ServerSpec>>,
    /// The spec of the next start.
    next: Option<Arc<ServerSpec>>,
    schedule: Schedule,
    configured: bool,
    machine: Machine,
    status: watch::Sender<Status>,
    book: Arc<LogBook>,
    bundles: Store,
    commands: mpsc::WeakSender<Command>,
    link: Option<Link>,
    /// The attempt that made the link; 0 where it was adopted.
    link_attempt: u64,
    launching: Option<JoinHandle<Result<Launched, String>>>,
    /// Starts decided so far.
    attempts: u64,
    decided_ns: u64,
    run: Option<Run>,
    /// Asks it whether it serves.
    prober: Option<Prober>,
    /// Session events of a process that said hello before its guard told of it.
    early: Vec<SessionEvent>,
    session_open: watch::Sender<bool>,
    exit_ns: Option<u64>,
    /// The wait that began at `exit_ns` and is to be measured.
    gap: Option<Gap>,
    wishes: Vec<(Wish, Reply)>,
    /// Nothing of this attempt and those before runs, but for what is leaving; an adopted process is of attempt 0.
    gone: Option<u64>,
    /// Where the server's own process is in the run directory.
    slot: Slot,
    standby: Option<Standby>,
    standby_problem: Option<String>,
    /// Lines of the standby that is being promoted.
    promoting: Option<Arc<LogBook>>,
    leaving: Option<Leaving>,
}

/// What an actor is made of.
pub struct Parts {
    /// What all share.
    pub context: Arc<Context>,
    /// The server.
    pub spec: Arc<ServerSpec>,
    /// From the configuration, not from a request.
    pub configured: bool,
    /// Where the spec is published by which it runs.
    pub running: watch::Sender<Arc<ServerSpec>>,
    /// Where the status is published.
    pub status: watch::Sender<Status>,
    /// Its lines.
    pub book: Arc<LogBook>,
    /// Its bundles.
    pub bundles: Store,
    /// For messages to itself.
    pub commands: mpsc::WeakSender<Command>,
}

fn now() -> Duration {
    Duration::from_nanos(monotonic_ns())
}

impl Actor {
    /// A stopped server.
    pub fn new(parts: Parts) -> Self {
        let mut schedule = Schedule::default();
        schedule.update(&parts.spec);
        let machine = Machine::new(&parts.spec, parts.context.options.hang_grace);
        Self {
            context: parts.context,
            spec: parts.spec,
            running: parts.running,
            next: None,
            schedule,
            configured: parts.configured,
            machine,
            status: parts.status,
            book: parts.book,
            bundles: parts.bundles,
            commands: parts.commands,
            link: None,
            link_attempt: 0,
            launching: None,
            attempts: 0,
            decided_ns: 0,
            run: None,
            prober: None,
            early: Vec::new(),
            session_open: watch::Sender::new(false),
            exit_ns: None,
            gap: None,
            wishes: Vec::new(),
            gone: None,
            slot: Slot::First,
            standby: None,
            standby_problem: None,
            promoting: None,
            leaving: None,
        }
    }

    /// Adopts what there is, then serves until it is told to leave. `settled` is told once adoption is decided.
    pub async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut sessions: mpsc::Receiver<SessionEvent>,
        settled: oneshot::Sender<()>,
    ) {
        failpoints::hit("supervisor.adoption_begun");
        self.settle().await;
        failpoints::hit("supervisor.adoption_ended");
        let _ = settled.send(());
        let mut sample = interval(self.context.options.sample_every);
        sample.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = self
                .machine
                .due()
                .map(|due| Instant::now() + due.saturating_sub(now()));
            // Sessions first: what was sent must be seen before silence is judged.
            tokio::select! {
                biased;
                Some(event) = sessions.recv() => self.on_session(event).await,
                message = receive(&mut self.link), if self.link.is_some() => self.on_guard(message).await,
                result = join(&mut self.launching), if self.launching.is_some() => {
                    self.launching = None;
                    self.on_launch(result).await;
                }
                news = standby::news(&mut self.standby), if self.standby.is_some() => self.on_standby(news).await,
                command = commands.recv() => match command {
                    Some(command) => if self.on_command(command).await { break },
                    None => break,
                },
                asked = watched::asked(&mut self.prober), if self.prober.is_some() => self.on_asked(asked).await,
                () = until(due), if due.is_some() => {
                    self.notice_silence();
                    self.apply(Input::Tick).await;
                }
                _ = sample.tick(), if self.status.borrow().os_pid.is_some() => {
                    self.sample();
                    self.sample_standby();
                    self.look_at_clock().await;
                }
            }
        }
        // A launch under way must not outlive its supervisor unseen: its guard ends when the socket closes.
        if let Some(launching) = self.launching.take() {
            launching.abort();
        }
        if let Some(launching) = self.standby.and_then(|standby| standby.launching) {
            launching.abort();
        }
        // A later sidekick finds what is left of it.
        if let Some(leaving) = self.leaving {
            leaving.task.abort();
        }
    }

    /// One step of the machine with everything that follows from it.
    async fn apply(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let actions = self.machine.handle(input, now(), rand::random());
            self.publish();
            for action in actions {
                inputs.extend(self.act(action).await);
            }
        }
    }

    /// Makes the machine's state visible.
    fn publish(&mut self) {
        self.publish_standby();
        let to = self.machine.state();
        let from = self.status.borrow().state;
        let restarts = self.machine.restarts();
        let next = self
            .machine
            .next_start()
            .map(|at| now_ms() + at.saturating_sub(now()).as_millis() as u64);
        self.status.send_if_modified(|status| {
            let changed = from != to
                || status.restarts != restarts
                || status.next_start_ms.is_some() != next.is_some();
            if from != to {
                status.state = to;
                status.since_ms = now_ms();
            }
            status.restarts = restarts;
            status.next_start_ms = next;
            changed
        });
        if from != to {
            self.context
                .tell(&self.spec.id, EventKind::State { from, to });
            if to == State::Running {
                let attempt = self.attempts;
                self.fulfil(
                    |wish| matches!(wish, Wish::Up(target) if *target <= attempt),
                    &Ok(()),
                );
            }
        }
    }

    /// Does one thing; gives what follows at once.
    async fn act(&mut self, action: Action) -> Vec<Input> {
        match action {
            // Nothing is started any more: as if it had been stopped during a start that then failed.
            Action::Launch if self.context.is_closing() => {
                return vec![Input::Stop, Input::LaunchFailed];
            }
            Action::Promote => return self.promote(),
            Action::Abandon => self.abandon(),
            Action::LaunchStandby => self.launch_standby(),
            Action::KillStandby => self.kill_standby().await,
            Action::Launch => self.launch(),
            Action::Drain(deadline) => {
                if !self.context.sessions.drain(&self.spec.id, deadline) {
                    return vec![Input::CannotDrain];
                }
            }
            Action::Terminate => {
                self.signal(Signal::SIGTERM, true).await;
                failpoints::hit("supervisor.terminated");
            }
            Action::Dump => {
                self.dump().await;
                failpoints::hit("supervisor.dump_sent");
            }
            Action::Kill => {
                self.send_guard(&ToGuard::Kill).await;
                // Also by ourselves, for a guard that is itself stopped.
                if let Some(run) = &self.run {
                    tree::signal(run.server, rustix::process::Signal::KILL);
                }
                failpoints::hit("supervisor.killed");
            }
            Action::TellHang(silent) => {
                self.tell_hang(silent);
                failpoints::hit("supervisor.hang_judged");
            }
            Action::TellQuarantine => self.tell_quarantine(),
            Action::TellRelease => {
                self.book.note("its quarantine is over");
                tracing::info!(server = %self.spec.id, "its quarantine is over");
            }
            Action::TellGroup => {
                if let Some(group) = &self.spec.group {
                    self.context.groups.failed(&group.name, &self.spec.id);
                }
            }
        }
        Vec::new()
    }

    async fn signal(&mut self, signal: Signal, group: bool) {
        self.send_guard(&ToGuard::Signal {
            signal: signal as i32,
            group,
        })
        .await;
    }

    async fn send_guard(&mut self, message: &ToGuard) {
        if let Some(link) = &mut self.link {
            if let Err(error) = link.send(message).await {
                tracing::warn!(server = %self.spec.id, %error, "the guard is gone");
            }
        }
    }

    async fn on_guard(&mut self, message: Option<FromGuard>) {
        match message {
            Some(FromGuard::Exited(record)) => self.ended(Some(record), false).await,
            // Without a word: it was killed, and the kernel has killed the server with it.
            None if self.status.borrow().os_pid.is_some() => {
                self.link = None;
                self.guard_lost().await;
            }
            Some(FromGuard::Gone) | None => self.guard_gone(),
            Some(FromGuard::LogsFull) => {
                self.book.note("the device of its log files is full: older lines are given up for new ones; make room");
                let dir = self.context.options.log_dir.clone();
                LogsFull {
                    server: &self.spec.id,
                    dir: &dir.display(),
                }
                .emit();
                // A flood soon pushes the note out of the book; the event stays with whoever listens.
                self.context
                    .tell(&self.spec.id, EventKind::LogsFull { dir });
            }
            Some(other) => {
                tracing::debug!(server = %self.spec.id, ?other, "unexpected message of the guard");
            }
        }
    }

    /// Nothing of the process is left.
    fn guard_gone(&mut self) {
        self.link = None;
        self.down(self.link_attempt);
    }

    fn note(&self) -> Note {
        self.note_of(&self.spec)
    }

    fn note_of(&self, spec: &ServerSpec) -> Note {
        Note {
            spec: spec.clone(),
            configured: self.configured,
            standby: None,
        }
    }
}

async fn receive(link: &mut Option<Link>) -> Option<FromGuard> {
    match link {
        Some(link) => link.recv().await,
        None => std::future::pending().await,
    }
}

async fn join(task: &mut Option<JoinHandle<Result<Launched, String>>>) -> Result<Launched, String> {
    match task {
        Some(task) => task.await.unwrap_or_else(|error| Err(error.to_string())),
        None => std::future::pending().await,
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
