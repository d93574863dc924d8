//! When a busy connection is read: by the clock, not at each segment.
//!
//! A BEAM writes each frame in a segment of its own, three for a call, and every segment that finds us asleep wakes us. With many
//! callers that is a wake-up, a read, an acknowledgement and an answer for every second call, and what the peer pays for more and
//! smaller segments. So a connection that is busy is read every [`PERIOD`], as a network card under load is; the socket is told
//! not to wake us meanwhile. It is busy while periods bring [`STAY_FRAMES`]; one that is not is read as soon as something comes.
//!
//! Where large messages come the clock would only keep the peer waiting for room, so they keep it off.
//!
//! A message waits at most one period more, and only on a busy connection. TLS has buffers of its own and is left as it is.

use crate::dist::stream::Stream;
use bytes::BytesMut;
use nix::libc;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::SetUsize;
use rustix::time::{Itimerspec, Timespec};
use rustix::time::{TimerfdClockId, TimerfdFlags, TimerfdTimerFlags};
use rustix::time::{timerfd_create, timerfd_settime};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;

/// How often a busy connection is read.
const PERIOD: Duration = Duration::from_micros(150);
/// Frames in one read that make a connection busy: those of six calls, so that four callers, whom a period would keep waiting,
/// never do.
const ENTER_FRAMES: usize = 18;
/// Frames that a period must bring, or it counts as a sparse one.
const STAY_FRAMES: usize = 13;
/// Sparse periods in a row after which the connection is busy no more. A peer that lost its processor for a moment is still busy.
const PATIENCE: u8 = 4;
/// A period that brings more bytes ends it at once, as they come so fast that the peer would wait for room.
const LEAVE_BYTES: usize = 128 << 10;
/// So many reads after one that brought much a connection is not taken for busy: it carries large messages.
const LARGE_LASTS: u8 = 64;
/// Bytes of which the socket tells even while it is read by the clock.
const WAKE_BYTES: usize = 64 << 10;

/// The fewest waiting bytes that make a socket readable.
#[derive(Clone, Copy, Debug)]
struct ReceiveLowWater;

nix::setsockopt_impl!(
    ReceiveLowWater,
    libc::SOL_SOCKET,
    libc::SO_RCVLOWAT,
    usize,
    SetUsize
);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Every segment wakes us.
    Woken,
    /// It was busy: the next read leaves the socket's readiness standing, so that later ones need no event.
    Entering,
    /// Read by the clock.
    Clocked,
    /// Woken for good.
    Never,
}

