//! A process begins, says hello, plays.

use super::run::Run;
use super::wishes::Wish;
use super::{Actor, BEATS, Gap};
use crate::failpoints;
use crate::guard::clock::monotonic_ns;
use crate::ports::{Beat, SessionEvent};
use crate::supervisor::error::SupervisorError;
use crate::supervisor::event::EventKind;
use crate::supervisor::identity::Program;
use crate::supervisor::launch::{self, Launched, Part};
use crate::supervisor::machine::Input;
use crate::supervisor::status::{SessionInfo, Timings};
use crate::supervisor::tail::Files;
use crate::types::now_ms;
use std::time::Duration;

impl Actor {
    pub(super) fn launch(&mut self) {
        if let Some(spec) = self.next.take() {
            self.take(spec);
        }
        failpoints::hit("supervisor.launching");
        self.attempts += 1;
        self.decided_ns = monotonic_ns();
        self.early.clear();
        let part = Part::Player(self.session_open.subscribe());
        let launch = launch::launch(self.context.clone(), self.note(), self.slot, part);
        self.launching = Some(tokio::spawn(launch));
    }

    /// How long ago something happened.
    fn since(at_ns: Option<u64>, until_ns: u64) -> Option<Duration> {
        at_ns.map(|at| Duration::from_nanos(until_ns.saturating_sub(at)))
    }

    pub(super) async fn on_launch(&mut self, result: Result<Launched, String>) {
        match result {
            Ok(launched) => {
                failpoints::hit("supervisor.launched");
                self.on_launched(launched).await;
            }
            Err(message) => self.on_launch_failed(message).await,
        }
    }

    fn warn(&self, warning: &str) {
        tracing::warn!(server = %self.spec.id, "{warning}");
        self.book.note(warning);
    }

    async fn on_launched(&mut self, launched: Launched) {
        let os_pid = launched.server.pid as u32;
        let activation = launched.activation.as_ref();
        let epoch = activation.map(|activation| activation.epoch);
        self.book.hide(launched.secrets);
        if let Some(warning) = launched.warning {
            self.warn(&warning);
        }
        let promoted = self.promoting.take();
        if promoted.is_none() {
            // The new guard holds the lock: nothing is left of the process before.
            self.down(self.attempts - 1);
        }
        self.slot = launched.slot;
        self.link = Some(launched.link);
        self.link_attempt = self.attempts;
        let log_cursor = self.book.cursor();
        let begins = match &promoted {
            Some(_) => "promoted its standby, process",
            None => "started as process",
        };
        self.book.note(&match epoch {
            Some(epoch) => format!("{begins} {os_pid}, epoch {epoch}"),
            None => format!("{begins} {os_pid}"),
        });
        let is_promoted = promoted.is_some();
        match promoted {
            Some(book) => book.divert(&self.book),
            None => self.follow(None),
        }
        let start_number = self.status.borrow().start_number + 1;
        let run = Run {
            epoch,
            log_cursor,
            decided_ns: Some(self.decided_ns),
            program: Program::of(launched.server.pid),
            ..Run::new(launched.server, launched.start, self.slot, start_number)
        };
        let since_exit = Self::since(self.exit_ns, launched.at_ns);
        let start_to_spawned = Self::since(run.decided_ns, launched.at_ns);
        if is_promoted {
            let kind = EventKind::Promoted {
                start_number,
                os_pid,
                epoch,
                since_exit,
            };
            self.context.tell(&self.spec.id, kind);
        }
        self.begin(run, false, since_exit);
        self.status.send_modify(|status| {
            status.timings.exit_to_spawned = since_exit;
            status.timings.start_to_spawned = start_to_spawned;
        });
        self.apply(Input::Launched).await;
        for event in std::mem::take(&mut self.early) {
            self.on_session(event).await;
        }
    }

    /// Reads the log files of the process that runs now.
    pub(super) fn follow(&self, last: Option<u64>) {
        let files = Files {
            book: self.book.clone(),
            slot: self.slot,
            stdout: self.context.log_file(&self.spec.id, self.slot, "stdout"),
            stderr: self.context.log_file(&self.spec.id, self.slot, "stderr"),
            last,
        };
        let name = self.slot.name(self.spec.id.as_str());
        self.context.tail.follow(&name, files);
    }

    /// Makes a process visible.
    pub(super) fn begin(&mut self, run: Run, adopted: bool, since_exit: Option<Duration>) {
        let os_pid = run.server.pid as u32;
        self.status.send_modify(|status| {
            status.start_number = run.start_number;
            status.os_pid = Some(os_pid);
            status.adopted = adopted;
            status.epoch = run.epoch;
            status.problem = None;
            status.session = None;
            status.timings = Timings {
                exit_to_detected: status.timings.exit_to_detected,
                ..Timings::default()
            };
        });
        tracing::info!(server = %self.spec.id, pid = os_pid, epoch = run.epoch, adopted, "started");
        let kind = EventKind::Started {
            start_number: run.start_number,
            os_pid,
            epoch: run.epoch,
            adopted,
            since_exit,
        };
        self.run = Some(run);
        self.schedule.started((self.context.options.wall_clock)());
        self.context.tell(&self.spec.id, kind);
        self.sample();
        self.begin_probing();
    }

