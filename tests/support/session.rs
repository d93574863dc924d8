//! A session server on a real buffer, with an observer that remembers and a cluster that echoes.

use sidekick::buffer::{Buffer, Options};
use sidekick::godot::{SessionLimits, SessionOptions, Sessions};
use sidekick::ports::{Activation, BoxFuture, Cluster, ClusterError};
use sidekick::ports::{SessionEvent, SessionObserver, Sessions as _};
use sidekick::shutdown::Shutdown;
use sidekick::types::{Payload, ServerId, Token};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Longest wait for anything; only a failing test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Remembers every event, in order.
#[derive(Default)]
pub struct Witness {
    events: watch::Sender<Vec<SessionEvent>>,
}

impl SessionObserver for Witness {
    fn session_event(&self, _: &ServerId, event: SessionEvent) {
        self.events.send_modify(|events| events.push(event));
    }
}

impl Witness {
    /// What has happened so far.
    pub fn events(&self) -> Vec<SessionEvent> {
        self.events.borrow().clone()
    }

    /// Waits until the events satisfy a condition.
    pub async fn until(&self, what: &str, condition: impl Fn(&[SessionEvent]) -> bool) {
        let mut events = self.events.subscribe();
        let found =
            tokio::time::timeout(PATIENCE, events.wait_for(|events| condition(events))).await;
        assert!(
            found.is_ok_and(|found| found.is_ok()),
            "no {what} among {:?}",
            self.events()
        );
    }
}

/// Answers each call with its request; knows no process named `nobody`.
pub struct Echo;

impl Cluster for Echo {
    fn send<'a>(
        &'a self,
        _: &'a ServerId,
        _: &'a str,
        _: &'a str,
        _: Payload,
    ) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(async { Ok(()) })
    }

    fn call<'a>(
        &'a self,
        _: &'a ServerId,
        name: &'a str,
        _: &'a str,
        request: Payload,
        _: Duration,
    ) -> BoxFuture<'a, Result<Payload, ClusterError>> {
        let known = name != "nobody";
        Box::pin(async move {
            if known {
                Ok(request)
            } else {
                Err(ClusterError::NoProc)
            }
        })
    }
}

/// One server's surroundings.
pub struct Stage {
    pub dir: tempfile::TempDir,
    pub buffer: Buffer,
    pub witness: Arc<Witness>,
    pub sessions: Sessions,
    pub server: ServerId,
    tcp: bool,
}

impl Stage {
    /// Serves sessions on a Unix socket, or on TCP alone.
    pub async fn open(tcp: bool, limits: SessionLimits) -> Self {
        Self::with(tcp, limits, |_| {}).await
    }

    /// The same on a buffer with other options.
    pub async fn with(tcp: bool, limits: SessionLimits, change: fn(&mut Options)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::new(dir.path().join("buffer"));
        change(&mut options);
        let buffer = tokio::task::spawn_blocking(|| Buffer::open(options))
            .await
            .unwrap()
            .unwrap();
        let witness = Arc::new(Witness::default());
        let sessions = serve(dir.path(), tcp, limits, &buffer, &witness).await;
        let server = ServerId::new("lobby").unwrap();
        Self {
            dir,
            buffer,
            witness,
            sessions,
            server,
            tcp,
        }
    }

    /// Ends the session server and starts another in its place, as after sidekick's own restart.
    pub async fn restart(&mut self, activation: &Activation) {
        self.sessions.stop().await;
        let limits = SessionLimits::default();
        self.sessions = serve(
            self.dir.path(),
            self.tcp,
            limits,
            &self.buffer,
            &self.witness,
        )
        .await;
        self.sessions.expect(&self.server, activation);
    }

    /// Makes the next epoch, as the supervisor does before it starts a process.
    pub async fn activate(&self, secret: &str) -> Activation {
        let token = Token::new(secret);
        let epoch = self
            .buffer
            .activate(&self.server.scope(), token.clone())
            .await
            .unwrap();
        let activation = Activation { epoch, token };
        self.sessions.expect(&self.server, &activation);
        activation
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }
}

async fn serve(
    dir: &Path,
    tcp: bool,
    limits: SessionLimits,
    buffer: &Buffer,
    witness: &Arc<Witness>,
) -> Sessions {
    let options = SessionOptions {
        socket: (!tcp).then(|| dir.join("socket")),
        tcp: tcp.then(|| "127.0.0.1:0".parse().unwrap()),
        limits,
    };
    Sessions::start(
        options,
        buffer.clone(),
        witness.clone(),
        Arc::new(Echo),
        Shutdown::new(),
    )
    .await
    .unwrap()
}
