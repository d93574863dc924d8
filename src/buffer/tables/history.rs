//! A key's revisions: the highest is its *entry*, lower ones are its history, as many as the rule of its scope keeps.
//!
//! What is still needed of a segment is written again before the segment is freed, earlier values too. So an older revision may
//! stand behind a newer one in the journal, and revisions decide, not places. For removals two rules follow:
//!
//! * A removal may be forgotten only where nothing that it hides can be met any more. Where an older revision was written
//!   again behind it (the entry is *followed*), it is written again itself, and then nothing follows it.
//! * A removal that is written again ends its key's history there and then; else removed keys would stay for ever.

use super::Tables;
use crate::buffer::index::{Entry, IndexError, Location, Pair, after_prefix, keys};
use crate::buffer::journal::record::MovedEntry;
use crate::buffer::options::matches;
use crate::types::Revision;

/// What a state entry takes besides key and value.
const ENTRY_COST: usize = 16;

impl Tables {
    /// How many earlier values of its keys a scope keeps.
    pub fn history_of(&self, scope: &[u8]) -> usize {
        let mut rules = self.histories.iter();
        let rule = rules.find(|rule| matches(rule.pattern.as_bytes(), scope));
        rule.map_or(0, |rule| rule.history as usize)
    }

    /// The newest change of a key.
    pub fn entry(&self, scope: &[u8], key: &[u8]) -> Result<Option<Entry>, IndexError> {
        let found = self.index.get(&keys::entry(scope, key))?;
        Ok(found.map(|bytes| Entry::decode(&bytes)).transpose()?)
    }

    /// The earlier changes of a key that the index knows, oldest first.
    pub fn pasts(&self, scope: &[u8], key: &[u8]) -> Result<Vec<Pair>, IndexError> {
        self.index.prefix(&keys::pasts(scope, key))
    }

    /// Lets a change of a key take effect. A removal is an entry too: sinks have to hear of it, and an older segment may
    /// still hold what it hides.
    pub(super) fn set_entry(
        &mut self,
        change: &MovedEntry<'_>,
        at: Location,
    ) -> Result<(), IndexError> {
        if !self.indexing {
            return Ok(());
        }
        let MovedEntry {
            scope,
            rev,
            key,
            value,
        } = *change;
        let entry = Entry {
            rev,
            at,
            cost: (ENTRY_COST + key.len() + value.map_or(0, <[u8]>::len)) as u32,
            deleted: value.is_none(),
            followed: false,
        };
        match self.entry(scope, key)? {
            Some(newer) if newer.rev > rev => return self.set_past(scope, key, newer, &entry),
            Some(old) => {
                self.count_entry(&old, false);
                if old.rev < rev {
                    self.keep_past(scope, key, old)?;
                }
            }
            None => {}
        }
        self.count_entry(&entry, true);
        self.index.put(keys::entry(scope, key), entry.encode());
        Ok(())
    }

    /// An older revision was written again behind a newer one.
    fn set_past(
        &mut self,
        scope: &[u8],
        key: &[u8],
        newer: Entry,
        past: &Entry,
    ) -> Result<(), IndexError> {
        if !newer.followed {
            let followed = Entry {
                followed: true,
                ..newer
            };
            self.index.put(keys::entry(scope, key), followed.encode());
        }
        let most = self.history_of(scope);
        if most > 0 {
            self.put_past(scope, key, past)?;
            self.trim_pasts(scope, key, most)?;
        }
        Ok(())
    }

    /// What was the newest change of a key becomes history.
    fn keep_past(&mut self, scope: &[u8], key: &[u8], old: Entry) -> Result<(), IndexError> {
        let most = self.history_of(scope);
        if most > 0 {
            let past = Entry {
                followed: false,
                ..old
            };
            self.put_past(scope, key, &past)?;
        }
        if self.pasts > 0 {
            self.trim_pasts(scope, key, most)?;
        }
        Ok(())
    }

    fn put_past(&mut self, scope: &[u8], key: &[u8], past: &Entry) -> Result<(), IndexError> {
        let index_key = keys::past(scope, key, past.rev);
        match self.index.get(&index_key)? {
            Some(bytes) => self.count_entry(&Entry::decode(&bytes)?, false),
            None => self.pasts += 1,
        }
        self.count_entry(past, true);
        self.index.put(index_key, past.encode());
        Ok(())
    }

    /// Forgets the oldest of too many.
    fn trim_pasts(&mut self, scope: &[u8], key: &[u8], most: usize) -> Result<(), IndexError> {
        let pasts = self.pasts(scope, key)?;
        let spare = pasts.len().saturating_sub(most);
        self.forget_pasts(&pasts[..spare])
    }

    /// Forgets everything of a key that is older than this change.
    pub(super) fn forget_before(&mut self, change: &MovedEntry<'_>) -> Result<(), IndexError> {
        if !self.indexing || self.pasts == 0 {
            return Ok(());
        }
        let from = keys::pasts(change.scope, change.key);
        let to = keys::past(change.scope, change.key, change.rev);
        let pasts = self.index.range(&from, &to, usize::MAX)?;
        self.forget_pasts(&pasts)
    }

