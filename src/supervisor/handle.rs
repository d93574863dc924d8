//! The handle: what the rest of sidekick holds of the supervisor.

use super::ExitRequest;
use super::actor::{Actor, Command, Parts, Reply};
use super::adopt;
use super::book::LogBook;
use super::context::{Context, Rooms};
use super::error::{SupervisorError, SupervisorStartError};
use super::event::{EventKind, SupervisorEvent};
use super::feed::SessionFeed;
use super::group::Groups;
use super::launch::Note;
use super::link::Link;
use super::slot::Slot;
use super::spec::{ServerSpec, SupervisorOptions};
use super::status::{CrashSummary, LogLine, State, Status};
use super::store::Store;
use super::tail::Tail;
use crate::guard::files::{RunFiles, make_private_dir};
use crate::ports::{SessionEvent, SessionObserver};
use crate::shutdown::Shutdown;
use crate::types::ServerId;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::task::TaskTracker;

/// Requests waiting for one server.
const COMMANDS: usize = 256;
/// Log lines a receiver may lag behind.
const LOG_EVENTS: usize = 8_192;

/// Handle to the supervisor; clones are the same one.
#[derive(Clone)]
pub struct Supervisor {
    pub(super) inner: Arc<Inner>,
}

/// The same, for tasks that must not keep it.
pub(super) struct WeakSupervisor(Weak<Inner>);

impl WeakSupervisor {
    /// Of these insides.
    pub fn of(inner: &Arc<Inner>) -> Self {
        Self(Arc::downgrade(inner))
    }

    /// It, while somebody else still holds it.
    pub fn upgrade(&self) -> Option<Supervisor> {
        self.0.upgrade().map(|inner| Supervisor { inner })
    }
}

pub(super) struct Inner {
    pub(super) context: Arc<Context>,
    pub(super) feed: SessionFeed,
    pub(super) shutdown: Shutdown,
    /// The specs of the configuration.
    pub(super) configured: watch::Sender<Arc<Vec<ServerSpec>>>,
    /// One reconfiguration at a time.
    pub(super) reconfiguring: tokio::sync::Mutex<()>,
    servers: Mutex<Vec<Entry>>,
}

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) spec: Arc<ServerSpec>,
    pub(super) configured: bool,
    /// The spec by which it runs, which is an older one while a changed one waits for its next start.
    pub(super) running: watch::Receiver<Arc<ServerSpec>>,
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Status>,
    book: Arc<LogBook>,
    bundles: Store,
}

impl Entry {
    /// Where its server is in its life.
    pub fn state(&self) -> State {
        self.status.borrow().state
    }
}

impl Supervisor {
    /// Makes the directories, adopts what an earlier sidekick left running, starts what is to be started.
    /// Returns once adoption is decided and before the servers play.
    ///
    /// # Errors
    /// Where a directory cannot be used, two specs share an id, or the machine allows no more log watches.
    pub async fn start(
        options: SupervisorOptions,
        specs: Vec<ServerSpec>,
        rooms: Rooms,
        shutdown: Shutdown,
    ) -> Result<Self, SupervisorStartError> {
        for (index, spec) in specs.iter().enumerate() {
            if specs[..index].iter().any(|other| other.id == spec.id) {
                return Err(SupervisorStartError::Duplicate(spec.id.clone()));
            }
        }
        let options = prepare_dirs(options)?;
        let Rooms {
            activations,
            sessions,
            facts,
            feed,
            events,
        } = rooms;
        let context = Arc::new(Context {
            options,
            activations,
            sessions,
            facts,
            events,
            log_events: broadcast::Sender::new(LOG_EVENTS),
            tail: Tail::start().map_err(SupervisorStartError::LogReader)?,
            tasks: TaskTracker::new(),
            closing: AtomicBool::new(false),
            groups: Groups::default(),
            base: Mutex::default(),
        });
        let configured = watch::Sender::new(Arc::new(specs.clone()));
        let supervisor = Self {
            inner: Arc::new(Inner {
                context,
                feed,
                shutdown,
                configured,
                reconfiguring: tokio::sync::Mutex::default(),
                servers: Mutex::default(),
            }),
        };
        let mut settled = Vec::new();
        for spec in specs {
            settled.extend(supervisor.add(spec, true));
        }
        settled.extend(supervisor.add_left().await);
        for settled in settled {
            let _ = settled.await;
        }
        supervisor.begin_groups(|_| true);
        Ok(supervisor)
    }

    /// Servers that stand in no configuration but still run: those once started by request are adopted, those whose
    /// configuration is gone are stopped.
    async fn add_left(&self) -> Vec<oneshot::Receiver<()>> {
        let mut settled = Vec::new();
        for id in adopt::ids(&self.inner.context.options.run_dir) {
            let Ok(id) = ServerId::new(&id) else { continue };
            if self.entry(&id).is_ok() {
                continue;
            }
            match self.left(&id).await {
                Some(note) if note.spec.id == id => {
                    settled.extend(self.add(note.spec, note.configured));
                    if note.configured {
                        tracing::warn!(server = %id, "runs but is no longer configured: it is stopped");
                        let supervisor = self.clone();
                        tokio::spawn(async move { supervisor.stop_server(&id).await });
                    }
                }
                _ => {
                    tracing::warn!(server = %id, "left over from an earlier sidekick and cleaned up");
                }
            }
        }
        settled
    }

