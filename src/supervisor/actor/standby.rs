//! The second process of a server: started, watched, promoted.

use super::Actor;
use super::end::End;
use super::run::Run;
use crate::guard::clock::monotonic_ns;
use crate::guard::files::ExitRecord;
use crate::guard::protocol::{FromGuard, ToGuard};
use crate::ports::SessionEvent;
use crate::supervisor::adopt;
use crate::supervisor::book::LogBook;
use crate::supervisor::event::EventKind;
use crate::supervisor::launch::{self, Launched, Part};
use crate::supervisor::machine::{Decision, Input, StandbyInput};
use crate::supervisor::slot::Slot;
use crate::supervisor::spec::ServerSpec;
use crate::supervisor::status::{self, State};
use crate::supervisor::tail::Files;
use crate::types::Token;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

/// Lines kept of a standby; they go to the server's book once it plays.
const LINES: usize = 500;
/// So many failures in a row leave a bundle each; a standby that never starts must not push out those of real crashes.
const BUNDLES: u32 = 3;

/// The process that waits, from the decision to start it until nothing of it is left or it plays.
pub(super) struct Standby {
    pub spec: Arc<ServerSpec>,
    pub token: Token,
    pub slot: Slot,
    pub book: Arc<LogBook>,
    pub decided_ns: u64,
    pub launching: Option<JoinHandle<Result<Launched, String>>>,
    pub launched: Option<Launched>,
    pub exited: Option<ExitRecord>,
}

/// What is heard of it.
pub(super) enum News {
    Launched(Result<Launched, String>),
    Guard(Option<FromGuard>),
}

/// The next news of a standby. Cancel-safe.
pub(super) async fn news(standby: &mut Option<Standby>) -> News {
    let Some(standby) = standby else {
        return std::future::pending().await;
    };
    if let Some(task) = &mut standby.launching {
        let result = task.await.unwrap_or_else(|error| Err(error.to_string()));
        standby.launching = None;
        return News::Launched(result);
    }
    match &mut standby.launched {
        Some(launched) => News::Guard(launched.link.recv().await),
        None => std::future::pending().await,
    }
}

impl Actor {
    pub(super) fn standby_book(&self) -> Arc<LogBook> {
        // Nobody hears of its lines before it plays.
        let unheard = broadcast::Sender::new(1);
        Arc::new(LogBook::new(self.spec.id.clone(), LINES, unheard))
    }

    /// Starts one, of the spec that the next start has.
    pub(super) fn launch_standby(&mut self) {
        let spec = self.next.as_ref().unwrap_or(&self.spec).clone();
        let secret = || uuid::Uuid::new_v4().simple().to_string();
        let token = Token::new(secret() + &secret());
        let slot = self.slot.other();
        let part = Part::Standby(token.clone());
        let note = self.note_of(&spec);
        let launch = launch::launch(self.context.clone(), note, slot, part);
        let book = self.standby_book();
        self.standby = Some(Standby {
            spec,
            token,
            slot,
            book,
            decided_ns: monotonic_ns(),
            launching: Some(tokio::spawn(launch)),
            launched: None,
            exited: None,
        });
    }

    pub(super) async fn on_standby(&mut self, news: News) {
        match news {
            News::Launched(Ok(launched)) => self.standby_launched(launched).await,
            News::Launched(Err(message)) => {
                self.forget_standby();
                self.apply(Input::Standby(StandbyInput::LaunchFailed)).await;
                self.standby_failed(None, format!("not started: {message}"));
                self.settle_down();
            }
            News::Guard(Some(FromGuard::Exited(record))) => {
                if let Some(standby) = &mut self.standby {
                    standby.exited = Some(record);
                }
            }
            News::Guard(Some(FromGuard::Gone) | None) => self.standby_gone().await,
            News::Guard(Some(_)) => {}
        }
    }

    async fn standby_launched(&mut self, launched: Launched) {
        let Some(standby) = &mut self.standby else {
            return;
        };
        let files = Files {
            book: standby.book.clone(),
            slot: standby.slot,
            stdout: self.context.log_file(&self.spec.id, standby.slot, "stdout"),
            stderr: self.context.log_file(&self.spec.id, standby.slot, "stderr"),
            last: None,
        };
        let name = standby.slot.name(self.spec.id.as_str());
        standby.book.hide(launched.secrets.clone());
        self.context.tail.follow(&name, files);
        let pid = launched.server.pid;
        standby.launched = Some(launched);
        self.book.note(&format!("standby started as process {pid}"));
        tracing::info!(server = %self.spec.id, pid, "standby started");
        self.apply(Input::Standby(StandbyInput::Launched)).await;
    }

