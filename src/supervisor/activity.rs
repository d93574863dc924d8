//! What a process does while it is silent: it spins, it waits, or it is stopped.
//!
//! Two looks at `/proc` some time apart tell it: the main loop runs in the main thread, so that thread's CPU time between them
//! decides, and its state letter where there was no first look. The first look is taken when silence begins, so that a server whose
//! heartbeats come costs nothing.

use crate::guard::proc::{Stat, TICKS_PER_SECOND};
use serde::Serialize;
use std::fs;
use std::time::Duration;

/// Threads that are looked at; Godot has some twenty.
const THREADS_MAX: usize = 128;
/// Threads that are told, the busiest first.
const THREADS_TOLD: usize = 8;
/// CPU time is counted in steps of 10 ms: within less than this it says nothing.
const APART_MIN: Duration = Duration::from_millis(200);
/// A thread that computes gets at least this much of a core even on a crowded machine (20 were seen there), one that waits much less.
const SPINNING_PERCENT: f64 = 15.0;

/// What it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivityKind {
    /// The main thread computes: an endless loop, or very long work.
    Spinning,
    /// The main thread waits: for a lock, a device, another process.
    Blocked,
    /// Somebody stopped it (SIGSTOP, a debugger).
    Stopped,
    /// It cannot be seen.
    Unknown,
}

impl ActivityKind {
    /// The name used in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spinning => "spinning",
            Self::Blocked => "blocked",
            Self::Stopped => "stopped",
            Self::Unknown => "unknown",
        }
    }

    fn judge(state: char, main_percent: Option<f64>) -> Self {
        match (state, main_percent) {
            ('T' | 't', _) => Self::Stopped,
            ('Z' | 'X', _) => Self::Unknown,
            (_, Some(percent)) if percent >= SPINNING_PERCENT => Self::Spinning,
            ('R', _) => Self::Spinning,
            ('S' | 'D' | 'I', _) => Self::Blocked,
            _ => Self::Unknown,
        }
    }
}

/// One thread of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ThreadActivity {
    /// Its number.
    pub tid: i32,
    /// Its name.
    pub name: String,
    /// State letter of the kernel.
    pub state: char,
    /// CPU, percent of a core.
    pub cpu_percent: f64,
}

/// What a silent process does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Activity {
    /// In one word.
    pub kind: ActivityKind,
    /// State letter of the main thread: `R` runs, `S` sleeps, `D` waits for a device, `T` is stopped.
    pub state: char,
    /// Where in the kernel the main thread waits, where that can be read.
    pub wchan: Option<String>,
    /// How long it was watched for the percentages; 0 where there was no first look.
    pub over_ms: u64,
    /// CPU of the main thread, percent of a core.
    pub main_percent: Option<f64>,
    /// The busiest threads.
    pub threads: Vec<ThreadActivity>,
}

impl std::fmt::Display for Activity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (state {}", self.kind.as_str(), self.state)?;
        if let Some(percent) = self.main_percent {
            write!(f, ", {percent:.0} % of a core")?;
        }
        if let Some(wchan) = &self.wchan {
            write!(f, ", waits in {wchan}")?;
        }
        f.write_str(")")
    }
}

/// One look at the threads of a process.
#[derive(Debug, Clone)]
pub struct Look {
    pid: i32,
    at: Duration,
    /// Number, CPU ticks, state.
    threads: Vec<(i32, u64, char)>,
}

impl Look {
    /// Looks; `None` where there is no such process.
    pub fn at(pid: i32, now: Duration) -> Option<Self> {
        let entries = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
        let thread = |tid: i32| {
            let stat = Stat::of_thread(pid, tid)?;
            Some((tid, stat.user_ticks + stat.system_ticks, stat.state))
        };
        let threads: Vec<_> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .take(THREADS_MAX)
            .filter_map(thread)
            .collect();
        (!threads.is_empty()).then_some(Self {
            pid,
            at: now,
            threads,
        })
    }

