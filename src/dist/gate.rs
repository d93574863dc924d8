//! Which strangers may talk to us: bounds on strangers, and patience with those who failed.
//!
//! A stranger costs a task, a socket and at most some 64 KB for at most seven seconds; so many may be at it at once, in
//! all and from one address. Where no place is left the longest at it gives way: an honest handshake takes milliseconds,
//! so silent strangers cannot keep anybody out.
//!
//! An address that failed (a wrong cookie, a certificate that is refused, no distribution protocol at all) waits before
//! each further handshake, the longer the more often it failed; a handshake that succeeds forgives it. The wait is short
//! enough that a good node behind the same address connects all the same. A failure is logged once for each address,
//! kind and minute, and so many in all, with the number of those that were not.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Handshakes at once.
const PLACES: usize = 128;
/// Handshakes at once from one address.
const PLACES_PER_ADDRESS: usize = 32;
/// Addresses whose failures are remembered; beyond it the one that failed longest ago is forgotten.
const ADDRESSES_MAX: usize = 1024;
/// After so long without a failure an address is forgiven.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);
/// The wait after the first failure; it doubles with each.
const WAIT: Duration = Duration::from_millis(10);
/// The longest wait.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// An address is not logged more often.
const LOG_PAUSE: Duration = Duration::from_secs(60);
/// Lines in all within one [`LOG_PAUSE`].
const LINES_MAX: u32 = 30;

/// The gate of one node.
#[derive(Debug, Default)]
pub(crate) struct Gate(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    last: u64,
    inside: HashMap<u64, Place>,
    failed: HashMap<IpAddr, Failures>,
    log: Log,
}

#[derive(Debug)]
struct Place {
    address: IpAddr,
    /// Still waiting for its failures; it cannot be asked to give way, or a flood would never have to wait.
    waits: bool,
    gives_way: CancellationToken,
}

#[derive(Debug)]
struct Failures {
    count: u32,
    last: Instant,
    logged: [Option<Instant>; 4],
    unlogged: u64,
}

/// In which way a stranger failed; each is logged on its own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// A wrong cookie.
    Cookie,
    /// TLS with a certificate that is refused, or no TLS.
    Tls,
    /// Not the protocol, or not as it is wanted here.
    Protocol,
    /// Too many at once.
    Crowd,
}

#[derive(Debug, Default)]
struct Log {
    since: Option<Instant>,
    lines: u32,
    unlogged: u64,
}

/// A place at the gate, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Pass {
    gate: Arc<Mutex<State>>,
    number: u64,
    address: IpAddr,
    /// How long to wait before the handshake.
    pub(crate) wait: Duration,
    /// Cancelled where it has to give way to another.
    pub(crate) gives_way: CancellationToken,
}

/// A failure that is to be logged.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// Failures of this address that were not logged since the last that was, if any.
    pub(crate) unlogged: Option<u64>,
    /// Those of all addresses that the bound on lines kept out, if any.
    pub(crate) unlogged_others: Option<u64>,
}

impl Gate {
    /// A place for a stranger; none where all who have one still wait.
    pub(crate) fn enter(&self, address: IpAddr) -> Option<Pass> {
        self.enter_at(address, Instant::now())
    }

    fn enter_at(&self, address: IpAddr, now: Instant) -> Option<Pass> {
        let address = prefix(address);
        let mut state = lock(&self.0);
        let from_there = |place: &Place| place.address == address;
        if state.inside.values().filter(|p| from_there(p)).count() >= PLACES_PER_ADDRESS {
            state.make_room(from_there)?;
        } else if state.inside.len() >= PLACES {
            let crowd = state.crowd()?;
            state.make_room(|place| place.address == crowd)?;
        }
        let wait = state.wait(address, now);
        let number = state.last;
        state.last += 1;
        let gives_way = CancellationToken::new();
        let place = Place {
            address,
            waits: !wait.is_zero(),
            gives_way: gives_way.clone(),
        };
        state.inside.insert(number, place);
        Some(Pass {
            gate: self.0.clone(),
            number,
            address,
            wait,
            gives_way,
        })
    }

    /// Whether a failure for want of a place is to be logged.
    pub(crate) fn turned_away(&self, address: IpAddr) -> Option<Report> {
        lock(&self.0).report(prefix(address), Kind::Crowd, Instant::now())
    }
}

