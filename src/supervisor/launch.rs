//! One start: checks, guard, epoch, command.
//!
//! The guard gets ready while the last words of the old session are read and the new epoch is made durable: both take
//! milliseconds, and players wait for them.

use super::cgroups::Base;
use super::check::{self, Checked};
use super::context::Context;
use super::link::Link;
use super::slot::Slot;
use super::spec::ServerSpec;
use super::{adopt, contain};
use crate::failpoints;
use crate::guard::LogBounds;
use crate::guard::cgroup::CgroupPlan;
use crate::guard::clock::monotonic_ns;
use crate::guard::files::make_private_dir;
use crate::guard::privs::Privs;
use crate::guard::proc::ProcessId;
use crate::guard::protocol::{FromGuard, Prepare, Start, ToGuard};
use crate::guard::tree::MARK;
use crate::ports::Activation;
use crate::types::Token;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long the guard of the start before may take to kill what its server left.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// How long a guard may take for its answers.
const ANSWER: Duration = Duration::from_secs(15);
/// Tells a process that the answer to its `hello` may take long.
const STANDBY: &str = "SIDEKICK_STANDBY";
/// How long the old session may take to be read to its end before it is fenced.
const OLD_SESSION: Duration = Duration::from_millis(50);

/// A process that was executed.
pub struct Launched {
    /// Its guard.
    pub link: Link,
    /// The process.
    pub server: ProcessId,
    /// Random name of the start.
    pub start: String,
    /// When it was executed, monotonic nanoseconds.
    pub at_ns: u64,
    /// Its place in the run directory.
    pub slot: Slot,
    /// Its activation (sessions only; a standby has none yet).
    pub activation: Option<Activation>,
    /// What no line may show.
    pub secrets: Vec<String>,
    /// Something an operator should know.
    pub warning: Option<String>,
}

/// What is known before the guard is started.
struct Ready {
    checked: Checked,
    privs: Privs,
    cgroup: Option<Base>,
}

/// Kept by the guard in memory, given to the sidekick that adopts: specs that stand in no configuration survive so.
#[derive(Serialize, Deserialize)]
pub struct Note {
    /// The spec of the start.
    pub spec: ServerSpec,
    /// It came from the configuration, not from a request.
    pub configured: bool,
    /// The token of a standby: a later sidekick knows by it whether the process was promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby: Option<String>,
}

/// What a process is started as.
pub enum Part {
    /// It plays. The channel tells whether the session of the process before is still being read.
    Player(watch::Receiver<bool>),
    /// It waits until a token that it is given here is that of an activation.
    Standby(Token),
}

/// Starts it in that place.
///
/// # Errors
/// One clear message with the remedy; nothing runs then.
pub async fn launch(
    context: Arc<Context>,
    mut note: Note,
    slot: Slot,
    part: Part,
) -> Result<Launched, String> {
    if let Part::Standby(token) = &part {
        note.standby = Some(token.expose().to_owned());
    }
    let spec = &note.spec;
    let start = uuid::Uuid::new_v4().simple().to_string();
    // Both places share it: what a game keeps there is found by whoever plays.
    let home = context.options.home_dir.join(spec.id.as_str());
    let spawned = spawn_guard(context.clone(), spec.clone(), slot, home.clone());
    let (mut link, ready) = spawned.await?;
    failpoints::hit("supervisor.guard_spawned");
    let Ready {
        checked,
        privs,
        cgroup,
    } = ready;
    let cgroup = cgroup.map(|base| base.plan(spec.id.as_str(), &start, &spec.contain.limits));
    let prepare = prepare(&context, spec, slot, &start, cgroup);
    let prepared = async {
        link.send(&ToGuard::Prepare(prepare))
            .await
            .map_err(|error| guard_gone(&error))?;
        match tokio::time::timeout(ANSWER, link.recv()).await {
            Ok(Some(FromGuard::Prepared { pid })) => Ok(process(pid)),
            Ok(Some(FromGuard::Failed { message })) => Err(message),
            Ok(other) => Err(guard_gone(&format!("{other:?}"))),
            Err(_) => Err("the guard does not answer".to_owned()),
        }
    };
    let (server, admitted) = tokio::try_join!(prepared, admit(&context, spec, part))?;
    failpoints::hit("supervisor.activated");
    let mut env = check::environment(spec, &home);
    env.extend(admitted.env);
    env.push((MARK.to_owned(), start.clone()));
    let activation = admitted.activation;
    let_in(&context, &env, &privs)?;
    let secrets = contain::secrets(&env, &spec.contain);
    let message = ToGuard::Start(Start {
        program: checked.program,
        args: spec.command.clone(),
        env,
        directory: spec.directory.clone(),
        privs,
        epoch: activation.as_ref().map(|activation| activation.epoch),
        note: note.text(),
    });
    let sent = link.send(&message).await;
    failpoints::hit("supervisor.start_sent");
    match tokio::time::timeout(ANSWER, link.recv()).await {
        Ok(Some(FromGuard::Spawned { at_ns, .. })) => Ok(Launched {
            link,
            server,
            start,
            at_ns,
            slot,
            activation,
            secrets,
            warning: checked.warning,
        }),
        Ok(Some(FromGuard::Failed { message })) => Err(message),
        other => {
            // The server may have run for a moment, and the guard can no longer clean up after it.
            drop(link);
            adopt::sweep(server, &start).await;
            Err(guard_gone(&format!("{sent:?}, {other:?}")))
        }
    }
}

