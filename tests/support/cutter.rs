//! What stands between a client and a server and cuts them apart where it hurts.

#![allow(dead_code, clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Where a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The server gets the `COMMIT`; nobody learns what became of it.
    AfterCommit,
    /// The server does not get the `COMMIT`.
    BeforeCommit,
    /// In the middle of the `INSERT` of records.
    WithinInsert,
}

/// A port that leads to the server.
pub struct Cutter {
    pub port: u16,
    left: Arc<[AtomicU32; 3]>,
    done: Arc<AtomicU32>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Cutter {
    /// Cuts nothing yet.
    pub async fn start(server: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let left: Arc<[AtomicU32; 3]> = Arc::default();
        let done: Arc<AtomicU32> = Arc::default();
        let (cuts, count) = (left.clone(), done.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else {
                    continue;
                };
                let (cuts, count) = (cuts.clone(), count.clone());
                tokio::spawn(async move {
                    if relay(client, server, &cuts).await {
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        Self {
            port,
            left,
            done,
            task,
        }
    }

    /// The next connections that come so far are cut there.
    pub fn cut(&self, cut: Cut, times: u32) {
        self.left[cut as usize].fetch_add(times, Ordering::SeqCst);
    }

    /// How many were cut.
    pub fn done(&self) -> u32 {
        self.done.load(Ordering::SeqCst)
    }
}

fn take(left: &AtomicU32) -> bool {
    let one_less = |left: u32| left.checked_sub(1);
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
        .is_ok()
}

fn has(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// True where the connection was cut on purpose.
async fn relay(client: TcpStream, server: TcpStream, left: &[AtomicU32; 3]) -> bool {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let back = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
    });
    let mut bytes = vec![0; 1 << 16];
    let cut = loop {
        let Ok(length @ 1..) = from_client.read(&mut bytes).await else {
            break false;
        };
        let said = &bytes[..length];
        let commit = has(said, b"COMMIT\0");
        // Only an upload of records has so much to say at once.
        if length > 2000 && take(&left[Cut::WithinInsert as usize]) {
            let _ = to_server.write_all(&said[..length / 2]).await;
            break true;
        }
        if commit && take(&left[Cut::BeforeCommit as usize]) {
            break true;
        }
        if commit && take(&left[Cut::AfterCommit as usize]) {
            back.abort();
            let _ = to_server.write_all(said).await;
            // The server hangs up only once it has done what it was told.
            let _ = to_server.shutdown().await;
            break true;
        }
        if to_server.write_all(said).await.is_err() {
            break false;
        }
    };
    back.abort();
    cut
}
