//! The streams that connections run over: plain TCP, or TLS over TCP, behind one face.
//!
//! The face is that of tokio's `TcpStream`: readiness is awaited, reading and writing is tried. So one task may read and
//! another write without a lock held across a wait, and plain TCP costs no more than it did alone.

use crate::dist::drain;
use crate::dist::tls::Session;
use bytes::BytesMut;
use futures::io::{AsyncRead, AsyncWrite};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// How long a handshake may take, TLS and all; OTP's own value.
pub const TIMEOUT: Duration = Duration::from_secs(7);

/// A connection's stream; clones are the same stream.
#[derive(Clone, Debug)]
pub enum Stream {
    /// TCP.
    Plain(Arc<TcpStream>),
    /// TLS over TCP.
    Tls(Arc<Session>),
}

impl Stream {
    /// Completes when there may be something to read. Cancel-safe.
    pub async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.readable().await,
            Self::Tls(session) => session.readable().await,
        }
    }

    /// Completes when something may be written. Cancel-safe.
    pub async fn writable(&self) -> io::Result<()> {
        self.tcp().writable().await
    }

    /// Reads what is there; `WouldBlock` where nothing is.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.try_read(buf),
            Self::Tls(session) => session.try_read(buf),
        }
    }

    /// Reads what is there into the buffer's spare room.
    pub fn try_read_buf(&self, buf: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => drain::read_available(tcp, buf),
            Self::Tls(session) => session.try_read_buf(buf),
        }
    }

    /// Writes what the stream takes; `WouldBlock` where it takes nothing. What TLS took may not be sent before
    /// [`Stream::flush`].
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.try_write(bytes),
            Self::Tls(session) => session.try_write(bytes),
        }
    }

    /// Whether what was written may wait for [`Stream::flush`].
    pub fn buffers(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Completes when all that was written is with the kernel. Cancel-safe.
    pub async fn flush(&self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(session) => session.flush().await,
        }
    }

    /// Says that nothing more will be written.
    pub fn shutdown(&self) {
        if let Self::Tls(session) = self {
            session.close_notify();
        }
        let _ = socket2::SockRef::from(self.tcp()).shutdown(std::net::Shutdown::Write);
    }

    /// Lifts the bounds that hold until the peer has proved itself.
    pub(super) fn trust(&self) {
        if let Self::Tls(session) = self {
            session.trust();
        }
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(session) => session.tcp(),
        }
    }

    /// As [`Stream::try_read`], for `erl_dist`. The last task that polls is the one that is woken.
    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.try_read(buf) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.tcp().poll_read_ready(cx))?;
                }
                other => return Poll::Ready(other),
            }
        }
    }

    /// As [`Stream::try_write`], likewise.
    pub(super) fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write(buf) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.tcp().poll_write_ready(cx))?;
                }
                other => return Poll::Ready(other),
            }
        }
    }

    /// As [`Stream::flush`], likewise.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self::Tls(session) = self else {
            return Poll::Ready(Ok(()));
        };
        loop {
            match session.push() {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.tcp().poll_write_ready(cx))?;
                }
                other => return Poll::Ready(other),
            }
        }
    }
}

/// A stream on which nothing has been said yet in the distribution protocol, and until when that may be so.
#[derive(Debug)]
pub struct Fresh {
    pub(super) stream: Stream,
    pub(super) until: Instant,
}

impl From<TcpStream> for Fresh {
    fn from(tcp: TcpStream) -> Self {
        Self {
            stream: Stream::Plain(Arc::new(tcp)),
            until: Instant::now() + TIMEOUT,
        }
    }
}

impl From<Fresh> for Stream {
    fn from(fresh: Fresh) -> Self {
        fresh.stream
    }
}

/// A tokio stream with the traits of `futures`, for questions to the port mapper; clones are the same stream.
#[derive(Clone, Debug)]
pub struct SharedStream(pub Arc<TcpStream>);

impl AsyncRead for SharedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Stream::Plain(self.0.clone()).poll_read(cx, buf)
    }
}

impl AsyncWrite for SharedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Stream::Plain(self.0.clone()).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
