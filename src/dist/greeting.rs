//! What `erl_dist` reads and writes during the handshake, between it and the stream.
//!
//! Over TCP a handshake message has a length of two bytes before it, over TLS one of four; `erl_dist` knows the former.
//! Here the one becomes the other, and here a message longer than any honest one ends the handshake before a byte of
//! it is read, so that a stranger's promise of 64 KB allocates nothing.

use crate::dist::stream::Stream;
use bytes::{Buf, BufMut, BytesMut};
use futures::io::{AsyncRead, AsyncWrite};
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Longest handshake message: a name has at most 255 bytes, and some 20 stand around it.
pub(super) const MESSAGE_BYTES_MAX: usize = 512;

/// The face that `erl_dist` sees. After the last message nothing more has been read than that message.
#[derive(Debug)]
pub(super) struct Greeting {
    stream: Stream,
    /// Length of the message that comes, as far as it was read.
    head: BytesMut,
    /// The same for `erl_dist`, as far as it has not taken it.
    told: BytesMut,
    /// What is left of the message that comes.
    left: usize,
    /// Written by `erl_dist`, with its own lengths.
    written: BytesMut,
    /// To be sent, with those of the stream.
    sending: BytesMut,
}

impl Greeting {
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            head: BytesMut::new(),
            told: BytesMut::new(),
            left: 0,
            written: BytesMut::new(),
            sending: BytesMut::new(),
        }
    }

    /// Sends one message past `erl_dist`.
    pub async fn say(stream: &Stream, message: &[u8]) -> io::Result<()> {
        let mut greeting = Self::new(stream.clone());
        greeting.written.put_u16(message.len() as u16);
        greeting.written.put_slice(message);
        futures::AsyncWriteExt::flush(&mut greeting).await
    }

    fn head_bytes(&self) -> usize {
        match self.stream {
            Stream::Plain(_) => 2,
            Stream::Tls(_) => 4,
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.head.len() < self.head_bytes() {
            let mut bytes = [0; 4];
            let missing = &mut bytes[..self.head_bytes() - self.head.len()];
            let n = ready!(self.stream.poll_read(cx, missing))?;
            if n == 0 {
                return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
            }
            self.head.put_slice(&missing[..n]);
        }
        if let [20..=23, 3] = self.head[..] {
            return refuse(
                "the peer speaks TLS; give this node certificates in [node.tls], or start the peer without -proto_dist",
            );
        }
        let len = self
            .head
            .iter()
            .fold(0, |len, b| len << 8 | usize::from(*b));
        if len > MESSAGE_BYTES_MAX {
            return refuse("a message longer than any of the handshake");
        }
        self.head.clear();
        self.told.put_u16(len as u16);
        self.left = len;
        Poll::Ready(Ok(()))
    }

    /// Gives the messages the stream's kind of length.
    fn reframe(&mut self) {
        let wide = self.head_bytes() == 4;
        while let Some(len) = self.written.first_chunk::<2>() {
            let len = usize::from(u16::from_be_bytes(*len));
            if self.written.len() < 2 + len {
                return;
            }
            if wide {
                self.sending.put_u16(0);
            }
            self.sending
                .extend_from_slice(&self.written.split_to(2 + len));
        }
    }
}

fn refuse(why: &'static str) -> Poll<io::Result<()>> {
    Poll::Ready(Err(io::Error::new(ErrorKind::InvalidData, why)))
}

impl AsyncRead for Greeting {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if this.told.is_empty() && this.left == 0 {
            ready!(this.poll_head(cx))?;
        }
        if !this.told.is_empty() {
            let n = buf.len().min(this.told.len());
            this.told.copy_to_slice(&mut buf[..n]);
            return Poll::Ready(Ok(n));
        }
        let most = buf.len().min(this.left);
        let n = ready!(this.stream.poll_read(cx, &mut buf[..most]))?;
        this.left -= n;
        Poll::Ready(Ok(n))
    }
}

impl AsyncWrite for Greeting {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().written.put_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.reframe();
        while !this.sending.is_empty() {
            let n = ready!(this.stream.poll_write(cx, &this.sending))?;
            this.sending.advance(n);
        }
        this.stream.poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{AsyncReadExt, AsyncWriteExt as _};
    use std::sync::Arc;
    use tokio::net::{TcpListener, TcpStream};

    async fn pair() -> (Greeting, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let other = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (own, _) = listener.accept().await.unwrap();
        (Greeting::new(Stream::Plain(Arc::new(own))), other)
    }

    #[tokio::test]
    async fn messages_pass_in_pieces_both_ways() {
        let (mut greeting, mut other) = pair().await;
        for byte in b"\x00\x03abc\x00\x00" {
            tokio::io::AsyncWriteExt::write_all(&mut other, &[*byte])
                .await
                .unwrap();
        }
        let mut read = [0; 7];
        greeting.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"\x00\x03abc\x00\x00");
        greeting.write_all(b"\x00\x02").await.unwrap();
        greeting.write_all(b"xy").await.unwrap();
        greeting.flush().await.unwrap();
        let mut read = [0; 4];
        tokio::io::AsyncReadExt::read_exact(&mut other, &mut read)
            .await
            .unwrap();
        assert_eq!(&read, b"\x00\x02xy");
    }

    #[tokio::test]
    async fn a_promise_of_too_much_is_refused_before_it_is_kept() {
        for (head, said) in [
            (&[255, 255], "longer"),
            (&[2, 1], "longer"),
            (&[22, 3], "speaks TLS"),
        ] {
            let (mut greeting, mut other) = pair().await;
            tokio::io::AsyncWriteExt::write_all(&mut other, head)
                .await
                .unwrap();
            let error = greeting.read_exact(&mut [0; 2]).await.unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
