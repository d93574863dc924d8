//! What all actors share.

use super::cgroups::Base;
use super::event::{EventKind, SupervisorEvent};
use super::group::Groups;
use super::slot::Slot;
use super::spec::SupervisorOptions;
use super::status::LogLine;
use super::tail::Tail;
use crate::guard::clock::monotonic_ns;
use crate::ports::{Activations, BundleFacts, Sessions};
use crate::types::{ServerId, now_ms};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast;
use tokio_util::task::TaskTracker;

/// The other rooms and the common channels.
pub struct Context {
    /// Directories and bounds.
    pub options: SupervisorOptions,
    /// Where epochs come from.
    pub activations: Arc<dyn Activations>,
    /// The sessions.
    pub sessions: Arc<dyn Sessions>,
    /// Facts for bundles.
    pub facts: Arc<dyn BundleFacts>,
    /// Events.
    pub events: broadcast::Sender<SupervisorEvent>,
    /// Log lines.
    pub log_events: broadcast::Sender<(ServerId, LogLine)>,
    /// The thread that reads log files.
    pub tail: Tail,
    /// Bundles being written.
    pub tasks: TaskTracker,
    /// Nothing is started any more.
    pub closing: AtomicBool,
    /// What the groups have to hear.
    pub groups: Groups,
    /// Where servers get their cgroups, once one has asked.
    pub base: Mutex<Option<Base>>,
}

impl Context {
    /// Tells an event.
    pub fn tell(&self, id: &ServerId, kind: EventKind) {
        let event = SupervisorEvent {
            id: id.clone(),
            at_ms: now_ms(),
            at_ns: monotonic_ns(),
            kind,
        };
        // Nobody listens: fine.
        let _ = self.events.send(event);
    }

    /// The log file of a server's process in that place.
    pub fn log_file(&self, id: &ServerId, slot: Slot, source: &str) -> PathBuf {
        let name = slot.name(id.as_str());
        self.options.log_dir.join(format!("{name}.{source}.log"))
    }

    /// Where servers get their cgroups, with these controllers. Touches the kernel; blocks.
    ///
    /// # Errors
    /// Why there is no such place, with the remedy.
    pub fn cgroups(&self, controllers: &[&str]) -> Result<Base, String> {
        let mut base = self.base.lock().unwrap_or_else(PoisonError::into_inner);
        // Found once: afterwards sidekick itself has moved.
        let found = match base.take() {
            Some(found) => found,
            None => Base::find()?,
        };
        found.enable(controllers)?;
        Ok(base.insert(found).clone())
    }

    /// Whether the supervisor is ending.
    pub fn is_closing(&self) -> bool {
        self.closing.load(std::sync::atomic::Ordering::Relaxed)
    }
}
