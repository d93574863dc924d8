//! The index: where in the journal things lie. Rebuildable, so never the truth.
//!
//! Three layers, newest first: the *overlay* takes every change; from time to time it is *frozen* and written, with the
//! journal position it reflects, into the *store* (sled) as one atomic batch. What the store holds is hence always the
//! index as of one position; the rest is replayed from the journal when the buffer is opened. sled's files never shrink, so
//! the store changes for a fresh *generation* when it has grown too large for what it holds.
//!
//! Architecture Invariant: only `store` names sled.

mod compact;
mod generations;
pub(super) mod keys;
mod store;

pub(super) use compact::{Compaction, Step};
pub(super) use generations::Generation;
pub(super) use keys::{Entry, Extent, Location, TailRun};
pub(super) use store::Mark;
use store::SledStore;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// The index could not answer; it has to be rebuilt.
#[derive(Debug, Clone, thiserror::Error)]
#[error("index: {0}")]
pub(super) struct IndexError(pub String);

impl From<super::journal::codec::Malformed> for IndexError {
    fn from(error: super::journal::codec::Malformed) -> Self {
        Self(error.0.to_owned())
    }
}

/// Key and value.
pub(super) type Pair = (Box<[u8]>, Box<[u8]>);
type Map = BTreeMap<Box<[u8]>, Box<[u8]>>;
/// Key and value, `None` where a layer removes it.
type Candidate = (Box<[u8]>, Option<Box<[u8]>>);
/// Changes: a new value, or `None` where the key is removed.
pub(super) type Layer = BTreeMap<Box<[u8]>, Option<Box<[u8]>>>;

/// What lies under the overlay.
pub(super) enum Store {
    /// The normal case.
    Sled(Generation),
    /// Where sled cannot be used (no space, for one): everything in memory, nothing to load at the next opening.
    Memory(Map),
}

/// The index as of the last applied commit.
pub(super) struct Index {
    overlay: Layer,
    frozen: Option<Arc<Layer>>,
    store: Store,
}

impl Index {
    /// An index on top of what the store holds.
    pub fn new(store: Store) -> Self {
        Self {
            overlay: Layer::new(),
            frozen: None,
            store,
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Box<[u8]>>, IndexError> {
        for layer in [Some(&self.overlay), self.frozen.as_deref()]
            .into_iter()
            .flatten()
        {
            if let Some(value) = layer.get(key) {
                return Ok(value.clone());
            }
        }
        match &self.store {
            Store::Sled(sled) => sled.store.get(key),
            Store::Memory(map) => Ok(map.get(key).cloned()),
        }
    }

    /// Sets a key.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        match &mut self.store {
            Store::Sled(_) => drop(self.overlay.insert(key.into(), Some(value.into()))),
            Store::Memory(map) => drop(map.insert(key.into(), value.into())),
        }
    }

    /// Removes a key.
    pub fn delete(&mut self, key: &[u8]) {
        match &mut self.store {
            Store::Sled(_) => drop(self.overlay.insert(key.into(), None)),
            Store::Memory(map) => drop(map.remove(key)),
        }
    }

    /// The greatest entry in `low..=high`.
    pub fn floor(&self, low: &[u8], high: &[u8]) -> Result<Option<Pair>, IndexError> {
        let mut high = Bound::Included(Box::from(high));
        loop {
            let Some((key, value)) = self.floor_candidate(low, &high)? else {
                return Ok(None);
            };
            if let Some(value) = value {
                return Ok(Some((key, value)));
            }
            high = Bound::Excluded(key);
        }
    }

