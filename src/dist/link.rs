//! A connection after the handshake: reading frames, writing frames, ticks both ways.

use crate::dist::Outbox;
use crate::dist::control::Control;
use crate::dist::fast;
use crate::dist::pace::Pace;
use crate::dist::stream::Stream;
use crate::etf::{self, DecodeError, Term};
use bytes::{Buf, Bytes, BytesMut};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// The type byte of the only frames we use.
pub(super) const PASS_THROUGH: u8 = 112;
/// Least and most room that a read starts with. It grows while reads fill it and shrinks while they leave most of it.
const READ_BYTES: std::ops::RangeInclusive<usize> = 8 << 10..=256 << 10;
/// Frames after which a reader lets other tasks run. A peer that sends without pause is always ready to be read, and
/// ready sockets alone never make a task yield.
const FRAMES_IN_A_ROW: u32 = 512;
/// As many frames a read counts for that follows another without a wait: one frame may take hundreds of them.
const READ_AS_FRAMES: u32 = 16;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The peer closed it.
    #[error("the peer closed the connection")]
    Closed,
    /// It broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Nothing came for longer than the tick time.
    #[error("nothing was heard from the peer for {0:?}")]
    Silent(Duration),
    /// The peer does not read what we send.
    #[error("the peer reads too slowly: more than {0} bytes wait for it")]
    Slow(usize),
    /// A frame is larger than we accept.
    #[error("a frame of {0} bytes is too large")]
    FrameTooLarge(usize),
    /// A frame of a type we did not agree on.
    #[error("frames of type {0} were not agreed on")]
    FrameType(u8),
    /// Handling messages failed again and again in a way that must not happen.
    #[error(
        "too many faults of ours while handling its messages; the log holds them, please report them"
    )]
    Fault,
    /// A control message could not be read.
    #[error("a control message is malformed: {0}")]
    Control(String),
}

/// What reader and writer know of each other.
#[derive(Debug, Default)]
pub struct Pulse {
    received: AtomicU64,
    waiting: AtomicBool,
}

