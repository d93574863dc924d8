//! The standby takes over, and what was there before is seen off beside it.

use super::detail::Seen;
use super::end::End;
use super::run::Run;
use super::see_off::see_off;
use super::{Actor, Gap};
use crate::guard::clock::monotonic_ns;
use crate::guard::files::ExitRecord;
use crate::guard::proc::ProcessId;
use crate::supervisor::adopt;
use crate::supervisor::launch;
use crate::supervisor::link::Link;
use crate::supervisor::machine::{Decision, Input};
use crate::supervisor::output::Output;
use crate::supervisor::status::Health;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A process whose place in the server was taken, until nothing of it is left.
pub(super) struct Leaving {
    /// Of this attempt and those before.
    pub attempt: u64,
    /// Reads its guard's last words.
    pub task: JoinHandle<()>,
    /// Its end is not dealt with yet: it was fenced while it hung.
    pub hung: Option<(Run, Health)>,
}

impl Actor {
    /// Fences a process that hangs: for everybody else it has ended now. It is killed for sure, after the time it has to print
    /// where it hangs.
    pub(super) fn abandon(&mut self) {
        let (Some(link), Some(run)) = (self.link.take(), self.run.take()) else {
            return;
        };
        self.context.sessions.close(&self.spec.id);
        let health = self.status.borrow().health.clone();
        let mut end = End::of(Some(Decision::Hang), Output::default(), None, &self.spec);
        end.detail = Some("its main loop hung; its standby takes over".to_owned());
        self.exit_ns = None;
        self.show(&run, &end);
        self.exit_ns = Some(monotonic_ns());
        self.gap = Some(Gap::Unplanned);
        let kill_at = Instant::now() + self.context.options.hang_grace;
        self.leaving = Some(Leaving {
            attempt: self.link_attempt,
            task: self.see_off(link, run.server, run.start.clone(), Some(kill_at)),
            hung: Some((run, health)),
        });
    }

    /// Makes the standby the server's process. What follows at once is whether anything of the one before is left.
    pub(super) fn promote(&mut self) -> Vec<Input> {
        if let (Some(link), Some(run)) = (self.link.take(), &self.run) {
            self.leaving = Some(Leaving {
                attempt: self.link_attempt,
                task: self.see_off(link, run.server, run.start.clone(), None),
                hung: None,
            });
        }
        if let Some(spec) = self.next.take() {
            self.take(spec);
        }
        self.attempts += 1;
        self.decided_ns = monotonic_ns();
        self.early.clear();
        let standby = self.standby.take();
        let Some((launched, token, book)) =
            standby.and_then(|it| Some((it.launched?, it.token, it.book)))
        else {
            return vec![Input::Left, Input::LaunchFailed];
        };
        self.promoting = Some(book);
        let (context, note) = (self.context.clone(), self.note());
        let session_open = self.session_open.subscribe();
        self.launching = Some(tokio::spawn(async move {
            match launch::promote(context, note, launched, token, session_open).await {
                Ok(promoted) => Ok(promoted),
                Err((message, standby)) => {
                    // It can become the owner of nothing any more.
                    adopt::end_of(standby.link, standby.server, &standby.start).await;
                    Err(message)
                }
            }
        }));
        if self.leaving.is_some() {
            Vec::new()
        } else {
            vec![Input::Left]
        }
    }

    /// Waits for the end of a guard beside everything else.
    fn see_off(
        &self,
        link: Link,
        server: ProcessId,
        start: String,
        kill_at: Option<Instant>,
    ) -> JoinHandle<()> {
        let commands = self.commands.clone();
        tokio::spawn(see_off(link, server, start, kill_at, commands))
    }

    /// Nothing is left of the process before.
    pub(super) async fn on_left(&mut self, record: Option<ExitRecord>) {
        let Some(leaving) = self.leaving.take() else {
            return;
        };
        if let Some((run, health)) = leaving.hung {
            let output = self.last_words(&run, &self.book).await;
            let seen = Seen {
                spec: &self.spec,
                run: Some(&run),
                health: &health,
            };
            let end = End::seen(Some(Decision::Hang), output, record, &seen);
            self.book.note(&format!(
                "process {}, which hung, is gone: {}",
                run.server.pid,
                end.words()
            ));
            let log = self
                .book
                .since(run.log_cursor, run.slot, self.bundle_lines());
            let bundle = self.bundle(&run, end, &health, log);
            self.keep(bundle, &run, false);
        }
        self.settle_down();
        self.apply(Input::Left).await;
    }
}
