//! The first thing an actor does: find out what an earlier sidekick left of its server.

use super::{Actor, Run};
use crate::guard::files::Identity;
use crate::guard::proc;
use crate::guard::proc::ProcessId;
use crate::supervisor::adopt::{self, Found};
use crate::supervisor::identity::Program;
use crate::supervisor::machine::Input;
use crate::supervisor::memory::MemoryAlarm;
use crate::supervisor::status::LogSource;
use crate::supervisor::{check, contain, tail};
use std::collections::VecDeque;

/// Lines of an adopted process are read from this far before the end of its files.
const HISTORY: u64 = 64 << 10;
/// The same for one that ended unseen: its last words must be among them.
const LAST_WORDS: u64 = 256 << 10;

impl Actor {
    /// Adopts, or learns of an end, or starts.
    pub(super) async fn settle(&mut self) {
        let run_dir = self.context.options.run_dir.clone();
        match adopt::find(&run_dir, self.spec.id.as_str(), self.spec.on_exit).await {
            Ok(Found::Nothing) => self.autostart().await,
            Ok(Found::Alive(adopted)) => {
                self.hide_of(&adopted.identity.server).await;
                self.recall().await;
                self.adopt(&adopted.identity, HISTORY);
                self.link = Some(adopted.link);
                match adopted.exited {
                    Some(record) => {
                        self.apply(Input::Adopted).await;
                        self.ended(Some(record), true).await;
                    }
                    None => self.adopt_living(&adopted.identity).await,
                }
            }
            Ok(Found::Ended(record)) => {
                self.adopt_dead(record.start.clone(), record.server, record.epoch)
                    .await;
                self.ended(Some(record), true).await;
            }
            Ok(Found::Lost(identity)) => {
                self.adopt_dead(identity.start, identity.server, identity.epoch)
                    .await;
                self.ended(None, true).await;
            }
            Err(message) => {
                tracing::error!(server = %self.spec.id, "{message}");
                self.book.note(&message);
                self.status
                    .send_modify(|status| status.problem = Some(message));
                self.autostart().await;
            }
        }
    }

    async fn autostart(&mut self) {
        // The members of a group are started by it, in their order.
        if self.configured && self.spec.autostart && self.spec.group.is_none() {
            self.apply(Input::Start).await;
        }
    }

    fn adopt(&mut self, identity: &Identity, history: u64) {
        let log_cursor = self.book.cursor();
        self.book
            .note(&format!("adopted process {}", identity.server.pid));
        self.follow(Some(history));
        let run = self.found(
            identity.start.clone(),
            identity.server,
            identity.epoch,
            log_cursor,
        );
        self.begin(run, true, None);
    }

    /// None of its lines may show the secrets it was given, as far as the kernel, or the spec, still knows them.
    async fn hide_of(&self, server: &ProcessId) {
        let mut env = if server.is_alive() {
            proc::environment(server.pid)
        } else {
            let home = self.context.options.home_dir.join(self.spec.id.as_str());
            check::environment(&self.spec, &home)
        };
        if self.spec.session {
            if let Ok(Some(activation)) = self.context.activations.current(&self.spec.id).await {
                env.push(("SIDEKICK_TOKEN".into(), activation.token.expose().into()));
            }
        }
        self.book.hide(contain::secrets(&env, &self.spec.contain));
    }

    /// What it wrote earlier and was compressed meanwhile comes before its own last lines.
    async fn recall(&self) {
        let (book, context, id) = (
            self.book.clone(),
            self.context.clone(),
            self.spec.id.clone(),
        );
        let read = move || {
            for source in [LogSource::Stdout, LogSource::Stderr] {
                tail::recall(
                    &book,
                    source,
                    &context.log_file(&id, source.as_str()),
                    HISTORY as usize,
                );
            }
        };
        let _ = tokio::task::spawn_blocking(read).await;
    }

    /// Its user, where it has one of its own.
    fn user(&self) -> Option<u32> {
        let privs = contain::privs(&self.spec.contain).ok()?;
        privs.user.map(|user| user.uid)
    }

    fn found(&self, start: String, server: ProcessId, epoch: Option<u64>, log_cursor: u64) -> Run {
        Run {
            server,
            start,
            start_number: self.status.borrow().start_number + 1,
            epoch,
            log_cursor,
            decided_ns: None,
            beats: VecDeque::new(),
            cpu: None,
            samples: VecDeque::new(),
            memory: MemoryAlarm::default(),
            look: None,
            probe_error: None,
            program: Program::of(server.pid),
            connected: false,
            played: true,
        }
    }

    /// Opens the door for its session, if it is still the owner of its scope.
    async fn adopt_living(&mut self, identity: &Identity) {
        if !self.spec.session {
            self.apply(Input::Adopted).await;
            return;
        }
        match self.context.activations.current(&self.spec.id).await {
            Ok(Some(activation)) if Some(activation.epoch) == identity.epoch => {
                if let Some(user) = self.user() {
                    self.context.sessions.admit(user);
                }
                self.context.sessions.expect(&self.spec.id, &activation);
                self.apply(Input::Adopted).await;
            }
            other => {
                tracing::warn!(server = %self.spec.id, pid = identity.server.pid, epoch = identity.epoch, ?other,
                    "the adopted process no longer owns its scope; it is replaced");
                self.apply(Input::Adopted).await;
                self.apply(Input::Kill).await;
            }
        }
    }

    /// A process that is gone is treated like one that ended this moment.
    async fn adopt_dead(&mut self, start: String, server: ProcessId, epoch: Option<u64>) {
        let log_cursor = self.book.cursor();
        self.book.note(&format!(
            "process {} ended while no sidekick ran",
            server.pid
        ));
        self.hide_of(&server).await;
        self.follow(Some(LAST_WORDS));
        let run = self.found(start, server, epoch, log_cursor);
        self.begin(run, true, None);
        self.apply(Input::Adopted).await;
    }
}
