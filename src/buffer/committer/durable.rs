//! A group becomes durable, or the committer ends.

use super::{Committer, Halt, RETRY};
use crate::buffer::journal::segment::is_full;
use crate::buffer::journal::writer::Group;

impl Committer {
    /// Writes and syncs the group that was gathered.
    pub(super) fn write(&mut self) -> Result<(), Halt> {
        let mut group = std::mem::take(&mut self.group);
        let written = self.write_group(&mut group);
        self.group = group;
        written
    }

    /// Writes and syncs a group. Waits for as long as the device is full.
    pub(super) fn write_group(&mut self, group: &mut Group) -> Result<(), Halt> {
        let mut waited = false;
        // Only file systems that do not honour preallocation have no space here. Nothing of the group was acknowledged, and the
        // next attempt overwrites this one.
        while let Err(error) = self.journal.write(group) {
            if !is_full(&error) {
                return Err(Halt::Failed(format!("writing the journal failed: {error}")));
            }
            waited = true;
            self.wait_for_space()?;
        }
        // A failed sync may have dropped the pages it could not write; trying again would lie.
        self.journal
            .sync(group)
            .map_err(|error| Halt::Failed(format!("syncing the journal failed: {error}")))?;
        if waited && !self.waiting.for_space() {
            self.shared.set_full(false, "");
        }
        Ok(())
    }

    /// Tells that the device is full, and waits a little. Ends where the buffer is closed meanwhile, or not yet open.
    pub(super) fn wait_for_space(&self) -> Result<(), Halt> {
        self.shared.set_full(true, "the device is full");
        if self.opening || self.shared.queue.closing(RETRY) {
            return Err(Halt::Closed);
        }
        Ok(())
    }
}
