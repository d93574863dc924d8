//! Groups: members that start in order and, where the strategy says so, are restarted together.
//!
//! [`conductor`] decides and is pure; [`drive`] does what it says, one order after the other, as an OTP supervisor does: the next
//! member is started once the one before plays, the next is stopped once the one after it is gone. What fails meanwhile waits in
//! the [`Inbox`], which holds each member once at most and so can neither overflow nor lose one.

mod conductor;
#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod tests;

pub use conductor::{Conductor, Next, Order};

use super::handle::{Supervisor, WeakSupervisor};
use super::spec::ServerSpec;
use super::status::State;
use crate::guard::clock::monotonic_ns;
use crate::types::ServerId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// What a group has yet to hear of.
#[derive(Default)]
struct Inbox {
    news: Mutex<News>,
    wake: Notify,
}

#[derive(Default)]
struct News {
    /// Ended and to be started again.
    failed: Vec<ServerId>,
    /// To be started for the first time.
    begin: Vec<ServerId>,
    /// To be restarted, as it was planned.
    restart: Vec<ServerId>,
    /// The supervisor ends.
    closed: bool,
    /// Somebody hears of it.
    driven: bool,
}

impl Inbox {
    fn change(&self, change: impl FnOnce(&mut News)) {
        change(&mut self.lock());
        self.wake.notify_one();
    }

    /// What is new, in the order of the fields.
    fn take(&self) -> [Vec<ServerId>; 3] {
        let mut news = self.lock();
        let news = &mut *news;
        [&mut news.failed, &mut news.begin, &mut news.restart].map(std::mem::take)
    }

    fn lock(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The inboxes of all groups, by name.
#[derive(Default)]
pub struct Groups {
    inboxes: Mutex<HashMap<String, Arc<Inbox>>>,
}

impl Groups {
    /// A member ended; its group decides what follows, once it is driven.
    pub fn failed(&self, group: &str, id: &ServerId) {
        let inbox = self.inbox(group);
        inbox.change(|news| add(&mut news.failed, id));
    }

    /// A member's planned restart, once the group has nothing else to do.
    pub fn restart(&self, group: &str, id: &ServerId) {
        let inbox = self.inbox(group);
        inbox.change(|news| add(&mut news.restart, id));
    }

    /// Starts these members, in this order. The group comes about with its first member.
    pub fn begin(&self, group: &str, ids: &[ServerId], supervisor: &Supervisor) {
        let inbox = self.inbox(group);
        inbox.change(|news| {
            for id in ids {
                add(&mut news.begin, id);
            }
        });
        if !std::mem::replace(&mut inbox.lock().driven, true) {
            let task = drive(group.to_owned(), supervisor.downgrade(), inbox.clone());
            tokio::spawn(task);
        }
    }

    fn inbox(&self, group: &str) -> Arc<Inbox> {
        let mut inboxes = self.lock();
        inboxes.entry(group.to_owned()).or_default().clone()
    }

    /// No group does anything any more.
    pub fn close(&self) {
        for inbox in self.lock().values() {
            inbox.change(|news| news.closed = true);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Inbox>>> {
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds it once.
fn add(list: &mut Vec<ServerId>, id: &ServerId) {
    if !list.contains(id) {
        list.push(id.clone());
    }
}

fn now() -> Duration {
    Duration::from_nanos(monotonic_ns())
}

/// Serves one group until the supervisor ends.
async fn drive(group: String, supervisor: WeakSupervisor, inbox: Arc<Inbox>) {
    let mut conductor: Option<Conductor> = None;
    loop {
        let Some(supervisor) = supervisor.upgrade() else {
            return;
        };
        let specs = supervisor.members(&group);
        let (Some(first), false) = (specs.first(), inbox.lock().closed) else {
            // Closed, or without members for now.
            drop(supervisor);
            if inbox.lock().closed {
                return;
            }
            inbox.wake.notified().await;
            continue;
        };
        let conductor = conductor.get_or_insert_with(|| Conductor::new(first));
        let members: Vec<ServerId> = specs.iter().map(|spec| spec.id.clone()).collect();
        conductor.update(first);
        let [failed, begin, restart] = inbox.take();
        for id in failed {
            tracing::warn!(group, server = %id, "a member ended; its group restarts by its strategy");
            conductor.failed(&id, &members, now(), rand::random());
        }
        conductor.begin(begin);
        conductor.restart(restart);
        match conductor.next(&members, now()) {
            Next::Do(order) => obey(&supervisor, order).await,
            Next::Wait(until) => {
                drop(supervisor);
                let pause = until.saturating_sub(now());
                // Cancel-safe: a notification that is not taken stays.
                let _ = tokio::time::timeout(pause, inbox.wake.notified()).await;
            }
            Next::Idle => {
                drop(supervisor);
                inbox.wake.notified().await;
            }
        }
    }
}

/// Does one thing and waits until it is done. What fails comes by the inbox, or is the member's own affair.
async fn obey(supervisor: &Supervisor, order: Order) {
    match order {
        Order::Begin(id) => {
            // Somebody may have started it meanwhile, and by its own policy a failed start may come right yet.
            let _ = supervisor.start_server(&id).await;
            settled(supervisor, &id).await;
        }
        Order::Hold(id) => supervisor.hold(&id).await,
        Order::Resume(id) => supervisor.resume(&id).await,
        Order::GiveUp(id) => supervisor.give_up(&id).await,
        Order::Restart(id) => {
            // What does not play any more needs no restart.
            let status = supervisor.server(&id);
            if status.is_some_and(|status| status.state == State::Running) {
                let _ = supervisor.restart_server(&id).await;
                settled(supervisor, &id).await;
            }
        }
    }
}

/// Waits until a member plays, or stays down, or waits for its group.
async fn settled(supervisor: &Supervisor, id: &ServerId) {
    let (Some(spec), Some(mut status)) = (supervisor.spec(id), supervisor.watch(id)) else {
        return;
    };
    let linked = ServerSpec::is_linked(&spec);
    let decided = |state: State| match state {
        State::Running | State::Stopped | State::Quarantined => true,
        State::BackingOff => linked,
        _ => false,
    };
    let _ = status.wait_for(|status| decided(status.state)).await;
}
