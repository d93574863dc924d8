//! Who waits for what.

use super::Actor;
use crate::supervisor::error::SupervisorError;

/// What somebody waits for.
pub(super) enum Wish {
    /// It plays, in this attempt or a later one.
    Up(u64),
    /// The process of this attempt, and of all before, is gone.
    Down(u64),
}

impl Actor {
    /// Nothing of that attempt and those before runs.
    pub(super) fn down(&mut self, attempt: u64) {
        self.gone = self.gone.max(Some(attempt));
        self.settle_down();
    }

    /// Answers who waits for the end of everything: of the process that was fenced, and of a standby that is to go, as well.
    pub(super) fn settle_down(&mut self) {
        let gone = self.gone;
        let leaving = self.leaving.as_ref().map(|leaving| leaving.attempt);
        if self.standby.is_some() && !self.machine.keeps_standby() {
            return;
        }
        self.fulfil(
            |wish| match wish {
                Wish::Down(target) => {
                    Some(*target) <= gone && leaving.is_none_or(|attempt| attempt > *target)
                }
                Wish::Up(_) => false,
            },
            &Ok(()),
        );
    }

    /// Answers those wishes.
    pub(super) fn fulfil(
        &mut self,
        which: impl Fn(&Wish) -> bool,
        answer: &Result<(), SupervisorError>,
    ) {
        let wishes = std::mem::take(&mut self.wishes);
        for (wish, reply) in wishes {
            if which(&wish) {
                let _ = reply.send(answer.clone());
            } else {
                self.wishes.push((wish, reply));
            }
        }
    }
}
