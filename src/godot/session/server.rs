//! The handle, the listeners, and who may have a session.

use super::listen::{accept_tcp, accept_unix, bind_tcp, bind_unix};
use super::live::Live;
use super::messages::{self, Hello, PROTOCOL};
use super::{ScriptError, SessionError, SessionOptions, SessionStatus};
use crate::buffer::Buffer;
use crate::etf::{self, Term};
use crate::godot::{message_to_term, term_to_variant};
use crate::ports::{self, Activation, Cluster, SessionObserver};
use crate::shutdown::Shutdown;
use crate::types::{ServerId, Token};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Handle of the session server; clones are cheap.
#[derive(Clone)]
pub struct Sessions {
    shared: Arc<Shared>,
}

/// What every connection needs.
pub struct Shared {
    pub options: SessionOptions,
    pub buffer: Buffer,
    pub observer: Arc<dyn SessionObserver>,
    pub cluster: Arc<dyn Cluster>,
    servers: Mutex<HashMap<ServerId, Seat>>,
    strangers: Arc<Semaphore>,
    /// Users, beside our own and root, whose processes may come to the local socket.
    users: Mutex<HashSet<u32>>,
    tcp: Option<SocketAddr>,
    stop: CancellationToken,
    pub tasks: TaskTracker,
}

/// Who may come for a server, and who is there.
#[derive(Default)]
struct Seat {
    expected: Option<Activation>,
    live: Option<Arc<Live>>,
    standby: Option<Standby>,
}

/// The token of a standby, and its connection while it waits.
struct Standby {
    token: Token,
    waits: Option<CancellationToken>,
}

impl Standby {
    /// Whoever waits looks again whether it may have a session.
    fn wake(&self) {
        if let Some(waits) = &self.waits {
            waits.cancel();
        }
    }
}

/// A `hello` that is not let in.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: &'static str,
    pub message: String,
    /// It may succeed later.
    pub retry: bool,
}

impl Refusal {
    pub fn new(code: &'static str, message: impl Into<String>, retry: bool) -> Self {
        Self {
            code,
            message: message.into(),
            retry,
        }
    }
}

impl Sessions {
    /// Binds the addresses and serves until [`stop`](Self::stop) or the hurried end of `shutdown`.
    ///
    /// # Errors
    /// Where an address cannot be served; see [`SessionError`].
    pub async fn start(
        mut options: SessionOptions,
        buffer: Buffer,
        observer: Arc<dyn SessionObserver>,
        cluster: Arc<dyn Cluster>,
        shutdown: Shutdown,
    ) -> Result<Self, SessionError> {
        let unix = match &mut options.socket {
            Some(path) => Some(bind_unix(path)?),
            None => None,
        };
        let tcp = match options.tcp {
            Some(address) => Some(bind_tcp(address).await?),
            None => None,
        };
        if unix.is_none() && tcp.is_none() {
            return Err(SessionError::NoAddress);
        }
        let shared = Arc::new(Shared {
            strangers: Arc::new(Semaphore::new(options.limits.strangers)),
            tcp: tcp.as_ref().and_then(|listener| listener.local_addr().ok()),
            options,
            buffer,
            observer,
            cluster,
            servers: Mutex::default(),
            users: Mutex::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        if let Some(listener) = unix {
            shared.tasks.spawn(accept_unix(shared.clone(), listener));
        }
        if let Some(listener) = tcp {
            shared.tasks.spawn(accept_tcp(shared.clone(), listener));
        }
        let sessions = Self { shared };
        let watched = sessions.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = shutdown.hurrying() => watched.end_all(),
                () = watched.shared.stop.cancelled() => {}
            }
        });
        Ok(sessions)
    }

    /// The TCP address in use, where one is served.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.shared.tcp
    }

    /// Asks the script's call handler and waits for its answer.
    ///
    /// # Errors
    /// See [`ScriptError`]; after [`ScriptError::Timeout`] the outcome is unknown.
    pub async fn call(
        &self,
        server: &ServerId,
        request: Term,
        timeout: Duration,
    ) -> Result<Term, ScriptError> {
        let live = self.live(server)?;
        let value = term_to_variant(&request)?;
        let (id, outcome) = live.open_call()?;
        let sent = live.push(messages::call(id, value));
        let outcome = match sent {
            Ok(()) => tokio::time::timeout(timeout, outcome).await,
            Err(error) => {
                live.close_call(id, None);
                return Err(error);
            }
        };
        live.close_call(id, None);
        let failed = |text: String| ScriptError::Failed(text);
        let bytes = outcome
            .map_err(|_| ScriptError::Timeout)?
            .map_err(|_| failed("the server's session ended during the call".to_owned()))?
            .map_err(failed)?;
        let value = messages::value(bytes).map_err(|e| failed(format!("the reply: {e}")))?;
        message_to_term(&value).map_err(|e| failed(format!("the reply: {e}")))
    }

    /// Gives the script a message; lost where the process ends before it reads it.
    ///
    /// # Errors
    /// See [`ScriptError`].
    #[allow(
        clippy::needless_pass_by_value,
        reason = "a message is given away, as to any process"
    )]
    pub fn deliver(&self, server: &ServerId, message: Term) -> Result<(), ScriptError> {
        let live = self.live(server)?;
        live.push(messages::message(term_to_variant(&message)?))
    }

    /// What is known of a server's session; `None` where it has none.
    pub fn status(&self, server: &ServerId) -> Option<SessionStatus> {
        self.live(server).ok().map(|live| live.status())
    }

    /// Ends the listeners and every session, after what had arrived is on disk.
    pub async fn stop(&self) {
        self.end_all();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        if let Some(path) = &self.shared.options.socket {
            let _ = std::fs::remove_file(path);
        }
    }

    fn end_all(&self) {
        self.shared.stop.cancel();
        for seat in self.shared.seats().values() {
            if let Some(live) = &seat.live {
                live.ending.cancel();
            }
            if let Some(standby) = &seat.standby {
                standby.wake();
            }
        }
    }

    fn live(&self, server: &ServerId) -> Result<Arc<Live>, ScriptError> {
        let seats = self.shared.seats();
        let live = seats.get(server).and_then(|seat| seat.live.clone());
        live.ok_or(ScriptError::NotConnected)
    }
}

