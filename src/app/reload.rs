//! Reads the configuration again: by SIGHUP, by `sidekick ctl reload`, by a request, at the operator's prompt.
//!
//! A file that is wrong changes nothing. Servers are all that changes while sidekick runs; what differs elsewhere is named, and holds
//! from sidekick's next start, over which games play on.

use super::convert;
use crate::config::{Config, Overrides};
use crate::ports::{BoxFuture, Reload, ReloadRefused};
use crate::supervisor::{Plan, Reconfigured, Supervisor, SupervisorError};
use crate::types::ServerId;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Notify;

/// What is needed to read the configuration again.
#[derive(Clone)]
pub struct Reloader {
    /// The configuration with which sidekick started.
    pub started: Arc<Config>,
    /// What command line and environment said then.
    pub overrides: Overrides,
    /// Where the servers are.
    pub supervisor: Supervisor,
}

impl Reload for Reloader {
    fn reload(&self, only_plan: bool) -> BoxFuture<'_, Result<Value, ReloadRefused>> {
        let reloader = self.clone();
        // A caller that leaves takes nothing with it.
        let work = tokio::spawn(async move { reloader.run(only_plan).await });
        Box::pin(async move {
            work.await
                .unwrap_or_else(|_| Err(refused("shutting_down", "sidekick is ending")))
        })
    }
}

impl Reloader {
    /// Reloads at every SIGHUP, which the log alone tells of.
    pub async fn at_hangup(self, hangup: Arc<Notify>) {
        loop {
            hangup.notified().await;
            tracing::info!("SIGHUP: the configuration is read again");
            let _ = self.reload(false).await;
        }
    }

    async fn run(self, only_plan: bool) -> Result<Value, ReloadRefused> {
        let file = self.started.file.clone();
        let result = self.read_and_apply(only_plan).await;
        match &result {
            Ok(answer) if !only_plan => {
                tracing::info!(file = %file.display(), %answer, "the configuration was taken over");
            }
            Ok(_) => {}
            Err(refused) => {
                let (code, detail) = (refused.code, &refused.detail);
                tracing::error!(file = %file.display(), code, detail, "the configuration was not taken over, or not all of it");
            }
        }
        result
    }

    async fn read_and_apply(self, only_plan: bool) -> Result<Value, ReloadRefused> {
        let (file, overrides) = (self.started.file.clone(), self.overrides.clone());
        let read = move || {
            let config = Config::load(&file, &overrides)?;
            config.check_machine()?;
            Ok::<_, crate::config::ConfigError>(config)
        };
        let config = tokio::task::spawn_blocking(read)
            .await
            .map_err(|_| refused("shutting_down", "sidekick is ending"))?
            .map_err(|error| {
                refused(
                    "bad_configuration",
                    &format!("{error}; nothing was changed"),
                )
            })?;
        convert::check_certificates(&config).map_err(|error| {
            refused(
                "bad_configuration",
                &format!("{error}; nothing was changed"),
            )
        })?;
        let specs = convert::server_specs(&config);
        if only_plan {
            let plan = self.supervisor.plan(&specs);
            return Ok(self.answer(&config, &plan, false));
        }
        let Reconfigured { plan, failed } =
            self.supervisor
                .reconfigure(specs)
                .await
                .map_err(|error| match error {
                    SupervisorError::ShuttingDown => refused("shutting_down", "sidekick is ending"),
                    other => refused("incomplete", &other.to_string()),
                })?;
        let answer = self.answer(&config, &plan, failed.is_empty());
        if failed.is_empty() {
            return Ok(answer);
        }
        let sentences: Vec<String> = failed
            .iter()
            .map(|(id, why)| format!("{id}: {why}"))
            .collect();
        Err(ReloadRefused {
            plan: Some(answer),
            ..refused("incomplete", &sentences.join("; "))
        })
    }

    fn answer(&self, config: &Config, plan: &Plan, done: bool) -> Value {
        let names = |ids: &[ServerId]| ids.iter().map(ServerId::to_string).collect::<Vec<_>>();
        let changed = plan.changed.iter().map(|changed| {
            json!({"server": changed.id.to_string(), "keys": changed.keys, "restart": changed.restart})
        });
        json!({
            "file": config.file.display().to_string(),
            "added": names(&plan.added),
            "changed": changed.collect::<Vec<_>>(),
            "removed": names(&plan.removed),
            "unchanged": names(&plan.unchanged),
            "needs_sidekick": self.started.other_sections(config),
            "warnings": config.warnings,
            "done": done,
        })
    }
}

fn refused(code: &'static str, detail: &str) -> ReloadRefused {
    ReloadRefused {
        code,
        detail: detail.to_owned(),
        plan: None,
    }
}