    fn forget_pasts(&mut self, pasts: &[Pair]) -> Result<(), IndexError> {
        for (index_key, value) in pasts {
            self.count_entry(&Entry::decode(value)?, false);
            self.index.delete(index_key);
            self.pasts -= 1;
        }
        Ok(())
    }

    /// Whether an earlier value lies here and is still wanted. One that a changed rule does not keep any more is forgotten.
    pub(super) fn is_past(
        &mut self,
        change: &MovedEntry<'_>,
        at: Location,
    ) -> Result<bool, IndexError> {
        let MovedEntry {
            scope, rev, key, ..
        } = *change;
        if self.pasts == 0 {
            return Ok(false);
        }
        let index_key = keys::past(scope, key, rev);
        let Some(value) = self.index.get(&index_key)? else {
            return Ok(false);
        };
        if Entry::decode(&value)?.at != at {
            return Ok(false);
        }
        let newer = self.newer_pasts(scope, key, rev)?;
        if newer < self.history_of(scope) {
            return Ok(true);
        }
        self.forget_pasts(&[(index_key.into(), value)])?;
        Ok(false)
    }

    fn newer_pasts(&self, scope: &[u8], key: &[u8], rev: Revision) -> Result<usize, IndexError> {
        let from = keys::past(scope, key, rev + 1);
        let to = after_prefix(&keys::pasts(scope, key));
        Ok(self.index.range(&from, &to, usize::MAX)?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::index::{Index, Store};
    use crate::buffer::journal::facts::{self, Fact};
    use crate::buffer::journal::frame::Kind;
    use crate::buffer::journal::record::{Moved, NewRun, encode_commit};
    use crate::buffer::options::StateRule;
    use crate::types::Origin;
    use std::collections::BTreeMap;

    fn at(segment: u64, offset: u64) -> Location {
        Location { segment, offset }
    }

    fn change(rev: Revision, value: Option<&[u8]>) -> Vec<u8> {
        let mut body = Vec::new();
        let runs: Vec<NewRun<'_, std::iter::Empty<&[u8]>>> = Vec::new();
        let changes: (&[u8], _, &[_]) = (b"lobby", rev, &[(&b"k"[..], value)]);
        encode_commit(&mut body, 1, None, None, runs, Some(changes));
        body
    }

    fn moved(rev: Revision, value: Option<&[u8]>) -> Vec<u8> {
        let mut body = Vec::new();
        let entry = MovedEntry {
            scope: b"lobby",
            rev,
            key: b"k",
            value,
        };
        let moved = Moved {
            runs: Vec::new(),
            entries: vec![entry],
        };
        moved.encode(&mut body);
        body
    }

    /// Two values and a removal, all in segment 1; the history is kept.
    fn removed() -> Tables {
        let store = Store::Memory(BTreeMap::new());
        let mut tables = Tables::new(Origin::from_bytes([7; 16]), Index::new(store), true);
        (1..=3).for_each(|id| tables.begin_segment(id, 4096));
        let rule = StateRule {
            pattern: "*".to_owned(),
            history: 4,
        };
        let mut rules = Vec::new();
        facts::encode(&[Fact::Histories(vec![rule])], &mut rules);
        let mut apply = |kind, body: Vec<u8>, offset| {
            let applied = tables.apply(kind, &body, at(1, offset), offset + 100);
            applied.expect("applies");
        };
        apply(Kind::Facts, rules, 4096);
        apply(Kind::Commit, change(1, Some(b"one")), 4200);
        apply(Kind::Commit, change(2, Some(b"two")), 4300);
        apply(Kind::Commit, change(3, None), 4400);
        tables
    }

    /// Whether the removal would be moved, were its segment to be freed.
    fn stays(tables: &mut Tables) -> bool {
        let body = change(3, None);
        let live = tables.live_parts(Kind::Commit, &body, at(1, 4400));
        !live.expect("is well formed").entries.is_empty()
    }

    #[test]
    fn a_removal_goes_only_where_nothing_follows_it() {
        let mut tables = removed();
        assert!(!stays(&mut tables), "all that it hides goes with it");
        assert_eq!((tables.pasts, tables.state_cost), (0, 0));

        let mut tables = removed();
        let body = moved(2, Some(b"two"));
        let applied = tables.apply(Kind::Moved, &body, at(2, 4096), 4196);
        applied.expect("applies");
        assert!(stays(&mut tables), "an older value was moved behind it");
        assert_eq!(tables.pasts, 0, "and its history ends");

        let applied = tables.apply(Kind::Moved, &moved(3, None), at(3, 4096), 4196);
        applied.expect("applies");
        let entry = tables.entry(b"lobby", b"k").expect("reads");
        let entry = entry.expect("is there");
        assert!(entry.deleted && !entry.followed, "nothing follows it now");
    }

    #[test]
    fn the_highest_revision_counts_wherever_it_stands() {
        let mut tables = removed();
        let body = moved(1, Some(b"one"));
        let applied = tables.apply(Kind::Moved, &body, at(2, 4096), 4196);
        applied.expect("applies");
        let entry = tables.entry(b"lobby", b"k").expect("reads");
        assert_eq!(
            entry.map(|entry| (entry.rev, entry.followed)),
            Some((3, true))
        );
        assert_eq!(tables.pasts(b"lobby", b"k").expect("reads").len(), 2);
    }
}
