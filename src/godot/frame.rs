//! Frames: what `put_var` writes and `get_var` reads: a little-endian `u32` length, then one Variant.

use crate::godot::variant::{self, DecodeError, Precision, Variant};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// How much is asked of the socket at once; also how fast the buffer grows towards a large frame.
const READ_BYTES: usize = 64 << 10;

/// Why no further frame can be read from a connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The peer announced a frame over the limit.
    #[error("a frame of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// What it announced.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The connection ended inside a frame.
    #[error("the connection ended inside a frame")]
    Cut,
    /// The frame is no plain Variant.
    #[error("a frame is not a plain Variant: {0}")]
    Variant(#[from] DecodeError),
    /// The socket failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// The frame of a value.
pub fn frame(value: &Variant) -> Bytes {
    let mut out = BytesMut::with_capacity(128);
    out.put_u32_le(0);
    variant::encode_into(value, Precision::Single, &mut out);
    let length = (out.len() - 4) as u32;
    out[..4].copy_from_slice(&length.to_le_bytes());
    out.freeze()
}

/// Reads frames off a byte stream.
pub struct FrameReader<R> {
    source: R,
    buffer: BytesMut,
    limit: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// A reader that refuses frames of more than `limit` bytes.
    pub fn new(source: R, limit: usize) -> Self {
        let buffer = BytesMut::new();
        Self {
            source,
            buffer,
            limit,
        }
    }

    /// Changes the limit for the frames to come.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The next frame's bytes without their length; `None` where the connection ended between frames. Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(Some(frame));
            }
            self.buffer.reserve(READ_BYTES);
            if self.source.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(FrameError::Cut)
                };
            }
        }
    }

    fn buffered(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(length) = self.buffer.first_chunk::<4>() else {
            return Ok(None);
        };
        let bytes = u32::from_le_bytes(*length) as usize;
        if bytes > self.limit {
            return Err(FrameError::TooLarge {
                bytes,
                limit: self.limit,
            });
        }
        if self.buffer.len() - 4 < bytes {
            return Ok(None);
        }
        self.buffer.advance(4);
        Ok(Some(self.buffer.split_to(bytes).freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_come_back_one_by_one_however_they_arrive() {
        let bytes = [frame(&Variant::Int(7)), frame(&Variant::text("seven"))].concat();
        let (mut near, far) = tokio::io::duplex(3);
        let writer = tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            near.write_all(&bytes).await
        });
        let mut reader = FrameReader::new(far, 64);
        let first = reader.next().await.unwrap().unwrap();
        assert_eq!(variant::decode(first).unwrap(), Variant::Int(7));
        let second = reader.next().await.unwrap().unwrap();
        assert_eq!(variant::decode(second).unwrap(), Variant::text("seven"));
        assert!(reader.next().await.unwrap().is_none());
        writer.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_frame_over_the_limit_is_refused_before_it_is_read() {
        let mut reader = FrameReader::new(&[255, 255, 255, 255][..], 1000);
        assert!(matches!(
            reader.next().await,
            Err(FrameError::TooLarge { .. })
        ));
        let mut reader = FrameReader::new(&[9, 0, 0, 0, 1][..], 1000);
        assert!(matches!(reader.next().await, Err(FrameError::Cut)));
    }
}
