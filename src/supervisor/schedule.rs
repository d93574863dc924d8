//! Planned restarts of one server: at a time of day, when it is empty, or both. Pure.
//!
//! Times are of the wall clock, in UTC. A time that was slept or jumped over counts once; one that passed while no process played
//! does not count: a fresh process needs no restart.

use super::spec::ServerSpec;
use crate::types::UnixMillis;

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

/// What is remembered of the process that plays.
#[derive(Debug, Clone, Default)]
pub struct Schedule {
    at_minute: Option<u16>,
    when_empty: bool,
    looked_ms: Option<UnixMillis>,
    /// Its time has come; it waits to be empty.
    due: bool,
    players: Option<u64>,
    had_players: bool,
}

impl Schedule {
    /// By these plans from now on.
    pub fn update(&mut self, spec: &ServerSpec) {
        self.at_minute = spec.restart_at;
        self.when_empty = spec.restart_when_empty;
        self.due &= self.at_minute.is_some();
    }

    /// Another process.
    pub fn started(&mut self, now_ms: UnixMillis) {
        self.looked_ms = Some(now_ms);
        self.due = false;
        self.players = None;
        self.had_players = false;
    }

    /// A heartbeat with its players, where the game reports them. True where it is to be restarted now.
    pub fn beat(&mut self, players: Option<u64>) -> bool {
        self.players = players;
        self.had_players |= players.is_some_and(|players| players > 0);
        self.is_empty_in_time()
    }

    /// A look at the clock. True where it is to be restarted now.
    pub fn look(&mut self, now_ms: UnixMillis) -> bool {
        let looked_ms = self.looked_ms.replace(now_ms);
        let (Some(minute), Some(looked_ms)) = (self.at_minute, looked_ms) else {
            return false;
        };
        let into_day = u64::from(minute) * MINUTE_MS;
        let last = now_ms
            .checked_sub(into_day)
            .map(|since| since - since % DAY_MS + into_day);
        self.due |= last.is_some_and(|last| last > looked_ms);
        if self.when_empty {
            return self.is_empty_in_time();
        }
        std::mem::take(&mut self.due)
    }

    /// Who does not report players is never taken for empty. Without a time it must have had players to be empty again.
    fn is_empty_in_time(&mut self) -> bool {
        let in_time = match self.at_minute {
            Some(_) => self.due,
            None => self.had_players,
        };
        let restart = self.when_empty && in_time && self.players == Some(0);
        if restart {
            self.due = false;
            self.had_players = false;
        }
        restart
    }
}

#[cfg(test)]
mod tests;
