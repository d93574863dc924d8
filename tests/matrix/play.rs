//! Plays one row and judges it.

use super::row::{Arm, Deed, Row, Scene, Then, Who};
use super::stage::{Stage, send, until};
use crate::witness;
use nix::sys::signal::Signal;
use sidekick::buffer::{Buffer, Options};
use sidekick::guard::files::Identity;
use sidekick::guard::proc::Stat;
use std::fs;
use std::process::Child;
use std::time::Duration;

/// Ticks that count as play.
const TICKS: usize = 15;

/// Plays the row; an error says what did not hold.
pub fn play(row: &Row) -> Result<(), String> {
    let mut stage = Stage::set(row);
    let mut request = None;
    let outcome = act(row, &mut stage, &mut request).and_then(|()| judge(row, &mut stage));
    if let Some(mut request) = request {
        let _ = request.kill();
        let _ = request.wait();
    }
    outcome.map_err(|error| format!("{error}\n{}", stage.log()))
}

fn act(row: &Row, stage: &mut Stage, request: &mut Option<Child>) -> Result<(), String> {
    let arm = row.arm.as_ref().map(|arm| {
        let action = if arm.kill { "kill" } else { "stop" };
        format!("{}={action}@{}", arm.point, arm.at)
    });
    // A guard has the points of the sidekick that started it, which then is the first.
    let of_guard = row
        .arm
        .as_ref()
        .is_some_and(|arm| arm.point.starts_with("guard."));
    let first = arm
        .clone()
        .filter(|_| row.scene != Scene::Adopting || of_guard);
    stage.begin(first);
    let mut game = scene(row, stage, request, arm)?;
    let paused = match &row.arm {
        Some(arm) => Some(passed(stage, arm)?),
        None => None,
    };
    if row.arm.as_ref().is_some_and(|arm| !arm.kill) {
        // The deeds are done to the process of this moment.
        game = stage.identity().or(game);
    }
    for deed in &row.deeds {
        perform(*deed, stage, game.as_ref())?;
    }
    if let Some(pid) = paused {
        send(pid, Signal::SIGCONT);
    }
    if !stage.is_alive() {
        stage.begin(None);
    }
    settle(row, stage, game.as_ref(), request)
}

/// Brings the row to its scene; gives the processes of then.
fn scene(
    row: &Row,
    stage: &mut Stage,
    request: &mut Option<Child>,
    arm: Option<String>,
) -> Result<Option<Identity>, String> {
    if row.scene == Scene::Starting {
        // An armed start may never come so far.
        return match row.arm {
            Some(_) => Ok(None),
            None => executed(stage, "").map(Some),
        };
    }
    plays(stage, 0)?;
    let game = stage.identity().ok_or("it plays without an identity")?;
    match row.scene {
        Scene::Starting | Scene::Playing => {}
        Scene::Crashing => send(game.server.pid, Signal::SIGKILL),
        Scene::Hanging => perform(Deed::Script("hang"), stage, Some(&game))?,
        Scene::Frozen => send(game.server.pid, Signal::SIGSTOP),
        Scene::Killing => {
            *request = Some(stage.ctl(&["kill", &stage.id]).spawn().unwrap());
        }
        Scene::Stopping | Scene::StoppingFrozen => {
            if row.scene == Scene::StoppingFrozen {
                send(game.server.pid, Signal::SIGSTOP);
            }
            *request = Some(stage.ctl(&["stop", &stage.id]).spawn().unwrap());
        }
        Scene::BackingOff => {
            send(game.server.pid, Signal::SIGKILL);
            // Killed before it is executed it would be a start that failed, which leaves no bundle.
            let again = executed(stage, &game.start)?;
            send(again.server.pid, Signal::SIGKILL);
            until("the pause", || {
                (stage.state()? == "backing_off").then_some(())
            })?;
        }
        Scene::Adopting => {
            let pid = stage.pid(Who::Sidekick, None)?;
            send(pid, Signal::SIGKILL);
            until("the end of the first sidekick", || {
                (!stage.is_alive()).then_some(())
            })?;
            stage.begin(arm);
        }
    }
    Ok(Some(game))
}

/// A process of the game, of another start than this one, that is no longer the stub.
fn executed(stage: &Stage, before: &str) -> Result<Identity, String> {
    until("the process of the game", || {
        let identity = stage.identity().filter(|now| now.start != before)?;
        let command = fs::read(format!("/proc/{}/cmdline", identity.server.pid)).ok()?;
        (!command.is_empty() && !command.starts_with(b"sidekick")).then_some(identity)
    })
}

/// Waits until a process has passed the point, and has died or stands still.
fn passed(stage: &mut Stage, arm: &Arm) -> Result<i32, String> {
    let (point, kill) = (arm.point, arm.kill);
    let mark = stage.path("marks").join(format!("{point}.{}", arm.at));
    let pid: i32 = until(&format!("{point} to be passed"), || {
        fs::read_to_string(&mark).ok()?.trim().parse().ok()
    })?;
    let ours = stage.pid(Who::Sidekick, None) == Ok(pid);
    until("its process to feel it", || {
        let now = Stat::read(pid).map_or('Z', |stat| stat.state);
        let felt = match (kill, ours) {
            // All threads are gone once it can be waited for.
            (true, true) => !stage.is_alive(),
            (true, false) => now == 'Z',
            (false, _) => now == 'T',
        };
        felt.then_some(pid)
    })
}