/// How one connection is read now. Used by its reader.
#[derive(Debug)]
pub(super) struct Pace {
    mode: Mode,
    /// How many sparse periods more are borne.
    patience: u8,
    /// Reads for which it still counts as carrying large messages.
    large: u8,
    /// Made when first needed.
    timer: Option<AsyncFd<OwnedFd>>,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            mode: Mode::Woken,
            patience: 0,
            large: 0,
            timer: None,
        }
    }

    /// From now on every segment wakes us, for a test of what else lets other tasks run.
    pub(super) fn never(&mut self) {
        self.mode = Mode::Never;
    }

    /// To be told how much came, each time that all there was is read.
    pub(super) fn judge(&mut self, stream: &Stream, frames: usize, bytes: usize) {
        let Stream::Plain(tcp) = stream else {
            return;
        };
        if self.mode == Mode::Never {
            return;
        }
        self.large = if bytes > WAKE_BYTES {
            LARGE_LASTS
        } else {
            self.large.saturating_sub(1)
        };
        if self.mode == Mode::Woken {
            if frames >= ENTER_FRAMES && self.large == 0 {
                (self.mode, self.patience) = (Mode::Entering, PATIENCE);
            }
            return;
        }
        self.patience = match (frames, bytes) {
            (_, LEAVE_BYTES..) => 0,
            (STAY_FRAMES.., _) => PATIENCE,
            _ => self.patience.saturating_sub(1),
        };
        if self.patience == 0 {
            self.leave(tcp, Mode::Woken);
        } else if self.mode == Mode::Entering {
            match self.start(tcp) {
                Ok(()) => self.mode = Mode::Clocked,
                // Without a clock the segments wake us as ever.
                Err(_) => self.leave(tcp, Mode::Woken),
            }
        }
    }

    /// Completes when it is time to read. Cancel-safe.
    pub(super) async fn due(&self, stream: &Stream) -> io::Result<()> {
        let Some(timer) = self.timer.as_ref().filter(|_| self.mode == Mode::Clocked) else {
            return stream.readable().await;
        };
        timer.readable().await?.clear_ready();
        // The kernel winds the timer up again when it is read. One that was only late to be read has nothing to say.
        match rustix::io::read(timer, &mut [0; 8]) {
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads what is there into the buffer's spare room; `WouldBlock` where nothing is.
    pub(super) fn read(&mut self, stream: &Stream, buffer: &mut BytesMut) -> io::Result<usize> {
        match stream {
            Stream::Plain(tcp) if matches!(self.mode, Mode::Entering | Mode::Clocked) => {
                let read = tcp.try_read_buf(buffer);
                if matches!(&read, Err(e) if e.kind() == io::ErrorKind::WouldBlock) {
                    // An empty period took the readiness back; the socket must wake us once to give it again.
                    self.patience = self.patience.saturating_sub(1);
                    let still_busy = self.patience > 0;
                    self.leave(
                        tcp,
                        if still_busy {
                            Mode::Entering
                        } else {
                            Mode::Woken
                        },
                    );
                }
                read
            }
            _ => stream.try_read_buf(buffer),
        }
    }

    fn start(&mut self, tcp: &Arc<TcpStream>) -> io::Result<()> {
        if self.timer.is_none() {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            self.timer = Some(watched(timer)?);
        }
        self.wind(PERIOD)?;
        Ok(setsockopt(tcp, ReceiveLowWater, &WAKE_BYTES)?)
    }

    /// The kernel tells of what has come meanwhile as the low water mark sinks, so nothing is missed.
    fn leave(&mut self, tcp: &Arc<TcpStream>, to: Mode) {
        self.mode = to;
        let stopped = self.wind(Duration::ZERO);
        let lowered = setsockopt(tcp, ReceiveLowWater, &1);
        // Neither has a reason to fail; if one did, the peer would find us slow and not know why.
        if let Err(error) = stopped.and(lowered.map_err(io::Error::from)) {
            tracing::error!(%error, "a connection cannot be read at once again; it may be slow");
        }
    }

    fn wind(&self, period: Duration) -> io::Result<()> {
        let Some(timer) = &self.timer else {
            return Ok(());
        };
        let period = Timespec {
            tv_sec: 0,
            tv_nsec: period.subsec_nanos().into(),
        };
        let every = Itimerspec {
            it_interval: period,
            it_value: period,
        };
        timerfd_settime(timer, TimerfdTimerFlags::empty(), &every)?;
        Ok(())
    }
}

// It is deprecated for types that may name another file, or a closed one, later; an `OwnedFd` cannot.
#[allow(deprecated)]
fn watched(timer: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(timer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::frames;
    use crate::dist::link::{LinkError, Message, Pulse, Reader};
    use crate::etf::{Atom, Pid, Term};
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    const LONG: Duration = Duration::from_secs(10);

    async fn connection() -> (Reader, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap());
        let (ours, theirs) = tokio::join!(ours, listener.accept());
        let stream = Stream::Plain(Arc::new(ours.unwrap()));
        let theirs = theirs.unwrap().0;
        theirs.set_nodelay(true).unwrap();
        (
            Reader::new(stream, Arc::<Pulse>::default(), 1 << 20),
            theirs,
        )
    }

    /// So many small messages in one piece.
    fn burst(messages: usize, payload: usize) -> BytesMut {
        let to = Pid {
            node: Atom::new("a@b"),
            id: 1,
            serial: 2,
            creation: 3,
        };
        let mut out = BytesMut::new();
        for _ in 0..messages {
            frames::send(&mut out, &to, &Term::Binary(vec![7; payload].into()));
        }
        out
    }

    async fn next(reader: &mut Reader) -> Result<Message, LinkError> {
        timeout(LONG, reader.next()).await.expect("it comes")
    }

    /// Sends them, reads them, and begins to wait for more.
    async fn exchange(reader: &mut Reader, theirs: &mut TcpStream, messages: usize) {
        theirs.write_all(&burst(messages, 1)).await.unwrap();
        for _ in 0..messages {
            next(reader).await.unwrap();
        }
        assert!(futures::poll!(std::pin::pin!(reader.next())).is_pending());
    }

    #[tokio::test]
    async fn a_busy_connection_is_read_by_the_clock_until_it_is_busy_no_more() {
        let (mut reader, mut theirs) = connection().await;
        for _ in 0..5 {
            exchange(&mut reader, &mut theirs, 1).await;
            exchange(&mut reader, &mut theirs, ENTER_FRAMES - 1).await;
            assert_eq!(reader.pace().mode, Mode::Woken);
            // A thread that is kept waiting may find an empty period after a burst, and then enters anew with the next.
            let mut clocked = false;
            for _ in 0..100 {
                exchange(&mut reader, &mut theirs, ENTER_FRAMES).await;
                assert_ne!(reader.pace().mode, Mode::Woken);
                clocked |= reader.pace().mode == Mode::Clocked;
            }
            assert!(clocked);
            for _ in 0..PATIENCE {
                exchange(&mut reader, &mut theirs, 1).await;
            }
            assert_eq!(reader.pace().mode, Mode::Woken);
        }
    }
}
