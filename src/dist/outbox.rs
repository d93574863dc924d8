//! What waits to be written to one peer.
//!
//! Senders append whole frames and never wait; the writer task takes all that there is and writes it at once.
//! Who can wait asks [`Outbox::has_room`] first. Where a peer reads so slowly that the bound is passed, the outbox closes
//! and with it the connection: a lost connection is the one loss of messages that Erlang programs are prepared for.

use bytes::BytesMut;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// Above this many waiting bytes those who can wait do so.
const HIGH_WATER_BYTES: usize = 4 << 20;
/// Buffers that grew beyond this are not kept.
const KEPT_BYTES_MAX: usize = 256 << 10;

#[derive(Debug, Default)]
struct State {
    waiting: BytesMut,
    in_flight_bytes: usize,
    closed: bool,
    overflowed: bool,
}

/// A bounded queue of bytes with one reader.
#[derive(Debug)]
pub struct Outbox {
    state: Mutex<State>,
    filled: Notify,
    drained: Notify,
    /// The bound was passed: the writer need not wait for the peer any more.
    passed: Notify,
    bytes_max: usize,
    sent: AtomicU64,
}

impl Outbox {
    /// An empty outbox that closes where more than this waits.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            state: Mutex::default(),
            filled: Notify::new(),
            drained: Notify::new(),
            passed: Notify::new(),
            bytes_max,
            sent: AtomicU64::new(0),
        }
    }

    /// Appends frames; false where the connection is closing. Never waits.
    pub fn push(&self, write: impl FnOnce(&mut BytesMut)) -> bool {
        let mut state = self.lock();
        if state.closed {
            return false;
        }
        let (was_empty, before) = (state.waiting.is_empty(), state.waiting.len());
        write(&mut state.waiting);
        let added = state.waiting.len() - before;
        self.sent.fetch_add(added as u64, Ordering::Relaxed);
        // One frame alone may be of any size; the bound is on what waits behind it.
        if before + state.in_flight_bytes > self.bytes_max {
            state.closed = true;
            state.overflowed = true;
            state.waiting = BytesMut::new();
            self.passed.notify_one();
            self.drained.notify_waiters();
        }
        drop(state);
        if was_empty {
            self.filled.notify_one();
        }
        true
    }

    /// Completes when little enough waits, or the outbox is closed. Cancel-safe.
    pub async fn has_room(&self) {
        loop {
            let drained = self.drained.notified();
            {
                let state = self.lock();
                if state.closed || state.waiting.len() + state.in_flight_bytes <= HIGH_WATER_BYTES {
                    return;
                }
            }
            drained.await;
        }
    }

    /// Closes: what waits is still taken, nothing more is accepted.
    pub fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
        self.drained.notify_waiters();
    }

    /// Whether it closed because the peer read too slowly.
    pub fn overflowed(&self) -> bool {
        self.lock().overflowed
    }

    /// Bytes accepted so far.
    pub fn sent_bytes(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// For the writer: completes when there is something to take. Cancel-safe.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// For the writer: completes when the bound was passed. Cancel-safe.
    pub(super) async fn bound_passed(&self) {
        self.passed.notified().await;
    }

    /// For the writer: takes all that waits, giving back the buffer of the last round; none once closed and empty.
    pub(super) fn take(&self, mut last: BytesMut) -> Option<BytesMut> {
        let mut state = self.lock();
        last.clear();
        if last.capacity() > KEPT_BYTES_MAX {
            last = BytesMut::new();
        }
        let taken = std::mem::replace(&mut state.waiting, last);
        let drained = state.in_flight_bytes > 0;
        state.in_flight_bytes = taken.len();
        let done = state.closed && taken.is_empty();
        drop(state);
        if drained {
            self.drained.notify_waiters();
        }
        (!done).then_some(taken)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_peer_closes_its_outbox_and_holds_no_memory() {
        let outbox = Outbox::new(1000);
        assert!(outbox.push(|out| out.extend_from_slice(&[0; 2000])));
        assert!(!outbox.overflowed());
        assert!(outbox.push(|out| out.extend_from_slice(&[0; 1])));
        assert!(outbox.overflowed());
        assert!(!outbox.push(|out| out.extend_from_slice(&[0; 1])));
        assert!(outbox.take(BytesMut::new()).is_none());
    }

    #[tokio::test]
    async fn what_waits_at_close_is_still_taken() {
        let outbox = Outbox::new(1000);
        outbox.push(|out| out.extend_from_slice(b"ab"));
        outbox.close();
        outbox.filled().await;
        let taken = outbox.take(BytesMut::new()).unwrap();
        assert_eq!(&taken[..], b"ab");
        assert!(outbox.take(taken).is_none());
    }
}