    /// The note of a guard that runs. The link is dropped again; a guard that stops with its owner would stop then, so it is
    /// first told to keep.
    async fn left(&self, id: &ServerId) -> Option<Note> {
        let run_dir = &self.inner.context.options.run_dir;
        let keep = super::spec::OnExit::Keep;
        for slot in Slot::ALL {
            let files = RunFiles::open(run_dir, &slot.name(id.as_str())).ok()?;
            if let Ok(adopted) = Link::adopt(&files, keep).await {
                return serde_json::from_str(&adopted.note).ok();
            }
        }
        // Nothing answers: sweep up what a killed guard left.
        for slot in Slot::ALL {
            let found = adopt::find(run_dir, id.as_str(), slot, keep).await;
            if let Ok(adopt::Found::Ended(record)) = found {
                let _ = adopt::forget(run_dir, &slot.name(id.as_str()), &record.start);
            }
        }
        None
    }

    pub(super) fn add(&self, spec: ServerSpec, configured: bool) -> Option<oneshot::Receiver<()>> {
        let context = self.inner.context.clone();
        let mut servers = self.servers_lock();
        if servers.iter().any(|entry| entry.spec.id == spec.id) {
            return None;
        }
        let spec = Arc::new(spec);
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let running = watch::Sender::new(spec.clone());
        let (status, status_receiver) = watch::channel(Status::new(spec.id.clone()));
        let book = LogBook::new(
            spec.id.clone(),
            context.options.logs.lines,
            context.log_events.clone(),
        );
        let entry = Entry {
            spec: spec.clone(),
            configured,
            running: running.subscribe(),
            commands: commands.clone(),
            status: status_receiver,
            book: Arc::new(book),
            bundles: Store::new(
                &context.options.crash_dir,
                spec.id.as_str(),
                context.options.bundles,
                context.options.bundle_bytes,
            ),
        };
        let parts = Parts {
            context: context.clone(),
            spec: spec.clone(),
            configured,
            running,
            status,
            book: entry.book.clone(),
            bundles: entry.bundles.clone(),
            commands: commands.downgrade(),
        };
        servers.push(entry);
        drop(servers);
        let sessions = self.inner.feed.listen(&spec.id);
        let (settled, wait) = oneshot::channel();
        context.tell(&spec.id, EventKind::Added);
        tokio::spawn(Actor::new(parts).run(receiver, sessions, settled));
        Some(wait)
    }

    pub(super) fn servers_lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.inner
            .servers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn entry(&self, id: &ServerId) -> Result<Entry, SupervisorError> {
        let servers = self.servers_lock();
        let entry = servers.iter().find(|entry| entry.spec.id == *id);
        entry
            .cloned()
            .ok_or_else(|| SupervisorError::NotFound(id.clone()))
    }

    pub(super) async fn ask(
        &self,
        id: &ServerId,
        command: impl FnOnce(Reply) -> Command,
    ) -> Result<(), SupervisorError> {
        let entry = self.entry(id)?;
        let (reply, answer) = oneshot::channel();
        let gone = |()| SupervisorError::NotFound(id.clone());
        entry
            .commands
            .send(command(reply))
            .await
            .map_err(|_| gone(()))?;
        answer.await.map_err(|_| gone(()))?
    }

    /// All servers, in the order of their start.
    pub fn servers(&self) -> Vec<Status> {
        self.servers_lock()
            .iter()
            .map(|entry| entry.status.borrow().clone())
            .collect()
    }

    /// One server.
    pub fn server(&self, id: &ServerId) -> Option<Status> {
        self.entry(id)
            .ok()
            .map(|entry| entry.status.borrow().clone())
    }

    /// Its spec.
    pub fn spec(&self, id: &ServerId) -> Option<ServerSpec> {
        self.entry(id).ok().map(|entry| (*entry.spec).clone())
    }

    /// Changes of its status, to wait for.
    pub fn watch(&self, id: &ServerId) -> Option<watch::Receiver<Status>> {
        self.entry(id).ok().map(|entry| entry.status)
    }

    /// Starts it; done once it plays (without a session: once its process runs). Releases a quarantine.
    /// The work goes on if this future is dropped; so with all requests.
    pub async fn start_server(&self, id: &ServerId) -> Result<(), SupervisorError> {
        self.ask(id, Command::Start).await
    }

    /// Stops it gracefully; done once it is gone. It stays stopped.
    pub async fn stop_server(&self, id: &ServerId) -> Result<(), SupervisorError> {
        self.ask(id, Command::Stop).await
    }