fn perform(deed: Deed, stage: &mut Stage, game: Option<&Identity>) -> Result<(), String> {
    match deed {
        Deed::Signal(whom, signal) => {
            let pids: Vec<_> = whom
                .iter()
                .map(|who| stage.pid(*who, game))
                .collect::<Result<_, _>>()?;
            for pid in pids {
                send(pid, signal);
            }
            if whom.contains(&Who::Sidekick) {
                until("the end of sidekick", || (!stage.is_alive()).then_some(()))?;
            }
        }
        Deed::Strike(whom) => {
            for who in whom {
                if let Ok(pid) = stage.pid(*who, game) {
                    send(pid, Signal::SIGKILL);
                }
            }
            if whom.contains(&Who::Sidekick) {
                until("the end of sidekick", || (!stage.is_alive()).then_some(()))?;
            }
        }
        Deed::Script(what) => {
            // Renamed into place: the game must not read half of it.
            let fresh = stage.path("orders.new");
            fs::write(&fresh, what).unwrap();
            fs::rename(&fresh, stage.path("orders")).unwrap();
        }
        Deed::Grown(count) => until("the tree to grow", || {
            (stage.processes().len() >= count).then_some(())
        })?,
        Deed::Pause(who, seconds) => {
            let pid = stage.pid(who, game)?;
            send(pid, Signal::SIGSTOP);
            // sleep: the pause itself is the fault
            std::thread::sleep(Duration::from_secs(seconds));
            send(pid, Signal::SIGCONT);
        }
        Deed::Gone => {
            let game = game.ok_or("there is no game")?;
            until("the end of the game", || {
                (!game.server.is_alive()).then_some(())
            })?;
        }
    }
    Ok(())
}

/// More than a few ticks after those are acknowledged.
fn plays(stage: &Stage, after: usize) -> Result<(), String> {
    until("play", || (stage.acked() >= after + TICKS).then_some(()))
}

/// Waits until it is as it must become.
fn settle(
    row: &Row,
    stage: &mut Stage,
    game: Option<&Identity>,
    request: &mut Option<Child>,
) -> Result<(), String> {
    if let Then::Stays(state) = row.then {
        return until(&format!("the state {state}"), || {
            (stage.state()? == state).then_some(())
        });
    }
    if let Some(mut request) = request.take() {
        let _ = request.wait();
    }
    let answer = until("an answer", || {
        stage.state().filter(|state| state != "stopping")
    })?;
    if answer == "stopped" {
        stage.ctl(&["start", &stage.id]).output().unwrap();
    }
    let same = |now: &Identity| game.is_some_and(|game| game.server == now.server);
    let identity = until("the process of the game", || {
        stage.identity().filter(|now| match row.then {
            Then::PlaysAgain => !same(now) && now.server.is_alive(),
            _ => now.server.is_alive(),
        })
    })?;
    until("the state running", || {
        (stage.state()? == "running").then_some(())
    })?;
    plays(stage, stage.acked())?;
    let now = stage.identity().ok_or("it plays without an identity")?;
    match row.then {
        Then::PlaysOn if game.is_some() && !same(&now) => {
            Err(format!("{identity:?} took the place of {game:?}"))
        }
        _ => Ok(()),
    }
}

/// What must hold of every row.
fn judge(row: &Row, stage: &mut Stage) -> Result<(), String> {
    // A bundle is written beside the restart.
    if let Some(wanted) = row.reasons {
        let complete = until("the bundles", || {
            (stage.reasons().len() >= wanted.len()).then_some(())
        });
        let reasons = stage.reasons();
        if reasons != wanted {
            return Err(format!(
                "bundles say {reasons:?}, not {wanted:?} ({complete:?})"
            ));
        }
    }
    let code = stage.end()?;
    if code != Some(0) {
        return Err(format!("sidekick ended with {code:?}"));
    }
    if stage.log().contains("panicked") {
        return Err("sidekick panicked".into());
    }
    until("the guard to end", || {
        stage.processes().is_empty().then_some(())
    })
    .map_err(|_| format!("left over: {:?}", stage.processes()))?;
    data(stage)
}

/// Nothing acknowledged is lost and play went on where it was.
fn data(stage: &Stage) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let options = Options::new(stage.path("var/buffer"));
        let buffer = tokio::task::spawn_blocking(move || Buffer::open(options)).await;
        let buffer = buffer
            .unwrap()
            .map_err(|error| format!("the buffer does not open: {error}"))?;
        let events =
            match buffer.stream(&format!("{}/match", stage.id).as_str().try_into().unwrap()) {
                Some(_) => witness::events(&buffer, &format!("{}/match", stage.id)).await,
                None => Vec::new(),
            };
        let judged = witness::judge(&stage.told(), &events);
        buffer.close().await;
        judged.map(drop)
    })
}
