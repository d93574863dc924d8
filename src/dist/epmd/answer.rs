//! What a port mapper may answer: its answers are short, and `erl_dist`, which reads them, bounds them not at all.

use crate::dist::stream::SharedStream;
use futures::io::{AsyncRead, AsyncWrite};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Longest answer: a node's entry, with a name and extra data of 255 bytes each, has 524 bytes.
const ANSWER_BYTES_MAX: usize = 1024;

/// A connection to a port mapper that breaks where it answers at too great length.
#[derive(Debug)]
pub struct Answer {
    stream: SharedStream,
    left: usize,
}

impl Answer {
    /// Over this stream, on which nothing has been said yet.
    pub fn new(stream: SharedStream) -> Self {
        Self {
            stream,
            left: ANSWER_BYTES_MAX,
        }
    }

    /// The stream, after the answer.
    pub fn into_inner(self) -> SharedStream {
        self.stream
    }
}

impl AsyncRead for Answer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.left == 0 {
            let why = format!("an answer of more than {ANSWER_BYTES_MAX} bytes");
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
        let room = buf.len().min(self.left);
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf[..room]))?;
        self.left -= read;
        Poll::Ready(Ok(read))
    }
}

impl AsyncWrite for Answer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}