impl ports::Sessions for Sessions {
    fn expect(&self, server: &ServerId, activation: &Activation) {
        let mut seats = self.shared.seats();
        let seat = seats.entry(server.clone()).or_default();
        if let Some(live) = &seat.live {
            if live.epoch != activation.epoch {
                live.ending.cancel();
            }
        }
        seat.expected = Some(activation.clone());
        if let Some(standby) = seat.standby.take_if(|it| it.token == activation.token) {
            standby.wake();
        }
    }

    fn stand_by(&self, server: &ServerId, token: Option<&Token>) {
        let mut seats = self.shared.seats();
        let seat = seats.entry(server.clone()).or_default();
        let next = token.map(|token| Standby {
            token: token.clone(),
            waits: None,
        });
        if let Some(older) = std::mem::replace(&mut seat.standby, next) {
            older.wake();
        }
    }

    fn close(&self, server: &ServerId) {
        if let Some(seat) = self.shared.seats().get_mut(server) {
            seat.expected = None;
            if let Some(live) = &seat.live {
                live.ending.cancel();
            }
        }
    }

    fn environment(&self, server: &ServerId, activation: &Activation) -> Vec<(String, String)> {
        let mut environment = vec![
            ("SIDEKICK_SERVER".to_owned(), server.to_string()),
            (
                "SIDEKICK_TOKEN".to_owned(),
                activation.token.expose().to_owned(),
            ),
        ];
        if let Some(path) = &self.shared.options.socket {
            environment.push(("SIDEKICK_SOCKET".to_owned(), path.display().to_string()));
        }
        if let Some(address) = self.shared.tcp {
            environment.push(("SIDEKICK_ADDR".to_owned(), address.to_string()));
        }
        environment
    }

    fn admit(&self, user: u32) {
        let users = &self.shared.users;
        if !users
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(user)
        {
            return;
        }
        if let Some(path) = &self.shared.options.socket {
            // Everybody may knock from now on; who comes in is looked at one by one.
            let open = std::fs::Permissions::from_mode(0o666);
            if let Err(error) = std::fs::set_permissions(path, open) {
                tracing::error!(path = %path.display(), %error, "the session socket stays closed to the servers' users");
            }
        }
    }

    fn drain(&self, server: &ServerId, deadline: Duration) -> bool {
        let pushed = |live: Arc<Live>| live.push(messages::drain(deadline)).is_ok();
        self.live(server).is_ok_and(pushed)
    }
}

