//! The task of one sink: feeds the core with what happens and does what it says.

use super::core::{Action, Core, Input};
use super::lane::Moment;
use super::options::{Destination, SinkOptions};
use super::outcome::StoreId;
use super::postgres::Database;
use super::requests::{Requests, extent_of};
use super::status::{SinkState, SinkStatus};
use crate::buffer::{Buffer, Change, SinkRule, Start};
use crate::etf::{self, Term};
use crate::node::{Node, NodeName, PeerEvent};
use crate::types::{Key, Scope, SinkName};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// The scope of our own in which sinks remember their stores. It is not uploaded.
const MEMORY: &str = ".sidekick.sinks";
/// Commits come faster than looking at all streams is worth.
const LOOK_PAUSE: Duration = Duration::from_millis(5);
/// A connection takes a moment; only then is its absence worth a line in the log.
const MEETING_TIME: Duration = Duration::from_secs(2);

/// What a sink's handle asks of its task.
pub(super) enum Command {
    /// Send everything there is now; told once it is stored. Over once the asker has gone.
    Drain(oneshot::Sender<()>),
}

/// One sink at work.
pub(super) struct Sink {
    core: Core,
    requests: Requests,
    rule: SinkRule,
    started: Instant,
    under_way: FuturesUnordered<BoxFuture<'static, Input>>,
    drains: Vec<oneshot::Sender<()>>,
    status: watch::Sender<SinkStatus>,
    look_at: Option<Moment>,
    looked_at: Moment,
    told: Option<SinkState>,
}

impl Sink {
    /// A sink that has yet to [`run`](Self::run), and where its status will be seen.
    pub(super) fn new(
        buffer: Buffer,
        node: Node,
        options: SinkOptions,
        database: Option<Arc<Database>>,
    ) -> (Self, watch::Receiver<SinkStatus>) {
        let rule = SinkRule {
            name: options.name.clone(),
            patterns: options.streams.clone(),
            start: Start::First,
        };
        let core = Core::new(options.clone(), None, rand::random());
        let requests = Requests {
            buffer,
            node,
            database,
            options,
        };
        let (status, seen) = watch::channel(status_of(&core, &requests.options));
        let sink = Self {
            core,
            requests,
            rule,
            started: Instant::now(),
            under_way: FuturesUnordered::new(),
            drains: Vec::new(),
            status,
            look_at: Some(Moment::ZERO),
            looked_at: Moment::ZERO,
            told: None,
        };
        (sink, seen)
    }

    /// Uploads until stopped or until nobody holds a handle any more.
    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        stopped: CancellationToken,
    ) {
        match recall(&self.requests).await {
            Ok(store) => {
                let options = self.requests.options.clone();
                self.core = Core::new(options, store, rand::random());
            }
            Err(reason) => self.take(Input::BufferFailed(reason)).await,
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
                    Some(Command::Drain(done)) => { self.drain(done).await; continue; }
                    None => break,
                },
                Some(input) = self.under_way.next() => input,
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

    fn now(&self) -> Moment {
        self.started.elapsed()
    }

    fn wake_at(&self) -> Option<Moment> {
        let tell_at = self.told.is_none().then_some(MEETING_TIME);
        [self.core.wake_at(), self.look_at, tell_at]
            .into_iter()
            .flatten()
            .min()
    }

    fn look_soon(&mut self) {
        self.look_at
            .get_or_insert((self.looked_at + LOOK_PAUSE).max(self.started.elapsed()));
    }

    /// Gives the core an input and does what it answers, then the same with what the buffer has meanwhile.
    async fn take(&mut self, input: Input) {
        let actions = self.core.handle(self.now(), input);
        self.act(actions).await;
        if self.look_at.is_some_and(|moment| moment <= self.now()) {
            self.look().await;
        }
        if !self.drains.is_empty() {
            self.tell_drained().await;
        }
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
        scopes.retain(|scope| scope.as_bytes() != MEMORY.as_bytes());
        for input in [Input::Streams(extents), Input::Scopes(scopes)] {
            let actions = self.core.handle(self.now(), input);
            self.act(actions).await;
        }
    }

    async fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            let requests = self.requests.clone();
            match action {
                Action::Ask(node, stream) => {
                    self.under_way.push(Box::pin(requests.ask(node, stream)));
                }
                Action::Send {
                    node,
                    stream,
                    watermark,
                    after,
                    limit,
                } => {
                    let request = requests.send(node, stream, watermark, after, limit);
                    self.under_way.push(Box::pin(request));
                }
                Action::SendState(node, scope) => {
                    self.under_way
                        .push(Box::pin(requests.send_state(node, scope)));
                }
                // Before any advance that follows: else a changed store could go unnoticed.
                Action::Remember(store) => {
                    if let Err(reason) = remember(&requests, &store).await {
                        self.core.halt_with(super::Halt::Buffer(reason));
                        return;
                    }
                }
                Action::Advance(stream, seq) => self.under_way.push(Box::pin(async move {
                    let sink = &requests.options.name;
                    let advanced = requests.buffer.advance(sink, &stream, seq).await;
                    advanced.map_or_else(|e| Input::BufferFailed(e.to_string()), |()| Input::Time)
                })),
                // Inline: the next changes of the scope start from here.
                Action::AdvanceState(scope, rev) => {
                    let sink = &requests.options.name;
                    let advanced = requests.buffer.advance_state(sink, &scope, rev).await;
                    if let Err(error) = advanced {
                        let halt = super::Halt::Buffer(error.to_string());
                        self.core.halt_with(halt);
                        return;
                    }
                }
            }
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

    async fn drain(&mut self, done: oneshot::Sender<()>) {
        self.drains.push(done);
        self.look().await;
        self.take(Input::Drain).await;
    }

    async fn tell_drained(&mut self) {
        if self.core.drained() {
            for done in self.drains.drain(..) {
                // The asker may have gone; that ends the drain all the same.
                let _ = done.send(());
            }
        }
        // A halted sink will not store it; the asker need not wait.
        let halted = self.core.state() == SinkState::Halted;
        self.drains.retain(|done| !done.is_closed() && !halted);
        if self.drains.is_empty() {
            let actions = self.core.handle(self.now(), Input::DrainOver);
            self.act(actions).await;
        }
    }

    /// Publishes the status, and logs it where the state changed.
    fn report(&mut self) {
        let status = status_of(&self.core, &self.requests.options);
        let meeting = status.state == SinkState::Waiting && self.now() < MEETING_TIME;
        if !meeting && is_news(self.told.as_ref(), &status.state) {
            log(&status);
        }
        if !meeting {
            self.told = Some(status.state.clone());
        }
        self.status.send_if_modified(|seen| {
            let changed = *seen != status;
            *seen = status;
            changed
        });
    }
}

