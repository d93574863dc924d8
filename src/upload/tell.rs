//! What a sink tells of itself: its status to whoever asks, its troubles to the log and to those who look on.

use super::breaker::BreakerState;
use super::core::{Core, News};
use super::dead::Letters;
use super::events::{SinkEvent, SinkEventKind};
use super::options::SinkOptions;
use super::status::{Loss, SinkState, SinkStatus};
use crate::telemetry::{
    BreakerMoved, Fact as _, LossAccepted, StateRefused, StateTaken, StateWentBack, StoreWentBack,
};
use crate::types::{Revision, Scope, Sequence, SinkName, StreamName, UnixMillis, now_ms};
use tokio::sync::{broadcast, watch};

/// Tells what changed.
pub(super) struct Teller {
    sink: SinkName,
    seen: watch::Sender<SinkStatus>,
    events: broadcast::Sender<SinkEvent>,
    told: Option<SinkState>,
    breaker: (BreakerState, UnixMillis),
}

impl Teller {
    pub(super) fn new(
        status: SinkStatus,
        events: broadcast::Sender<SinkEvent>,
    ) -> (Self, watch::Receiver<SinkStatus>) {
        let sink = status.name.clone();
        let breaker = (status.breaker, status.breaker_since_ms);
        let (seen, receiver) = watch::channel(status);
        let teller = Self {
            sink,
            seen,
            events,
            told: None,
            breaker,
        };
        (teller, receiver)
    }

    /// Whether nothing was told yet.
    pub(super) fn is_silent(&self) -> bool {
        self.told.is_none()
    }

    /// Tells those who look on. Where nobody does nothing is lost.
    pub(super) fn event(&self, kind: SinkEventKind) {
        let event = SinkEvent {
            sink: self.sink.clone(),
            at_ms: now_ms(),
            kind,
        };
        let _ = self.events.send(event);
    }

    /// Publishes the status; tells it where it is news. `quiet`: a connection takes a moment, and only then is its absence worth
    /// a word.
    pub(super) fn report(
        &mut self,
        core: &Core,
        letters: &Letters,
        options: &SinkOptions,
        quiet: bool,
    ) {
        if core.breaker() != self.breaker.0 {
            self.breaker = (core.breaker(), now_ms());
            self.breaker_moved(core);
        }
        let mut status = status_of(core, options);
        status.breaker_since_ms = self.breaker.1;
        (status.dead_letters, status.dead_bytes) = (letters.count(), letters.bytes());
        if !quiet && is_news(self.told.as_ref(), &status.state) {
            log(&status);
            self.event(SinkEventKind::State {
                state: status.state.clone(),
                error: status.error.clone(),
            });
        }
        if !quiet {
            self.told = Some(status.state.clone());
        }
        gauges(&status);
        self.seen.send_if_modified(|seen| {
            let changed = *seen != status;
            *seen = status;
            changed
        });
    }

    /// What the core says.
    pub(super) fn tell(&self, news: News) {
        match news {
            News::Back {
                stream,
                held,
                acknowledged,
            } => self.went_back(&stream, held, acknowledged),
            News::StateBack {
                scope,
                held,
                acknowledged,
            } => self.state_went_back(&scope, held, acknowledged),
            News::Refused(scope, error, attempts) => self.state_refused(scope, error, attempts),
            News::Taken(scope) => self.state_taken(scope),
        }
    }

    /// The sink refuses the state of a scope, which waits.
    fn state_refused(&self, scope: Scope, error: String, attempts: u32) {
        StateRefused {
            sink: &self.sink,
            scope: &scope,
            error: &error,
            attempts: u64::from(attempts),
        }
        .emit();
        self.event(SinkEventKind::StateRefused {
            scope,
            error,
            attempts,
        });
    }

    /// It takes it again.
    fn state_taken(&self, scope: Scope) {
        StateTaken {
            sink: &self.sink,
            scope: &scope,
        }
        .emit();
        self.event(SinkEventKind::StateTaken { scope });
    }

    /// The store holds less of a stream than it acknowledged.
    fn went_back(&self, stream: &StreamName, held: Sequence, acknowledged: Sequence) {
        StoreWentBack {
            sink: &self.sink,
            stream,
            held,
            acknowledged,
        }
        .emit();
    }

    /// The store holds less of a scope than it acknowledged.
    fn state_went_back(&self, scope: &Scope, held: Revision, acknowledged: Revision) {
        StateWentBack {
            sink: &self.sink,
            scope,
            held,
            acknowledged,
        }
        .emit();
    }

    /// An operator gave up what a store lost.
    pub(super) fn loss_accepted(&self, loss: &Loss) {
        LossAccepted {
            sink: &self.sink,
            stream: &loss.stream,
            from: loss.from,
            to: loss.to,
        }
        .emit();
    }

    fn breaker_moved(&self, core: &Core) {
        let (state, failures) = (core.breaker(), core.failures());
        let error = core.error().map(str::to_owned);
        BreakerMoved {
            sink: &self.sink,
            breaker: &state.as_str(),
            error: &error.as_deref().unwrap_or(""),
            failures: u64::from(failures),
        }
        .emit();
        self.event(SinkEventKind::Breaker {
            state,
            failures,
            error,
        });
    }
}

fn gauges(status: &SinkStatus) {
    let of = |name: &'static str, value: u64| {
        metrics::gauge!(name, "sink" => status.name.to_string()).set(value as f64);
    };
    of("sidekick_sink_lag_records", status.lag_records);
    of("sidekick_sink_lag_bytes", status.lag_bytes);
    of("sidekick_sink_dead_letters", status.dead_letters);
    let refused = status.refused_scopes.len() as u64;
    of("sidekick_sink_refused_scopes", refused);
    let open = u64::from(status.breaker != BreakerState::Closed);
    of("sidekick_sink_breaker_open", open);
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

/// How a sink fares, as far as its core knows.
pub(super) fn status_of(core: &Core, options: &SinkOptions) -> SinkStatus {
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
        breaker: core.breaker(),
        breaker_since_ms: now_ms(),
        dead_letters: 0,
        dead_bytes: 0,
        refused_scopes: core.refused_scopes(),
        error: core.error().map(str::to_owned),
    }
}
