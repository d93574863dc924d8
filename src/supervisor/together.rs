//! What concerns several servers at once: the start of groups, the end of all.

use super::actor::Command;
use super::handle::{Entry, Supervisor, WeakSupervisor};
use super::spec::ServerSpec;
use crate::types::ServerId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long the last bundles may take.
const LAST_TASKS: Duration = Duration::from_secs(3);

impl Supervisor {
    pub(super) fn downgrade(&self) -> WeakSupervisor {
        WeakSupervisor::of(&self.inner)
    }

    /// The members of a group, in the order of their start.
    pub(super) fn members(&self, group: &str) -> Vec<Arc<ServerSpec>> {
        let is_member = |entry: &&Entry| group_of(&entry.spec) == Some(group);
        let servers = self.servers_lock();
        let members = servers.iter().filter(is_member);
        members.map(|entry| entry.spec.clone()).collect()
    }

    /// Starts the chosen members of all groups, each group in its order, the groups side by side.
    pub(super) fn begin_groups(&self, chosen: impl Fn(&ServerId) -> bool) {
        let mut groups: BTreeMap<String, Vec<ServerId>> = BTreeMap::new();
        for entry in self.servers_lock().iter() {
            let spec = &entry.spec;
            let Some(name) = group_of(spec) else { continue };
            let group = groups.entry(name.to_owned()).or_default();
            if entry.configured && spec.autostart && chosen(&spec.id) {
                group.push(spec.id.clone());
            }
        }
        for (name, ids) in groups {
            self.inner.context.groups.begin(&name, &ids, self);
        }
    }

    /// Stops a member until its group starts it again; done once it is gone.
    pub(super) async fn hold(&self, id: &ServerId) {
        let _ = self.ask(id, Command::Hold).await;
    }

    /// Starts what was held; done once it plays or has failed.
    pub(super) async fn resume(&self, id: &ServerId) {
        let _ = self.ask(id, Command::Resume).await;
    }

    /// Quarantines a member with its group; done once it is gone.
    pub(super) async fn give_up(&self, id: &ServerId) {
        let _ = self.ask(id, Command::GiveUp).await;
    }

    /// Stops all servers gracefully, independent ones side by side, those of a group the last first; kills them once
    /// [`hurrying`](crate::shutdown::Shutdown::hurrying). Returns once all are gone.
    pub async fn shutdown(&self) {
        self.inner.context.closing.store(true, Ordering::Relaxed);
        self.inner.context.groups.close();
        // Those of a group one after the other, all else side by side: patience must not add up.
        let ids: Vec<ServerId> = self.servers().into_iter().map(|status| status.id).collect();
        let chains = self.chains(&ids, true);
        let stops = chains.iter().map(|chain| self.stop_chain(chain));
        futures::future::join_all(stops).await;
        self.leave().await;
    }

    /// Stops these one after the other.
    async fn stop_chain(&self, chain: &[ServerId]) {
        for id in chain {
            let stop = self.stop_server(id);
            tokio::pin!(stop);
            tokio::select! {
                _ = &mut stop => continue,
                () = self.inner.shutdown.hurrying() => {}
            }
            let _ = tokio::join!(self.kill_server(id), stop);
        }
    }

    /// Lets go of all servers without stopping them: each guard does what `on_exit` says.
    pub async fn leave(&self) {
        self.inner.context.closing.store(true, Ordering::Relaxed);
        self.inner.context.groups.close();
        let ids: Vec<ServerId> = self
            .servers_lock()
            .iter()
            .map(|entry| entry.spec.id.clone())
            .collect();
        self.inner.context.tasks.close();
        let _ = tokio::time::timeout(LAST_TASKS, self.inner.context.tasks.wait()).await;
        for id in ids {
            let _ = self.ask(&id, Command::Leave).await;
        }
    }
}

fn group_of(spec: &ServerSpec) -> Option<&str> {
    spec.group.as_ref().map(|group| group.name.as_str())
}
