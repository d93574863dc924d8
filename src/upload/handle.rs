//! The handle of all sinks.

use super::dead::{self, DeadLetter, Settle};
use super::drain::{DrainReport, Patience};
use super::events::SinkEvent;
use super::lag::{Ages, Lag};
use super::memory;
use super::options::{Destination, SinkOptions};
use super::postgres::{Database, InitError, Initialized};
use super::removed::{self, RemovedSink};
use super::sink::{Command, Sink};
use super::status::{Loss, SinkStatus};
use crate::buffer::{AppendError, Buffer, StreamInfo};
use crate::node::Node;
use crate::shutdown::Shutdown;
use crate::telemetry::{Fact as _, SinkRemoved};
use crate::types::{SinkName, StreamName};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Events that wait for one who looks on; then it is told that it missed some.
const EVENTS: usize = 256;
/// How long a sink that failed already is waited for at the end.
const LAST_TRY: Duration = Duration::from_secs(2);
/// What a report that is longer than its deadline may take: the answer of a task, no request.
const GRACE: Duration = Duration::from_secs(1);

/// Why a sink did not do what an operator wants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// No such sink runs.
    #[error("no sink of that name runs; `sidekick ctl sink list` lists the sinks")]
    Unknown,
    /// It has no letter of that number.
    #[error(
        "no dead letter has that number; `sidekick ctl sink dead NAME` lists those that there are"
    )]
    NoLetter,
    /// It runs, so that its cursors are needed.
    #[error(
        "sink {0} is in use: take it out of the configuration and start sidekick anew, then forget it"
    )]
    InUse(SinkName),
    /// It has not halted over records that its store lost.
    #[error(
        "sink {0} has not halted over lost records, so there are none to give up; `sidekick ctl sink list` says how it fares"
    )]
    NoLoss(SinkName),
    /// It was not done, or only in part.
    #[error("{0}")]
    Failed(String),
    /// Its task has ended, as sidekick is ending.
    #[error("the sink has stopped")]
    Stopped,
}

/// All sinks at work. Clones are the same.
#[derive(Clone)]
pub struct Upload {
    buffer: Buffer,
    sinks: Arc<Vec<Handle>>,
    ages: Arc<Ages>,
    events: broadcast::Sender<SinkEvent>,
    stopped: CancellationToken,
}

struct Handle {
    name: SinkName,
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<SinkStatus>,
    database: Option<Arc<Database>>,
}

