//! What an earlier sidekick left of one process.

use crate::guard::files::ExitRecord;
use crate::guard::proc::ProcessId;
use crate::supervisor::adopt::Found;
use crate::supervisor::launch::Note;
use crate::supervisor::link::{Adopted, Link};
use crate::supervisor::slot::Slot;
use crate::types::{Epoch, Token};

/// What was found in one place.
pub(super) struct Remains {
    pub slot: Slot,
    pub start: String,
    pub server: ProcessId,
    pub epoch: Option<Epoch>,
    pub link: Option<Link>,
    /// How it ended; `None` where it lives, or where nobody knows.
    pub record: Option<ExitRecord>,
    /// Its token and its own spec, where it was started as a standby and nothing says that it was promoted.
    pub waits: Option<(Token, Note)>,
}

impl Remains {
    pub fn is_alive(&self) -> bool {
        self.link.is_some() && self.record.is_none()
    }
}

/// From what was found in that place.
pub(super) fn remains(slot: Slot, found: Found) -> Option<Remains> {
    Some(match found {
        Found::Nothing => return None,
        Found::Alive(adopted) => {
            let Adopted {
                link,
                identity,
                note,
                exited,
            } = *adopted;
            let waits = serde_json::from_str::<Note>(&note)
                .ok()
                .and_then(|note| Some((Token::new(note.standby.clone()?), note)));
            Remains {
                slot,
                start: identity.start,
                server: identity.server,
                epoch: identity.epoch,
                link: Some(link),
                record: exited,
                waits,
            }
        }
        Found::Ended(record) => Remains {
            slot,
            start: record.start.clone(),
            server: record.server,
            epoch: record.epoch,
            link: None,
            record: Some(record),
            waits: None,
        },
        Found::Lost(identity) => Remains {
            slot,
            start: identity.start,
            server: identity.server,
            epoch: identity.epoch,
            link: None,
            record: None,
            waits: None,
        },
    })
}
