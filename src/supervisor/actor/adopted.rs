//! The first thing an actor does: find out what an earlier sidekick left of its server.
//!
//! Which of two processes plays is decided by the journal alone: whoever has the token or the epoch of the last activation owns
//! the scope. One that has neither, and a token of its own, waits; any other lost its scope and is killed. So a sidekick that
//! was killed at any moment of a promotion leaves nothing in doubt.

use super::Actor;
use super::end::End;
use super::remains::{Remains, remains};
use super::run::Run;
use super::standby::Standby;
use crate::guard::proc;
use crate::guard::proc::ProcessId;
use crate::guard::protocol::ToGuard;
use crate::ports::Activation;
use crate::supervisor::adopt;
use crate::supervisor::identity::Program;
use crate::supervisor::launch::Launched;
use crate::supervisor::machine::{Input, StandbyInput};
use crate::supervisor::slot::Slot;
use crate::supervisor::status::{Health, LogSource};
use crate::supervisor::tail::Files;
use crate::supervisor::{check, contain, tail};
use crate::types::Epoch;
use std::sync::Arc;

/// Lines of an adopted process are read from this far before the end of its files.
const HISTORY: u64 = 64 << 10;
/// The same for one that ended unseen: its last words must be among them.
const LAST_WORDS: u64 = 256 << 10;

impl Actor {
    /// Adopts, or learns of an end, or starts.
    pub(super) async fn settle(&mut self) {
        let current = if self.spec.session {
            self.context.activations.current(&self.spec.id).await
        } else {
            Ok(None)
        };
        let mut players = Vec::new();
        let mut standby = None;
        for slot in Slot::ALL {
            let run_dir = &self.context.options.run_dir;
            let id = self.spec.id.as_str();
            let remains = match adopt::find(run_dir, id, slot, self.spec.on_exit).await {
                Ok(found) => remains(slot, found),
                Err(message) => return self.not_adopted(message).await,
            };
            let Some(mut remains) = remains else { continue };
            self.recognise(&mut remains, current.as_ref().ok().and_then(Option::as_ref))
                .await;
            if self.spec.session && remains.epoch.is_none() {
                standby = Some(remains);
            } else {
                players.push(remains);
            }
        }
        players.sort_by_key(|remains| remains.epoch);
        let player = players.pop();
        for older in players {
            self.bury(older).await;
        }
        self.slot = match (&player, &standby) {
            (Some(player), _) => player.slot,
            (None, Some(standby)) => standby.slot.other(),
            (None, None) => Slot::First,
        };
        let waits = match standby {
            Some(standby) => self.adopt_standby(standby).await,
            None => false,
        };
        match player {
            Some(player) => self.adopt(player, current.ok().flatten()).await,
            None => self.autostart().await,
        }
        if waits {
            self.apply(Input::Standby(StandbyInput::Adopted)).await;
        }
    }

    async fn not_adopted(&mut self, message: String) {
        tracing::error!(server = %self.spec.id, "{message}");
        self.book.note(&message);
        self.status
            .send_modify(|status| status.problem = Some(message));
        self.autostart().await;
    }

    async fn autostart(&mut self) {
        // The members of a group are started by it, in their order.
        if self.configured && self.spec.autostart && self.spec.group.is_none() {
            self.apply(Input::Start).await;
        }
    }

    /// A standby whose token is that of the last activation was promoted, whoever was told of it.
    async fn recognise(&self, remains: &mut Remains, current: Option<&Activation>) {
        let Some((token, note)) = &remains.waits else {
            return;
        };
        let Some(current) = current.filter(|current| current.token == *token) else {
            return;
        };
        remains.epoch = Some(current.epoch);
        if let Some(link) = &mut remains.link {
            let note = self.note_of(&note.spec).text();
            let epoch = current.epoch;
            let _ = link.send(&ToGuard::Promote { epoch, note }).await;
        }
        remains.waits = None;
    }

    /// What a process was given and none of its lines may show, as far as the kernel, or the spec, still knows it.
    async fn secrets_of(&self, server: &ProcessId) -> Vec<String> {
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
        contain::secrets(&env, &self.spec.contain)
    }

    /// What was written earlier and was compressed meanwhile comes before its own last lines. Lines after the given cursor are its own:
    /// what a process before it wrote, its crash for one, says nothing of how this one ends.
    async fn recall(&self, slot: Slot) -> u64 {
        let (book, context, id) = (
            self.book.clone(),
            self.context.clone(),
            self.spec.id.clone(),
        );
        let read = move || {
            let files = [LogSource::Stdout, LogSource::Stderr]
                .map(|source| (source, context.log_file(&id, slot, source.as_str())));
            let (own, earlier): (Vec<_>, Vec<_>) =
                files.into_iter().partition(|(_, log)| tail::was_cut(log));
            for (source, log) in earlier {
                tail::recall(&book, slot, source, &log, HISTORY as usize);
            }
            let cursor = book.cursor();
            for (source, log) in own {
                tail::recall(&book, slot, source, &log, HISTORY as usize);
            }
            cursor
        };
        let cursor = tokio::task::spawn_blocking(read).await;
        cursor.unwrap_or_else(|_| self.book.cursor())
    }