/// Work comes and goes; only trouble, its end, and the beginning are news.
fn is_news(told: Option<&SinkState>, now: &SinkState) -> bool {
    let calm = |state: &SinkState| matches!(state, SinkState::Idle | SinkState::Uploading);
    told.is_none_or(|told| told != now && !(calm(told) && calm(now)))
}

fn log(status: &SinkStatus) {
    let (sink, lag_records) = (&status.name, status.lag_records);
    let node = status.node.as_deref().unwrap_or("none");
    let error = status.error.as_deref().unwrap_or("");
    match status.state {
        SinkState::Halted => tracing::error!(%sink, lag_records, error, "sink halted"),
        SinkState::Waiting => tracing::warn!(
            %sink, lag_records,
            "no node of the sink is connected; everything stays in the buffer"
        ),
        SinkState::BackingOff => {
            tracing::warn!(%sink, node, lag_records, error, "upload failed; trying again");
        }
        SinkState::Idle | SinkState::Uploading => {
            tracing::info!(%sink, node, lag_records, "uploading");
        }
    }
}

fn status_of(core: &Core, options: &SinkOptions) -> SinkStatus {
    SinkStatus {
        name: options.name.clone(),
        kind: options.to.kind(),
        state: core.state(),
        node: core.target().map(|index| options.to.label(index)),
        store: core
            .store()
            .map(|store| String::from_utf8_lossy(store).into_owned()),
        lag_records: core.lag_records(),
        lag_bytes: core.lag_bytes(),
        acknowledged: core.acknowledged(),
        failures: core.failures(),
        error: core.error().map(str::to_owned),
    }
}

/// The store that this sink's records went to so far.
async fn recall(requests: &Requests) -> Result<Option<StoreId>, String> {
    let (scope, key) = memory(&requests.options.name);
    let held = requests.buffer.get_state(&scope, &key).await;
    let held = held.map_err(|error| error.to_string())?;
    let store = held.and_then(|payload| etf::decode(payload).ok());
    Ok(store.and_then(|term| term.as_binary().cloned()))
}

async fn remember(requests: &Requests, store: &StoreId) -> Result<(), String> {
    let (scope, key) = memory(&requests.options.name);
    let payload = etf::encode(&Term::binary(store.clone()));
    let change = vec![Change::Put(key, payload)];
    let revision = requests.buffer.change(&scope, change).await;
    revision.map(|_| ()).map_err(|error| error.to_string())
}

fn memory(sink: &SinkName) -> (Scope, Key) {
    let scope = Scope::try_from(MEMORY).expect("the name is a few bytes long");
    let key = Key::new(sink.to_bytes()).expect("sinks and keys have the same bounds");
    (scope, key)
}

async fn sleep_until(started: Instant, moment: Option<Moment>) {
    match moment {
        Some(moment) => tokio::time::sleep_until((started + moment).into()).await,
        None => std::future::pending().await,
    }
}
