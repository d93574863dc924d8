//! Ways into the committer, each with its own bound, so that what waits in one holds up none of the others.

use crate::types::{Scope, StreamName};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of requests that may wait for the committer in each lane, in units of [`UNIT`].
const QUEUE_UNITS: usize = 8 << 10;
/// A permit stands for so many bytes.
const UNIT: usize = 1 << 10;
/// Requests that may wait for the committer.
const QUEUE_REQUESTS: usize = 4096;

/// Bounds the requests of one kind on their way to the committer: their number and their bytes. Appends that wait for space
/// thus hold up neither sessions' batches nor state changes.
pub(super) struct Lane {
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            requests: Arc::new(Semaphore::new(QUEUE_REQUESTS)),
            bytes: Arc::new(Semaphore::new(QUEUE_UNITS)),
        }
    }
}

impl Lane {
    /// Waits for the permits of a request of this size. Cancel-safe; first come, first served.
    pub async fn enter(&self, bytes: usize) -> Vec<OwnedSemaphorePermit> {
        let units = bytes.div_ceil(UNIT).clamp(1, QUEUE_UNITS) as u32;
        let request = Arc::clone(&self.requests).acquire_owned().await;
        let bytes = Arc::clone(&self.bytes).acquire_many_owned(units).await;
        // The semaphores are never closed.
        [request, bytes].into_iter().flatten().collect()
    }

    /// Whether nothing is in it.
    fn is_idle(&self) -> bool {
        self.requests.available_permits() == QUEUE_REQUESTS
    }
}

/// Own lanes are looked through for idle ones whenever there are twice as many, and no sooner than at so many.
const OWN_LANES: usize = 64;

/// The lanes that several share, and those that one stream or one session has for itself.
pub(super) struct Lanes {
    appends: Arc<Lane>,
    batches: Arc<Lane>,
    streams: Mutex<Own<StreamName>>,
    scopes: Mutex<Own<Scope>>,
}

impl Default for Lanes {
    fn default() -> Self {
        Self {
            appends: Arc::default(),
            batches: Arc::default(),
            streams: Mutex::new(Own::default()),
            scopes: Mutex::new(Own::default()),
        }
    }
}

impl Lanes {
    pub fn appends(&self) -> Arc<Lane> {
        Arc::clone(&self.appends)
    }

    pub fn batches(&self) -> Arc<Lane> {
        Arc::clone(&self.batches)
    }

    pub fn of_stream(&self, stream: &StreamName) -> Arc<Lane> {
        locked(&self.streams).of(stream)
    }

    pub fn of_scope(&self, scope: &Scope) -> Arc<Lane> {
        locked(&self.scopes).of(scope)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lanes by name, for as long as something is in them.
struct Own<K> {
    lanes: HashMap<K, Arc<Lane>>,
    look_at: usize,
}

impl<K> Default for Own<K> {
    fn default() -> Self {
        Self {
            lanes: HashMap::new(),
            look_at: OWN_LANES,
        }
    }
}

impl<K: Clone + Eq + Hash> Own<K> {
    fn of(&mut self, name: &K) -> Arc<Lane> {
        if let Some(lane) = self.lanes.get(name) {
            return Arc::clone(lane);
        }
        if self.lanes.len() >= self.look_at {
            self.lanes
                .retain(|_, lane| Arc::strong_count(lane) > 1 || !lane.is_idle());
            self.look_at = OWN_LANES.max(2 * self.lanes.len());
        }
        Arc::clone(self.lanes.entry(name.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_own_lane_lives_for_as_long_as_something_is_in_it() {
        let mut own = Own::<u32>::default();
        let busy = own.of(&0).enter(1).await;
        for n in 1..1000 {
            own.of(&n);
        }
        assert!(own.lanes.len() <= OWN_LANES, "idle lanes went");
        assert!(!own.of(&0).is_idle(), "a lane in use stayed the same");
        drop(busy);
        assert!(own.of(&0).is_idle());
    }
}
