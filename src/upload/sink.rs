//! The task of one sink: feeds the core with what happens and does what it says.

use super::core::{Core, Input, StateGoal};
use super::dead::{Letters, OWN_SCOPES, Settle, Settled};
use super::drain::{DrainReport, Patience};
use super::drains::Drains;
use super::events::SinkEvent;
use super::lane::Moment;
use super::memory::{Memory, recall};
use super::options::{Destination, SinkOptions};
use super::postgres::Database;
use super::requests::{Requests, extent_of};
use super::settle::Burial;
use super::status::{Loss, SinkState, SinkStatus};
use super::tell::{Teller, status_of};
use crate::buffer::{Buffer, SinkRule, Start};
use crate::node::{Node, NodeName, PeerEvent};
use crate::types::Scope;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Commits come faster than looking at all streams is worth.
const LOOK_PAUSE: Duration = Duration::from_millis(5);
/// A connection takes a moment; only then is its absence worth a line in the log.
const MEETING_TIME: Duration = Duration::from_secs(2);

/// What a sink's handle asks of its task.
pub(super) enum Command {
    /// Send everything there is now; told once it is stored, or at the deadline. Over once the asker has gone.
    Drain(Duration, Patience, oneshot::Sender<DrainReport>),
    /// Try at once what is open, paused or halted; with `true` give up the records that it halted over, which it tells.
    Retry(bool, oneshot::Sender<Option<Loss>>),
    /// Offer dead letters again, or discard them: one, or all.
    Settle(Settle, Option<u64>, oneshot::Sender<SettleReply>),
}

/// To which letters it was done, or why not to all.
pub(super) type SettleReply = Result<Vec<Settled>, String>;

/// What ended that was under way.
pub(super) enum Done {
    /// Something for the core.
    Core(Input),
    /// A record lies among the dead letters, or does not.
    Buried(Burial),
    /// An operator's word about dead letters was done.
    Settled(Settle, Vec<Settled>),
}

/// One sink at work.
pub(super) struct Sink {
    pub(super) core: Core,
    pub(super) requests: Requests,
    rule: SinkRule,
    started: Instant,
    pub(super) under_way: FuturesUnordered<BoxFuture<'static, Done>>,
    drains: Drains,
    pub(super) letters: Letters,
    /// An operator's word about the letters is being done.
    pub(super) settling: bool,
    pub(super) teller: Teller,
    look_at: Option<Moment>,
    looked_at: Moment,
}

impl Sink {
    /// A sink that has yet to [`run`](Self::run), and where its status will be seen.
    pub(super) fn new(
        buffer: Buffer,
        node: Node,
        options: SinkOptions,
        database: Option<Arc<Database>>,
        events: broadcast::Sender<SinkEvent>,
    ) -> (Self, watch::Receiver<SinkStatus>) {
        let rule = SinkRule {
            name: options.name.clone(),
            patterns: options.streams.clone(),
            start: Start::First,
        };
        let core = Core::new(options.clone(), Memory::default(), rand::random());
        let requests = Requests {
            buffer,
            node,
            database,
            options,
        };
        let (teller, seen) = Teller::new(status_of(&core, &requests.options), events);
        let sink = Self {
            core,
            requests,
            rule,
            started: Instant::now(),
            under_way: FuturesUnordered::new(),
            drains: Drains::default(),
            letters: Letters::default(),
            settling: false,
            teller,
            look_at: Some(Moment::ZERO),
            looked_at: Moment::ZERO,
        };
        (sink, seen)
    }

