//! Subscriptions: events sent to a process until it dies, its node is lost, or it unsubscribes.
//!
//! Each subscription is one task. What a subscriber cannot be told because it fell behind is announced by one
//! `:lagged` event, after which events go on; nothing queues without bound.

use crate::api::{ApiError, Parts, Topic, events, sinks};
use crate::etf::{Atom, Pid, Reference, Term};
use crate::types::{Sequence, StreamName, now_ms};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

/// Most subscriptions at once, all subscribers together.
const SUBSCRIPTIONS_MAX: usize = 1_000;
/// Records in one event of a stream topic.
const STREAM_BATCH: usize = 256;
/// Bytes in one event of a stream topic.
const STREAM_BYTES: usize = 1 << 20;
/// How often the fill level of the buffer is told, where it changed.
const BUFFER_EVERY: Duration = Duration::from_secs(1);

/// The subscriptions there are.
#[derive(Default)]
pub struct Subscriptions {
    running: Mutex<HashMap<Reference, CancellationToken>>,
}

impl Subscriptions {
    /// Begins one; the reference names it in events and in `unsubscribe`.
    ///
    /// # Errors
    /// Where the pid is not on the caller's node, or there are too many subscriptions.
    pub fn begin(
        &self,
        parts: &Arc<Parts>,
        caller: &Atom,
        pid: Pid,
        topics: Vec<Topic>,
    ) -> Result<Reference, ApiError> {
        if pid.node != *caller {
            return Err(ApiError::argument("pid", "a pid on the caller's node"));
        }
        let reference = parts.node.make_ref();
        let stop = CancellationToken::new();
        {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            if running.len() >= SUBSCRIPTIONS_MAX {
                return Err(ApiError::refused(
                    "too_many_subscriptions",
                    vec![],
                    "unsubscribe some first",
                ));
            }
            running.insert(reference.clone(), stop.clone());
        }
        let subscriber = Subscriber {
            parts: parts.clone(),
            pid,
            reference: reference.clone(),
            seq: 0,
        };
        // Receivers are made here, so that nothing which happens after the reply is missed.
        let sources = Sources::new(parts, topics);
        let parts = parts.clone();
        let watch = parts.node.watch(&subscriber.pid);
        let ended = reference.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = run(subscriber, sources) => {}
                _ = watch => {}
                () = stop.cancelled() => {}
            }
            parts.subscriptions.forget(&ended);
        });
        Ok(reference)
    }

    /// Ends one; false where there is none of that reference.
    pub fn end(&self, reference: &Reference) -> bool {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running
            .get(reference)
            .inspect(|stop| stop.cancel())
            .is_some()
    }

    fn forget(&self, reference: &Reference) {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(reference);
    }
}

/// Who is told.
struct Subscriber {
    parts: Arc<Parts>,
    pid: Pid,
    reference: Reference,
    seq: u64,
}