    /// The greatest key of any layer, with what the newest layer that knows it says.
    fn floor_candidate(
        &self,
        low: &[u8],
        high: &Bound<Box<[u8]>>,
    ) -> Result<Option<Candidate>, IndexError> {
        let range = (Bound::Included(low), as_slice(high));
        if is_empty(low, high) {
            return Ok(None);
        }
        let mut best = match &self.store {
            Store::Sled(sled) => sled
                .store
                .floor(low, high)?
                .map(|(key, value)| (key, Some(value))),
            Store::Memory(map) => map
                .range::<[u8], _>(range)
                .next_back()
                .map(|(k, v)| (k.clone(), Some(v.clone()))),
        };
        for layer in [self.frozen.as_deref(), Some(&self.overlay)]
            .into_iter()
            .flatten()
        {
            if let Some((key, value)) = layer.range::<[u8], _>(range).next_back() {
                if best.as_ref().is_none_or(|(best, _)| best <= key) {
                    best = Some((key.clone(), value.clone()));
                }
            }
        }
        Ok(best)
    }

    /// Everything in `from..to`, ascending, at most `limit` entries.
    pub fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, IndexError> {
        if from >= to || limit == 0 {
            return Ok(Vec::new());
        }
        let bounds = (Bound::Included(from), Bound::Excluded(to));
        // A layer may remove keys of the one below, so the store is asked for as many more.
        let hidden: usize = [Some(&self.overlay), self.frozen.as_deref()]
            .into_iter()
            .flatten()
            .map(|layer| {
                layer
                    .range::<[u8], _>(bounds)
                    .filter(|(_, value)| value.is_none())
                    .count()
            })
            .sum();
        let mut merged: Layer = match &self.store {
            Store::Sled(sled) => sled.store.range(from, to, limit.saturating_add(hidden))?,
            Store::Memory(map) => map
                .range::<[u8], _>(bounds)
                .take(limit)
                .map(|(k, v)| (k.clone(), Some(v.clone())))
                .collect(),
        };
        for layer in [self.frozen.as_deref(), Some(&self.overlay)]
            .into_iter()
            .flatten()
        {
            merged.extend(
                layer
                    .range::<[u8], _>(bounds)
                    .map(|(k, v)| (k.clone(), v.clone())),
            );
        }
        Ok(merged
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .take(limit)
            .collect())
    }

    /// Everything that begins with a prefix.
    pub fn prefix(&self, prefix: &[u8]) -> Result<Vec<Pair>, IndexError> {
        self.range(prefix, &after_prefix(prefix), usize::MAX)
    }

    /// Changes not yet in the store.
    pub fn pending(&self) -> usize {
        self.overlay.len()
    }

    /// Freezes the overlay for writing; `None` where there is nothing to write or no store to write to.
    pub fn freeze(&mut self) -> Option<(Generation, Arc<Layer>)> {
        let Store::Sled(sled) = &self.store else {
            return None;
        };
        let layer = match &self.frozen {
            Some(_) => return None,
            None => Arc::new(std::mem::take(&mut self.overlay)),
        };
        self.frozen = Some(Arc::clone(&layer));
        Some((sled.clone(), layer))
    }

    /// The frozen layer is in the store.
    pub fn thaw(&mut self) {
        self.frozen = None;
    }

    /// From now on another store lies under the layers, which holds the same. Gives the old one.
    pub fn switch(&mut self, generation: Generation) -> Store {
        std::mem::replace(&mut self.store, Store::Sled(generation))
    }

    /// Empties the overlay into a store that is being filled, which has no position yet.
    pub fn spill(&mut self) -> Result<(), IndexError> {
        if let Store::Sled(sled) = &self.store {
            sled.store.fill(&std::mem::take(&mut self.overlay))?;
        }
        Ok(())
    }
}

/// The least key that is greater than every key with this prefix.
pub(super) fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut after = prefix.to_vec();
    while after.last() == Some(&0xff) {
        after.pop();
    }
    if let Some(byte) = after.last_mut() {
        *byte += 1;
    }
    after
}

fn as_slice(bound: &Bound<Box<[u8]>>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(key) => Bound::Included(key),
        Bound::Excluded(key) => Bound::Excluded(key),
        Bound::Unbounded => Bound::Unbounded,
    }
}

fn is_empty(low: &[u8], high: &Bound<Box<[u8]>>) -> bool {
    match high {
        Bound::Included(high) => low > &**high,
        Bound::Excluded(high) => low >= &**high,
        Bound::Unbounded => false,
    }
}

#[cfg(test)]
mod tests;
