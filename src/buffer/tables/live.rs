//! What of a record is still live, for moving it to another segment.

use super::apply::stream_name;
use super::{ApplyError, ScopeState, Tables};
use crate::buffer::index::{Entry, Extent, IndexError, Location, keys};
use crate::buffer::journal::frame::Kind;
use crate::buffer::journal::record::{Commit, Moved, MovedEntry, MovedRun, Run, TailTag};
use crate::types::{Scope, UnixMillis};
use bytes::Bytes;

impl Tables {
    /// The parts of a record that must not be lost with its segment. Forgets removals and tail entries that have had
    /// their time.
    pub fn live_parts<'a>(
        &mut self,
        kind: Kind,
        body: &'a [u8],
        at: Location,
    ) -> Result<Moved<'a>, ApplyError> {
        let mut live = Moved::default();
        match kind {
            Kind::Facts | Kind::Seal => {}
            Kind::Commit => {
                let commit = Commit::decode(body)?;
                for (number, run) in commit.runs.iter().enumerate() {
                    let session = commit.session.filter(|_| commit.changes.is_none());
                    let tag = session.map(|session| TailTag {
                        session,
                        run: number as u32,
                    });
                    live.runs.extend(self.live_run(run, commit.at_ms, tag, at)?);
                }
                for (changes, (key, value)) in commit
                    .changes
                    .iter()
                    .flat_map(|c| c.iter().map(move |change| (c, change)))
                {
                    let entry = MovedEntry {
                        scope: changes.scope,
                        rev: changes.rev,
                        key,
                        value,
                    };
                    live.entries.extend(self.live_entry(entry, at)?);
                }
            }
            Kind::Moved => {
                let moved = Moved::decode(body)?;
                for MovedRun {
                    at_ms, tail, run, ..
                } in &moved.runs
                {
                    live.runs.extend(self.live_run(run, *at_ms, *tail, at)?);
                }
                for entry in moved.entries {
                    live.entries.extend(self.live_entry(entry, at)?);
                }
            }
        }
        Ok(live)
    }

    fn live_run<'a>(
        &mut self,
        run: &Run<'a>,
        at_ms: UnixMillis,
        tag: Option<TailTag<'a>>,
        at: Location,
    ) -> Result<Option<MovedRun<'a>>, ApplyError> {
        let name = stream_name(run.stream)?;
        let first = self.stream(&name).map_or(u64::MAX, |stream| stream.first);
        if run.last() < first {
            if let Some(TailTag { session, run }) = tag {
                self.index.delete(&keys::tail(
                    session.scope,
                    session.epoch,
                    session.batch,
                    run,
                ));
            }
            return Ok(None);
        }
        let from = run.first.max(first);
        let found = self
            .index
            .floor(&keys::extents(run.stream), &keys::extent(run.stream, from))?;
        let (_, value) =
            found.ok_or_else(|| IndexError(format!("event {from} of stream {name} is nowhere")))?;
        let extent = Extent::decode(&value)?;
        if extent.at.segment != at.segment {
            return Ok(None);
        }
        let tail = tag.filter(|tag| {
            let point = self
                .scope(tag.session.scope)
                .map_or((0, 0), |state| state.point);
            (tag.session.epoch, tag.session.batch) > point
        });
        Ok(Some(MovedRun {
            at_ms,
            before: extent.before,
            tail,
            run: run.from(from),
        }))
    }

    fn live_entry<'a>(
        &mut self,
        moved: MovedEntry<'a>,
        at: Location,
    ) -> Result<Option<MovedEntry<'a>>, ApplyError> {
        let Some(entry) = self.entry(moved.scope, moved.key)? else {
            return Ok(None);
        };
        let newest = entry.rev == moved.rev;
        if !(newest && entry.at == at || !newest && self.is_past(&moved, at)?) {
            return Ok(None);
        }
        if moved.value.is_none() {
            self.forget_before(&moved)?;
            if newest && !entry.followed && self.has_had_its_time(moved.scope, &entry) {
                self.count_entry(&entry, false);
                self.index.delete(&keys::entry(moved.scope, moved.key));
                return Ok(None);
            }
        }
        Ok(Some(moved))
    }

    fn scope(&self, name: &[u8]) -> Option<&ScopeState> {
        self.scopes
            .get(&Scope::new(Bytes::copy_from_slice(name)).ok()?)
    }

    /// A removal is needed while an older segment may hold what it removed, or a sink has not heard of it.
    fn has_had_its_time(&self, scope: &[u8], entry: &Entry) -> bool {
        let oldest = self.segments.keys().next() == Some(&entry.at.segment);
        let heard = self.scope(scope).is_none_or(|state| {
            state
                .cursors
                .values()
                .all(|cursor| cursor.durable >= entry.rev)
        });
        oldest && heard
    }
}
