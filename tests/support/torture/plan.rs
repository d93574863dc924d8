//! What is done to whom, when and for how long: chosen from a seed alone, so that a seed gives the same choices again.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::fmt;
use std::time::Duration;

/// How many members the store has.
pub const MEMBERS: usize = 3;

/// Who is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    Godot,
    Sidekick,
    /// A member of the store.
    Member(usize),
    /// Whichever member leads at that moment.
    Leader,
    /// All members at once.
    Members,
    Postgres,
}

/// What is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// SIGKILL; started again after the outage.
    Kill,
    /// SIGSTOP; SIGCONT after the outage.
    Pause,
    /// A member loses the other members, and they it; sidekick and its own clients still reach it.
    Isolate,
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// From the fault before it.
    pub gap: Duration,
    pub victim: Victim,
    pub deed: Deed,
    pub outage: Duration,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outage = self.outage.as_millis();
        write!(f, "{:?} {:?} for {outage} ms", self.deed, self.victim)
    }
}

/// The faults of a seed, without end.
pub fn faults(seed: u64) -> impl Iterator<Item = Fault> {
    let mut random = StdRng::seed_from_u64(seed);
    std::iter::repeat_with(move || fault(&mut random))
}

fn fault(random: &mut StdRng) -> Fault {
    let victim = match random.random_range(0..14) {
        0 | 1 => Victim::Godot,
        2..=4 => Victim::Sidekick,
        5 | 6 => Victim::Member(0),
        7 => Victim::Member(1),
        8 => Victim::Member(2),
        9 | 10 => Victim::Leader,
        11 => Victim::Members,
        _ => Victim::Postgres,
    };
    let deed = match (victim, random.random_range(0..10)) {
        (Victim::Member(_) | Victim::Leader, 0..=3) => Deed::Isolate,
        (_, 0..=6) => Deed::Kill,
        _ => Deed::Pause,
    };
    // Mostly short; now and then longer than every timeout that matters here.
    let outage_ms = match random.random_range(0..10) {
        0 => random.random_range(6_000..12_000),
        1..=4 => random.random_range(1_000..4_000),
        _ => random.random_range(50..1_000),
    };
    Fault {
        gap: Duration::from_millis(random.random_range(100..2_500)),
        victim,
        deed,
        outage: Duration::from_millis(outage_ms),
    }
}
