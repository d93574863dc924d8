//! Compaction: a fresh generation is filled from the one in use, a page at a time, while that one is read and written on.
//!
//! Pages go by ascending key. A layer that is written meanwhile goes to both: of it the fresh one takes what lies before the
//! next page, the rest comes with the pages. So the fresh one equals the other as soon as the last page is copied, and at no
//! time is more than a page of entries in memory.

use super::generations::Generation;
use super::{IndexError, Layer, Mark};
use std::ops::Bound;

/// A compaction that is under way.
pub(in crate::buffer) struct Compaction {
    source: Generation,
    target: Generation,
    /// All smaller keys have been copied.
    from: Vec<u8>,
    page: usize,
}

/// What a step led to.
pub(in crate::buffer) enum Step {
    More,
    /// Everything is copied: [`Compaction::finish`] may follow.
    Copied,
}

impl Compaction {
    /// Begins with an empty generation; pages have so many entries.
    pub fn begin(source: Generation, page: usize) -> Result<Self, IndexError> {
        let target = source.next()?;
        Ok(Self {
            source,
            target,
            from: Vec::new(),
            page,
        })
    }

    /// Copies a page.
    pub fn step(&mut self) -> Result<Step, IndexError> {
        let page = self.source.store.page(&self.from, self.page)?;
        let Some((last, _)) = page.last_key_value() else {
            return Ok(Step::Copied);
        };
        self.from = [last, &[0][..]].concat();
        self.target.store.fill(&page)?;
        Ok(Step::More)
    }

    /// Follows a layer that the source was given.
    pub fn follow(&self, layer: &Layer) -> Result<(), IndexError> {
        let copied: Layer = layer
            .range::<[u8], _>((Bound::Unbounded, Bound::Excluded(self.from.as_slice())))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if copied.is_empty() {
            return Ok(());
        }
        self.target.store.fill(&copied)
    }

    /// Marks the fresh generation, which from now on is the index. The other is swept away once nobody reads it.
    pub fn finish(self, mark: &Mark) -> Result<Generation, IndexError> {
        if !self.target.store.equals(&self.source.store)? {
            return Err(IndexError("a copy of it came out different".to_owned()));
        }
        self.target.store.finish(mark)?;
        Ok(self.target)
    }
}
