//! One connection from accept to close.

use super::committer::Committer;
use super::live::Live;
use super::messages::{self, FromGame, Hello, Welcome};
use super::server::{Refusal, Shared};
use super::{reader, writer};
use crate::buffer::Restored;
use crate::godot::frame::FrameReader;
use crate::godot::variant;
use crate::ports::SessionEvent;
use crate::types::ServerId;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

/// A stranger's first frame is small.
const HELLO_BYTES: usize = 64 << 10;
/// Time to tell a stranger that it was refused.
const REFUSAL_TIME: Duration = Duration::from_secs(1);

/// Serves a fresh connection to its end.
pub async fn serve<R, W>(
    shared: Arc<Shared>,
    source: R,
    mut sink: W,
    stranger: OwnedSemaphorePermit,
) where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let mut frames = FrameReader::new(source, HELLO_BYTES);
    let hello = tokio::time::timeout(shared.options.limits.hello_timeout, hello(&mut frames));
    let mut stranger = Some(stranger);
    let admitted = match hello.await {
        Ok(Ok(Some(hello))) => {
            if let Some((server, over)) = shared.waits(&hello) {
                stranger = None;
                if !stand_by(&shared, &server, &hello, &over, &mut frames).await {
                    return;
                }
            }
            admit(&shared, hello).await
        }
        Ok(Ok(None)) => return,
        Ok(Err(message)) => Err(Refusal::new("protocol", message, false)),
        Err(_) => Err(Refusal::new("protocol", "no hello in time", true)),
    };
    drop(stranger);
    match admitted {
        Ok(admitted) => {
            frames.set_limit(shared.options.limits.frame_bytes);
            admitted.run(frames, sink).await;
        }
        Err(refusal) => {
            tracing::warn!(
                code = refusal.code,
                message = refusal.message,
                "a session was refused"
            );
            let frame = messages::refused(refusal.code, &refusal.message, refusal.retry);
            let _ = tokio::time::timeout(REFUSAL_TIME, sink.write_all(&frame)).await;
        }
    }
}

async fn hello<R: AsyncRead + Unpin>(frames: &mut FrameReader<R>) -> Result<Option<Hello>, String> {
    let Some(bytes) = frames.next().await.map_err(|error| error.to_string())? else {
        return Ok(None);
    };
    let message = variant::decode(bytes).map_err(|error| error.to_string())?;
    match FromGame::read(&message) {
        Ok(Some(FromGame::Hello(hello))) => Ok(Some(hello)),
        Ok(_) => Err("the first message must be hello".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Holds a standby's `hello` until it is judged like any other. False where its connection ended before: nothing else can come
/// over it, for the game waits.
async fn stand_by<R: AsyncRead + Unpin>(
    shared: &Shared,
    server: &ServerId,
    hello: &Hello,
    over: &CancellationToken,
    frames: &mut FrameReader<R>,
) -> bool {
    let os_pid = hello.os_pid;
    let tell = |event| shared.observer.session_event(server, event);
    tell(SessionEvent::StandbyHello { os_pid });
    tokio::select! {
        biased;
        () = over.cancelled() => !shared.is_stopping(),
        _ = frames.next() => {
            tell(SessionEvent::StandbyClosed);
            false
        }
    }
}

/// A session that has its seat. Dropping it gives the seat back and tells the observer.
struct Admitted {
    shared: Arc<Shared>,
    live: Arc<Live>,
    out: Option<mpsc::Receiver<Bytes>>,
    resumed: bool,
    restored: Restored,
    announced: bool,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if self.announced {
            self.shared
                .observer
                .session_event(&self.live.server, SessionEvent::Closed);
        }
        self.shared.leave(&self.live);
    }
}

/// Checks the `hello`, waits until an older session of the server has settled, and reads what was committed.
async fn admit(shared: &Arc<Shared>, hello: Hello) -> Result<Admitted, Refusal> {
    let mut admitted = loop {
        let (server, activation) = shared.judge(&hello)?;
        let limits = &shared.options.limits;
        let (live, out) = Live::new(server, activation.epoch, hello.engine.clone(), limits);
        let live = Arc::new(live);
        match shared.seat(&live) {
            Ok(()) => {
                break Admitted {
                    shared: shared.clone(),
                    live,
                    out: Some(out),
                    resumed: hello.resumed,
                    restored: Restored::default(),
                    announced: false,
                };
            }
            Err(older) => {
                older.ending.cancel();
                older.ended.cancelled().await;
            }
        }
    };
    let scope = admitted.live.server.scope();
    let restored = shared.buffer.restore(&scope).await;
    admitted.restored = restored.map_err(|e| Refusal::new("buffer", e.to_string(), true))?;
    let (epoch, current) = (admitted.live.epoch, admitted.restored.epoch);
    if epoch != current {
        let text = format!("epoch {epoch} was followed by epoch {current}");
        return Err(Refusal::new("stale_epoch", text, false));
    }
    admitted
        .live
        .progress
        .send_modify(|progress| progress.acked = admitted.restored.batch);
    admitted.announced = true;
    let event = SessionEvent::Hello {
        epoch,
        os_pid: hello.os_pid,
        engine: hello.engine,
        resumed: hello.resumed,
        batch: admitted.restored.batch,
    };
    shared.observer.session_event(&admitted.live.server, event);
    Ok(admitted)
}

impl Admitted {
    async fn run<R, W>(mut self, frames: FrameReader<R>, sink: W)
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let Some(out) = self.out.take() else { return };
        let (shared, live) = (self.shared.clone(), self.live.clone());
        let limits = &shared.options.limits;
        let restored = std::mem::take(&mut self.restored);
        let welcome = Welcome {
            epoch: live.epoch,
            batch: restored.batch,
            last: restored.last.unwrap_or_default(),
            restore: !self.resumed,
            tail_cut: restored.tail_cut,
            window_batches: limits.window_batches,
            window_bytes: limits.window_bytes,
            batch_bytes: limits.batch_bytes,
        };
        // The queue is empty and holds at least one.
        let _ = live.push(welcome.frame());

        let finish = CancellationToken::new();
        let progress = live.progress.subscribe();
        let writer = tokio::spawn(writer::run(
            sink,
            out,
            progress,
            live.clone(),
            finish.clone(),
        ));
        let (batches, queue) = mpsc::channel(limits.window_batches);
        let give_up = CancellationToken::new();
        let committer = Committer::new(shared.clone(), live.clone(), queue, give_up.clone());
        let restored = (!self.resumed).then_some(restored);
        let committer = tokio::spawn(committer.run(restored));

        reader::run(&shared, &live, frames, batches).await;
        settle(committer, &give_up).await;
        finish.cancel();
        if writer.await.is_err() {
            tracing::error!(server = %live.server, "the writer of a session panicked");
        }
    }
}

/// Waits until what was received is on disk, but not for a buffer that is full and stays full: what is not
/// acknowledged then is either sent again by the same process or has died with it.
async fn settle(mut committer: tokio::task::JoinHandle<()>, give_up: &CancellationToken) {
    const GRACE: Duration = Duration::from_secs(5);
    let outcome = if let Ok(outcome) = tokio::time::timeout(GRACE, &mut committer).await {
        outcome
    } else {
        give_up.cancel();
        committer.await
    };
    if outcome.is_err() {
        tracing::error!("the committer of a session panicked");
    }
}