    /// What it did since an earlier look of the same process, or does now.
    pub fn since(&self, before: Option<&Self>) -> Activity {
        let before =
            before.filter(|before| before.pid == self.pid && self.at >= before.at + APART_MIN);
        let apart = before.map_or(Duration::ZERO, |before| self.at.saturating_sub(before.at));
        let percent = |tid: i32, ticks: u64| {
            let earlier = before?.threads.iter().find(|(other, ..)| *other == tid);
            let used = ticks.saturating_sub(earlier.map_or(0, |(_, ticks, _)| *ticks));
            let seconds = used as f64 / TICKS_PER_SECOND as f64;
            Some((seconds / apart.as_secs_f64() * 1000.0).round() / 10.0)
        };
        let main = self.threads.iter().find(|(tid, ..)| *tid == self.pid);
        let state = main.map_or('?', |(.., state)| *state);
        let main_percent = main.and_then(|(tid, ticks, _)| percent(*tid, *ticks));
        let mut threads: Vec<_> = self
            .threads
            .iter()
            .filter_map(|(tid, ticks, state)| {
                Some(ThreadActivity {
                    tid: *tid,
                    name: String::new(),
                    state: *state,
                    cpu_percent: percent(*tid, *ticks)?,
                })
            })
            .collect();
        threads.sort_by(|a, b| b.cpu_percent.total_cmp(&a.cpu_percent));
        threads.truncate(THREADS_TOLD);
        for thread in &mut threads {
            thread.name = word(self.pid, thread.tid, "comm").unwrap_or_default();
        }
        Activity {
            kind: ActivityKind::judge(state, main_percent),
            state,
            wchan: word(self.pid, self.pid, "wchan").filter(|wchan| wchan != "0"),
            over_ms: apart.as_millis() as u64,
            main_percent,
            threads,
        }
    }
}

fn word(pid: i32, tid: i32, file: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/{file}")).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(at_ms: u64, threads: &[(i32, u64, char)]) -> Look {
        Look {
            pid: 7,
            at: Duration::from_millis(at_ms),
            threads: threads.to_vec(),
        }
    }

    #[test]
    fn the_main_thread_decides() {
        let before = look(0, &[(7, 100, 'S'), (8, 0, 'R')]);
        let waits = look(1000, &[(7, 101, 'S'), (8, 99, 'R')]).since(Some(&before));
        assert_eq!(waits.kind, ActivityKind::Blocked);
        assert_eq!((waits.main_percent, waits.over_ms), (Some(1.0), 1000));
        assert_eq!(
            (waits.threads[0].tid, waits.threads[0].cpu_percent),
            (8, 99.0)
        );
        // Its share counts even where it is caught asleep.
        let spins = look(1000, &[(7, 160, 'S')]).since(Some(&before));
        assert_eq!(spins.kind, ActivityKind::Spinning);
        let stopped = look(1000, &[(7, 160, 'T')]).since(Some(&before));
        assert_eq!(stopped.kind, ActivityKind::Stopped);
    }

    #[test]
    fn without_an_earlier_look_the_state_decides() {
        let kind = |state| look(0, &[(7, 100, state)]).since(None).kind;
        assert_eq!(kind('R'), ActivityKind::Spinning);
        assert_eq!(kind('D'), ActivityKind::Blocked);
        assert_eq!(kind('Z'), ActivityKind::Unknown);
        let soon = look(50, &[(7, 105, 'S')]).since(Some(&look(0, &[(7, 100, 'S')])));
        assert_eq!(
            (soon.main_percent, soon.kind),
            (None, ActivityKind::Blocked)
        );
    }

    #[test]
    fn this_process_is_seen() {
        let pid = std::process::id() as i32;
        let activity = Look::at(pid, Duration::ZERO).expect("exists").since(None);
        assert_ne!(activity.kind, ActivityKind::Stopped);
        assert!(Look::at(i32::MAX, Duration::ZERO).is_none());
    }
}
