//! What the supervisor's tests share: a supervisor over fake rooms, in a directory of its own.
#![allow(dead_code, clippy::unwrap_used)]

use sidekick::ports::{
    Activation, Activations, BoxFuture, BundleFacts, PortError, SessionEvent, SessionObserver,
    Sessions,
};
use sidekick::shutdown::Shutdown;
use sidekick::supervisor::{
    EventKind, ServerSpec, SessionFeed, State, Status, Supervisor, SupervisorEvent,
    SupervisorOptions,
};
use sidekick::types::{ServerId, Token};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::broadcast;

/// Longer than anything takes on a busy machine; only a failing test waits it out.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn id(name: &str) -> ServerId {
    ServerId::new(name).unwrap()
}

/// Epochs in a file, with their tokens, so that a later sidekick finds them.
pub struct FileActivations(pub PathBuf);

impl FileActivations {
    fn read(&self, server: &ServerId) -> Option<Activation> {
        let text = std::fs::read_to_string(self.0.join(server.as_str())).ok()?;
        let (epoch, token) = text.split_once(' ').unwrap_or((&text, "unknown"));
        Some(Activation {
            epoch: epoch.parse().ok()?,
            token: Token::new(token),
        })
    }

    fn next(&self, server: &ServerId) -> u64 {
        self.read(server).map_or(0, |last| last.epoch) + 1
    }

    fn write(&self, server: &ServerId, token: &str) -> Activation {
        let text = format!("{} {token}", self.next(server));
        std::fs::create_dir_all(&self.0).unwrap();
        std::fs::write(self.0.join(server.as_str()), text).unwrap();
        self.read(server).unwrap()
    }
}

impl Activations for FileActivations {
    fn activate<'a>(
        &'a self,
        server: &'a ServerId,
    ) -> BoxFuture<'a, Result<Activation, PortError>> {
        let token = format!("secret-{server}-{}", self.next(server));
        let activation = self.write(server, &token);
        Box::pin(async move { Ok(activation) })
    }

    fn promote<'a>(
        &'a self,
        server: &'a ServerId,
        token: Token,
    ) -> BoxFuture<'a, Result<Activation, PortError>> {
        let activation = self.write(server, token.expose());
        Box::pin(async move { Ok(activation) })
    }

    fn current<'a>(
        &'a self,
        server: &'a ServerId,
    ) -> BoxFuture<'a, Result<Option<Activation>, PortError>> {
        let current = self.read(server);
        Box::pin(async move { Ok(current) })
    }
}

/// Sessions that exist in the test only.
#[derive(Default)]
pub struct FakeSessions {
    pub expected: Mutex<Vec<(ServerId, u64)>>,
    pub closed: Mutex<Vec<ServerId>>,
    /// The standby that may say hello.
    pub waits: Mutex<Option<(ServerId, Token)>>,
    pub drained: Mutex<Vec<ServerId>>,
    /// What `drain` answers.
    pub drains: std::sync::atomic::AtomicBool,
}

impl Sessions for FakeSessions {
    fn expect(&self, server: &ServerId, activation: &Activation) {
        self.expected
            .lock()
            .unwrap()
            .push((server.clone(), activation.epoch));
    }
    fn stand_by(&self, server: &ServerId, token: Option<&Token>) {
        let waits = token.map(|token| (server.clone(), token.clone()));
        *self.waits.lock().unwrap() = waits;
    }
    fn close(&self, server: &ServerId) {
        self.closed.lock().unwrap().push(server.clone());
    }
    fn environment(&self, server: &ServerId, activation: &Activation) -> Vec<(String, String)> {
        vec![
            ("SIDEKICK_SERVER".into(), server.to_string()),
            ("SIDEKICK_TOKEN".into(), activation.token.expose().into()),
        ]
    }
    fn drain(&self, server: &ServerId, _deadline: Duration) -> bool {
        self.drained.lock().unwrap().push(server.clone());
        self.drains.load(std::sync::atomic::Ordering::Relaxed)
    }
}

pub struct FakeFacts;

impl BundleFacts for FakeFacts {
    fn facts<'a>(&'a self, server: &'a ServerId) -> BoxFuture<'a, serde_json::Value> {
        Box::pin(async move { serde_json::json!({ "unuploaded": { server.as_str(): 7 } }) })
    }
}

/// A supervisor and everything around it.
pub struct House {
    pub dir: PathBuf,
    pub supervisor: Supervisor,
    pub sessions: Arc<FakeSessions>,
    pub feed: SessionFeed,
    pub shutdown: Shutdown,
    pub events: broadcast::Receiver<SupervisorEvent>,
}

