//! sled as the place where the index rests. Everything here may fail or lie; [`SledStore::open`] believes nothing that it
//! has not checked against the sum over all entries, and the caller rebuilds on any doubt.

use super::{IndexError, Layer, Location, Pair};
use crate::buffer::journal::codec::{Malformed, Put, Take};
use crate::types::Origin;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

/// The key of the mark; sorts before all others.
const MARK: &[u8] = b"#";
const VERSION: u32 = 2;
/// An index that was just closed lets go of its lock within this many times 10 ms.
const LOCK_ATTEMPTS: u32 = 300;
/// sled's page cache. The index is sparse; most reads meet the overlay or a few hot pages.
const CACHE_BYTES: u64 = 2 << 20;
/// sled's unit of writing. Its default of 512 KiB costs 20 MB of memory in buffers under load, for no gain here.
pub(super) const SLED_SEGMENT_BYTES: usize = 32 << 10;

/// More than so many bytes on disk for a byte of entries is no fresh generation's measure: they take about four, small ones nine.
const FRESH_TIMES_MAX: u128 = 8;

/// The journal position that the store reflects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::buffer) struct Mark {
    pub origin: Origin,
    /// The last commit that is contained.
    pub commit: u64,
    /// Where the next one begins.
    pub end: Location,
}

/// Sum over all entries; the order in which they came does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sum {
    count: u64,
    bytes: u64,
    digest: u64,
}

impl Sum {
    fn add(&mut self, key: &[u8], value: &[u8]) {
        self.count = self.count.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add((key.len() + value.len()) as u64);
        self.digest = self.digest.wrapping_add(hash(key, value));
    }

    fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.count = self.count.wrapping_sub(1);
        self.bytes = self.bytes.wrapping_sub((key.len() + value.len()) as u64);
        self.digest = self.digest.wrapping_sub(hash(key, value));
    }
}

/// FNV-1a with a final mix, over lengths and bytes.
fn hash(key: &[u8], value: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ (key.len() as u64).rotate_left(32);
    for byte in key.iter().chain(value) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 29)
}

/// What stands under [`MARK`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Head {
    /// `None` while a generation is being filled: then it is no index yet.
    mark: Option<Mark>,
    sum: Sum,
    /// What the files took when the generation was complete,
    fresh_disk: u64,
    /// and what all keys and values took then.
    fresh_bytes: u64,
}

impl Head {
    /// Whether this is more than so many times what a fresh copy would take, going by what one took when this one was fresh. One
    /// that lost most of its entries while it was filled was never small: its measure says nothing of a fresh one, so the
    /// usual one is taken, and it has to double before it is worth another copy.
    fn is_bloated(&self, disk: u64, times: u64) -> bool {
        if self.fresh_bytes == 0 {
            return true;
        }
        let (fresh_disk, fresh_bytes) = (u128::from(self.fresh_disk), u128::from(self.fresh_bytes));
        let allowed = u128::from(times) * u128::from(self.sum.bytes);
        let bound = if fresh_disk > fresh_bytes * FRESH_TIMES_MAX {
            (allowed * FRESH_TIMES_MAX).max(2 * fresh_disk)
        } else {
            allowed * fresh_disk / fresh_bytes
        };
        u128::from(disk) > bound
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(96);
        out.u32(VERSION);
        let Sum {
            count,
            bytes,
            digest,
        } = self.sum;
        for n in [count, bytes, digest, self.fresh_disk, self.fresh_bytes] {
            out.u64(n);
        }
        if let Some(mark) = &self.mark {
            out.extend_from_slice(mark.origin.as_bytes());
            for n in [mark.commit, mark.end.segment, mark.end.offset] {
                out.u64(n);
            }
        }
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut take = Take(bytes);
        if take.u32()? != VERSION {
            return Err(Malformed("it has another version"));
        }
        let sum = Sum {
            count: take.u64()?,
            bytes: take.u64()?,
            digest: take.u64()?,
        };
        let (fresh_disk, fresh_bytes) = (take.u64()?, take.u64()?);
        let mut mark = None;
        if !take.0.is_empty() {
            let origin: [u8; 16] = take.bytes(16)?.try_into().expect("took 16 bytes");
            mark = Some(Mark {
                origin: Origin::from_bytes(origin),
                commit: take.u64()?,
                end: Location {
                    segment: take.u64()?,
                    offset: take.u64()?,
                },
            });
        }
        take.end()?;
        Ok(Self {
            mark,
            sum,
            fresh_disk,
            fresh_bytes,
        })
    }
}

