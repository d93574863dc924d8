//! Restarts that were planned.

use super::Actor;
use crate::supervisor::machine::Input;
use crate::supervisor::status::State;

impl Actor {
    /// Its time may have come.
    pub(super) async fn look_at_clock(&mut self) {
        if self.schedule.look((self.context.options.wall_clock)()) {
            self.planned_restart().await;
        }
    }

    /// It may be empty.
    pub(super) async fn on_players(&mut self, players: Option<u64>) {
        if self.schedule.beat(players) {
            self.planned_restart().await;
        }
    }

    /// Only what plays is restarted. For members of a group their time comes together, so the group does it one after the other.
    async fn planned_restart(&mut self) {
        if self.machine.state() != State::Running || self.context.is_closing() {
            return;
        }
        let why = if self.spec.restart_when_empty {
            "it is empty"
        } else {
            "its time has come"
        };
        self.book.note(&format!("planned restart: {why}"));
        tracing::info!(server = %self.spec.id, why, "planned restart");
        match &self.spec.group {
            Some(group) if !self.spec.restart_when_empty => {
                self.context.groups.restart(&group.name, &self.spec.id);
            }
            _ => self.apply(Input::Restart).await,
        }
    }
}
