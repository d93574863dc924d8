//! The keeper's care for the stored index: writing it now and then, and compacting it.

use super::{Chore, INDEX_AFTER, Keeper, Left};
use crate::buffer::dirs::{INDEX_SPACE, has_space};
use crate::buffer::index::{Compaction, Generation, IndexError, Layer, Mark, Step};
use crate::buffer::shared::Chores;
use std::time::{Duration, Instant};

/// A store is compacted when its files take more than this (or this part of what the journal may take),
const COMPACT_FLOOR: u64 = 16 << 20;
const COMPACT_PART: u64 = 16;
/// and so many times what a fresh one would.
const COMPACT_TIMES: u64 = 4;
/// Entries that a compaction copies at once; other chores come between.
const COMPACT_PAGE: usize = 4096;
/// After a compaction that failed (for want of space, say) none is tried for so long.
const COMPACT_AGAIN: Duration = Duration::from_secs(60);

/// What the keeper knows of the stored index.
pub(super) struct Stored {
    /// The position that it reflects.
    pub mark: Option<Mark>,
    due: Option<Instant>,
    compaction: Option<Compaction>,
    /// No compaction before that.
    patience: Option<Instant>,
}

impl Stored {
    pub fn new(mark: Option<Mark>) -> Self {
        Self {
            mark,
            due: None,
            compaction: None,
            patience: None,
        }
    }

    /// Whether it is known already that it has to be written.
    pub fn is_due(&self) -> bool {
        self.due.is_some()
    }

    /// When something is to be done for it.
    pub fn due_in(&self) -> Option<Duration> {
        if self.compaction.is_some() {
            return Some(Duration::ZERO);
        }
        self.due
            .map(|due| due.saturating_duration_since(Instant::now()))
    }

    /// Nothing more is stored. What a compaction has copied so far is of no use, and goes at the next opening.
    pub fn close(&mut self) {
        self.compaction = None;
    }
}

impl Keeper {
    pub(super) fn index_failed(&self, error: &IndexError) -> Left {
        self.shared.doubt_index(&error.0);
        Left::Stopped
    }

    /// Writes the index where it is time, and copies the next page of a compaction.
    pub(super) fn keep_index(&mut self, chores: Chores) -> Chore<()> {
        if chores.index && self.stored.due.is_none() {
            self.stored.due = Some(Instant::now() + INDEX_AFTER);
        }
        if chores.index_now || self.stored.due.is_some_and(|due| due <= Instant::now()) {
            self.stored.due = None;
            self.write_index()?;
        }
        self.compact();
        Ok(())
    }

    /// Brings the stored index up to the last commit.
    pub(super) fn write_index(&mut self) -> Chore<()> {
        if !has_space(&self.shared.options.dir, INDEX_SPACE) {
            return Ok(());
        }
        let (frozen, mark) = {
            let mut tables = self.shared.tables();
            let mark = Mark {
                origin: tables.origin,
                commit: tables.commit,
                end: tables.end,
            };
            (tables.index.freeze(), mark)
        };
        let Some((generation, layer)) = frozen else {
            return Ok(());
        };
        if let Err(error) = generation.store.write(&layer, &mark) {
            return Err(self.index_failed(&error));
        }
        self.shared.tables().index.thaw();
        self.stored.mark = Some(mark);
        self.follow(&layer);
        drop(layer);
        self.begin_compaction(generation);
        Ok(())
    }

    /// A compaction under way takes in what the store was given.
    fn follow(&mut self, layer: &Layer) {
        if let Some(compaction) = self.stored.compaction.take() {
            match compaction.follow(layer) {
                Ok(()) => self.stored.compaction = Some(compaction),
                Err(error) => self.put_off(&error),
            }
        }
    }

    fn begin_compaction(&mut self, generation: Generation) {
        if self.stored.compaction.is_none() {
            generation.sweep();
        }
        let too_early = self
            .stored
            .patience
            .is_some_and(|until| Instant::now() < until);
        if self.stored.compaction.is_some() || too_early {
            return;
        }
        let floor = COMPACT_FLOOR.min(self.shared.options.max_bytes / COMPACT_PART);
        let bloated = generation.store.is_bloated(floor, COMPACT_TIMES);
        // At worst the fresh one becomes as large as this.
        let needed = generation.store.disk_bytes() + INDEX_SPACE;
        if !matches!(bloated, Ok(true)) || !has_space(&self.shared.options.dir, needed) {
            return;
        }
        match Compaction::begin(generation, COMPACT_PAGE) {
            Ok(compaction) => self.stored.compaction = Some(compaction),
            Err(error) => self.put_off(&error),
        }
    }

    /// Copies a page; after the last one the fresh generation takes over.
    fn compact(&mut self) {
        let Some(mut compaction) = self.stored.compaction.take() else {
            return;
        };
        match (compaction.step(), self.stored.mark) {
            (Ok(Step::Copied), Some(mark)) => self.take_over(compaction, &mark),
            (Ok(_), _) => self.stored.compaction = Some(compaction),
            (Err(error), _) => self.put_off(&error),
        }
    }

    /// Nothing was written to the old generation since the last page, so the fresh one reflects the same position.
    fn take_over(&mut self, compaction: Compaction, mark: &Mark) {
        match compaction.finish(mark) {
            Ok(fresh) => {
                let bytes = fresh.store.disk_bytes();
                tracing::debug!(bytes, "the buffer's index was compacted");
                let old = self.shared.tables().index.switch(fresh.clone());
                drop(old);
                fresh.sweep();
            }
            Err(error) => self.put_off(&error),
        }
    }

    fn put_off(&mut self, error: &IndexError) {
        tracing::warn!(%error, "the buffer's index could not be compacted; it is tried again later");
        self.stored.patience = Some(Instant::now() + COMPACT_AGAIN);
    }
}