/// sled panics on some damage; a panic is an error like any other here.
fn guarded<T>(what: impl FnOnce() -> sled::Result<T>) -> Result<T, IndexError> {
    match catch_unwind(AssertUnwindSafe(what)) {
        Ok(result) => result.map_err(|error| IndexError(error.to_string())),
        Err(_) => Err(IndexError("sled panicked".to_owned())),
    }
}

/// A clonable handle to the store.
#[derive(Clone)]
pub(in crate::buffer) struct SledStore {
    db: sled::Db,
}

impl SledStore {
    fn connect(path: &Path) -> Result<Self, IndexError> {
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .segment_size(SLED_SEGMENT_BYTES)
            .flush_every_ms(None);
        for _ in 0..LOCK_ATTEMPTS {
            match guarded(|| config.open()) {
                // The directory is ours, so only a thread of an index just closed in this process can hold sled's lock.
                Err(IndexError(reason)) if reason.contains("could not acquire lock") => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                opened => return opened.map(|db| Self { db }),
            }
        }
        Err(IndexError("its lock is held".to_owned()))
    }

    /// An empty store.
    pub fn create(path: &Path) -> Result<Self, IndexError> {
        if path.exists() {
            std::fs::remove_dir_all(path).map_err(|error| IndexError(error.to_string()))?;
        }
        let store = Self::connect(path)?;
        if !guarded(|| Ok(store.db.is_empty()))? {
            return Err(IndexError("a new index is not empty".to_owned()));
        }
        Ok(store)
    }

    /// Opens a store and checks every entry against its sum.
    pub fn open(path: &Path) -> Result<(Self, Mark), IndexError> {
        let store = Self::connect(path)?;
        let head = store.head()?;
        let mark = head
            .mark
            .ok_or_else(|| IndexError("it has no mark".to_owned()))?;
        let mut sum = Sum::default();
        guarded(|| {
            for item in store
                .db
                .range::<&[u8], _>((Bound::Excluded(MARK), Bound::Unbounded))
            {
                let (key, value) = item?;
                sum.add(&key, &value);
            }
            Ok(())
        })?;
        if sum == head.sum {
            Ok((store, mark))
        } else {
            Err(IndexError(format!(
                "its {} entries do not match their sum",
                sum.count
            )))
        }
    }

    fn head(&self) -> Result<Head, IndexError> {
        match guarded(|| self.db.get(MARK))? {
            Some(bytes) => Ok(Head::decode(&bytes)?),
            None => Ok(Head::default()),
        }
    }

    /// Whether both hold the same, by their sums.
    pub fn equals(&self, other: &Self) -> Result<bool, IndexError> {
        Ok(self.head()?.sum == other.head()?.sum)
    }

    /// Whether the files take more than `floor` bytes, and more than so many times what a fresh copy would.
    pub fn is_bloated(&self, floor: u64, times: u64) -> Result<bool, IndexError> {
        let disk = self.disk_bytes();
        Ok(disk > floor && self.head()?.is_bloated(disk, times))
    }

    /// What the files take.
    pub fn disk_bytes(&self) -> u64 {
        // A size that cannot be read is asked for again after the next write.
        guarded(|| self.db.size_on_disk()).unwrap_or(0)
    }

    pub fn get(&self, key: &[u8]) -> Result<Option<Box<[u8]>>, IndexError> {
        Ok(guarded(|| self.db.get(key))?.map(|value| Box::from(&*value)))
    }