    async fn on_launch_failed(&mut self, message: String) {
        self.promoting = None;
        tracing::error!(server = %self.spec.id, "{message}");
        self.book.note(&format!("not started: {message}"));
        self.status
            .send_modify(|status| status.problem = Some(message.clone()));
        self.context.tell(
            &self.spec.id,
            EventKind::StartFailed {
                message: message.clone(),
            },
        );
        let attempt = self.attempts;
        self.apply(Input::LaunchFailed).await;
        self.down(attempt);
        self.start_failed(attempt, message);
    }

    /// Those who wait for this attempt hear that it failed.
    pub(super) fn start_failed(&mut self, attempt: u64, message: String) {
        let answer = Err(SupervisorError::StartFailed {
            id: self.spec.id.clone(),
            message,
        });
        self.fulfil(
            |wish| matches!(wish, Wish::Up(target) if *target <= attempt),
            &answer,
        );
    }

    pub(super) async fn on_session(&mut self, event: SessionEvent) {
        if self.on_standby_session(&event).await {
            return;
        }
        if event == SessionEvent::Closed {
            let _ = self.session_open.send_replace(!self.early.is_empty());
        }
        if self.launching.is_some() {
            // From the hello on it speaks for the new process; before, for the old one.
            if matches!(event, SessionEvent::Hello { .. }) || !self.early.is_empty() {
                self.early.push(event);
                self.early.truncate(64);
            }
            return;
        }
        let Some(run) = self
            .run
            .as_mut()
            .filter(|_| self.status.borrow().os_pid.is_some())
        else {
            return;
        };
        if let SessionEvent::Hello { epoch, .. } = &event {
            if run.epoch != Some(*epoch) {
                return;
            }
            run.connected = true;
        } else if !run.connected {
            return;
        }
        self.of_current(event).await;
    }

    async fn of_current(&mut self, event: SessionEvent) {
        let Some(run) = &mut self.run else { return };
        let start_number = run.start_number;
        match event {
            SessionEvent::Hello {
                os_pid,
                engine,
                resumed,
                ..
            } => {
                let _ = self.session_open.send_replace(true);
                let since_exit = Self::since(self.exit_ns, monotonic_ns());
                // Also one that was adopted may not have come to play yet.
                run.played = resumed;
                tracing::debug!(server = %self.spec.id, os_pid, engine, resumed, "hello");
                self.status.send_modify(|status| {
                    status.session = Some(SessionInfo {
                        since_ms: now_ms(),
                        engine,
                        resumed,
                        ready: false,
                    });
                    status.timings.exit_to_hello = since_exit;
                });
                self.context.tell(
                    &self.spec.id,
                    EventKind::Hello {
                        start_number,
                        since_exit,
                    },
                );
                failpoints::hit("supervisor.hello");
                self.apply(Input::Hello { resumed }).await;
            }
            SessionEvent::Playing { tick } => self.on_playing(tick).await,
            SessionEvent::Ready => {
                self.status.send_modify(|status| {
                    if let Some(session) = &mut status.session {
                        session.ready = true;
                    }
                });
                self.context
                    .tell(&self.spec.id, EventKind::Ready { start_number });
            }
            SessionEvent::Beat(beat) => self.on_beat(beat).await,
            SessionEvent::Drained => {
                failpoints::hit("supervisor.drained");
                self.apply(Input::Drained).await;
            }
            SessionEvent::Closed => {
                run.connected = false;
                self.status.send_modify(|status| status.session = None);
                self.apply(Input::Closed).await;
            }
            SessionEvent::StandbyHello { .. } | SessionEvent::StandbyClosed => {}
        }
    }

    pub(super) async fn on_playing(&mut self, tick: u64) {
        // What it took to load is known only now.
        self.sample();
        let Some(run) = self.run.as_mut().filter(|run| !run.played) else {
            return;
        };
        failpoints::hit("supervisor.playing");
        run.played = true;
        let at_ns = monotonic_ns();
        let since_exit = Self::since(self.exit_ns, at_ns);
        let since_start = Self::since(run.decided_ns, at_ns);
        let start_number = run.start_number;
        // The wait is over; what comes later, such as a session that was lost, is none of it.
        let gap = self.gap.take();
        self.status.send_modify(|status| {
            status.timings.exit_to_playing = since_exit;
            status.timings.start_to_playing = since_start;
            match (gap, since_exit) {
                (Some(Gap::Planned), Some(time)) => status.planned_restores.add(time),
                (Some(Gap::Unplanned), Some(time)) => status.restores.add(time),
                _ => {}
            }
        });
        tracing::info!(server = %self.spec.id, tick, since_exit_ms = since_exit.map(|d| d.as_millis() as u64), "plays");
        self.context.tell(
            &self.spec.id,
            EventKind::Playing {
                start_number,
                tick,
                since_exit,
                since_start,
            },
        );
        self.apply(Input::Playing).await;
    }

    async fn on_beat(&mut self, beat: Beat) {
        let Some(run) = &mut self.run else { return };
        let at_ms = now_ms();
        let (busy, players) = (Duration::from_millis(beat.busy_ms), beat.players);
        if run.beats.len() == BEATS {
            run.beats.pop_front();
        }
        run.beats.push_back((at_ms, beat.clone()));
        self.status.send_modify(|status| {
            status.health.beat = Some(beat);
            status.health.beat_at_ms = Some(at_ms);
        });
        self.silence_ends();
        self.apply(Input::Beat { busy }).await;
        self.on_players(players).await;
    }
}
