//! What waits to be written to one peer.
//!
//! Senders append whole frames and never wait; the writer task takes all that there is and writes it at once.
//! Where much has come together, the sender itself gives it to the kernel, as far as that takes it: the peer reads while the
//! next frames are made, and the buffer stays small.
//! Who can wait asks [`Outbox::has_room`] first. Where a peer reads so slowly that the bound is passed, the outbox closes
//! and with it the connection: a lost connection is the one loss of messages that Erlang programs are prepared for.

use bytes::{Buf, BytesMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// From this many waiting bytes on a sender writes them itself, unless the writer is at it.
const FLUSH_BYTES: usize = 128 << 10;
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
    /// Where senders may write.
    stream: OnceLock<Arc<TcpStream>>,
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
            stream: OnceLock::new(),
        }
    }

    /// Lets senders write much to this stream themselves. It must be the writer's, and unbuffered.
    pub fn write_through(&self, stream: Arc<TcpStream>) {
        let _ = self.stream.set(stream);
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
        if state.waiting.len() >= FLUSH_BYTES && state.in_flight_bytes == 0 {
            self.flush(&mut state.waiting);
        }
        let wake = was_empty && !state.waiting.is_empty() || state.closed;
        drop(state);
        if wake {
            self.filled.notify_one();
        }
        true
    }

    /// What the kernel does not take, and every error, is the writer's to find.
    fn flush(&self, waiting: &mut BytesMut) {
        let Some(stream) = self.stream.get() else {
            return;
        };
        if let Ok(written) = stream.try_write(waiting) {
            waiting.advance(written);
        }
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
        state.in_flight_bytes = taken.len();
        let done = state.closed && taken.is_empty();
        (!done).then_some(taken)
    }

    /// For the writer: what it took is written.
    pub(super) fn written(&self) {
        self.lock().in_flight_bytes = 0;
        self.drained.notify_waiters();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

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

    async fn connection() -> (Arc<TcpStream>, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap());
        let (ours, theirs) = tokio::join!(ours, listener.accept());
        (Arc::new(ours.unwrap()), theirs.unwrap().0)
    }

    #[tokio::test]
    async fn much_is_written_by_its_sender_and_little_waits() {
        let (ours, mut theirs) = connection().await;
        ours.writable().await.unwrap();
        let outbox = Outbox::new(1 << 20);
        outbox.write_through(ours);
        outbox.push(|out| out.extend_from_slice(b"a"));
        assert_eq!(outbox.lock().waiting.len(), 1);
        outbox.push(|out| out.resize(FLUSH_BYTES, b'b'));
        let waiting = outbox.lock().waiting.len();
        assert!(waiting < FLUSH_BYTES);
        let mut came = vec![0; FLUSH_BYTES - waiting];
        theirs.read_exact(&mut came).await.unwrap();
        assert!(came.starts_with(b"ab") && came.ends_with(b"b"));
    }

    #[tokio::test]
    async fn nothing_overtakes_what_the_writer_has_taken() {
        let (ours, _theirs) = connection().await;
        ours.writable().await.unwrap();
        let outbox = Outbox::new(1 << 20);
        outbox.write_through(ours);
        outbox.push(|out| out.extend_from_slice(b"a"));
        let taken = outbox.take(BytesMut::new()).unwrap();
        outbox.push(|out| out.resize(FLUSH_BYTES, b'b'));
        assert_eq!(outbox.lock().waiting.len(), FLUSH_BYTES);
        outbox.written();
        outbox.push(|out| out.extend_from_slice(b"c"));
        assert!(outbox.lock().waiting.len() < FLUSH_BYTES);
        drop(taken);
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