impl Pass {
    /// Completes after the wait. Cancel-safe.
    pub(crate) async fn waited(&self) {
        if self.wait.is_zero() {
            return;
        }
        tokio::time::sleep(self.wait).await;
        self.has_waited();
    }

    fn has_waited(&self) {
        if let Some(place) = lock(&self.gate).inside.get_mut(&self.number) {
            place.waits = false;
        }
    }

    /// The handshake succeeded: what its address did wrong is forgiven.
    pub(crate) fn succeeded(&self) {
        lock(&self.gate).failed.remove(&self.address);
    }

    /// The handshake failed in a way that an honest peer's does not; tells whether that is to be logged.
    pub(crate) fn failed(&self, kind: Kind) -> Option<Report> {
        self.failed_at(kind, Instant::now())
    }

    fn failed_at(&self, kind: Kind, now: Instant) -> Option<Report> {
        let mut state = lock(&self.gate);
        let failures = state.failures(self.address, now);
        failures.count += 1;
        failures.last = now;
        state.report(self.address, kind, now)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        lock(&self.gate).inside.remove(&self.number);
    }
}

impl State {
    /// Asks the longest at it among these to give way.
    fn make_room(&mut self, among: impl Fn(&Place) -> bool) -> Option<()> {
        let candidates = self
            .inside
            .iter()
            .filter(|(_, place)| !place.waits && among(place));
        let number = *candidates.min_by_key(|(number, _)| **number)?.0;
        self.inside.remove(&number)?.gives_way.cancel();
        Some(())
    }

    /// The address with most places that can give way.
    fn crowd(&self) -> Option<IpAddr> {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for place in self.inside.values().filter(|place| !place.waits) {
            *counts.entry(place.address).or_default() += 1;
        }
        Some(counts.into_iter().max_by_key(|(_, count)| *count)?.0)
    }

    fn wait(&mut self, address: IpAddr, now: Instant) -> Duration {
        let Some(failures) = self.failed.get(&address) else {
            return Duration::ZERO;
        };
        if now - failures.last > FORGIVEN_AFTER {
            self.failed.remove(&address);
            return Duration::ZERO;
        }
        match failures.count {
            0 => Duration::ZERO,
            count => (WAIT * (1 << (count - 1).min(16))).min(WAIT_MAX),
        }
    }

    fn failures(&mut self, address: IpAddr, now: Instant) -> &mut Failures {
        if self.failed.len() >= ADDRESSES_MAX && !self.failed.contains_key(&address) {
            let oldest = self.failed.iter().min_by_key(|(_, failures)| failures.last);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                self.failed.remove(&oldest);
            }
        }
        self.failed.entry(address).or_insert(Failures {
            count: 0,
            last: now,
            logged: [None; 4],
            unlogged: 0,
        })
    }

    fn report(&mut self, address: IpAddr, kind: Kind, now: Instant) -> Option<Report> {
        let recent = |at: Option<Instant>| at.is_some_and(|at| now - at < LOG_PAUSE);
        if !recent(self.log.since) {
            (self.log.since, self.log.lines) = (Some(now), 0);
        }
        let room = self.log.lines < LINES_MAX;
        let failures = self.failures(address, now);
        if recent(failures.logged[kind as usize]) {
            failures.unlogged += 1;
            return None;
        }
        if !room {
            self.log.unlogged += 1;
            return None;
        }
        failures.logged[kind as usize] = Some(now);
        let unlogged = std::mem::take(&mut failures.unlogged);
        self.log.lines += 1;
        Some(Report {
            unlogged: some(unlogged),
            unlogged_others: some(std::mem::take(&mut self.log.unlogged)),
        })
    }
}

fn some(count: u64) -> Option<u64> {
    (count > 0).then_some(count)
}

