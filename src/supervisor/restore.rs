//! How long players waited: from the end of a process to the first restored tick of the next.

use std::collections::VecDeque;
use std::time::Duration;

/// So many are remembered, the newest; quantiles are exact over them.
const SAMPLES: usize = 512;

/// Measured times, and what is made of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restores {
    newest: VecDeque<Duration>,
    count: u64,
    max: Duration,
}

impl Restores {
    /// Adds one.
    pub fn add(&mut self, time: Duration) {
        if self.newest.len() == SAMPLES {
            self.newest.pop_front();
        }
        self.newest.push_back(time);
        self.count += 1;
        self.max = self.max.max(time);
    }

    /// How many there were since the supervisor runs.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest of all of them.
    pub fn max(&self) -> Option<Duration> {
        (self.count > 0).then_some(self.max)
    }

    /// The newest.
    pub fn last(&self) -> Option<Duration> {
        self.newest.back().copied()
    }

    /// The time that this share of the newest 512 did not exceed.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.newest.iter().copied().collect();
        sorted.sort_unstable();
        let rank = (share.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.max(1) - 1).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_newest_and_the_greatest_of_all() {
        let mut restores = Restores::default();
        assert_eq!((restores.quantile(0.5), restores.max()), (None, None));
        restores.add(Duration::from_secs(9));
        for ms in 1..=SAMPLES as u64 {
            restores.add(Duration::from_millis(ms));
        }
        let ms = Duration::from_millis;
        assert_eq!(restores.quantile(0.5), Some(ms(256)));
        assert_eq!(restores.quantile(0.9), Some(ms(461)));
        assert_eq!(restores.quantile(0.99), Some(ms(507)));
        assert_eq!(restores.quantile(1.0), Some(ms(512)));
        assert_eq!(restores.last(), Some(ms(512)));
        assert_eq!(restores.max(), Some(ms(9_000)));
        assert_eq!(restores.count(), 513);
    }
}
