//! The core in a world where requests and answers are lost or come late, nodes come and go, sidekick restarts, and the
//! buffer trims and drops, records and state are refused for what they hold, the bandwidth is limited: whatever happens, each record is
//! stored once, in order, or lies among the dead letters, or was dropped, and the store is told.

use super::states::State;
use super::*;
use crate::upload::requests::apart;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};

/// A stream in the simulated buffer.
#[derive(Default)]
pub(super) struct Log {
    pub(super) cursor: u64,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) dropped: Vec<(u64, u64)>,
}

/// What the simulated store holds of a stream.
#[derive(Default)]
pub(super) struct Held {
    pub(super) watermark: u64,
    pub(super) records: Vec<u64>,
    pub(super) lost: u64,
}

/// An upload on the wire.
#[derive(Clone)]
pub(super) struct Sent {
    stream: StreamName,
    dropped: Vec<(u64, u64)>,
    records: Vec<u64>,
    last: u64,
    bytes: u64,
}

/// What a record's payload is long.
const RECORD_BYTES: u64 = 10;

pub(super) struct World {
    pub(super) random: StdRng,
    pub(super) now: Moment,
    pub(super) core: Core,
    pub(super) up: Vec<bool>,
    pub(super) remembered: Option<StoreId>,
    pub(super) began: BTreeMap<StreamName, u64>,
    pub(super) logs: BTreeMap<StreamName, Log>,
    pub(super) held: BTreeMap<StreamName, Held>,
    pub(super) states: BTreeMap<Scope, State>,
    /// Scopes that wait, by what the core told of refusals.
    pub(super) told_refused: BTreeSet<Scope>,
    pub(super) under_way: Vec<Action>,
    pub(super) late: Vec<Sent>,
    pub(super) faults: bool,
    /// Records that the store refuses for what they hold.
    pub(super) poison: BTreeSet<(StreamName, u64)>,
    /// Those on disk among the dead letters.
    pub(super) buried: BTreeSet<(StreamName, u64)>,
    /// When how many bytes were sent, and how many of them beyond what was wanted.
    pub(super) traffic: Vec<(Moment, u64, u64)>,
    pub(super) options: SinkOptions,
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
        let options = small(seed);
        Self {
            random: StdRng::seed_from_u64(seed),
            now: Moment::ZERO,
            core: Core::new(options.clone(), None, seed),
            up: vec![false; 2],
            remembered: None,
            began: BTreeMap::new(),
            logs: BTreeMap::from(logs),
            held: BTreeMap::new(),
            states: ["y", "z"]
                .map(|name| (scope(name), State::default()))
                .into(),
            told_refused: BTreeSet::new(),
            under_way: Vec::new(),
            late: Vec::new(),
            faults: true,
            poison: BTreeSet::new(),
            buried: BTreeSet::new(),
            traffic: Vec::new(),
            options,
        }
    }

    pub(super) fn give(&mut self, input: Input) {
        let before = self.requests();
        for action in self.core.handle(self.now, input) {
            match action {
                Action::Remember(store) => self.remembered = Some(store),
                Action::Begin { stream, began, seq } => {
                    assert_eq!(self.logs[&stream].cursor, began);
                    self.began.insert(stream.clone(), began);
                    self.advance(&stream, seq);
                }
                Action::Advance(stream, seq) => self.advance(&stream, seq),
                Action::Tell(News::Back { .. } | News::StateBack { .. }) => {
                    panic!("the store lost nothing")
                }
                Action::AdvanceState(scope, rev) => {
                    let state = self.states.get_mut(&scope).unwrap();
                    assert!(rev <= state.held, "{scope} was not stored");
                    state.sent = state.sent.max(rev);
                }
                Action::Tell(News::Refused(scope, ..)) => {
                    assert!(self.told_refused.insert(scope), "told twice");
                }
                Action::Tell(News::Taken(scope)) => {
                    assert!(self.told_refused.remove(&scope), "it was not refused");
                }
                request => self.under_way.push(request),
            }
        }
        let requests = self.requests();
        assert!(requests <= self.options.in_flight);
        match self.core.breaker() {
            BreakerState::Closed => {}
            BreakerState::Open => assert!(requests <= before, "sent while open"),
            BreakerState::HalfOpen => assert!(requests <= before.max(1), "more than one"),
        }
        assert_ne!(
            self.core.state(),
            SinkState::Halted,
            "{:?}",
            self.core.error()
        );
    }

    /// The cursor moves to what the store holds, and passes nothing that is nowhere.
    fn advance(&mut self, stream: &StreamName, seq: u64) {
        let log = self.logs.get_mut(stream).unwrap();
        let held = self.held.get(stream).map_or(0, |held| held.watermark);
        assert!(seq <= held, "cursor at {seq}, stored up to {held}");
        log.cursor = log.cursor.max(seq);
        let passed = self
            .poison
            .iter()
            .filter(|(name, at)| name == stream && *at <= seq);
        for one in passed {
            let dropped = self.logs[stream].has_dropped(one.1);
            assert!(dropped || self.buried.contains(one), "{one:?} was passed");
        }
    }

    fn requests(&self) -> usize {
        let buries = |action: &&Action| matches!(action, Action::Bury { .. });
        self.under_way.len() - self.under_way.iter().filter(buries).count()
    }

    fn look(&mut self) {
        let seen = self
            .logs
            .iter()
            .map(|(name, log)| (name.clone(), log.extent()));
        let seen = seen.collect();
        self.give(Input::Streams(seen));
        let scopes = self.states.keys().cloned().collect();
        self.give(Input::Scopes(scopes));
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
        let log = self.logs.get_mut(&stream).unwrap();
        for seq in log.last + 1..=log.last + count {
            if self.random.random_range(0..12) == 0 {
                self.poison.insert((stream.clone(), seq));
            }
        }
        log.last += count;
        for state in self.states.values_mut() {
            let changes = self.random.random_range(0..2);
            state.rev += changes;
            if changes > 0 {
                state.bad = self.random.random_range(0..3) == 0;
            }
        }
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
            // On disk or not, sidekick died before it knew.
            if let Action::Bury { stream, seq, .. } = action {
                if self.random.random() {
                    self.buried.insert((stream, seq));
                }
            }
        }
        let seed = self.random.random();
        let memory = Memory {
            store: self.remembered.clone(),
            began: self.began.clone(),
        };
        self.core = Core::new(self.options.clone(), memory, seed);
        // It forgets what was refused, and meets it again.
        self.told_refused.clear();
        // Its bucket is full again.
        self.traffic.clear();
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

    pub(super) fn pass_time(&mut self) {
        self.now += ms(self.random.random_range(1..200));
        self.give(Input::Time);
    }

    pub(super) fn answer(&mut self) {
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
                let bytes = sent.as_ref().map_or(0, |sent| sent.bytes);
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
                self.give(Input::Sent(stream, extent, outcome, bytes));
            }
            Action::SendState(_, scope) => self.answer_state(scope, fate),
            Action::Bury { stream, seq, .. } => {
                let poison = (stream.clone(), seq);
                assert!(self.poison.contains(&poison), "{poison:?} is good");
                if !self.logs[&stream].has_dropped(seq) {
                    self.buried.insert(poison);
                }
                self.give(Input::Buried(stream, seq, Ok(())));
            }
            other => unreachable!("{other:?} is not a request"),
        }
    }

    /// What the shell would read and send, as `Requests::upload` does.
    fn on_the_wire(&mut self, action: &Action) -> Option<Sent> {
        let Action::Send {
            stream,
            watermark,
            after,
            limit,
            bytes: most,
            ..
        } = action
        else {
            return None;
        };
        let log = &self.logs[stream];
        let fit = (*most as u64).div_ceil(RECORD_BYTES).max(1) as usize;
        let readable = log.first.max(after + 1)..=log.last;
        let records: Vec<_> = readable.take((*limit).min(fit)).collect();
        let last = records.last().copied().unwrap_or(*after).max(log.first - 1);
        let last = records.last().copied().unwrap_or(last);
        let mut dropped = log.dropped.clone();
        if after > watermark {
            dropped.push((watermark + 1, *after));
        }
        let dropped = apart(dropped, *watermark, last);
        let stream = stream.clone();
        let bytes = records.len() as u64 * RECORD_BYTES;
        let over = bytes.saturating_sub(*most as u64);
        self.traffic.push((self.now, bytes, over));
        (last > *watermark).then_some(Sent {
            stream,
            dropped,
            records,
            last,
            bytes,
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
            return Outcome::Gap {
                store: None,
                watermark,
            };
        }
        let poison = |seq: &u64| self.poison.contains(&(sent.stream.clone(), *seq));
        if wanted
            .clone()
            .any(|seq| sent.records.contains(&seq) && poison(&seq))
        {
            let ends = sent
                .records
                .first()
                .copied()
                .zip(sent.records.last().copied());
            let reason = "poison".to_owned();
            return Outcome::Refused {
                reason,
                records: ends,
            };
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

    pub(super) fn calm(&mut self) {
        self.faults = false;
        for node in 0..self.up.len() {
            self.up[node] = true;
            self.give(Input::Up(node));
        }
        self.look();
    }

    /// The refused state is overwritten; everything must come to rest, stored.
    fn settle(&mut self) {
        self.change_state("y", false);
        self.calm();
        for _ in 0..50_000 {
            if self.under_way.is_empty() && self.core.wake_at().is_none() {
                return;
            } else if self.under_way.is_empty() {
                self.pass_time();
            } else {
                self.answer();
            }
        }
    }
}

/// Half of the worlds have a narrow line.
fn small(seed: u64) -> SinkOptions {
    SinkOptions {
        batch_records: 7,
        batch_bytes: 100,
        in_flight: 3,
        refusals: 2,
        max_bytes_per_second: NonZeroU64::new(400).filter(|_| seed % 2 == 0),
        breaker: BreakerOptions {
            failures: 3,
            open_min: ms(100),
            open_max: ms(1000),
        },
        ..options(2)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn every_record_is_stored_once_in_order_or_dead_or_told_as_dropped_and_refused_state_waits_alone(seed in any::<u64>()) {
        let mut world = World::new(seed);
        for _ in 0..600 {
            world.step();
        }
        world.settle_without_y();
        world.check_without_y();
        world.settle();
        world.check_traffic();
        world.check();
    }
}
