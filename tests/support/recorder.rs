//! Records what real peers say: a relay between two ports that keeps the bytes of both sides.

#![allow(dead_code, clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What was said over one connection.
#[derive(Clone, Default)]
pub struct Talk {
    /// By who connected.
    pub asked: Arc<Mutex<Vec<u8>>>,
    /// By whom it reached.
    pub answered: Arc<Mutex<Vec<u8>>>,
}

/// A relay; its connections end when it is dropped.
pub struct Relay {
    pub port: u16,
    pub talks: Arc<Mutex<Vec<Talk>>>,
    task: tokio::task::AbortHandle,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    /// Passes connections on to this port of 127.0.0.1.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let talks: Arc<Mutex<Vec<Talk>>> = Arc::default();
        let all = talks.clone();
        let task = tokio::spawn(async move {
            let mut relays = tokio::task::JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let talk = Talk::default();
                all.lock().unwrap().push(talk.clone());
                relays.spawn(relay(near, far, talk));
            }
        });
        Self {
            port: own,
            talks,
            task: task.abort_handle(),
        }
    }

    /// All that was said so far: by who connected, and by whom it reached.
    pub fn said(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let talks = self.talks.lock().unwrap();
        let bytes = |of: &Arc<Mutex<Vec<u8>>>| of.lock().unwrap().clone();
        talks
            .iter()
            .map(|talk| (bytes(&talk.asked), bytes(&talk.answered)))
            .collect()
    }
}

async fn relay(near: TcpStream, far: TcpStream, talk: Talk) {
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    tokio::join!(
        pass(near_read, far_write, talk.asked),
        pass(far_read, near_write, talk.answered),
    );
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    kept: Arc<Mutex<Vec<u8>>>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        kept.lock().unwrap().extend_from_slice(&buffer[..read]);
        if to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}
