//! One start: checks, guard, epoch, command.
//!
//! The guard gets ready while the last words of the old session are read and the new epoch is made durable: both take
//! milliseconds, and players wait for them.

use super::cgroups::Base;
use super::check::{self, Checked};
use super::context::Context;
use super::link::Link;
use super::spec::ServerSpec;
use super::{adopt, contain};
use crate::failpoints;
use crate::guard::LogBounds;
use crate::guard::cgroup::CgroupPlan;
use crate::guard::files::make_private_dir;
use crate::guard::privs::Privs;
use crate::guard::proc::ProcessId;
use crate::guard::protocol::{FromGuard, Prepare, Start, ToGuard};
use crate::guard::tree::MARK;
use crate::ports::Activation;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long the guard of the start before may take to kill what its server left.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// How long a guard may take for its answers.
const ANSWER: Duration = Duration::from_secs(15);
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
    /// Its activation (sessions only).
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
}

/// Starts it. `session_open` tells whether the session of the process before is still being read.
///
/// # Errors
/// One clear message with the remedy; nothing runs then.
pub async fn launch(
    context: Arc<Context>,
    note: Note,
    mut session_open: watch::Receiver<bool>,
) -> Result<Launched, String> {
    let spec = &note.spec;
    let start = uuid::Uuid::new_v4().simple().to_string();
    let home = context.options.home_dir.join(spec.id.as_str());
    let (mut link, checked) = spawn_guard(context.clone(), spec.clone(), home.clone()).await?;
    failpoints::hit("supervisor.guard_spawned");
    let Ready {
        checked,
        privs,
        cgroup,
    } = checked;
    let cgroup = cgroup.map(|base| base.plan(spec.id.as_str(), &start, &spec.contain.limits));
    let prepare = prepare(&context, spec, &start, cgroup);
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
    let activated = async {
        if !spec.session {
            return Ok(None);
        }
        let closed = session_open.wait_for(|open| !open);
        let _ = tokio::time::timeout(OLD_SESSION, closed).await;
        context
            .activations
            .activate(&spec.id)
            .await
            .map(Some)
            .map_err(|error| error.to_string())
    };
    let (server, activation) = tokio::try_join!(prepared, activated)?;
    failpoints::hit("supervisor.activated");
    let env = environment(&context, spec, &home, activation.as_ref(), &privs, &start)?;
    let secrets = contain::secrets(&env, &spec.contain);
    let message = ToGuard::Start(Start {
        program: checked.program,
        args: spec.command.clone(),
        env,
        directory: spec.directory.clone(),
        privs,
        epoch: activation.as_ref().map(|activation| activation.epoch),
        note: serde_json::to_string(&note).unwrap_or_default(),
    });
    let sent = link.send(&message).await;
    failpoints::hit("supervisor.start_sent");
    match tokio::time::timeout(ANSWER, link.recv()).await {
        Ok(Some(FromGuard::Spawned { at_ns, .. })) => Ok(Launched {
            link,
            server,
            start,
            at_ns,
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

/// The whole environment; opens the door for the session on the way.
fn environment(
    context: &Context,
    spec: &ServerSpec,
    home: &Path,
    activation: Option<&Activation>,
    privs: &Privs,
    start: &str,
) -> Result<Vec<(String, String)>, String> {
    let mut env = check::environment(spec, home);
    if let Some(activation) = activation {
        context.sessions.expect(&spec.id, activation);
        env.extend(context.sessions.environment(&spec.id, activation));
    }
    env.push((MARK.to_owned(), start.to_owned()));
    if let Some(user) = &privs.user {
        context.sessions.admit(user.uid);
        if let Some((_, socket)) = env.iter().find(|(name, _)| name == "SIDEKICK_SOCKET") {
            contain::passable(Path::new(socket), user)?;
        }
    }
    Ok(env)
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
        let link = Link::spawn(&context.options, spec.id.as_str()).map_err(|error| {
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
    start: &str,
    cgroup: Option<CgroupPlan>,
) -> Prepare {
    let limits = context.options.logs;
    Prepare {
        id: spec.id.to_string(),
        start: start.to_owned(),
        run_dir: context.options.run_dir.clone(),
        stdout: context.log_file(&spec.id, "stdout"),
        stderr: context.log_file(&spec.id, "stderr"),
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
