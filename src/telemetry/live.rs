//! The log as it is written, for operators who look on.
//!
//! A second layer beside the one on stderr, with a level of its own: the most detailed that somebody follows. While
//! nobody does it is off and costs nothing, because the callsites are told so. Lines go through a bounded channel;
//! whoever is too slow for it is told how many were missed, and the log itself never waits.

use std::io::Write;
use std::sync::{LazyLock, Mutex, PoisonError};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Filter, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Lines that a follower may lag behind.
const LINES_KEPT: usize = 1_024;

/// A line and its level.
type LiveLine = (Level, String);

struct Live {
    lines: broadcast::Sender<LiveLine>,
    /// What each follower wants.
    wanted: Mutex<Vec<Level>>,
}

static LIVE: LazyLock<Live> = LazyLock::new(|| Live {
    lines: broadcast::channel(LINES_KEPT).0,
    wanted: Mutex::default(),
});

impl Live {
    fn level(&self) -> LevelFilter {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted
            .iter()
            .max()
            .map_or(LevelFilter::OFF, |level| LevelFilter::from_level(*level))
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Level>)) {
        change(&mut self.wanted.lock().unwrap_or_else(PoisonError::into_inner));
        tracing::callsite::rebuild_interest_cache();
    }
}

/// Follows the log of this process until it is dropped.
#[derive(Debug)]
pub struct Following {
    lines: broadcast::Receiver<LiveLine>,
    level: Level,
}

/// What a follower sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A line without its end.
    Line(String),
    /// So many lines were missed.
    Missed(u64),
}

/// Follows the log from now on, down to this level.
pub fn follow(level: Level) -> Following {
    let following = Following {
        lines: LIVE.lines.subscribe(),
        level,
    };
    LIVE.change(|wanted| wanted.push(level));
    following
}

impl Following {
    /// What comes next. Cancel-safe.
    pub async fn next(&mut self) -> Seen {
        loop {
            match self.lines.recv().await {
                Ok((level, line)) if level <= self.level => {
                    return Seen::Line(line.trim_end().to_owned());
                }
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => return Seen::Missed(missed),
                // The sender is static, so that this is never reached.
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        LIVE.change(|wanted| {
            if let Some(at) = wanted.iter().position(|level| *level == self.level) {
                wanted.swap_remove(at);
            }
        });
    }
}

/// The layer that feeds the followers.
pub(super) fn layer<S>() -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_target(false)
        .with_writer(Lines)
        .log_internal_errors(false)
        .with_filter(Wanted)
}

/// Lets through what somebody follows.
struct Wanted;

impl Wanted {
    fn is_ours(metadata: &Metadata<'_>) -> bool {
        metadata.target().split("::").next() == Some(env!("CARGO_CRATE_NAME"))
    }
}

impl<S> Filter<S> for Wanted {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        Self::is_ours(metadata) && *metadata.level() <= LIVE.level()
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if Self::is_ours(metadata) && *metadata.level() <= LIVE.level() {
            Interest::sometimes()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LIVE.level())
    }
}

struct Lines;

/// One line on its way to the followers.
struct OneLine {
    level: Level,
    text: Vec<u8>,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = OneLine;

    fn make_writer(&'a self) -> OneLine {
        OneLine {
            level: Level::INFO,
            text: Vec::new(),
        }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> OneLine {
        OneLine {
            level: *metadata.level(),
            text: Vec::new(),
        }
    }
}

impl Write for OneLine {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for OneLine {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&std::mem::take(&mut self.text)).into_owned();
        // Fails where nobody follows any more.
        let _ = LIVE.lines.send((self.level, text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt as _;

    #[tokio::test]
    async fn followers_see_their_level_while_they_follow() {
        let subscriber = tracing_subscriber::registry().with(layer());
        let _set = tracing::subscriber::set_default(subscriber);
        tracing::info!("before");
        let mut detail = follow(Level::DEBUG);
        let mut coarse = follow(Level::INFO);
        tracing::debug!(peer = "a", "small");
        tracing::trace!("smaller");
        tracing::warn!("large");
        for (following, expected) in [
            (&mut detail, "DEBUG small peer=\"a\""),
            (&mut coarse, "WARN large"),
        ] {
            let Seen::Line(line) = following.next().await else {
                panic!("a line")
            };
            assert!(line.ends_with(expected), "{line}");
        }
        drop((detail, coarse));
        assert_eq!(LIVE.level(), LevelFilter::OFF);
    }
}