    /// Uploads until stopped or until nobody holds a handle any more.
    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        stopped: CancellationToken,
    ) {
        if let Err(reason) = self.remember_all().await {
            self.take(Input::BufferFailed(reason)).await;
        }
        let mut commits = self.requests.buffer.committed();
        let mut peers = self.requests.node.peer_events();
        self.meet_peers().await;
        while !stopped.is_cancelled() {
            self.report();
            let wake = self.wake_at();
            // Every branch is cancel-safe: receivers and a set of futures lose nothing when they are dropped unready.
            let input = tokio::select! {
                () = stopped.cancelled() => break,
                command = commands.recv() => match command {
                    Some(command) => { self.command(command).await; continue; }
                    None => break,
                },
                Some(done) = self.under_way.next() => match done {
                    Done::Core(input) => input,
                    Done::Buried(burial) => self.buried(burial),
                    Done::Settled(what, settled) => { self.settled(what, &settled); continue; }
                },
                event = peers.recv() => match event {
                    Ok(PeerEvent::Up(node)) => { self.peer(&node, true).await; continue; }
                    Ok(PeerEvent::Down(node)) => { self.peer(&node, false).await; continue; }
                    Err(broadcast::error::RecvError::Lagged(_)) => { self.meet_peers().await; continue; }
                    Err(broadcast::error::RecvError::Closed) => break,
                },
                changed = commits.changed() => match changed {
                    Ok(()) => { self.look_soon(); continue; }
                    Err(_) => break,
                },
                () = sleep_until(self.started, wake) => Input::Time,
            };
            self.take(input).await;
        }
    }

    /// What an earlier sidekick left: the store, and the dead letters.
    async fn remember_all(&mut self) -> Result<(), String> {
        let memory = recall(&self.requests).await?;
        let options = self.requests.options.clone();
        self.letters = Letters::load(&self.requests.buffer, &options.name).await?;
        self.core = Core::new(options, memory, rand::random());
        Ok(())
    }

    fn now(&self) -> Moment {
        self.started.elapsed()
    }

    fn wake_at(&self) -> Option<Moment> {
        let tell_at = self.teller.is_silent().then_some(MEETING_TIME);
        let drain_at = self.drains.until();
        [self.core.wake_at(), self.look_at, tell_at, drain_at]
            .into_iter()
            .flatten()
            .min()
    }

    fn look_soon(&mut self) {
        self.look_at
            .get_or_insert((self.looked_at + LOOK_PAUSE).max(self.started.elapsed()));
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Drain(time, patience, done) => {
                self.drains.add(self.now() + time, patience, done);
                self.look().await;
                if patience == Patience::Once {
                    self.give(Input::Probe).await;
                }
                let name = &self.requests.options.name;
                let revisions = self.requests.buffer.revisions(name).into_iter();
                let goals = revisions.filter(|(scope, ..)| is_uploaded(scope));
                let goals = goals.map(|(scope, rev, held)| StateGoal { scope, rev, held });
                self.take(Input::Drain(goals.collect())).await;
            }
            Command::Retry(accept, done) => {
                let loss = accept.then(|| self.core.accept_loss()).flatten();
                if let Some(loss) = &loss {
                    self.teller.loss_accepted(loss);
                }
                self.take(Input::Retry).await;
                // The asker may have gone; it is done all the same.
                let _ = done.send(loss);
            }
            Command::Settle(what, only, done) => self.settle(what, only, done),
        }
    }

    /// Gives the core an input and does what it answers, then the same with what the buffer has meanwhile.
    async fn take(&mut self, input: Input) {
        self.give(input).await;
        if self.look_at.is_some_and(|moment| moment <= self.now()) {
            self.look().await;
        }
        if !self.drains.is_empty() {
            // First, so that who is told finds a status that agrees.
            self.report();
            let now = self.now();
            self.drains
                .tell(now, &self.core, &self.requests.options.name);
            if self.drains.is_empty() {
                self.give(Input::DrainOver).await;
            }
        }
    }

    async fn give(&mut self, input: Input) {
        let actions = self.core.handle(self.now(), input);
        self.act(actions).await;
    }

    async fn look(&mut self) {
        self.look_at = None;
        self.looked_at = self.now();
        let buffer = &self.requests.buffer;
        let streams = buffer.streams();
        let extents = streams
            .iter()
            .filter(|info| self.rule.reads(&info.name))
            .map(|info| (info.name.clone(), extent_of(&self.rule.name, info)))
            .collect();
        let mut scopes = buffer.scopes();
        scopes.retain(is_uploaded);
        for input in [Input::Streams(extents), Input::Scopes(scopes)] {
            self.give(input).await;
        }
    }

    async fn peer(&mut self, name: &NodeName, up: bool) {
        let nodes = self.requests.options.to.nodes();
        if let Some(index) = nodes.iter().position(|node| node == name) {
            let input = if up {
                Input::Up(index)
            } else {
                Input::Down(index)
            };
            self.take(input).await;
        }
    }

    async fn meet_peers(&mut self) {
        // A database is always worth trying: each request connects for itself.
        if let Destination::Postgres(_) = self.requests.options.to {
            self.take(Input::Up(0)).await;
        }
        for node in self.requests.options.to.nodes().to_vec() {
            let up = self.requests.node.is_connected(&node);
            self.peer(&node, up).await;
        }
    }

    fn report(&mut self) {
        let meeting = self.core.state() == SinkState::Waiting && self.now() < MEETING_TIME;
        let options = &self.requests.options;
        self.teller
            .report(&self.core, &self.letters, options, meeting);
    }
}

/// Our own scopes are nobody else's business.
pub(super) fn is_uploaded(scope: &Scope) -> bool {
    !scope.as_bytes().starts_with(OWN_SCOPES)
}

async fn sleep_until(started: Instant, moment: Option<Moment>) {
    match moment {
        Some(moment) => tokio::time::sleep_until((started + moment).into()).await,
        None => std::future::pending().await,
    }
}