pub fn options(dir: &Path) -> SupervisorOptions {
    SupervisorOptions {
        hang_grace: Duration::from_millis(1500),
        ..SupervisorOptions::under(dir, env!("CARGO_BIN_EXE_sidekick"))
    }
}

impl House {
    /// Starts a supervisor; the servers are added after the event channel is open, so that no event is missed.
    pub async fn open(dir: &Path, specs: Vec<ServerSpec>) -> Self {
        Self::with(options(dir), dir, specs).await
    }

    pub async fn with(options: SupervisorOptions, dir: &Path, specs: Vec<ServerSpec>) -> Self {
        let sessions = Arc::new(FakeSessions::default());
        let (feed, shutdown) = (SessionFeed::new(), Shutdown::new());
        let supervisor = Supervisor::start(
            options,
            specs,
            Arc::new(FileActivations(dir.join("epochs"))),
            sessions.clone(),
            Arc::new(FakeFacts),
            feed.clone(),
            shutdown.clone(),
        )
        .await
        .unwrap();
        let events = supervisor.events();
        Self {
            dir: dir.to_owned(),
            supervisor,
            sessions,
            feed,
            shutdown,
            events,
        }
    }

    /// The next event of that kind, whatever comes before.
    pub async fn event<T>(&mut self, mut pick: impl FnMut(&SupervisorEvent) -> Option<T>) -> T {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        loop {
            match tokio::time::timeout_at(deadline, self.events.recv()).await {
                Ok(Ok(event)) => {
                    if let Some(found) = pick(&event) {
                        return found;
                    }
                    seen.push(event);
                }
                Ok(Err(error)) => panic!("{error}; seen {seen:#?}"),
                Err(tokio::time::error::Elapsed { .. }) => panic!(
                    "the event did not come; seen {seen:#?}, now {:#?}",
                    self.supervisor.servers()
                ),
            }
        }
    }

    pub async fn started(&mut self) -> u32 {
        self.event(|event| match event.kind {
            EventKind::Started { os_pid, .. } => Some(os_pid),
            _ => None,
        })
        .await
    }

    /// Waits until the status is as wanted.
    pub async fn status(&self, name: &str, wanted: impl FnMut(&Status) -> bool) -> Status {
        let mut watch = self.supervisor.watch(&id(name)).unwrap();
        let found = tokio::time::timeout(PATIENCE, watch.wait_for(wanted)).await;
        match found {
            Ok(Ok(status)) => status.clone(),
            _ => panic!("not so: {:#?}", self.supervisor.server(&id(name))),
        }
    }

    pub async fn state(&self, name: &str, state: State) -> Status {
        self.status(name, |status| status.state == state).await
    }

    pub fn say(&self, name: &str, event: SessionEvent) {
        self.feed.session_event(&id(name), event);
    }

    /// Waits until a line of the log satisfies.
    pub async fn line(&self, name: &str, wanted: impl Fn(&str) -> bool) -> String {
        eventually(|| {
            let lines = self.supervisor.logs(&id(name), 10_000, None).unwrap();
            lines
                .into_iter()
                .map(|line| line.line)
                .find(|line| wanted(line))
        })
        .await
    }
}

/// A test that fails must not leave servers behind: their guards stop them.
impl Drop for House {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for entry in std::fs::read_dir(self.dir.join("run"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let identity = sidekick::guard::files::read_json::<sidekick::guard::files::Identity>(
                &entry.path(),
            );
            if let Some(identity) = identity {
                sidekick::guard::tree::signal(identity.guard, rustix::process::Signal::TERM);
            }
        }
    }
}

/// Tries until it gives something.
pub async fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "did not come about");
        // sleep: the pause between two looks.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A server without a session: a line of shell.
pub fn shell(name: &str, script: &str) -> ServerSpec {
    ServerSpec {
        session: false,
        stop_timeout: Duration::from_secs(2),
        ..ServerSpec::new(id(name), vec!["sh".into(), "-c".into(), script.into()])
    }
}

pub fn alive(pid: u32) -> bool {
    sidekick::guard::proc::Stat::read(pid as i32).is_some_and(|stat| stat.state != 'Z')
}

pub fn kill(pid: u32, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), signal).unwrap();
}

/// All processes of a server: they carry its mark.
pub fn marked(dir: &Path) -> Vec<u32> {
    let home = format!("HOME={}/homes/", dir.canonicalize().unwrap().display());
    sidekick::guard::proc::all()
        .into_iter()
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|env| {
                env.split(|byte| *byte == 0)
                    .any(|entry| entry.starts_with(home.as_bytes()))
            })
        })
        .map(|pid| pid as u32)
        .collect()
}

/// The same for something that has to be awaited.
pub async fn eventually_async<T, F: Future<Output = Option<T>>>(mut look: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "did not come about");
        // sleep: the pause between two looks.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
