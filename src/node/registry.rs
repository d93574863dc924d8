//! The table of local processes: who lives, under which name, and who wants to know of their end.

use crate::dist::control::Target;
use crate::etf::{Atom, Pid, Reference};
use crate::node::connection::{Connection, ConnectionId};
use crate::node::process::Mailbox;
use foldhash::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Number of a local process: `id` and `serial` of its pid.
pub(super) type LocalId = (u32, u32);

/// Most remote monitors and links that one process carries; more are answered as if it did not exist.
const WATCHERS_MAX: usize = 100_000;

/// Most monitors and links of one connection, on all processes together; more are answered likewise.
const HELD_MAX: usize = 100_000;

/// A remote process that monitors a local one.
#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) connection: Arc<Connection>,
    pub(super) pid: Pid,
    pub(super) reference: Reference,
    /// How it named the process; it will be told the same.
    pub(super) target: Target,
}

#[derive(Debug)]
struct Entry {
    pid: Pid,
    mailbox: Mailbox,
    name: Option<Atom>,
    watchers: HashMap<(ConnectionId, Reference), Watcher>,
    links: HashMap<(ConnectionId, Pid), Arc<Connection>>,
    local_watches: Vec<Reference>,
}

#[derive(Debug, Default)]
struct Tables {
    processes: HashMap<LocalId, Entry>,
    names: HashMap<Atom, LocalId>,
    last: LocalId,
    /// How many monitors and links each connection has.
    held: HashMap<ConnectionId, usize>,
}

impl Tables {
    fn has_room(&self, connection: ConnectionId) -> bool {
        self.held
            .get(&connection)
            .is_none_or(|held| *held < HELD_MAX)
    }

    fn release(&mut self, connection: ConnectionId) {
        if let Some(held) = self.held.get_mut(&connection) {
            *held = held.saturating_sub(1);
        }
    }
}

/// What the end of a process makes necessary.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) pid: Pid,
    pub(super) watchers: Vec<Watcher>,
    pub(super) links: Vec<(Arc<Connection>, Pid)>,
    /// References of our own waiters.
    pub(super) local_watches: Vec<Reference>,
}

/// What can be seen of a process from outside.
#[derive(Debug)]
pub(super) struct Portrait {
    pub(super) name: Option<Atom>,
    pub(super) queued: usize,
    pub(super) links: Vec<Pid>,
    pub(super) monitored_by: Vec<Pid>,
}

/// All local processes of a node.
#[derive(Debug)]
pub(super) struct Registry {
    tables: Mutex<Tables>,
    started: Instant,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            tables: Mutex::default(),
            started: Instant::now(),
        }
    }
}

impl Registry {
    /// When the node came to be.
    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// All processes.
    pub(super) fn pids(&self) -> Vec<Pid> {
        let tables = self.lock();
        tables.processes.values().map(|e| e.pid.clone()).collect()
    }

    /// All names.
    pub(super) fn names(&self) -> Vec<Atom> {
        self.lock().names.keys().cloned().collect()
    }

    /// What can be seen of one process.
    pub(super) fn portrait(&self, id: LocalId) -> Option<Portrait> {
        let tables = self.lock();
        let entry = tables.processes.get(&id)?;
        Some(Portrait {
            name: entry.name.clone(),
            queued: entry.mailbox.queued(),
            links: entry.links.keys().map(|(_, pid)| pid.clone()).collect(),
            monitored_by: entry.watchers.values().map(|w| w.pid.clone()).collect(),
        })
    }

    /// A number that no process of this node had yet.
    pub(super) fn next_id(&self) -> LocalId {
        let mut tables = self.lock();
        let (id, serial) = tables.last;
        // 28 bits, as pids had before OTP 24: some tools print them so.
        tables.last = if id + 1 < 1 << 28 {
            (id + 1, serial)
        } else {
            (1, serial.wrapping_add(1))
        };
        tables.last
    }

    pub(super) fn insert(&self, pid: &Pid, mailbox: Mailbox) {
        let entry = Entry {
            pid: pid.clone(),
            mailbox,
            name: None,
            watchers: HashMap::default(),
            links: HashMap::default(),
            local_watches: Vec::new(),
        };
        self.lock().processes.insert((pid.id, pid.serial), entry);
    }

    pub(super) fn register(&self, name: Atom, id: LocalId) -> bool {
        let mut tables = self.lock();
        if tables.names.contains_key(&name) {
            return false;
        }
        match tables.processes.get_mut(&id) {
            Some(entry) if entry.name.is_none() => entry.name = Some(name.clone()),
            _ => return false,
        }
        tables.names.insert(name, id);
        true
    }

    pub(super) fn unregister(&self, name: &Atom) {
        let mut tables = self.lock();
        if let Some(id) = tables.names.remove(name) {
            if let Some(entry) = tables.processes.get_mut(&id) {
                entry.name = None;
            }
        }
    }

