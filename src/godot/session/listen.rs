//! The two listeners.

use super::server::Shared;
use super::{SessionError, connection};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Binds the Unix socket, private to this user; what a killed sidekick left there is no obstacle.
pub fn bind_unix(path: &mut PathBuf) -> Result<UnixListener, SessionError> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    let failed = |path: &Path| {
        let address = path.display().to_string();
        move |source| SessionError::Bind { address, source }
    };
    // Games run in directories of their own, so the path they get must not depend on ours.
    *path = std::path::absolute(&*path).map_err(failed(path))?;
    if path.as_os_str().len() > 107 {
        return Err(SessionError::PathTooLong(path.clone()));
    }
    if let Ok(metadata) = std::fs::symlink_metadata(&*path) {
        if !metadata.file_type().is_socket() {
            return Err(SessionError::NotASocket(path.clone()));
        }
        if std::os::unix::net::UnixStream::connect(&*path).is_ok() {
            return Err(SessionError::InUse(path.clone()));
        }
        std::fs::remove_file(&*path).map_err(failed(path))?;
    }
    let listener = UnixListener::bind(&*path).map_err(failed(path))?;
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&*path, private).map_err(failed(path))?;
    Ok(listener)
}

/// Binds the TCP address.
pub async fn bind_tcp(address: SocketAddr) -> Result<TcpListener, SessionError> {
    let failed = |source| SessionError::Bind {
        address: address.to_string(),
        source,
    };
    TcpListener::bind(address).await.map_err(failed)
}

/// Accepts until told to stop; an error such as too many open files is waited out.
macro_rules! accept {
    ($name:ident, $listener:ty, $admitted:expr) => {
        pub async fn $name(shared: Arc<Shared>, listener: $listener) {
            loop {
                let accepted = tokio::select! {
                    () = shared.stopped() => return,
                    accepted = listener.accept() => accepted,
                };
                let permit = shared.stranger();
                match (accepted, permit) {
                    (Ok((stream, _)), _) if !$admitted(&shared, &stream) => {
                        tracing::debug!("a process of a user without a server came to the session socket");
                    }
                    (Ok((stream, _)), Some(permit)) => {
                        let (source, sink) = stream.into_split();
                        let serve = connection::serve(shared.clone(), source, sink, permit);
                        shared.tasks.spawn(serve);
                    }
                    (Ok(_), None) => {
                        tracing::warn!("too many connections without a hello; one was closed");
                    }
                    (Err(error), _) => {
                        tracing::warn!(%error, "a session connection could not be accepted");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        }
    };
}

/// The socket is open to all once a server has a user of its own.
fn admitted(shared: &Shared, stream: &UnixStream) -> bool {
    stream
        .peer_cred()
        .is_ok_and(|peer| shared.admits(peer.uid()))
}

accept!(accept_unix, UnixListener, admitted);
accept!(accept_tcp, TcpListener, |_: &Shared, _: &TcpStream| true);