    /// What sessions tell of the standby. True where that was it.
    pub(super) async fn on_standby_session(&mut self, event: &SessionEvent) -> bool {
        let input = match event {
            SessionEvent::StandbyHello { .. } => StandbyInput::Hello,
            SessionEvent::StandbyClosed => StandbyInput::Lost,
            _ => return false,
        };
        let was = self.machine.standby();
        self.apply(Input::Standby(input)).await;
        if was != State::Standby && self.machine.standby() == State::Standby {
            self.standby_ready();
        }
        true
    }

    fn standby_ready(&mut self) {
        self.standby_problem = None;
        self.publish_standby();
        self.sample_standby();
        let Some(standby) = &self.standby else { return };
        let os_pid = standby.launched.as_ref().map_or(0, |it| it.server.pid) as u32;
        // One that was adopted was not started by us.
        let waited = (standby.decided_ns > 0).then(|| monotonic_ns() - standby.decided_ns);
        let since_start = waited.map(Duration::from_nanos);
        self.book
            .note(&format!("standby process {os_pid} is ready to take over"));
        tracing::info!(server = %self.spec.id, pid = os_pid, "standby ready");
        let kind = EventKind::StandbyReady {
            os_pid,
            since_start,
        };
        self.context.tell(&self.spec.id, kind);
    }

    /// SIGKILL: it has nothing to save.
    pub(super) async fn kill_standby(&mut self) {
        self.context.sessions.stand_by(&self.spec.id, None);
        if let Some(launched) = self
            .standby
            .as_mut()
            .and_then(|standby| standby.launched.as_mut())
        {
            let _ = launched.link.send(&ToGuard::Kill).await;
            crate::guard::tree::signal(launched.server, rustix::process::Signal::KILL);
        }
    }

    fn forget_standby(&mut self) -> Option<Standby> {
        let standby = self.standby.take()?;
        self.context.sessions.stand_by(&self.spec.id, None);
        Some(standby)
    }

    /// Nothing is left of it.
    async fn standby_gone(&mut self) {
        let late = self.machine.standby() == State::Stopping;
        let Some(standby) = self.forget_standby() else {
            return;
        };
        let Some(launched) = &standby.launched else {
            return;
        };
        let run = self.run_of_standby(&standby, launched);
        if standby.exited.is_none() {
            adopt::sweep(run.server, &run.start).await;
        }
        let output = self.last_words(&run, &standby.book).await;
        let decision = late.then_some(Decision::StartTimeout);
        let end = End::of(decision, output, standby.exited, &self.spec);
        self.apply(Input::Standby(StandbyInput::Ended)).await;
        let os_pid = run.server.pid as u32;
        // Otherwise it was told to end.
        let failed = self.machine.standby() == State::BackingOff;
        if failed {
            self.standby_failed(Some(os_pid), end.words());
        }
        if failed && self.machine.standby_failures().0 <= BUNDLES {
            let log = standby.book.since(0, run.slot, self.bundle_lines());
            let bundle = self.bundle(&run, end, &status::Health::default(), log);
            self.keep(bundle, &run, true);
        } else {
            self.forget_end(&run);
        }
        self.settle_down();
    }

    fn run_of_standby(&self, standby: &Standby, launched: &Launched) -> Run {
        let start_number = self.status.borrow().start_number;
        let (server, start) = (launched.server, launched.start.clone());
        Run {
            decided_ns: (standby.decided_ns > 0).then_some(standby.decided_ns),
            ..Run::new(server, start, standby.slot, start_number)
        }
    }

    fn standby_failed(&mut self, os_pid: Option<u32>, message: String) {
        let (failures, _) = self.machine.standby_failures();
        tracing::error!(server = %self.spec.id, os_pid, failures, "its standby failed: {message}");
        self.book.note(&format!("standby: {message}"));
        self.standby_problem = Some(message.clone());
        self.publish_standby();
        let kind = EventKind::StandbyFailed {
            os_pid,
            message,
            failures,
        };
        self.context.tell(&self.spec.id, kind);
    }
}