impl Pulse {
    /// Bytes read so far.
    pub fn received_bytes(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

/// A frame with a control message.
#[derive(Debug)]
pub struct Message {
    /// What it says.
    pub control: Control,
    /// The payload, where the control message has one. One that the decoder refused is an error of its own: the
    /// connection goes on without that message.
    pub payload: Result<Option<Term>, DecodeError>,
    /// About how many bytes the payload takes in memory.
    pub weight_bytes: usize,
}

/// Reads frames. Used by one task.
#[derive(Debug)]
pub struct Reader {
    stream: Stream,
    pulse: Arc<Pulse>,
    buffer: BytesMut,
    room: usize,
    /// What the frame at the front still lacks, as far as that is known.
    missing: usize,
    frame_bytes_max: usize,
    frames: u32,
    frames_in_a_row: u32,
    pace: Pace,
    /// What came since all there was had been read.
    recent: Recent,
}

#[derive(Debug, Default)]
struct Recent {
    frames: usize,
    bytes: usize,
    /// The last read filled its room: there may be more.
    more: bool,
}

impl Reader {
    /// A reader of this stream.
    pub fn new(stream: Stream, pulse: Arc<Pulse>, frame_bytes_max: usize) -> Self {
        Self {
            stream,
            pulse,
            buffer: BytesMut::new(),
            room: *READ_BYTES.start(),
            missing: 0,
            frame_bytes_max,
            frames: 0,
            frames_in_a_row: FRAMES_IN_A_ROW,
            pace: Pace::new(),
            recent: Recent::default(),
        }
    }

    /// Takes the pauses for other tasks away: for the test that shows what they are for.
    pub(crate) fn never_pause(&mut self) {
        self.frames_in_a_row = u32::MAX;
        self.pace.never();
    }

    #[cfg(test)]
    pub(super) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// The next message; ticks are swallowed. Cancel-safe: what was read stays in the buffer.
    pub async fn next(&mut self) -> Result<Message, LinkError> {
        loop {
            if self.frames >= self.frames_in_a_row {
                self.frames = 0;
                tokio::task::yield_now().await;
            }
            if let Some(frame) = self.frame()? {
                self.frames = self.frames.saturating_add(1);
                self.recent.frames += 1;
                if !frame.is_empty() {
                    return parse(frame);
                }
                continue;
            }
            self.fill().await?;
        }
    }

    fn frame(&mut self) -> Result<Option<Bytes>, LinkError> {
        let Some(len) = self.buffer.first_chunk::<4>() else {
            return Ok(None);
        };
        let len = u32::from_be_bytes(*len) as usize;
        if len > self.frame_bytes_max {
            return Err(LinkError::FrameTooLarge(len));
        }
        self.missing = (4 + len).saturating_sub(self.buffer.len());
        if self.missing > 0 {
            return Ok(None);
        }
        self.buffer.advance(4);
        Ok(Some(self.buffer.split_to(len).freeze()))
    }

    async fn fill(&mut self) -> Result<(), LinkError> {
        // Only once for what was read, also where this was cancelled and begins anew.
        if !self.recent.more && self.recent.bytes > 0 {
            let recent = std::mem::take(&mut self.recent);
            self.pace.judge(&self.stream, recent.frames, recent.bytes);
        }
        loop {
            self.pulse.waiting.store(true, Ordering::Relaxed);
            if std::mem::take(&mut self.recent.more) {
                // Nothing is awaited here, so this counts towards a pause.
                self.frames = self.frames.saturating_add(READ_AS_FRAMES);
            } else {
                self.pace.due(&self.stream).await?;
            }
            // Only now, so that a peer that says nothing takes no buffer; and by what has come, not by what was promised.
            let large = self.missing.min(self.buffer.len());
            self.buffer.reserve(self.room.max(large));
            let room = self.buffer.capacity() - self.buffer.len();
            match self.pace.read(&self.stream, &mut self.buffer) {
                Ok(0) => return Err(LinkError::Closed),
                Ok(n) => {
                    self.recent.bytes += n;
                    self.recent.more = n == room;
                    self.pulse.waiting.store(false, Ordering::Relaxed);
                    self.pulse.received.fetch_add(n as u64, Ordering::Relaxed);
                    self.adapt(n, room);
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn adapt(&mut self, read: usize, room: usize) {
        if read == room {
            self.room = (2 * self.room).min(*READ_BYTES.end());
        } else if read < self.room / 8 {
            self.room = (self.room / 2).max(*READ_BYTES.start());
        }
    }
}

fn parse(mut frame: Bytes) -> Result<Message, LinkError> {
    let kind = frame.get_u8();
    if kind != PASS_THROUGH {
        return Err(LinkError::FrameType(kind));
    }
    let control = if let Some((control, len)) = fast::read(&frame) {
        frame.advance(len);
        control
    } else {
        general(&mut frame)?
    };
    let payload = control
        .has_payload()
        .then(|| etf::decode_weighed(frame))
        .transpose();
    let (payload, weight_bytes) = match payload {
        Ok(Some((payload, weight_bytes))) => (Ok(Some(payload)), weight_bytes),
        Ok(None) => (Ok(None), 0),
        Err(error) => (Err(error), 0),
    };
    Ok(Message {
        control,
        payload,
        weight_bytes,
    })
}

/// A control message of any kind and form.
fn general(frame: &mut Bytes) -> Result<Control, LinkError> {
    let term = etf::decode_prefix(frame).map_err(|e| LinkError::Control(e.to_string()))?;
    Control::parse(term).ok_or_else(|| LinkError::Control("unknown operation or form".to_owned()))
}

/// Writes what the outbox holds and ticks when it holds nothing; watches that the peer is heard.
///
/// Ends when the outbox is closed and empty (`Ok`), or with the reason why the connection is of no more use.
pub async fn write_all(
    stream: Stream,
    outbox: Arc<Outbox>,
    pulse: Arc<Pulse>,
    ticktime: Duration,
    queue_bytes_max: usize,
) -> Result<(), LinkError> {
    let mut quarter = tokio::time::interval(ticktime / 4);
    // Late quarters are not made up for: only time that we observed counts against the peer.
    quarter.set_missed_tick_behavior(MissedTickBehavior::Delay);
    quarter.tick().await;
    let mut buffer = BytesMut::new();
    let mut silence = Silence::default();
    let mut wrote = false;
    loop {
        tokio::select! {
            () = outbox.filled() => {}
            _ = quarter.tick() => {
                if silence.quarter_passed(&pulse) {
                    return Err(LinkError::Silent(ticktime));
                }
                if !std::mem::take(&mut wrote) {
                    outbox.push(|out| out.extend_from_slice(&[0; 4]));
                }
            }
        }
        let Some(mut taken) = outbox.take(buffer) else {
            return if outbox.overflowed() {
                Err(LinkError::Slow(queue_bytes_max))
            } else {
                Ok(())
            };
        };
        while !taken.is_empty() {
            // Being unable to write for as long as the peer may be silent means the same. Most writes need no timer.
            let written = match stream.try_write(&taken) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    let written = tokio::time::timeout(ticktime, write_some(&stream, &taken));
                    tokio::select! {
                        written = written => written.map_err(|_| LinkError::Silent(ticktime))?,
                        () = outbox.bound_passed() => return Err(LinkError::Slow(queue_bytes_max)),
                    }
                }
                other => other,
            };
            taken.advance(written?);
            wrote = true;
        }
        if stream.buffers() {
            let flushed = tokio::select! {
                flushed = tokio::time::timeout(ticktime, stream.flush()) => flushed,
                () = outbox.bound_passed() => return Err(LinkError::Slow(queue_bytes_max)),
            };
            match flushed {
                Ok(flushed) => flushed?,
                Err(_) => return Err(LinkError::Silent(ticktime)),
            }
        }
        outbox.written();
        buffer = taken;
    }
}

async fn write_some(stream: &Stream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match stream.try_write(bytes) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            other => return other,
        }
    }
}

/// Counts the quarters of the tick time in which nothing was heard.
#[derive(Debug, Default)]
struct Silence {
    received: u64,
    quarters: u8,
}

impl Silence {
    /// Whether the peer has now been silent for too long. Quarters in which we did not listen do not count.
    fn quarter_passed(&mut self, pulse: &Pulse) -> bool {
        let received = pulse.received_bytes();
        if received != self.received || !pulse.waiting.load(Ordering::Relaxed) {
            self.received = received;
            self.quarters = 0;
            return false;
        }
        self.quarters += 1;
        self.quarters >= 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_only_while_we_listen() {
        let (pulse, mut silence) = (Pulse::default(), Silence::default());
        for _ in 0..10 {
            assert!(!silence.quarter_passed(&pulse));
        }
        pulse.waiting.store(true, Ordering::Relaxed);
        assert!(!(0..3).any(|_| silence.quarter_passed(&pulse)));
        pulse.received.store(4, Ordering::Relaxed);
        assert!(!(0..4).any(|_| silence.quarter_passed(&pulse)));
        assert!(silence.quarter_passed(&pulse));
    }
}