impl Shared {
    fn seats(&self) -> MutexGuard<'_, HashMap<ServerId, Seat>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a process of this user may come to the local socket.
    pub fn admits(&self, user: u32) -> bool {
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        user == 0 || user == rustix::process::geteuid().as_raw() || users.contains(&user)
    }

    /// Completes once no more connections are to be accepted.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Whether that is so: who waits is not refused then, for a later sidekick knows it.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// A place for a connection that has not said `hello`; `None` where there are too many.
    pub fn stranger(&self) -> Option<OwnedSemaphorePermit> {
        self.strangers.clone().try_acquire_owned().ok()
    }

    /// Whether this `hello` may have a session now, and of which epoch.
    pub fn judge(&self, hello: &Hello) -> Result<(ServerId, Activation), Refusal> {
        if hello.protocol != PROTOCOL {
            let text = format!(
                "protocol {} is not spoken here, only {PROTOCOL}; use the addon of this release",
                hello.protocol
            );
            return Err(Refusal::new("protocol", text, false));
        }
        let server = ServerId::new(&hello.server)
            .map_err(|error| Refusal::new("unknown_server", error.to_string(), false))?;
        let seats = self.seats();
        let expected = seats.get(&server).and_then(|seat| seat.expected.clone());
        let Some(activation) = expected else {
            // The supervisor may name it a moment later: sidekick itself may have just started.
            return Err(Refusal::new(
                "unknown_server",
                "this server is not expected now",
                true,
            ));
        };
        if hello.epoch != 0 && hello.epoch < activation.epoch {
            let text = format!(
                "epoch {} was followed by epoch {}",
                hello.epoch, activation.epoch
            );
            return Err(Refusal::new("stale_epoch", text, false));
        }
        let same = same_secret(hello.token.as_bytes(), activation.token.expose().as_bytes());
        if !same || (hello.epoch != 0 && hello.epoch != activation.epoch) {
            let text = "the token is not that of this server's current process";
            return Err(Refusal::new("unauthorized", text, false));
        }
        Ok((server, activation))
    }

    /// Where this is the `hello` of a standby: the server, and what is cancelled once it is to be judged like any other.
    pub fn waits(&self, hello: &Hello) -> Option<(ServerId, CancellationToken)> {
        let server = ServerId::new(&hello.server).ok()?;
        let mut seats = self.seats();
        let standby = seats.get_mut(&server)?.standby.as_mut()?;
        let (shown, token) = (hello.token.as_bytes(), standby.token.expose().as_bytes());
        if hello.protocol != PROTOCOL || !same_secret(shown, token) {
            return None;
        }
        let waits = CancellationToken::new();
        if let Some(older) = standby.waits.replace(waits.clone()) {
            older.cancel();
        }
        if self.stop.is_cancelled() {
            waits.cancel();
        }
        Some((server, waits))
    }

    /// Takes the server's seat for a session, or gives the session that must end first.
    pub fn seat(&self, live: &Arc<Live>) -> Result<(), Arc<Live>> {
        let mut seats = self.seats();
        let seat = seats.entry(live.server.clone()).or_default();
        if let Some(other) = &seat.live {
            return Err(other.clone());
        }
        seat.live = Some(live.clone());
        if self.stop.is_cancelled() {
            live.ending.cancel();
        }
        Ok(())
    }

    /// Gives the seat back.
    pub fn leave(&self, live: &Arc<Live>) {
        if let Some(seat) = self.seats().get_mut(&live.server) {
            if seat
                .live
                .as_ref()
                .is_some_and(|seated| Arc::ptr_eq(seated, live))
            {
                seat.live = None;
            }
        }
        live.ended.cancel();
        live.fail_calls();
    }
}

/// Compares without telling by its time where the difference is.
fn same_secret(left: &[u8], right: &[u8]) -> bool {
    let differing = left.iter().zip(right).fold(0, |acc, (l, r)| acc | (l ^ r));
    left.len() == right.len() && differing == 0
}

/// The external bytes of a term out of a script's message.
pub fn spoken_payload(bytes: bytes::Bytes) -> Result<crate::types::Payload, String> {
    let value = messages::value(bytes).map_err(|error| error.to_string())?;
    let term = message_to_term(&value).map_err(|error| error.to_string())?;
    Ok(etf::encode(&term))
}
