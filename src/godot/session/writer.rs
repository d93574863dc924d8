//! Frames and progress → socket, several per write.

use super::live::{Live, Progress};
use super::messages;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Frames are gathered up to about this much per write.
const WRITE_BYTES: usize = 64 << 10;
/// Time for the last words to a game that may be gone.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Writes until `finish`, then what is queued. A failing socket ends the session.
pub async fn run<W: AsyncWrite + Unpin>(
    mut sink: W,
    mut frames: mpsc::Receiver<Bytes>,
    mut progress: watch::Receiver<Progress>,
    live: Arc<Live>,
    finish: CancellationToken,
) {
    let mut told = *progress.borrow_and_update();
    let mut buffer = BytesMut::new();
    loop {
        if buffer.is_empty() && *progress.borrow() == told {
            tokio::select! {
                biased;
                Some(frame) = frames.recv() => buffer.extend_from_slice(&frame),
                Ok(()) = progress.changed() => {}
                () = finish.cancelled() => break,
            }
        }
        gather(&mut frames, &mut progress, &mut told, &mut buffer);
        let written = tokio::select! {
            written = sink.write_all(&buffer) => written,
            () = gone(&finish) => return,
        };
        if let Err(error) = written {
            tracing::debug!(server = %live.server, %error, "a session's socket failed");
            live.ending.cancel();
            return;
        }
        buffer.clear();
    }
    while !frames.is_empty() || *progress.borrow() != told {
        gather(&mut frames, &mut progress, &mut told, &mut buffer);
        match tokio::time::timeout(LAST_WORDS, sink.write_all(&buffer)).await {
            Ok(Ok(())) => buffer.clear(),
            _ => return,
        }
    }
}

/// Completes some time after the end was ordered: for a write to a game that does not read.
async fn gone(finish: &CancellationToken) {
    finish.cancelled().await;
    tokio::time::sleep(LAST_WORDS).await;
}

/// Takes what is there: frames in order, then the newest progress. So a `rejected` precedes the `ack` of its batch.
fn gather(
    frames: &mut mpsc::Receiver<Bytes>,
    progress: &mut watch::Receiver<Progress>,
    told: &mut Progress,
    buffer: &mut BytesMut,
) {
    let now = *progress.borrow_and_update();
    loop {
        if buffer.len() >= WRITE_BYTES {
            return;
        }
        match frames.try_recv() {
            Ok(frame) => buffer.extend_from_slice(&frame),
            Err(_) => break,
        }
    }
    if now.acked != told.acked {
        buffer.extend_from_slice(&messages::ack(now.acked));
    }
    if now.full != told.full {
        buffer.extend_from_slice(&messages::full(now.full));
    }
    *told = now;
}