impl Upload {
    /// Starts one task per sink, and has the node keep connected to the sinks' nodes. The tasks end when the shutdown
    /// hurries, with [`stop`](Self::stop), or with the last handle.
    pub fn start(
        buffer: &Buffer,
        node: &Node,
        sinks: Vec<SinkOptions>,
        shutdown: &Shutdown,
    ) -> Self {
        let stopped = CancellationToken::new();
        let (events, _) = broadcast::channel(EVENTS);
        let names = sinks.iter().map(|options| options.name.clone()).collect();
        let handles = sinks.into_iter().map(|options| {
            node.keep_connected(options.to.nodes().to_vec());
            let database = match &options.to {
                Destination::Beam(_) => None,
                Destination::Postgres(database) => {
                    let database = Database::new((**database).clone(), options.timeout);
                    Some(Arc::new(database))
                }
            };
            let name = options.name.clone();
            let (sink, status) = Sink::new(
                buffer.clone(),
                node.clone(),
                options,
                database.clone(),
                events.clone(),
            );
            let (commands, received) = mpsc::channel(8);
            tokio::spawn(sink.run(received, stopped.clone()));
            Handle {
                name,
                commands,
                status,
                database,
            }
        });
        let upload = Self {
            buffer: buffer.clone(),
            sinks: Arc::new(handles.collect()),
            ages: Arc::new(Ages::new(buffer.clone(), names)),
            events: events.clone(),
            stopped: stopped.clone(),
        };
        upload.ages.watch(stopped.clone());
        for sink in upload.removed() {
            SinkRemoved {
                sink: &sink.name,
                lag_records: sink.lag_records,
            }
            .emit();
        }
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = shutdown.hurrying() => stopped.cancel(),
                () = stopped.cancelled() => {}
            }
        });
        upload
    }

    /// How each sink fares, in the order of the configuration.
    pub fn status(&self) -> Vec<SinkStatus> {
        let seen = |handle: &Handle| handle.status.borrow().clone();
        self.sinks.iter().map(seen).collect()
    }

    /// Sinks that the configuration no longer has, and for which records are kept.
    pub fn removed(&self) -> Vec<RemovedSink> {
        removed::find(&self.buffer, self.ages.sinks())
    }

    /// What happens to the sinks from now on.
    pub fn events(&self) -> broadcast::Receiver<SinkEvent> {
        self.events.subscribe()
    }

    /// How far each sink that has a cursor in a stream is behind in it.
    pub async fn lags(&self, stream: &StreamInfo) -> Vec<Lag> {
        self.ages.lags(stream).await
    }

    /// How long ago the oldest record that a sink lacks was committed, or for how long state has been waiting for it, in milliseconds; 0
    /// where it lacks none. Reads nothing: as
    /// [`look_at_ages`](Self::look_at_ages) found it, which is done every few seconds in any case.
    pub fn lag_age_ms(&self, sink: &SinkName) -> u64 {
        self.ages.age_ms(sink)
    }

    /// Scopes of which a sink lacks the newest state, as found then.
    pub fn lag_scopes(&self, sink: &SinkName) -> u64 {
        self.ages.scopes(sink)
    }

    /// Looks at all streams and scopes how old the lag of each sink is.
    pub async fn look_at_ages(&self) {
        self.ages.look().await;
    }

    /// Sends everything that is in the buffer now, without waiting for more. True once every sink has stored it all; false
    /// where the deadline came first.
    pub async fn drain(&self, deadline: Duration) -> bool {
        let reports = self.drain_all(deadline).await;
        reports.iter().all(|report| report.stored)
    }

    /// The same, with what each store said that it holds, and what is missing.
    pub async fn drain_all(&self, deadline: Duration) -> Vec<DrainReport> {
        let drains = self.sinks.iter();
        let drains = drains.map(|handle| handle.drain(deadline, Patience::Long));
        futures::future::join_all(drains).await
    }

    /// The same of one sink.
    ///
    /// # Errors
    /// Where no such sink runs.
    pub async fn drain_one(
        &self,
        sink: &SinkName,
        deadline: Duration,
    ) -> Result<DrainReport, SinkError> {
        Ok(self.handle(sink)?.drain(deadline, Patience::Long).await)
    }

    /// The last drain, as sidekick ends: what cannot be reached is tried once more, at once, and not waited for.
    pub async fn finish(&self, deadline: Duration) -> Vec<DrainReport> {
        let drains = self.sinks.iter().map(|handle| {
            let failing = handle.status.borrow().failures > 0;
            let deadline = if failing {
                deadline.min(LAST_TRY)
            } else {
                deadline
            };
            handle.drain(deadline, Patience::Once)
        });
        futures::future::join_all(drains).await
    }

    /// Closes the circuit breaker of a sink, ends its pauses, and lifts a halt: what it met is met anew, or is not.
    ///
    /// # Errors
    /// Where no such sink runs.
    pub async fn retry(&self, sink: &SinkName) -> Result<(), SinkError> {
        let (done, told) = oneshot::channel();
        let command = Command::Retry(false, done);
        self.handle(sink)?.ask(command, told).await.map(|_| ())
    }

    /// The same, and gives up the records that it halted over: the store is told that they are missing on purpose. Says which.
    ///
    /// # Errors
    /// Where no such sink runs, or it did not halt over records.
    pub async fn accept_loss(&self, sink: &SinkName) -> Result<Loss, SinkError> {
        let (done, told) = oneshot::channel();
        let command = Command::Retry(true, done);
        let loss = self.handle(sink)?.ask(command, told).await?;
        loss.ok_or_else(|| SinkError::NoLoss(sink.clone()))
    }

    /// Gives up the cursors of a sink that does not run any more, and what it remembered of its store; not its dead letters.
    ///
    /// # Errors
    /// Where it runs, or no cursor of it is known.
    pub async fn forget(&self, sink: &SinkName) -> Result<(), SinkError> {
        if self.handle(sink).is_ok() {
            return Err(SinkError::InUse(sink.clone()));
        }
        let failed = |error: AppendError| match error {
            AppendError::UnknownSink => SinkError::Unknown,
            error => SinkError::Failed(error.to_string()),
        };
        // Last, so that what ends here half done can be done again.
        memory::forget(&self.buffer, sink).await.map_err(failed)?;
        self.buffer.forget_sink(sink).await.map_err(failed)
    }

    /// The dead letters of a sink, in order of their numbers.
    ///
    /// # Errors
    /// Where no such sink runs, or the buffer cannot be read.
    pub async fn dead(&self, sink: &SinkName) -> Result<Vec<DeadLetter>, SinkError> {
        let sink = &self.handle(sink)?.name;
        let letters = dead::list(&self.buffer, sink).await;
        letters.map_err(SinkError::Failed)
    }

    /// Offers dead letters of a sink again, one or all: each record is appended to its stream again, for this sink alone. Says
    /// which.
    ///
    /// # Errors
    /// Where there is no such sink or letter, or not all of it could be done.
    pub async fn redrive(
        &self,
        sink: &SinkName,
        only: Option<u64>,
    ) -> Result<Vec<(u64, StreamName, u64)>, SinkError> {
        self.settle(sink, Settle::Redrive, only).await
    }

    /// Removes dead letters of a sink for good, one or all. Says which.
    ///
    /// # Errors
    /// Likewise.
    pub async fn discard(
        &self,
        sink: &SinkName,
        only: Option<u64>,
    ) -> Result<Vec<(u64, StreamName, u64)>, SinkError> {
        self.settle(sink, Settle::Discard, only).await
    }

    async fn settle(
        &self,
        sink: &SinkName,
        what: Settle,
        only: Option<u64>,
    ) -> Result<Vec<(u64, StreamName, u64)>, SinkError> {
        let (done, told) = oneshot::channel();
        let handle = self.handle(sink)?;
        let command = Command::Settle(what, only, done);
        let settled = handle.ask(command, told).await?;
        let settled = settled.map_err(SinkError::Failed)?;
        if settled.is_empty() && only.is_some() {
            return Err(SinkError::NoLetter);
        }
        let told = settled.into_iter();
        Ok(told.map(|one| (one.number, one.stream, one.seq)).collect())
    }

    fn handle(&self, sink: &SinkName) -> Result<&Handle, SinkError> {
        let handle = self.sinks.iter().find(|handle| handle.name == *sink);
        handle.ok_or(SinkError::Unknown)
    }

    /// Makes the tables of a sink of kind `postgres` where they are missing, and checks those that are there. A sink that waits
    /// after failures, as one does that missed its tables, tries again at once.
    ///
    /// # Errors
    /// Says what the database refused, or what is wrong with a table.
    pub async fn init(&self, sink: &SinkName) -> Result<Initialized, InitError> {
        let initialized = self.database(sink)?.init().await?;
        // A sink that has ended has nothing to try; its tables are made all the same.
        let _ = self.retry(sink).await;
        Ok(initialized)
    }

    /// The statements by which [`init`](Self::init) makes them.
    ///
    /// # Errors
    /// Where no such sink runs, or it has no tables.
    pub fn schema_sql(&self, sink: &SinkName) -> Result<String, InitError> {
        Ok(self.database(sink)?.schema_sql())
    }

    fn database(&self, sink: &SinkName) -> Result<&Arc<Database>, InitError> {
        let handle = self.handle(sink).map_err(|_| InitError::UnknownSink)?;
        handle.database.as_ref().ok_or(InitError::NoTables)
    }

    /// Ends the tasks; what is under way may or may not be stored, and is asked for next time.
    pub fn stop(&self) {
        self.stopped.cancel();
    }
}

impl Handle {
    async fn ask<T>(&self, command: Command, told: oneshot::Receiver<T>) -> Result<T, SinkError> {
        let sent = self.commands.send(command).await;
        sent.map_err(|_| SinkError::Stopped)?;
        told.await.map_err(|_| SinkError::Stopped)
    }

    async fn drain(&self, deadline: Duration, patience: Patience) -> DrainReport {
        let (done, told) = oneshot::channel();
        let asked = self.ask(Command::Drain(deadline, patience, done), told);
        // The task watches the deadline; the bound here is for one that is busy beyond it.
        match tokio::time::timeout(deadline + GRACE, asked).await {
            Ok(Ok(report)) => report,
            Ok(Err(error)) => self.nothing_proved(&error.to_string()),
            Err(_) => self.nothing_proved("the sink did not tell in time"),
        }
    }

    fn nothing_proved(&self, why: &str) -> DrainReport {
        DrainReport {
            sink: self.name.clone(),
            stored: false,
            streams: Vec::new(),
            scopes: Vec::new(),
            error: Some(why.to_owned()),
        }
    }
}
