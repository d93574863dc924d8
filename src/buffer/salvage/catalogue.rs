//! The first look: what there is, and what is missing.

use super::Salvaged;
use super::lenient::{Lenient, Plan, Ranges, Values, scope_name, settle, stream_name};
use super::scan::Piece;
use crate::buffer::index::Location;
use crate::buffer::journal::facts::{self, Fact};
use crate::buffer::journal::frame::Kind;
use crate::buffer::journal::record::{Commit, Moved, MovedEntry};
use crate::buffer::tables::retain::add_range;
use crate::types::{Origin, Revision, Scope, Sequence, StreamName};
use std::collections::{BTreeMap, HashMap};

/// See the module.
#[derive(Default)]
pub(super) struct Catalogue {
    lenient: Lenient,
    present: HashMap<StreamName, Ranges>,
    values: Values,
    records: u64,
    /// Damaged places so far.
    damage: usize,
    /// The last revision heard of, and how many damaged places there were then.
    known: HashMap<Scope, (Revision, usize)>,
    lost: BTreeMap<Scope, Ranges>,
}

impl Catalogue {
    /// Nothing was found.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Notes what a piece says.
    pub fn take(&mut self, piece: Piece<'_>) {
        let Piece::Record {
            kind,
            body,
            segment,
            offset,
            end,
        } = piece
        else {
            self.damage += 1;
            return;
        };
        self.records += 1;
        match kind {
            Kind::Commit => self.note_commit(body),
            Kind::Moved => self.note_moved(body),
            Kind::Facts => self.note_facts(body),
            Kind::Seal => {}
        }
        self.lenient
            .apply(kind, body, Location { segment, offset }, end);
    }

    fn note_facts(&mut self, body: &[u8]) {
        for fact in facts::decode(body).unwrap_or_default() {
            if let Fact::Scope(fact) = fact {
                self.note_revision(fact.scope, fact.rev, false);
            }
        }
    }

    fn note_commit(&mut self, body: &[u8]) {
        let Ok(commit) = Commit::decode(body) else {
            return;
        };
        for run in &commit.runs {
            self.note_run(run.stream, run.first, run.last());
        }
        let Some(changes) = commit.changes else {
            return;
        };
        for (key, value) in changes.iter() {
            let entry = MovedEntry {
                scope: changes.scope,
                rev: changes.rev,
                key,
                value,
            };
            self.note_value(&entry);
        }
        if let Some(scope) = scope_name(changes.scope) {
            self.note_revision(scope, changes.rev, true);
        }
    }

    fn note_moved(&mut self, body: &[u8]) {
        let Ok(moved) = Moved::decode(body) else {
            return;
        };
        for moved in &moved.runs {
            self.note_run(moved.run.stream, moved.run.first, moved.run.last());
        }
        for entry in &moved.entries {
            self.note_value(entry);
            if entry.value.is_none() {
                let key = (entry.scope.into(), entry.key.into());
                let revisions = self.values.entry(key).or_default();
                *revisions = revisions.split_off(&entry.rev);
            }
        }
    }

    fn note_run(&mut self, stream: &[u8], first: Sequence, last: Sequence) {
        if let Some(name) = stream_name(stream) {
            add_range(self.present.entry(name).or_default(), first, last);
        }
    }

    fn note_value(&mut self, entry: &MovedEntry<'_>) {
        let most = 1 + self.lenient.tables.history_of(entry.scope);
        let key = (entry.scope.into(), entry.key.into());
        let revisions = self.values.entry(key).or_default();
        revisions.insert(entry.rev, entry.value.is_none());
        while revisions.len() > most {
            revisions.pop_first();
        }
    }

    /// Revisions that were jumped over behind damage may be missing. (Without damage their changes had been overwritten, and their
    /// segments freed.)
    fn note_revision(&mut self, scope: Scope, rev: Revision, changed: bool) {
        let (known, heard) = self.known.get(&scope).copied().unwrap_or((0, 0));
        let to = rev.saturating_sub(u64::from(changed));
        if heard < self.damage && known < to {
            let lost = self.lost.entry(scope.clone()).or_default();
            add_range(lost, known + 1, to);
        }
        self.known.insert(scope, (rev.max(known), self.damage));
    }

    /// Turns what was found into what is to be written, and says what is missing.
    pub fn plan(self, parent: Origin, report: &mut Salvaged) -> Plan {
        let Self {
            lenient: Lenient { mut tables },
            mut present,
            mut values,
            lost,
            ..
        } = self;
        for stream in &mut tables.streams {
            let present = present.remove(&stream.name).unwrap_or_default();
            let missing = settle(stream, &present);
            if !missing.is_empty() {
                report
                    .missing_events
                    .insert(stream.name.to_string(), missing);
            }
        }
        for (scope, ranges) in lost {
            report.missing_revisions.insert(scope.to_string(), ranges);
        }
        for scope in tables.scopes.values_mut() {
            scope.epoch += 1;
            scope.token = None;
            scope.cursors.clear();
        }
        tables.parent = Some(parent);
        values.values_mut().for_each(wanted);
        Plan { tables, values }
    }
}

/// Of a key's revisions those that are copied: from the newest down to a removal, which itself need not be said in a new journal.
fn wanted(revisions: &mut BTreeMap<Revision, bool>) {
    let removal = revisions.iter().rev().find(|(_, removal)| **removal);
    if let Some((removal, _)) = removal.map(|(rev, removal)| (*rev, *removal)) {
        *revisions = revisions.split_off(&(removal + 1));
    }
    if let Some(mut newest) = revisions.last_entry() {
        *newest.get_mut() = true;
    }
}
