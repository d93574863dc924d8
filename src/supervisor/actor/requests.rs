//! What others ask of a server.

use super::{Actor, Command, Reply, Standby, Wish, now};
use crate::supervisor::error::SupervisorError;
use crate::supervisor::machine::{Input, StandbyInput};
use crate::supervisor::spec::ServerSpec;
use crate::supervisor::status::State;
use std::sync::Arc;

impl Actor {
    /// True where the actor is to end.
    pub(super) async fn on_command(&mut self, command: Command) -> bool {
        match command {
            Command::Start(reply) => self.on_start(reply, true).await,
            Command::StartNow(reply) => self.on_start(reply, false).await,
            Command::Stop(reply) => self.on_stop(Input::Stop, reply).await,
            Command::Restart(reply) => self.on_restart(reply).await,
            Command::Kill(reply) => self.on_kill(reply).await,
            Command::Drain(reply) => {
                let connected = self.run.as_ref().is_some_and(|run| run.connected);
                if self.machine.state().is_up() && connected {
                    self.on_stop(Input::Stop, reply).await;
                } else {
                    let _ = reply.send(Err(SupervisorError::NoSession(self.spec.id.clone())));
                }
            }
            Command::Hold(reply) => self.on_group_stop(Input::Hold, reply).await,
            Command::GiveUp(reply) => self.on_group_stop(Input::Quarantine, reply).await,
            Command::Resume(reply) => self.on_resume(reply).await,
            Command::Update(spec, reply) => {
                self.on_update(spec).await;
                let _ = reply.send(Ok(()));
            }
            Command::Exit(start_number, request) => {
                if self.is_current(start_number) {
                    self.apply(Input::Exit(request)).await;
                }
            }
            Command::Bundled {
                start_number,
                number,
            } => self.status.send_modify(|status| {
                // A newer end has its own bundle.
                let newer = status.os_pid.is_none() && status.start_number > start_number;
                if let Some(last) = status.last_exit.as_mut().filter(|_| !newer) {
                    last.bundle = Some(number);
                }
            }),
            Command::Left(record) => self.on_left(record.map(|record| *record)).await,
            Command::Delete(reply) => {
                if self.machine.state().is_up() {
                    let _ = reply.send(Err(SupervisorError::Running(self.spec.id.clone())));
                } else {
                    // It may wait for the next start of a server that backs off.
                    self.kill_standby().await;
                    let _ = reply.send(Ok(()));
                    return true;
                }
            }
            Command::Leave(reply) => {
                let _ = reply.send(Ok(()));
                return true;
            }
        }
        false
    }

    async fn on_update(&mut self, spec: Arc<ServerSpec>) {
        self.configured = true;
        self.next = None;
        let outdated = |standby: &Standby| standby.spec.needs_other_process(&spec);
        let outdated = self.standby.as_ref().is_some_and(outdated);
        let running = self.machine.state().is_up() && self.spec.needs_other_process(&spec);
        if running {
            let live = (*spec).clone().with_process_of(&self.spec);
            self.next = Some(spec);
            self.take(Arc::new(live));
        } else {
            self.take(spec);
        }
        if outdated {
            self.apply(Input::Standby(StandbyInput::Outdated)).await;
        }
        // A standby is started or stopped at once.
        self.apply(Input::Tick).await;
    }

    /// Goes on by this spec.
    pub(super) fn take(&mut self, spec: Arc<ServerSpec>) {
        let other_probe = spec.probe != self.spec.probe;
        self.machine.update(&spec, now());
        self.schedule.update(&spec);
        self.running.send_replace(spec.clone());
        self.spec = spec;
        if other_probe && self.status.borrow().os_pid.is_some() {
            self.begin_probing();
        }
    }

    fn is_current(&self, start_number: u64) -> bool {
        let status = self.status.borrow();
        status.start_number == start_number && status.os_pid.is_some()
    }

    async fn on_start(&mut self, reply: Reply, wait: bool) {
        let id = self.spec.id.clone();
        let refusal = if self.context.is_closing() {
            Some(SupervisorError::ShuttingDown)
        } else {
            let up = self.machine.state().is_up() && self.machine.state() != State::Stopping;
            up.then_some(SupervisorError::AlreadyStarted(id))
        };
        if let Some(refusal) = refusal {
            let _ = reply.send(Err(refusal));
            return;
        }
        self.forget_gap();
        self.start_at_next(Input::Start, reply, wait).await;
    }

    async fn on_restart(&mut self, reply: Reply) {
        if self.context.is_closing() {
            let _ = reply.send(Err(SupervisorError::ShuttingDown));
            return;
        }
        self.overtake();
        self.start_at_next(Input::Restart, reply, true).await;
    }

    /// Nobody waited for what is started now.
    fn forget_gap(&mut self) {
        self.exit_ns = None;
        self.gap = None;
    }

    async fn start_at_next(&mut self, input: Input, reply: Reply, wait: bool) {
        if wait {
            self.wishes.push((Wish::Up(self.attempts + 1), reply));
            self.apply(input).await;
        } else {
            // Answered once the status tells of the start.
            self.apply(input).await;
            let _ = reply.send(Ok(()));
        }
    }

    /// Nobody who waits for it to play will see that.
    fn overtake(&mut self) {
        let answer = Err(SupervisorError::Overtaken(self.spec.id.clone()));
        self.fulfil(|wish| matches!(wish, Wish::Up(_)), &answer);
    }

    async fn on_stop(&mut self, input: Input, reply: Reply) {
        crate::failpoints::hit("supervisor.stop_begun");
        self.overtake();
        self.wishes.push((Wish::Down(self.attempts), reply));
        self.apply(input).await;
        if !self.machine.state().is_up() {
            self.down(self.attempts);
        }
    }

    /// As a stop, but who waits for it to play goes on waiting: its group starts it again.
    async fn on_group_stop(&mut self, input: Input, reply: Reply) {
        self.wishes.push((Wish::Down(self.attempts), reply));
        self.apply(input).await;
        if !self.machine.state().is_up() {
            self.down(self.attempts);
        }
    }

    async fn on_resume(&mut self, reply: Reply) {
        let target = self.attempts + 1;
        if self.machine.state() != State::BackingOff {
            self.forget_gap();
        }
        self.start_at_next(Input::Resume, reply, true).await;
        if self.attempts < target {
            // There was nothing to start.
            let unmoved = |wish: &Wish| matches!(wish, Wish::Up(at) if *at == target);
            self.fulfil(unmoved, &Ok(()));
        }
    }

    async fn on_kill(&mut self, reply: Reply) {
        if !self.machine.state().is_up() {
            let _ = reply.send(Err(SupervisorError::NotRunning(self.spec.id.clone())));
            return;
        }
        self.wishes.push((Wish::Down(self.attempts), reply));
        self.apply(Input::Kill).await;
    }
}
