//! What must hold of a simulated world.

use super::simulation::{Held, Log, World};
use super::*;
use std::collections::BTreeSet;

impl World {
    /// All but the state of `y` is stored, and the drain says that, and why.
    pub(super) fn check_without_y(&self) {
        let report = self.core.proof(self.options.name.clone());
        let lacking = report.scopes.iter().filter(|scope| !scope.stored);
        let lacking: Vec<_> = lacking.map(|scope| scope.scope.clone()).collect();
        assert_eq!(lacking, [scope("y")]);
        assert!(report.streams.iter().all(|stream| stream.stored));
        assert!(self.states[&scope("y")].held < self.states[&scope("y")].rev);
        assert_eq!(self.core.lag_records(), 0);
        assert_eq!(self.core.breaker(), BreakerState::Closed);
    }

    /// Everything is stored once and in order, or dead, or dropped, and the store knows.
    pub(super) fn check(&self) {
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
            let stored: BTreeSet<u64> = held.records.iter().copied().collect();
            for seq in 1..=log.last {
                let place = (name.clone(), seq);
                let (poison, dead) = (self.poison.contains(&place), self.buried.contains(&place));
                assert!(!(stored.contains(&seq) && poison), "{place:?} was taken");
                assert!(poison || !dead, "{place:?} is good and dead");
                let accounted = stored.contains(&seq) || dead || log.has_dropped(seq);
                assert!(accounted, "{place:?} is nowhere");
            }
        }
        for (scope, state) in &self.states {
            assert_eq!(state.held, state.rev, "state of {scope} not stored");
        }
        assert_eq!(self.core.lag_records(), 0);
        assert_eq!(self.told_refused, BTreeSet::new());
        assert_eq!(self.core.refused_scopes(), []);
        assert_eq!(self.core.error(), None);
        assert_eq!(self.core.state(), SinkState::Idle);
        assert_eq!(self.core.breaker(), BreakerState::Closed);
    }

    /// No while since the last start saw more than its share.
    pub(super) fn check_traffic(&self) {
        let Some(rate) = self.options.max_bytes_per_second else {
            return;
        };
        for (index, (since, ..)) in self.traffic.iter().enumerate() {
            let (mut bytes, mut over) = (0, 0);
            for (at, sent, beyond) in &self.traffic[index..] {
                bytes += sent;
                over += beyond;
                let share = rate.get() as f64 * (at.saturating_sub(*since).as_secs_f64() + 1.0);
                assert!(bytes as f64 <= share + over as f64 + in_flight_bytes(&self.options));
            }
        }
    }
}

/// Answers, and with them what was sent, are seen by the world a little after the core let them go.
fn in_flight_bytes(options: &SinkOptions) -> f64 {
    (options.in_flight * options.batch_bytes) as f64
}

impl Log {
    pub(super) fn has_dropped(&self, seq: u64) -> bool {
        self.dropped
            .iter()
            .any(|(from, to)| (from..=to).contains(&&seq))
    }

    pub(super) fn extent(&self) -> Extent {
        extent(self.cursor, self.first, self.last)
    }
}
