//! One TLS connection over one TCP stream.
//!
//! Everything under the lock is tried, never waited for; who must wait does so on the socket, reader and writer each
//! for its own direction. What TLS itself wants to say while we read (an alert, a key's update) is tried at once and else
//! goes out with the writer's next bytes, a tick at the latest.

use super::{TlsError, in_use};
use crate::dist::stream::{Fresh, Stream, TIMEOUT};
use bytes::{BufMut, BytesMut};
use rustls::{Connection, Error};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// What a peer may send before it has proved itself: a chain of certificates has a few KB.
const UNTRUSTED_BYTES_MAX: usize = 32 << 10;
/// Rooms of this size are read into.
const CHUNK_BYTES: usize = 16 << 10;

/// A TLS connection after its handshake.
#[derive(Debug)]
pub struct Session {
    tcp: TcpStream,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tls: Connection,
    /// Bytes that the peer may still send; without bound once it is trusted.
    budget: Option<usize>,
    /// The last read filled its room, so there may be more within.
    more: bool,
    /// What ended it; told once what came before has been read.
    failed: Option<Error>,
}

impl Session {
    /// Shakes hands over a fresh TCP stream.
    pub(super) async fn open(
        tcp: TcpStream,
        tls: impl Into<Connection>,
        ca_file: &Path,
    ) -> Result<Fresh, TlsError> {
        tcp.set_nodelay(true)?;
        let until = Instant::now() + TIMEOUT;
        let mut state = State {
            tls: tls.into(),
            budget: Some(UNTRUSTED_BYTES_MAX),
            more: false,
            failed: None,
        };
        timeout_at(until, shake(&tcp, &mut state, ca_file))
            .await
            .unwrap_or(Err(TlsError::Timeout))?;
        let session = Self {
            tcp,
            state: Mutex::new(state),
        };
        Ok(Fresh {
            stream: Stream::Tls(Arc::new(session)),
            until,
        })
    }

    pub(in crate::dist) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// From now on the peer may send as much as it likes.
    pub(in crate::dist) fn trust(&self) {
        self.lock().budget = None;
    }

    /// Completes when there may be something to read. Cancel-safe.
    pub(in crate::dist) async fn readable(&self) -> io::Result<()> {
        if self.lock().more {
            return Ok(());
        }
        self.tcp.readable().await
    }

    pub(in crate::dist) fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.lock().read(&self.tcp, buf)
    }

    /// Reads until the spare room is full or nothing is there.
    pub(in crate::dist) fn try_read_buf(&self, buf: &mut BytesMut) -> io::Result<usize> {
        let room = buf.capacity() - buf.len();
        let mut state = self.lock();
        let mut total = 0;
        while total < room {
            let before = buf.len();
            buf.put_bytes(0, (room - total).min(CHUNK_BYTES));
            let read = state.read(&self.tcp, &mut buf[before..]);
            buf.truncate(before + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => break,
                Ok(n) => total += n,
                // What came first is given first; the error is kept.
                Err(_) if total > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    /// Takes what fits into TLS's own buffer, and sends what the kernel takes.
    pub(in crate::dist) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.lock();
        state.push(&self.tcp)?;
        let n = state.tls.writer().write(bytes)?;
        match state.push(&self.tcp) {
            Err(e) if e.kind() != ErrorKind::WouldBlock => Err(e),
            _ => Ok(n),
        }
    }

    /// Sends what the kernel takes of what is encrypted; `WouldBlock` where some is left.
    pub(in crate::dist) fn push(&self) -> io::Result<()> {
        self.lock().push(&self.tcp)
    }

    /// Completes when all is with the kernel. Cancel-safe.
    pub(in crate::dist) async fn flush(&self) -> io::Result<()> {
        loop {
            let pushed = self.push();
            match pushed {
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.tcp.writable().await?,
                other => return other,
            }
        }
    }

    /// Tells the peer that the end of the stream is meant.
    pub(in crate::dist) fn close_notify(&self) {
        let mut state = self.lock();
        state.tls.send_close_notify();
        let _ = state.push(&self.tcp);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn read(&mut self, tcp: &TcpStream, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.tls.reader().read(buf) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.more = false,
                // An end without a goodbye: frames have lengths, so nothing can be cut off unseen.
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                read => {
                    self.more =
                        self.failed.is_some() || read.as_ref().is_ok_and(|n| *n == buf.len());
                    return read;
                }
            }
            if let Some(error) = &self.failed {
                return Err(in_use(error));
            }
            self.pull(tcp)?;
        }
    }

    /// Reads from the socket once, and lets TLS say what it has to say to that.
    fn pull(&mut self, tcp: &TcpStream) -> io::Result<()> {
        self.receive(tcp)?;
        self.failed = self.tls.process_new_packets().err();
        // Not waited for: whoever reads must never depend on the peer's reading.
        let _ = self.push(tcp);
        Ok(())
    }

    fn receive(&mut self, tcp: &TcpStream) -> io::Result<usize> {
        let socket = Socket {
            tcp,
            budget: &mut self.budget,
        };
        self.tls.read_tls(&mut { socket })
    }

    fn push(&mut self, tcp: &TcpStream) -> io::Result<()> {
        while self.tls.wants_write() {
            let socket = Socket {
                tcp,
                budget: &mut None,
            };
            self.tls.write_tls(&mut { socket })?;
        }
        Ok(())
    }
}

async fn shake(tcp: &TcpStream, state: &mut State, ca_file: &Path) -> Result<(), TlsError> {
    let mut heard = false;
    loop {
        match state.push(tcp) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                tcp.writable().await?;
                continue;
            }
            pushed => pushed?,
        }
        if !state.tls.is_handshaking() {
            return Ok(());
        }
        tcp.readable().await?;
        match state.receive(tcp) {
            Ok(0) => return Err(TlsError::Closed),
            Err(e) if e.kind() == ErrorKind::WouldBlock => continue,
            Err(e) if e.kind() == ErrorKind::ConnectionReset => return Err(TlsError::Closed),
            Err(e) if e.kind() == ErrorKind::QuotaExceeded => {
                return Err(TlsError::TooMuch(UNTRUSTED_BYTES_MAX));
            }
            received => received?,
        };
        if let Err(error) = state.tls.process_new_packets() {
            // The alert tells the peer why.
            let _ = state.push(tcp);
            return Err(match error {
                Error::InvalidMessage(_) if heard => TlsError::Other(error.to_string()),
                error => TlsError::new(&error, ca_file),
            });
        }
        heard = true;
    }
}

/// A socket as rustls wants one: it tries, and counts what strangers send.
struct Socket<'a> {
    tcp: &'a TcpStream,
    budget: &'a mut Option<usize>,
}

impl Read for Socket<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = match *self.budget {
            Some(0) => return Err(ErrorKind::QuotaExceeded.into()),
            Some(left) => left.min(buf.len()),
            None => buf.len(),
        };
        let n = self.tcp.try_read(&mut buf[..most])?;
        if let Some(left) = self.budget {
            *left -= n;
        }
        Ok(n)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp.try_write(bytes)
    }

    fn write_vectored(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        self.tcp.try_write_vectored(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
