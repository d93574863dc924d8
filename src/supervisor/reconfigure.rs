//! Another configuration while servers run: only what differs is touched.

use super::actor::Command;
use super::error::SupervisorError;
use super::handle::Supervisor;
use super::plan::{Known, Plan};
use super::spec::ServerSpec;
use crate::types::ServerId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconfigured {
    /// What differed.
    pub plan: Plan,
    /// What could not be done, with the reason and the remedy.
    pub failed: Vec<(ServerId, String)>,
}

/// What a rolling restart did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rolled {
    /// Play again.
    pub restarted: Vec<ServerId>,
    /// Did not come back, or were left alone for that.
    pub failed: Vec<(ServerId, String)>,
}

impl Supervisor {
    /// What these specs would change. Changes nothing.
    pub fn plan(&self, wanted: &[ServerSpec]) -> Plan {
        let servers = self.servers_lock();
        let running: Vec<_> = servers
            .iter()
            .map(|entry| entry.running.borrow().clone())
            .collect();
        let known = servers.iter().zip(&running).map(|(entry, spec)| Known {
            spec,
            configured: entry.configured,
            up: entry.state().is_up(),
        });
        Plan::new(&known.collect::<Vec<_>>(), wanted)
    }

    /// The specs of the configuration, whatever became of their servers.
    pub fn configured(&self) -> Arc<Vec<ServerSpec>> {
        self.inner.configured.borrow().clone()
    }

    /// Makes the servers those of these specs; unchanged ones go on untouched, as do those that peers started. First what is
    /// removed is stopped, so that its ports are free; then changed ones take their new numbers and, where their process has to
    /// be another, are restarted, those of a group one after the other; then new ones start. Returns once that is done.
    ///
    /// # Errors
    /// [`SupervisorError::ShuttingDown`]; nothing was changed then.
    pub async fn reconfigure(
        &self,
        wanted: Vec<ServerSpec>,
    ) -> Result<Reconfigured, SupervisorError> {
        let _one_at_a_time = self.inner.reconfiguring.lock().await;
        if self.inner.context.is_closing() {
            return Err(SupervisorError::ShuttingDown);
        }
        let plan = self.plan(&wanted);
        self.inner.configured.send_replace(Arc::new(wanted.clone()));
        let mut failed = self.remove(&plan.removed).await;
        for spec in &wanted {
            self.replace(spec).await;
        }
        let restart = plan.changed.iter().filter(|changed| changed.restart);
        let restart: Vec<ServerId> = restart.map(|changed| changed.id.clone()).collect();
        failed.extend(self.restart_in_turn(&restart).await);
        let added = |id: &ServerId| plan.added.contains(id);
        let mut settled = Vec::new();
        for spec in wanted.iter().filter(|spec| added(&spec.id)) {
            settled.extend(self.add(spec.clone(), true));
        }
        for settled in settled {
            let _ = settled.await;
        }
        self.sort(&wanted);
        self.begin_groups(added);
        Ok(Reconfigured { plan, failed })
    }

    /// Restarts the members of a group that are up, one after the other, each once the one before plays. Gives those that were
    /// restarted, and those that were not: the first that does not come back ends it. Others may go on with the work.
    ///
    /// # Errors
    /// [`SupervisorError::NoGroup`].
    pub async fn rolling_restart(&self, group: &str) -> Result<Rolled, SupervisorError> {
        let members = self.members(group);
        if members.is_empty() {
            return Err(SupervisorError::NoGroup(group.to_owned()));
        }
        let is_up = |id: &ServerId| self.server(id).is_some_and(|status| status.state.is_up());
        let up: Vec<ServerId> = members
            .iter()
            .map(|spec| spec.id.clone())
            .filter(is_up)
            .collect();
        let supervisor = self.clone();
        // A caller that leaves does not leave half a group behind.
        let work = tokio::spawn(async move {
            let failed = supervisor.restart_in_turn(&up).await;
            let failed_one = |id: &ServerId| failed.iter().any(|(other, _)| other == id);
            let restarted = up.into_iter().filter(|id| !failed_one(id)).collect();
            Rolled { restarted, failed }
        });
        work.await.map_err(|_| SupervisorError::ShuttingDown)
    }

    /// Stops and forgets these.
    async fn remove(&self, ids: &[ServerId]) -> Vec<(ServerId, String)> {
        let chains = self.chains(ids, true);
        let removals = chains.iter().map(|chain| async move {
            let mut failed = Vec::new();
            for id in chain {
                let stopped = self.stop_server(id).await;
                let done = match stopped {
                    Ok(()) => self.delete_child(id).await,
                    Err(error) => Err(error),
                };
                // Somebody else may have deleted it meanwhile.
                let gone = matches!(done, Err(SupervisorError::NotFound(_)));
                if let Some(error) = done.err().filter(|_| !gone) {
                    failed.push((id.clone(), error.to_string()));
                }
            }
            failed
        });
        futures::future::join_all(removals).await.concat()
    }

    /// Gives a server that is there its new spec.
    async fn replace(&self, spec: &ServerSpec) {
        let spec = Arc::new(spec.clone());
        {
            let mut servers = self.servers_lock();
            let Some(entry) = servers.iter_mut().find(|entry| entry.spec.id == spec.id) else {
                return;
            };
            let same = entry.configured && entry.spec == spec;
            entry.spec = spec.clone();
            entry.configured = true;
            if same {
                return;
            }
        }
        let update = |reply| Command::Update(spec.clone(), reply);
        let _ = self.ask(&spec.id, update).await;
    }

    /// Restarts these, those of a group one after the other: what does not come back up keeps the rest from going down.
    pub(super) async fn restart_in_turn(&self, ids: &[ServerId]) -> Vec<(ServerId, String)> {
        let chains = self.chains(ids, false);
        let restarts = chains.iter().map(|chain| async move {
            for (at, id) in chain.iter().enumerate() {
                if let Err(error) = self.restart_server(id).await {
                    let rest = &chain[at + 1..];
                    let mut failed = vec![(id.clone(), error.to_string())];
                    failed.extend(rest.iter().map(|other| {
                        let why = format!("not restarted, because {id} did not come back; restart it once that is mended");
                        (other.clone(), why)
                    }));
                    return failed;
                }
            }
            Vec::new()
        });
        futures::future::join_all(restarts).await.concat()
    }

    /// What may be done side by side: each group by itself, in its order or in reverse, and each other server.
    pub(super) fn chains(&self, ids: &[ServerId], reverse: bool) -> Vec<Vec<ServerId>> {
        let mut chains = Vec::new();
        let mut groups: BTreeMap<String, Vec<ServerId>> = BTreeMap::new();
        let servers = self.servers_lock();
        for entry in servers.iter().filter(|entry| ids.contains(&entry.spec.id)) {
            let id = entry.spec.id.clone();
            match &entry.spec.group {
                Some(group) => groups.entry(group.name.clone()).or_default().push(id),
                None => chains.push(vec![id]),
            }
        }
        for (_, mut chain) in groups {
            if reverse {
                chain.reverse();
            }
            chains.push(chain);
        }
        chains
    }

    /// The order of the configuration, then what peers started.
    fn sort(&self, wanted: &[ServerSpec]) {
        let place = |id: &ServerId| wanted.iter().position(|spec| spec.id == *id);
        let last = wanted.len();
        self.servers_lock()
            .sort_by_key(|entry| place(&entry.spec.id).unwrap_or(last));
    }
}