/// What a process needs for its session.
#[derive(Default)]
struct Admitted {
    activation: Option<Activation>,
    env: Vec<(String, String)>,
}

/// Makes the next epoch for one that plays, opens the door for one that waits.
async fn admit(context: &Context, spec: &ServerSpec, part: Part) -> Result<Admitted, String> {
    if !spec.session {
        return Ok(Admitted::default());
    }
    match part {
        Part::Player(session_open) => {
            read_out(session_open).await;
            let activation = context.activations.activate(&spec.id).await;
            let activation = activation.map_err(|error| error.to_string())?;
            context.sessions.expect(&spec.id, &activation);
            let env = context.sessions.environment(&spec.id, &activation);
            let activation = Some(activation);
            Ok(Admitted { activation, env })
        }
        Part::Standby(token) => {
            context.sessions.stand_by(&spec.id, Some(&token));
            let waiting = Activation { epoch: 0, token };
            let mut env = context.sessions.environment(&spec.id, &waiting);
            env.push((STANDBY.to_owned(), "1".to_owned()));
            let activation = None;
            Ok(Admitted { activation, env })
        }
    }
}

/// A server of another user may come to the session socket.
fn let_in(context: &Context, env: &[(String, String)], privs: &Privs) -> Result<(), String> {
    let Some(user) = &privs.user else {
        return Ok(());
    };
    context.sessions.admit(user.uid);
    match env.iter().find(|(name, _)| name == "SIDEKICK_SOCKET") {
        Some((_, socket)) => contain::passable(Path::new(socket), user),
        None => Ok(()),
    }
}

/// What the old session had sent counts, if it comes soon.
async fn read_out(mut session_open: watch::Receiver<bool>) {
    let closed = session_open.wait_for(|open| !open);
    let _ = tokio::time::timeout(OLD_SESSION, closed).await;
}

/// A standby that is ready becomes the owner of its server's scope: durable before it hears of it, from when on what the process
/// before still writes is refused.
///
/// # Errors
/// A message with the remedy, and the link, for the process is there still.
pub async fn promote(
    context: Arc<Context>,
    note: Note,
    mut standby: Launched,
    token: Token,
    session_open: watch::Receiver<bool>,
) -> Result<Launched, (String, Launched)> {
    let id = note.spec.id.clone();
    read_out(session_open).await;
    let activation = match context.activations.promote(&id, token).await {
        Ok(activation) => activation,
        Err(error) => return Err((error.to_string(), standby)),
    };
    context.sessions.expect(&id, &activation);
    let told = ToGuard::Promote {
        epoch: activation.epoch,
        note: note.text(),
    };
    // An error means that the guard is gone, which its link tells too.
    let _ = standby.link.send(&told).await;
    standby.activation = Some(activation);
    standby.at_ns = monotonic_ns();
    Ok(standby)
}

impl Note {
    /// As guards keep it.
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The process of that number. One that is already gone again has no start time to read; its end is on its way.
fn process(pid: i32) -> ProcessId {
    ProcessId::of(pid).unwrap_or(ProcessId { pid, start_time: 0 })
}

fn guard_gone(what: &dyn std::fmt::Display) -> String {
    format!("the guard process ended before the server was started ({what})")
}

/// Forking blocks for a millisecond: not on a thread that serves sockets.
async fn spawn_guard(
    context: Arc<Context>,
    spec: ServerSpec,
    slot: Slot,
    home: PathBuf,
) -> Result<(Link, Ready), String> {
    let work = move || {
        let checked = check::check(&spec)?;
        make_private_dir(&home).map_err(|error| {
            format!(
                "cannot make the home directory {} ({error}); make it writable for this user",
                home.display()
            )
        })?;
        let privs = contain::privs(&spec.contain)?;
        if let Some(user) = &privs.user {
            contain::give_home(&home, user)?;
        }
        let controllers = spec.contain.limits.controllers();
        let cgroup = controllers
            .map(|controllers| context.cgroups(&controllers))
            .transpose()?;
        let exe = context.options.exe.display();
        let name = slot.name(spec.id.as_str());
        let link = Link::spawn(&context.options, &name).map_err(|error| {
            format!("cannot start a guard from {exe} ({error}); is sidekick still installed there?")
        })?;
        Ok((
            link,
            Ready {
                checked,
                privs,
                cgroup,
            },
        ))
    };
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err("the supervisor is ending".to_owned()))
}

fn prepare(
    context: &Context,
    spec: &ServerSpec,
    slot: Slot,
    start: &str,
    cgroup: Option<CgroupPlan>,
) -> Prepare {
    let limits = context.options.logs;
    Prepare {
        id: slot.name(spec.id.as_str()),
        start: start.to_owned(),
        run_dir: context.options.run_dir.clone(),
        stdout: context.log_file(&spec.id, slot, "stdout"),
        stderr: context.log_file(&spec.id, slot, "stderr"),
        logs: LogBounds {
            bytes: spec.contain.log_bytes.unwrap_or(limits.bytes),
            age_ms: spec.contain.log_age.unwrap_or(limits.age).as_millis() as u64,
        },
        cgroup,
        on_exit: spec.on_exit,
        grace_ms: spec.stop_timeout.as_millis() as u64,
        lock_wait_ms: LOCK_WAIT.as_millis() as u64,
    }
}