    pub(super) fn end(&self, id: LocalId) -> Option<Ending> {
        let mut tables = self.lock();
        let entry = tables.processes.remove(&id)?;
        if let Some(name) = &entry.name {
            tables.names.remove(name);
        }
        for (connection, _) in entry.watchers.keys() {
            tables.release(*connection);
        }
        for (connection, _) in entry.links.keys() {
            tables.release(*connection);
        }
        Some(Ending {
            pid: entry.pid,
            watchers: entry.watchers.into_values().collect(),
            links: entry
                .links
                .into_iter()
                .map(|((_, remote), of)| (of, remote))
                .collect(),
            local_watches: entry.local_watches,
        })
    }

    pub(super) fn whereis(&self, name: &Atom) -> Option<LocalId> {
        self.lock().names.get(name).copied()
    }

    pub(super) fn mailbox(&self, id: LocalId) -> Option<Mailbox> {
        self.lock()
            .processes
            .get(&id)
            .map(|entry| entry.mailbox.clone())
    }

    pub(super) fn mailbox_named(&self, name: &Atom) -> Option<Mailbox> {
        let tables = self.lock();
        let id = tables.names.get(name)?;
        tables.processes.get(id).map(|entry| entry.mailbox.clone())
    }

    /// Adds a remote monitor; gives it back where there is no such process.
    pub(super) fn monitor(&self, id: Option<LocalId>, watcher: Watcher) -> Result<(), Watcher> {
        let mut tables = self.lock();
        let connection = watcher.connection.id;
        if !tables.has_room(connection) {
            return Err(watcher);
        }
        match id.and_then(|id| tables.processes.get_mut(&id)) {
            Some(entry) if entry.watchers.len() < WATCHERS_MAX => {
                let key = (connection, watcher.reference.clone());
                if entry.watchers.insert(key, watcher).is_none() {
                    *tables.held.entry(connection).or_default() += 1;
                }
                Ok(())
            }
            _ => Err(watcher),
        }
    }

    /// Removes a remote monitor. By name too, as the name may have moved on since.
    pub(super) fn demonitor(
        &self,
        connection: ConnectionId,
        target: &Target,
        reference: &Reference,
    ) {
        let key = (connection, reference.clone());
        let mut tables = self.lock();
        let id = match target {
            Target::Pid(pid) => Some((pid.id, pid.serial)),
            Target::Name(name) => tables.names.get(name).copied(),
        };
        let direct = id.and_then(|id| tables.processes.get_mut(&id));
        let mut removed = direct.is_some_and(|entry| entry.watchers.remove(&key).is_some());
        if !removed && matches!(target, Target::Name(_)) {
            let mut entries = tables.processes.values_mut();
            removed = entries.any(|entry| entry.watchers.remove(&key).is_some());
        }
        if removed {
            tables.release(connection);
        }
    }

    /// Watches a local process from within; false where there is no such process.
    pub(super) fn watch(&self, id: LocalId, waiter: Reference) -> bool {
        match self.lock().processes.get_mut(&id) {
            Some(entry) => {
                entry.local_watches.push(waiter);
                true
            }
            None => false,
        }
    }

    /// Ends such a watch.
    pub(super) fn unwatch(&self, id: LocalId, waiter: &Reference) {
        if let Some(entry) = self.lock().processes.get_mut(&id) {
            entry.local_watches.retain(|other| other != waiter);
        }
    }

    /// Adds a link to a remote process; false where there is no such local process.
    pub(super) fn link(&self, id: LocalId, connection: &Arc<Connection>, remote: Pid) -> bool {
        let mut tables = self.lock();
        if !tables.has_room(connection.id) {
            return false;
        }
        match tables.processes.get_mut(&id) {
            Some(entry) if entry.links.len() < WATCHERS_MAX => {
                let key = (connection.id, remote);
                if entry.links.insert(key, connection.clone()).is_none() {
                    *tables.held.entry(connection.id).or_default() += 1;
                }
                true
            }
            _ => false,
        }
    }

    /// Removes a link; whether there was one.
    pub(super) fn unlink(&self, id: LocalId, connection: ConnectionId, remote: &Pid) -> bool {
        let mut tables = self.lock();
        let entry = tables.processes.get_mut(&id);
        let key = (connection, remote.clone());
        let removed = entry.is_some_and(|entry| entry.links.remove(&key).is_some());
        if removed {
            tables.release(connection);
        }
        removed
    }

    /// Forgets all monitors and links of a lost connection; gives whom to tell of each broken link.
    pub(super) fn connection_lost(&self, connection: ConnectionId) -> Vec<(Mailbox, Pid)> {
        let mut broken = Vec::new();
        let mut tables = self.lock();
        tables.held.remove(&connection);
        for entry in tables.processes.values_mut() {
            entry.watchers.retain(|(of, _), _| *of != connection);
            let mailbox = &entry.mailbox;
            entry.links.retain(|(of, remote), _| {
                if *of == connection {
                    broken.push((mailbox.clone(), remote.clone()));
                }
                *of != connection
            });
        }
        broken
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
