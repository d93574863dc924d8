//! What a port mapper may answer: its answers are short, and `erl_dist`, which reads them, bounds them not at all.

use crate::dist::stream::SharedStream;
use futures::io::{AsyncRead, AsyncWrite};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Longest answer: a node's entry, with a name and extra data of 255 bytes each, has 524 bytes.
const ANSWER_BYTES_MAX: usize = 1024;

/// Longest field of a node's entry: its name, and extra data that nobody sends.
const FIELD_BYTES_MAX: u16 = 255;
/// Answers with a node's entry begin with this.
const ENTRY: u8 = 119;
/// Where a node's entry tells the length of its name.
const NAME_AT: usize = 10;

/// A connection to a port mapper that breaks where it answers, or says that it will answer, at too great length.
#[derive(Debug)]
pub struct Answer {
    stream: SharedStream,
    seen: Vec<u8>,
}

impl Answer {
    /// Over this stream, on which nothing has been said yet.
    pub fn new(stream: SharedStream) -> Self {
        Self {
            stream,
            seen: Vec::new(),
        }
    }

    /// The stream, after the answer.
    pub fn into_inner(self) -> SharedStream {
        self.stream
    }

    /// Whether the fields that were announced so far have a sensible length: room for them is made at once.
    fn is_sensible(&self) -> bool {
        let length_at = |at: usize| {
            let bytes = self.seen.get(at..at + 2)?;
            Some(u16::from_be_bytes([bytes[0], bytes[1]]))
        };
        let Some(name) = length_at(NAME_AT).filter(|_| self.seen[0] == ENTRY) else {
            return true;
        };
        let extra = length_at(NAME_AT + 2 + usize::from(name));
        name <= FIELD_BYTES_MAX && extra.is_none_or(|extra| extra <= FIELD_BYTES_MAX)
    }
}

impl AsyncRead for Answer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let refused = |why: &str| Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
        let left = ANSWER_BYTES_MAX - self.seen.len();
        if left == 0 {
            return refused("the answer is too long");
        }
        let room = buf.len().min(left);
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf[..room]))?;
        self.seen.extend_from_slice(&buf[..read]);
        if !self.is_sensible() {
            return refused("the answer announces a field that is too long");
        }
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
