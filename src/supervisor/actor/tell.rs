//! What the machine wants told.

use super::Actor;
use crate::supervisor::event::EventKind;

impl Actor {
    pub(super) fn tell_quarantine(&mut self) {
        let (restarts, seconds) = (self.spec.max_restarts, self.spec.max_seconds);
        let who = if self.spec.is_linked() {
            "its group: "
        } else {
            ""
        };
        let release = self.spec.quarantine.map_or_else(
            || "start it to release it".to_owned(),
            |cool| {
                let cool = humantime::format_duration(cool);
                format!("it is released after {cool}, or by a start")
            },
        );
        self.book.note(&format!(
            "quarantined: {who}more than {restarts} restarts in {seconds} s; {release}"
        ));
        tracing::error!(server = %self.spec.id, restarts, seconds, "quarantined after too many restarts; {release}");
        self.context
            .tell(&self.spec.id, EventKind::Quarantined { restarts, seconds });
    }
}
