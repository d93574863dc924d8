//! Room for records: in the active segment, in the next one, or none.

use super::plan::push_facts;
use super::{Committer, Halt};
use crate::buffer::journal::facts::Fact;
use crate::buffer::journal::frame::Kind;
use crate::buffer::journal::segment::{HEADER_BYTES, is_full};
use crate::buffer::journal::writer::{Group, max_producers};

/// Who may take how much of the last space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::buffer) enum Class {
    /// Events stop at `max_bytes` less the reserve.
    Events,
    /// State and activations may use the reserve.
    State,
    /// Cursors and moves make space, so they may use all.
    Upkeep,
}

impl Committer {
    /// Makes room for so many bytes: writes the group, then rolls. False where there is no space for another segment.
    pub(in crate::buffer) fn make_room(&mut self, class: Class, added: u64) -> Result<bool, Halt> {
        self.flush()?;
        if self.journal.fits(added) {
            return Ok(true);
        }
        if !self.may_roll(class) || !self.prepare()? {
            return Ok(false);
        }
        self.journal_seal()?;
        if !self.begin_next()? {
            return Err(Halt::Failed(
                "the segment that was prepared is gone".to_owned(),
            ));
        }
        self.checkpoint();
        if !self.journal.fits(self.group.len() + added) {
            return Err(Halt::Failed(
                "a checkpoint does not fit into a segment; choose larger segments".to_owned(),
            ));
        }
        Ok(true)
    }

    /// Adds facts that make space or cost little. False where there is no space at all.
    pub(in crate::buffer) fn upkeep(&mut self, facts: &[Fact]) -> Result<bool, Halt> {
        loop {
            let (count, before) = (self.group.count(), self.group.len());
            push_facts(&mut self.group, facts);
            if self.journal.fits(self.group.len()) {
                return Ok(true);
            }
            let added = self.group.len() - before;
            self.group.truncate(count);
            if !self.make_room(Class::Upkeep, added)? {
                return Ok(false);
            }
        }
    }

    pub(in crate::buffer) fn may_use(&self, class: Class) -> bool {
        self.shared.tables().segments.len() <= self.limit(class)
    }

    pub(in crate::buffer) fn may_roll(&self, class: Class) -> bool {
        self.shared.tables().segments.len() < self.limit(class)
    }

    pub(in crate::buffer) fn limit(&self, class: Class) -> usize {
        match class {
            Class::Events => self.shared.limits.events,
            Class::State => self.shared.limits.state,
            Class::Upkeep => self.shared.limits.all,
        }
    }

    /// Makes the next segment's file. False where the device is full.
    pub(in crate::buffer) fn prepare(&self) -> Result<bool, Halt> {
        match self.journal.prepare(&self.shared.spare) {
            Ok(()) => Ok(true),
            Err(error) if is_full(&error) => Ok(false),
            Err(error) => Err(Halt::Failed(format!("making a segment failed: {error}"))),
        }
    }

    pub(in crate::buffer) fn journal_seal(&mut self) -> Result<(), Halt> {
        let at = self.journal.at;
        let mut seal = Group::default();
        seal.push(Kind::Seal, |_| ());
        self.write_group(&mut seal)?;
        let mut tables = self.shared.tables();
        tables.apply(Kind::Seal, &[], at, self.journal.at.offset)?;
        tables.commit = self.journal.commit;
        Ok(())
    }

    /// Begins a segment behind a sealed one. False where the device is full.
    pub(in crate::buffer) fn begin_next(&mut self) -> Result<bool, Halt> {
        if !self.prepare()? {
            return Ok(false);
        }
        while let Err(error) = self.journal.begin(&self.shared.spare) {
            if !is_full(&error) {
                return Err(Halt::Failed(format!("beginning a segment failed: {error}")));
            }
            self.wait_for_space()?;
        }
        self.shared
            .tables()
            .begin_segment(self.journal.at.segment, HEADER_BYTES);
        Ok(true)
    }

    /// States all facts anew, as the first record of a segment.
    pub(in crate::buffer) fn checkpoint(&mut self) {
        let producers = max_producers(self.shared.options.segment_bytes);
        let facts = self.shared.tables().checkpoint(producers);
        debug_assert!(self.group.is_empty(), "a checkpoint comes first");
        push_facts(&mut self.group, &facts);
        self.checkpointed = true;
    }
}