impl Subscriber {
    fn tell(&mut self, topic: Term, kind: &str, at_ms: u64, fields: Vec<(&'static str, Term)>) {
        self.seq += 1;
        let mut event = vec![
            ("topic", topic),
            ("type", Term::atom(kind)),
            ("seq", Term::int(self.seq)),
            ("at_ms", Term::int(at_ms)),
        ];
        event.extend(fields);
        let message = Term::tuple(vec![
            Term::atom("sidekick_event"),
            Term::Atom(self.parts.node.name().atom().clone()),
            Term::Ref(self.reference.clone()),
            Term::map(event),
        ]);
        self.parts.node.send(&self.pid, message);
    }

    fn lagged(&mut self, missed: u64) {
        self.tell(
            Term::atom("sidekick"),
            "lagged",
            now_ms(),
            vec![("missed", Term::int(missed))],
        );
    }
}

/// Where the events come from.
struct Sources {
    topics: Vec<Topic>,
    supervisor: tokio::sync::broadcast::Receiver<crate::supervisor::SupervisorEvent>,
    logs: tokio::sync::broadcast::Receiver<(crate::types::ServerId, crate::supervisor::LogLine)>,
    peers: tokio::sync::broadcast::Receiver<crate::node::PeerEvent>,
    sinks: tokio::sync::broadcast::Receiver<crate::upload::SinkEvent>,
    commits: tokio::sync::watch::Receiver<u64>,
    failure: tokio::sync::watch::Receiver<Option<String>>,
    /// For each stream the last sequence told.
    streams: Vec<(StreamName, Sequence)>,
    buffer: bool,
}

impl Sources {
    fn new(parts: &Parts, topics: Vec<Topic>) -> Self {
        let streams = topics
            .iter()
            .filter_map(|topic| match topic {
                Topic::Stream(name) => Some((
                    name.clone(),
                    parts.buffer.stream(name).map_or(0, |s| s.last),
                )),
                _ => None,
            })
            .collect();
        Self {
            supervisor: parts.supervisor.events(),
            logs: parts.supervisor.log_events(),
            peers: parts.node.peer_events(),
            sinks: parts.upload.events(),
            commits: parts.buffer.committed(),
            failure: parts.buffer.failure(),
            streams,
            buffer: topics.contains(&Topic::Buffer),
            topics,
        }
    }
}

/// Runs until a source ends, which is when sidekick ends.
async fn run(mut subscriber: Subscriber, mut sources: Sources) {
    let mut told = None;
    let mut level = tokio::time::interval(BUFFER_EVERY);
    loop {
        tokio::select! {
            event = sources.supervisor.recv() => match event {
                Ok(event) => tell_supervisor(&mut subscriber, &sources.topics, &event),
                Err(RecvError::Lagged(missed)) => subscriber.lagged(missed),
                Err(RecvError::Closed) => return,
            },
            line = sources.logs.recv() => match line {
                Ok((id, line)) if sources.topics.contains(&Topic::Logs(id.clone())) => {
                    let topic = events::server_topic("logs", &id);
                    subscriber.tell(topic, "line", line.at_ms, events::log_fields(&id, &line));
                }
                Err(RecvError::Lagged(missed)) if sources.topics.iter().any(|t| matches!(t, Topic::Logs(_))) => {
                    subscriber.lagged(missed);
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            event = sources.sinks.recv() => match event {
                Ok(event) if sources.topics.contains(&Topic::Sinks) => {
                    let (kind, fields) = sinks::event(&event);
                    subscriber.tell(Term::atom("sinks"), kind, event.at_ms, fields);
                }
                Err(RecvError::Lagged(missed)) if sources.topics.contains(&Topic::Sinks) => {
                    subscriber.lagged(missed);
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            peer = sources.peers.recv() => match peer {
                Ok(peer) if sources.topics.contains(&Topic::Peers) => {
                    let (kind, node) = events::peer(&peer);
                    subscriber.tell(Term::atom("peers"), kind, now_ms(), vec![("node", node)]);
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            changed = sources.commits.changed(), if !sources.streams.is_empty() => {
                if changed.is_err() { return; }
                tell_streams(&mut subscriber, &mut sources.streams).await;
            }
            _ = level.tick(), if sources.buffer => {
                let info = subscriber.parts.buffer.info();
                let now = (info.bytes, info.full, info.dropped, sources.failure.borrow().clone());
                if told.as_ref() != Some(&now) {
                    let mut fields = vec![("buffer", crate::api::reply::buffer(&info))];
                    fields.push(("failure", now.3.as_deref().map_or_else(Term::nil, Term::text)));
                    subscriber.tell(Term::atom("buffer"), "level", now_ms(), fields);
                    told = Some(now);
                }
            }
        }
    }
}

fn tell_supervisor(
    subscriber: &mut Subscriber,
    topics: &[Topic],
    event: &crate::supervisor::SupervisorEvent,
) {
    let crash = matches!(event.kind, crate::supervisor::EventKind::CrashBundle { .. });
    // An event that fits several topics is told once, under the most particular one.
    let topic = if topics.contains(&Topic::Server(event.id.clone())) {
        events::server_topic("server", &event.id)
    } else if topics.contains(&Topic::Servers) {
        Term::atom("servers")
    } else if crash && topics.contains(&Topic::Crashes) {
        Term::atom("crashes")
    } else {
        return;
    };
    let pid = subscriber.parts.pids.get(&event.id);
    let (kind, fields) = events::supervisor(event, pid);
    subscriber.tell(topic, kind, event.at_ms, fields);
}

async fn tell_streams(subscriber: &mut Subscriber, streams: &mut [(StreamName, Sequence)]) {
    for (name, last) in streams {
        loop {
            let Ok(records) = subscriber
                .parts
                .buffer
                .read(name, *last + 1, STREAM_BATCH, STREAM_BYTES)
                .await
            else {
                break;
            };
            let Some(newest) = records.last().map(|r| r.seq) else {
                break;
            };
            *last = newest;
            let topic = Term::tuple(vec![Term::atom("stream"), Term::Binary(name.to_bytes())]);
            let records = Term::list(
                records
                    .iter()
                    .filter_map(events::record)
                    .collect::<Vec<_>>(),
            );
            subscriber.tell(topic, "records", now_ms(), vec![("records", records)]);
        }
    }
}