/// What counts as one address: of IPv6 the part that one machine or household is given.
fn prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64))
        }
        other => other,
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn the_longest_at_it_gives_way_to_newcomers_of_its_address() {
        let gate = Gate::default();
        let other = gate.enter(address(2)).unwrap();
        let passes: Vec<Pass> = (0..PLACES_PER_ADDRESS)
            .map(|_| gate.enter(address(1)).unwrap())
            .collect();
        let _new = gate.enter(address(1)).unwrap();
        assert!(passes[0].gives_way.is_cancelled());
        assert!(!passes[1].gives_way.is_cancelled() && !other.gives_way.is_cancelled());
        drop(passes);
        assert_eq!(lock(&gate.0).inside.len(), 2);
    }

    #[test]
    fn where_all_places_are_taken_the_greatest_crowd_gives_way() {
        let gate = Gate::default();
        let crowd: Vec<Pass> = (0..PLACES_PER_ADDRESS)
            .map(|_| gate.enter(address(1)).unwrap())
            .collect();
        let others: Vec<Pass> = (PLACES_PER_ADDRESS..PLACES)
            .map(|n| gate.enter(address(n as u8)).unwrap())
            .collect();
        let _new = gate.enter(address(255)).unwrap();
        assert!(crowd[0].gives_way.is_cancelled());
        assert!(!others.iter().any(|pass| pass.gives_way.is_cancelled()));
        assert!(lock(&gate.0).inside.len() <= PLACES);
    }

    #[test]
    fn failures_slow_an_address_and_success_or_time_forgives() {
        let (gate, now) = (Gate::default(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..12 {
            let pass = gate.enter_at(address(1), now).unwrap();
            waits.push(pass.wait);
            pass.failed_at(Kind::Cookie, now);
        }
        assert_eq!(waits[..3], [Duration::ZERO, WAIT, WAIT * 2]);
        assert_eq!(waits[11], WAIT_MAX);
        let wait = |address, now| gate.enter_at(address, now).unwrap().wait;
        assert!(wait(address(2), now).is_zero());
        gate.enter_at(address(1), now).unwrap().succeeded();
        assert!(wait(address(1), now).is_zero());
        gate.enter_at(address(1), now)
            .unwrap()
            .failed_at(Kind::Cookie, now);
        assert!(!wait(address(1), now + FORGIVEN_AFTER).is_zero());
        assert!(wait(address(1), now + FORGIVEN_AFTER * 2).is_zero());
    }

    #[test]
    fn those_who_wait_give_way_to_nobody() {
        let gate = Gate::default();
        gate.enter(address(1)).unwrap().failed(Kind::Tls);
        let passes: Vec<Pass> = (0..PLACES_PER_ADDRESS)
            .map(|_| gate.enter(address(1)).unwrap())
            .collect();
        assert!(gate.enter(address(1)).is_none());
        assert!(gate.enter(address(2)).is_some());
        passes[7].has_waited();
        assert!(gate.enter(address(1)).is_some());
        assert!(passes[7].gives_way.is_cancelled());
    }

    #[test]
    fn a_flood_fills_neither_log_nor_table() {
        let (gate, now) = (Gate::default(), Instant::now());
        let mut lines = 0;
        for round in 0..3000u32 {
            let stranger = IpAddr::from((0x0a00_0000 + round).to_be_bytes());
            let pass = gate.enter_at(stranger, now).unwrap();
            lines += u32::from(pass.failed_at(Kind::Cookie, now).is_some());
            lines += u32::from(pass.failed_at(Kind::Cookie, now).is_some());
        }
        assert_eq!(lines, LINES_MAX);
        assert_eq!(lock(&gate.0).failed.len(), ADDRESSES_MAX);
        let report = lock(&gate.0)
            .report(address(1), Kind::Crowd, now + LOG_PAUSE)
            .unwrap();
        assert_eq!(
            report.unlogged_others,
            Some(6000 - u64::from(2 * LINES_MAX))
        );
    }

    #[test]
    fn another_kind_of_failure_is_another_line() {
        let gate = Gate::default();
        let pass = gate.enter(address(1)).unwrap();
        assert!(pass.failed(Kind::Cookie).is_some());
        assert!(pass.failed(Kind::Cookie).is_none());
        let report = pass.failed(Kind::Tls).unwrap();
        assert_eq!(report.unlogged, Some(1));
    }

    #[test]
    fn one_household_of_ipv6_is_one_address() {
        assert_eq!(
            prefix("2001:db8:1:2:3::4".parse().unwrap()),
            prefix("2001:db8:1:2::1".parse().unwrap())
        );
        assert_eq!(
            prefix("::ffff:10.0.0.1".parse().unwrap()),
            address(1),
            "an IPv4 address in the other's clothes"
        );
    }
}
