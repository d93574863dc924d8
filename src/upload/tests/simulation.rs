//! The core in a world where requests and answers are lost or come late, nodes come and go, sidekick restarts, and the
//! buffer trims and drops: whatever happens, each record is stored once, in order, or told as dropped.

use super::*;
use crate::upload::requests::apart;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;

/// A stream in the simulated buffer.
#[derive(Default)]
struct Log {
    cursor: u64,
    first: u64,
    last: u64,
    dropped: Vec<(u64, u64)>,
}

/// What the simulated store holds of a stream.
#[derive(Default)]
struct Held {
    watermark: u64,
    records: Vec<u64>,
    lost: u64,
}

/// An upload on the wire.
#[derive(Clone)]
struct Sent {
    stream: StreamName,
    dropped: Vec<(u64, u64)>,
    records: Vec<u64>,
    last: u64,
}

struct World {
    random: StdRng,
    now: Moment,
    core: Core,
    up: Vec<bool>,
    remembered: Option<StoreId>,
    logs: BTreeMap<StreamName, Log>,
    held: BTreeMap<StreamName, Held>,
    revision: u64,
    revision_sent: u64,
    revision_held: u64,
    under_way: Vec<Action>,
    late: Vec<Sent>,
    faults: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let logs = ["a", "b", "c"].map(|name| {
            let log = Log {
                first: 1,
                ..Log::default()
            };
            (stream(name), log)
        });
        Self {
            random: StdRng::seed_from_u64(seed),
            now: Moment::ZERO,
            core: Core::new(small(), None, seed),
            up: vec![false; 2],
            remembered: None,
            logs: BTreeMap::from(logs),
            held: BTreeMap::new(),
            revision: 0,
            revision_sent: 0,
            revision_held: 0,
            under_way: Vec::new(),
            late: Vec::new(),
            faults: true,
        }
    }

    fn give(&mut self, input: Input) {
        for action in self.core.handle(self.now, input) {
            match action {
                Action::Remember(store) => self.remembered = Some(store),
                Action::Advance(stream, seq) => {
                    let log = self.logs.get_mut(&stream).unwrap();
                    let held = self.held.get(&stream).map_or(0, |held| held.watermark);
                    assert!(seq <= held, "cursor at {seq}, stored up to {held}");
                    log.cursor = log.cursor.max(seq);
                }
                Action::AdvanceState(_, rev) => {
                    assert!(rev <= self.revision_held);
                    self.revision_sent = self.revision_sent.max(rev);
                }
                request => self.under_way.push(request),
            }
        }
        assert!(self.under_way.len() <= small().in_flight);
        assert_ne!(
            self.core.state(),
            SinkState::Halted,
            "{:?}",
            self.core.error()
        );
    }

    fn look(&mut self) {
        let seen = self
            .logs
            .iter()
            .map(|(name, log)| (name.clone(), log.extent()));
        let seen = seen.collect();
        self.give(Input::Streams(seen));
        self.give(Input::Scopes(vec![scope("z")]));
    }

    fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..25 => self.append(),
            25..32 => self.shrink(),
            32..37 if self.faults => self.flip_node(),
            37..40 if self.faults => self.restart(),
            40..45 => self.arrive_late(),
            45..60 => self.pass_time(),
            _ => self.answer(),
        }
    }

    fn pick(&mut self) -> StreamName {
        let index = self.random.random_range(0..self.logs.len());
        self.logs.keys().nth(index).unwrap().clone()
    }

    fn append(&mut self) {
        let stream = self.pick();
        let count = self.random.random_range(1..12);
        self.logs.get_mut(&stream).unwrap().last += count;
        self.revision += self.random.random_range(0..2);
        self.look();
    }

    /// Trims what is acknowledged, and sometimes drops what is not.
    fn shrink(&mut self) {
        let stream = self.pick();
        let drop = self.random.random_range(0..4) == 0;
        let log = self.logs.get_mut(&stream).unwrap();
        log.first = log.first.max(log.cursor + 1);
        if drop && log.first <= log.last {
            let to = log.first + self.random.random_range(0..=(log.last - log.first));
            log.dropped.push((log.first, to));
            log.first = to + 1;
        }
        self.look();
    }

    fn flip_node(&mut self) {
        let node = self.random.random_range(0..self.up.len());
        self.up[node] = !self.up[node];
        self.give(if self.up[node] {
            Input::Up(node)
        } else {
            Input::Down(node)
        });
    }

    /// sidekick dies: requests on the wire may arrive yet, their answers never.
    fn restart(&mut self) {
        for action in std::mem::take(&mut self.under_way) {
            if let Some(sent) = self.on_the_wire(&action) {
                self.late.push(sent);
            }
        }
        let seed = self.random.random();
        self.core = Core::new(small(), self.remembered.clone(), seed);
        self.look();
        for node in 0..self.up.len() {
            if self.up[node] {
                self.give(Input::Up(node));
            }
        }
    }

    fn arrive_late(&mut self) {
        if !self.late.is_empty() {
            let index = self.random.random_range(0..self.late.len());
            let sent = self.late.swap_remove(index);
            self.store(&sent);
        }
    }

    fn pass_time(&mut self) {
        self.now += ms(self.random.random_range(1..200));
        self.give(Input::Time);
    }

    fn answer(&mut self) {
        if self.under_way.is_empty() {
            return;
        }
        let index = self.random.random_range(0..self.under_way.len());
        let action = self.under_way.swap_remove(index);
        let fate = if self.faults {
            self.random.random_range(0..10)
        } else {
            9
        };
        let unknown = || Failure::Unknown("lost".into());
        let busy = || Failure::NotDone("busy".into());
        match action {
            Action::Ask(_, stream) => {
                let outcome = match fate {
                    0 => Outcome::Failed(unknown()),
                    _ => stored(self.held.get(&stream).map_or(0, |held| held.watermark)),
                };
                let extent = self.logs[&stream].extent();
                self.give(Input::Asked(stream, extent, outcome));
            }
            Action::Send { ref stream, .. } => {
                let stream = stream.clone();
                let sent = self.on_the_wire(&action);
                let outcome = match (fate, sent) {
                    (_, None) | (3, _) => Outcome::Failed(busy()),
                    (0, _) => Outcome::Failed(unknown()),
                    (1, Some(sent)) => {
                        self.store(&sent);
                        Outcome::Failed(unknown())
                    }
                    (2, Some(sent)) => {
                        self.late.push(sent);
                        Outcome::Failed(unknown())
                    }
                    (_, Some(sent)) => self.store(&sent),
                };
                let extent = self.logs[&stream].extent();
                self.give(Input::Sent(stream, extent, outcome));
            }
            Action::SendState(_, scope) => {
                let (after, rev) = (self.revision_sent, self.revision);
                let outcome = if after == rev {
                    StateOutcome::Clean
                } else if fate == 0 {
                    StateOutcome::Failed(unknown())
                } else if self.revision_held != after && self.revision_held < rev {
                    let rev = self.revision_held;
                    StateOutcome::Gap { after, rev }
                } else {
                    self.revision_held = self.revision_held.max(rev);
                    match fate {
                        1 => StateOutcome::Failed(unknown()),
                        _ => StateOutcome::Stored {
                            store: STORE,
                            rev: self.revision_held,
                        },
                    }
                };
                self.give(Input::StateSent(scope, outcome));
            }
            other => unreachable!("{other:?} is not a request"),
        }
    }

    /// What the shell would read and send, as `Requests::upload` does.
    fn on_the_wire(&self, action: &Action) -> Option<Sent> {
        let Action::Send {
            stream,
            watermark,
            after,
            limit,
            ..
        } = action
        else {
            return None;
        };
        let log = &self.logs[stream];
        let records: Vec<_> = (log.first.max(after + 1)..=log.last).take(*limit).collect();
        let last = records.last().copied().unwrap_or(log.first - 1);
        let mut dropped = log.dropped.clone();
        if after > watermark {
            dropped.push((watermark + 1, *after));
        }
        let dropped = apart(dropped, *watermark, last);
        let stream = stream.clone();
        (last > *after).then_some(Sent {
            stream,
            dropped,
            records,
            last,
        })
    }

    /// As `Sidekick.Store.Procedures.upload` does.
    fn store(&mut self, sent: &Sent) -> Outcome {
        let held = self.held.entry(sent.stream.clone()).or_default();
        let watermark = held.watermark;
        let covers = |seq: &u64| {
            sent.dropped
                .iter()
                .any(|(from, to)| from <= seq && seq <= to)
        };
        let wanted = watermark + 1..=sent.last;
        if !wanted
            .clone()
            .all(|seq| sent.records.contains(&seq) || covers(&seq))
        {
            return Outcome::Gap { watermark };
        }
        for seq in wanted {
            if sent.records.contains(&seq) {
                held.records.push(seq);
            } else {
                held.lost += 1;
            }
        }
        held.watermark = watermark.max(sent.last);
        stored(held.watermark)
    }

    /// Faults end; everything must come to rest, stored.
    fn settle(&mut self) {
        self.faults = false;
        for node in 0..self.up.len() {
            self.up[node] = true;
            self.give(Input::Up(node));
        }
        self.look();
        for _ in 0..5000 {
            if self.under_way.is_empty() && self.core.wake_at().is_none() {
                return;
            } else if self.under_way.is_empty() {
                self.pass_time();
            } else {
                self.answer();
            }
        }
    }

    fn check(&self) {
        for (name, log) in &self.logs {
            let none = Held::default();
            let held = self.held.get(name).unwrap_or(&none);
            assert_eq!(held.watermark, log.last, "{name}: not all stored");
            assert_eq!(log.cursor, log.last, "{name}: not all acknowledged");
            assert!(
                held.records.windows(2).all(|pair| pair[0] < pair[1]),
                "{name}: order"
            );
            let told = held.records.len() as u64 + held.lost;
            assert_eq!(told, log.last, "{name}: neither stored nor told as dropped");
        }
        assert_eq!(self.revision_held, self.revision, "state not stored");
        assert_eq!(self.core.lag_records(), 0);
        assert_eq!(self.core.state(), SinkState::Idle);
    }
}

impl Log {
    fn extent(&self) -> Extent {
        extent(self.cursor, self.first, self.last)
    }
}

fn small() -> SinkOptions {
    SinkOptions {
        batch_records: 7,
        in_flight: 3,
        ..options(2)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn every_record_is_stored_once_in_order_or_told_as_dropped(seed in any::<u64>()) {
        let mut world = World::new(seed);
        for _ in 0..600 {
            world.step();
        }
        world.settle();
        world.check();
    }
}