    /// The greatest entry within bounds.
    pub fn floor(&self, low: &[u8], high: &Bound<Box<[u8]>>) -> Result<Option<Pair>, IndexError> {
        let range = (Bound::Included(low), super::as_slice(high));
        let found = guarded(|| self.db.range::<&[u8], _>(range).next_back().transpose())?;
        Ok(found.map(|(key, value)| (Box::from(&*key), Box::from(&*value))))
    }

    /// Entries of `from..to`, at most `limit`.
    pub fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Layer, IndexError> {
        guarded(|| {
            let found = self
                .db
                .range::<&[u8], _>((Bound::Included(from), Bound::Excluded(to)))
                .take(limit);
            found
                .map(|item| item.map(|(key, value)| (Box::from(&*key), Some(Box::from(&*value)))))
                .collect()
        })
    }

    /// Entries from `from` on, at most `limit`; the mark is none of them.
    pub fn page(&self, from: &[u8], limit: usize) -> Result<Layer, IndexError> {
        let after_mark = [MARK, &[0]].concat();
        self.range(from.max(&after_mark), &[0xff], limit)
    }

    /// Writes a layer and the position it reflects, as one atomic batch.
    pub fn write(&self, layer: &Layer, mark: &Mark) -> Result<(), IndexError> {
        self.write_part(layer, Some(*mark), self.head()?)
    }

    /// Writes a part of what a store is filled with. Until [`write`](Self::write) or [`finish`](Self::finish) it is no index.
    pub fn fill(&self, layer: &Layer) -> Result<(), IndexError> {
        self.write_part(layer, None, self.head()?)
    }

    /// What a store was filled with is complete, and reflects this position.
    pub fn finish(&self, mark: &Mark) -> Result<(), IndexError> {
        guarded(|| self.db.flush())?;
        let head = self.head()?;
        let head = Head {
            fresh_disk: self.disk_bytes(),
            fresh_bytes: head.sum.bytes,
            ..head
        };
        self.write_part(&Layer::new(), Some(*mark), head)
    }

    fn write_part(
        &self,
        layer: &Layer,
        mark: Option<Mark>,
        mut head: Head,
    ) -> Result<(), IndexError> {
        let mut batch = sled::Batch::default();
        for (key, value) in layer {
            if let Some(old) = guarded(|| self.db.get(key))? {
                head.sum.remove(key, &old);
            }
            if let Some(value) = value {
                head.sum.add(key, value);
                batch.insert(&**key, &**value);
            } else {
                batch.remove(&**key);
            }
        }
        head.mark = mark;
        batch.insert(MARK, head.encode());
        guarded(|| self.db.apply_batch(batch))?;
        guarded(|| self.db.flush()).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bloated(fresh: (u64, u64), bytes: u64, disk: u64) -> bool {
        let head = Head {
            sum: Sum {
                bytes,
                ..Sum::default()
            },
            fresh_disk: fresh.0,
            fresh_bytes: fresh.1,
            ..Head::default()
        };
        head.is_bloated(disk, 4)
    }

    #[test]
    fn a_generation_is_measured_by_its_own_beginning_where_that_can_be_one() {
        let usual = (8_352_734, 2_228_339);
        assert!(!bloated(usual, 2_228_339, 33_000_000));
        assert!(bloated(usual, 2_228_339, 34_000_000));
        assert!(bloated(usual, 54_326, 8_786_947), "most of it is gone");
        assert!(
            bloated((0, 0), 1_272_488, 4_682_566),
            "the first was never measured"
        );
        // As found: filled with 2 MiB, of which 46 KiB were left when it was complete. By that it might have grown past all bounds.
        let lost = (8_749_443, 46_646);
        assert!(
            !bloated(lost, 46_646, 8_753_374),
            "or it would be copied for ever"
        );
        assert!(!bloated(lost, 47_174, 17_000_000));
        assert!(bloated(lost, 47_174, 17_500_000));
        assert!(!bloated(lost, 2_227_901, 35_854_097));
        assert!(bloated(lost, 2_227_901, 72_000_000));
    }
}