    /// Stops it gracefully and starts it again; done once it plays. Not counted as a restart.
    pub async fn restart_server(&self, id: &ServerId) -> Result<(), SupervisorError> {
        self.ask(id, Command::Restart).await
    }

    /// SIGKILL to the whole tree; done once it is gone. The restart policy applies.
    pub async fn kill_server(&self, id: &ServerId) -> Result<(), SupervisorError> {
        self.ask(id, Command::Kill).await
    }

    /// Asks the game to drain; done once it is gone. It stays stopped.
    pub async fn drain_server(&self, id: &ServerId) -> Result<(), SupervisorError> {
        self.ask(id, Command::Drain).await
    }

    /// An exit signal to the process of that start; ignored where another start is current.
    pub async fn exit(&self, id: &ServerId, start_number: u64, request: ExitRequest) {
        if let Ok(entry) = self.entry(id) {
            let _ = entry
                .commands
                .send(Command::Exit(start_number, request))
                .await;
        }
    }

    /// OTP `start_child`: adds and starts. Does not wait for play.
    pub async fn start_child(&self, spec: ServerSpec) -> Result<(), SupervisorError> {
        if self.inner.context.is_closing() {
            return Err(SupervisorError::ShuttingDown);
        }
        let id = spec.id.clone();
        let Some(settled) = self.add(spec, false) else {
            return Err(SupervisorError::AlreadyPresent(id));
        };
        let _ = settled.await;
        match self.ask(&id, Command::StartNow).await {
            // A guard of that id was found and adopted.
            Err(SupervisorError::AlreadyStarted(_)) => Ok(()),
            other => other,
        }
    }

    /// OTP `terminate_child`: stops it, keeps the spec. Also fine where it does not run.
    pub async fn terminate_child(&self, id: &ServerId) -> Result<(), SupervisorError> {
        self.stop_server(id).await
    }

    /// OTP `restart_child`: starts a stopped one; [`SupervisorError::AlreadyStarted`] where it runs.
    pub async fn restart_child(&self, id: &ServerId) -> Result<(), SupervisorError> {
        self.ask(id, Command::StartNow).await
    }

    /// OTP `delete_child`: forgets a stopped one; [`SupervisorError::Running`] where it runs.
    pub async fn delete_child(&self, id: &ServerId) -> Result<(), SupervisorError> {
        self.ask(id, Command::Delete).await?;
        self.servers_lock().retain(|entry| entry.spec.id != *id);
        self.inner.feed.forget(id);
        self.inner.context.tell(id, EventKind::Removed);
        Ok(())
    }

    /// Log lines after a cursor (the oldest first), or the last `limit` ones without it.
    pub fn logs(
        &self,
        id: &ServerId,
        limit: usize,
        after: Option<u64>,
    ) -> Result<Vec<LogLine>, SupervisorError> {
        Ok(self.entry(id)?.book.read(limit, after))
    }

    /// Its crash bundles, the oldest first.
    pub async fn crashes(&self, id: &ServerId) -> Result<Vec<CrashSummary>, SupervisorError> {
        let bundles = self.entry(id)?.bundles;
        Ok(tokio::task::spawn_blocking(move || bundles.list())
            .await
            .unwrap_or_default())
    }

    /// One crash bundle.
    pub async fn crash(&self, id: &ServerId, number: u64) -> Option<serde_json::Value> {
        let bundles = self.entry(id).ok()?.bundles;
        tokio::task::spawn_blocking(move || bundles.read(number))
            .await
            .ok()?
    }

    /// Events from now on. A receiver that lags loses the oldest.
    pub fn events(&self) -> broadcast::Receiver<SupervisorEvent> {
        self.inner.context.events.subscribe()
    }

    /// Log lines of all servers from now on. A receiver that lags loses the oldest.
    pub fn log_events(&self) -> broadcast::Receiver<(ServerId, LogLine)> {
        self.inner.context.log_events.subscribe()
    }
}

impl SessionObserver for Supervisor {
    fn session_event(&self, server: &ServerId, event: SessionEvent) {
        self.inner.feed.session_event(server, event);
    }
}

fn prepare_dirs(mut options: SupervisorOptions) -> Result<SupervisorOptions, SupervisorStartError> {
    for dir in [
        &mut options.run_dir,
        &mut options.log_dir,
        &mut options.crash_dir,
        &mut options.home_dir,
    ] {
        let usable = make_private_dir(dir)
            // Guards and servers have other working directories.
            .and_then(|()| dir.canonicalize())
            .and_then(|path| {
                rustix::fs::access(&path, rustix::fs::Access::WRITE_OK)
                    .map(|()| path)
                    .map_err(Into::into)
            });
        match usable {
            Ok(path) => *dir = path,
            Err(source) => {
                return Err(SupervisorStartError::Directory {
                    path: dir.clone(),
                    source,
                });
            }
        }
    }
    Ok(options)
}
