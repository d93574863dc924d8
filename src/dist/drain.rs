//! Reading from TCP without the read that finds nothing.

use bytes::BytesMut;
use std::io;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// A read of more than this belongs to something large, of which more is likely to be there by the time it was copied.
const SMALL_BYTES: usize = 8 << 10;

/// Reads what is there into the buffer's spare room; `WouldBlock` where nothing is.
///
/// A small read that leaves room has taken all there was. Tokio learns that from a second read, which finds nothing; here it
/// is told.
/// Safe against what arrives meanwhile: the readiness that is taken back is the one from before the read.
pub(super) fn read_available(tcp: &TcpStream, buffer: &mut BytesMut) -> io::Result<usize> {
    let room = buffer.capacity() - buffer.len();
    let mut drained = None;
    let read = tcp.try_io(Interest::READABLE, || match tcp.try_read_buf(buffer)? {
        n if 0 < n && n < room.min(SMALL_BYTES) => {
            drained = Some(n);
            Err(io::ErrorKind::WouldBlock.into())
        }
        n => Ok(n),
    });
    drained.map_or(read, Ok)
}
