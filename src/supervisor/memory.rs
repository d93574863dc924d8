//! When a server's memory is worth a warning: pure.

/// It is told again only after the memory fell below this share of the bound, so that a server at the bound does not chatter.
const CALM_PERCENT: u64 = 90;

/// Whether memory is high. Fresh for each process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryAlarm {
    high: bool,
}

impl MemoryAlarm {
    /// Takes a sample; tells what changed.
    pub fn take(&mut self, rss: u64, warn: Option<u64>) -> Option<bool> {
        let high = match warn {
            None => false,
            Some(warn) if self.high => rss >= warn / 100 * CALM_PERCENT,
            Some(warn) => rss >= warn,
        };
        let changed = high != self.high;
        self.high = high;
        changed.then_some(high)
    }

    /// Whether it is high.
    pub fn is_high(self) -> bool {
        self.high
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_is_told_once_each_way() {
        let mut alarm = MemoryAlarm::default();
        let told: Vec<_> = [999, 1000, 950, 1200, 900, 899, 950, 1000]
            .map(|rss| alarm.take(rss, Some(1000)))
            .to_vec();
        let (up, down) = (Some(true), Some(false));
        assert_eq!(told, [None, up, None, None, None, down, None, up]);
        assert_eq!(
            alarm.take(5000, None),
            down,
            "nobody wants to know any more"
        );
    }

    proptest! {
        #[test]
        fn it_alternates_and_is_never_high_below_the_calm_share(
            samples in prop::collection::vec(0u64..200_000, 1..100),
        ) {
            let mut alarm = MemoryAlarm::default();
            let mut last = false;
            for rss in samples {
                if let Some(high) = alarm.take(rss, Some(100_000)) {
                    prop_assert_ne!(high, last);
                    last = high;
                }
                prop_assert_eq!(alarm.is_high(), last);
                prop_assert!(rss < 100_000 || last);
                prop_assert!(rss >= 90_000 || !last);
            }
        }
    }
}