    /// Its user, where it has one of its own.
    fn user(&self) -> Option<u32> {
        let privs = contain::privs(&self.spec.contain).ok()?;
        privs.user.map(|user| user.uid)
    }

    /// One that was followed by another is not to play on; how it ended is kept.
    async fn bury(&mut self, remains: Remains) {
        let run = self.found(&remains);
        self.book.note(&format!(
            "process {} was followed by another while no sidekick ran",
            run.server.pid
        ));
        self.slot = run.slot;
        self.book.hide(self.secrets_of(&run.server).await);
        self.follow(Some(LAST_WORDS));
        let was_alive = remains.is_alive();
        if let Some(link) = remains.link {
            adopt::end_of(link, run.server, &run.start).await;
        }
        let output = self.last_words(&run, &self.book).await;
        let end = End::of(None, output, remains.record, &self.spec).while_away();
        if was_alive || end.is_planned() {
            self.forget_end(&run);
        } else {
            let log = self
                .book
                .since(run.log_cursor, run.slot, self.bundle_lines());
            let bundle = self.bundle(&run, end, &Health::default(), log);
            self.keep(bundle, &run, false);
        }
    }

    /// True where one waits. The door is opened for it before anybody else is let in: the wrong token is refused for good.
    async fn adopt_standby(&mut self, remains: Remains) -> bool {
        let run = self.found(&remains);
        let alive = remains.is_alive() && self.spec.has_standby();
        let (Some(link), true) = (remains.link, alive) else {
            self.forget_end(&run);
            return false;
        };
        let Some((token, note)) = remains.waits else {
            adopt::end_of(link, run.server, &run.start).await;
            self.forget_end(&run);
            return false;
        };
        self.context.sessions.stand_by(&self.spec.id, Some(&token));
        if let Some(user) = self.user() {
            self.context.sessions.admit(user);
        }
        let mut secrets = self.secrets_of(&run.server).await;
        secrets.push(token.expose().to_owned());
        let book = self.standby_book();
        book.hide(secrets.clone());
        let slot = remains.slot;
        let files = Files {
            book: book.clone(),
            slot,
            stdout: self.context.log_file(&self.spec.id, slot, "stdout"),
            stderr: self.context.log_file(&self.spec.id, slot, "stderr"),
            last: Some(HISTORY),
        };
        let name = slot.name(self.spec.id.as_str());
        self.context.tail.follow(&name, files);
        self.book
            .note(&format!("adopted standby process {}", run.server.pid));
        self.standby = Some(Standby {
            spec: Arc::new(note.spec),
            token,
            slot,
            book,
            decided_ns: 0,
            launching: None,
            launched: Some(Launched {
                link,
                server: run.server,
                start: run.start,
                at_ns: 0,
                slot,
                activation: None,
                secrets,
                warning: None,
            }),
            exited: None,
        });
        true
    }

    async fn adopt(&mut self, player: Remains, current: Option<Activation>) {
        let mut run = self.found(&player);
        let (pid, epoch) = (run.server.pid, run.epoch);
        let alive = player.is_alive();
        let (words, history) = if player.link.is_some() {
            (format!("adopted process {pid}"), HISTORY)
        } else {
            let words = format!("process {pid} ended while no sidekick ran");
            (words, LAST_WORDS)
        };
        self.book.hide(self.secrets_of(&run.server).await);
        if player.link.is_some() {
            run.log_cursor = self.recall(run.slot).await;
        }
        self.book.note(&words);
        self.follow(Some(history));
        self.begin(run, true, None);
        self.link = player.link;
        if alive {
            self.adopt_living(epoch, current).await;
        } else {
            // One that is gone is treated like one that ended this moment.
            self.apply(Input::Adopted).await;
            self.ended(player.record, true).await;
        }
    }

    fn found(&self, remains: &Remains) -> Run {
        let start_number = self.status.borrow().start_number + 1;
        let (server, start) = (remains.server, remains.start.clone());
        Run {
            epoch: remains.epoch,
            log_cursor: self.book.cursor(),
            program: Program::of(server.pid),
            played: true,
            ..Run::new(server, start, remains.slot, start_number)
        }
    }

    /// Opens the door for its session, if it is still the owner of its scope.
    async fn adopt_living(&mut self, epoch: Option<Epoch>, current: Option<Activation>) {
        if !self.spec.session {
            self.apply(Input::Adopted).await;
            return;
        }
        if let Some(activation) = current.filter(|current| Some(current.epoch) == epoch) {
            if let Some(user) = self.user() {
                self.context.sessions.admit(user);
            }
            self.context.sessions.expect(&self.spec.id, &activation);
            self.apply(Input::Adopted).await;
            return;
        }
        tracing::warn!(server = %self.spec.id, epoch, "the adopted process no longer owns its scope; it is replaced");
        self.apply(Input::Adopted).await;
        self.apply(Input::Kill).await;
    }
}
