//! Promise: what a real Godot was told is durable is there after its death and after ours, once each and in order, and
//! play resumes where it was acknowledged.
#![allow(clippy::unwrap_used)]

#[path = "support/godot.rs"]
mod godot;
#[path = "support/session.rs"]
#[allow(dead_code, reason = "shared with tests/session_protocol.rs")]
mod session;
#[path = "support/witness.rs"]
mod witness;

use session::Stage;
use sidekick::etf::{self, Term};
use sidekick::godot::{ScriptError, SessionLimits};
use sidekick::ports::{Activation, SessionEvent, Sessions as _};
use std::collections::HashMap;
use std::process::{Child, ExitStatus};
use std::time::Duration;
use witness::{Line, field};

/// The demo game under a stage, killed when dropped.
struct Game {
    child: Child,
}

impl Game {
    fn start(stage: &Stage, activation: &Activation) -> Self {
        let mut command = godot::command(&godot::repository("godot/demo"), stage.dir.path());
        command.envs(stage.sessions.environment(&stage.server, activation));
        command.env("DEMO_WITNESS", stage.dir.path().join("witness"));
        Self {
            child: command.spawn().unwrap(),
        }
    }

    fn ends(&mut self) -> ExitStatus {
        let what = || "the game does not end".to_owned();
        tokio::task::block_in_place(|| godot::until(what, || self.child.try_wait().unwrap()))
    }
}

impl Drop for Game {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(stage: &Stage, kind: &str) -> Vec<Line> {
    witness::lines_of(&stage.dir.path().join("witness"), kind)
}

fn until_acked(stage: &Stage, count: usize) -> Line {
    until_lines(stage, "acked", count).pop().unwrap()
}

fn until_restored(stage: &Stage, count: usize) -> Line {
    until_lines(stage, "restored", count)[count - 1].clone()
}

fn until_lines(stage: &Stage, kind: &str, count: usize) -> Vec<Line> {
    let what = || {
        format!(
            "fewer than {count} lines {kind}: {}",
            godot::output(stage.dir.path())
        )
    };
    let look = || Some(lines(stage, kind)).filter(|lines| lines.len() >= count);
    tokio::task::block_in_place(|| godot::until(what, look))
}

/// Counts from outside. Gives the worlds' hashes by tick.
async fn assert_whole(stage: &Stage) -> HashMap<u64, String> {
    // First what was told, then what is there: the game may be playing on.
    let told = witness::lines(&stage.dir.path().join("witness"));
    let events = witness::events(&stage.buffer, "lobby/match").await;
    witness::judge(&told, &events).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_game_goes_on_where_it_was_acknowledged() {
    let stage = Stage::open(false, SessionLimits::default()).await;
    let mut played = 0;
    for round in 1..=3 {
        let activation = stage.activate(&format!("secret {round}")).await;
        let mut game = Game::start(&stage, &activation);
        let restored = until_restored(&stage, round);
        assert_eq!(restored.fields["verified"], "true");
        assert_eq!(restored.number("epoch"), round as u64);
        assert_eq!(restored.number("first_tick"), restored.number("tick") + 1);
        let mut earlier = lines(&stage, "acked");
        earlier.retain(|line| line.number("epoch") < round as u64);
        if let Some(last) = earlier.last() {
            assert!(
                restored.number("tick") >= last.number("tick"),
                "{restored:?} after {last:?}"
            );
            let hashes = assert_whole(&stage).await;
            assert_eq!(hashes[&restored.number("tick")], restored.fields["hash"]);
        }
        played += 40 + 7 * round;
        until_acked(&stage, played);
        // SIGKILL, in the middle of whatever it does.
        game.child.kill().unwrap();
        game.ends();
        stage.sessions.close(&stage.server);
        let closed = |events: &[SessionEvent]| {
            events
                .iter()
                .filter(|event| **event == SessionEvent::Closed)
                .count()
                == round
        };
        stage.witness.until("close", closed).await;
        played = lines(&stage, "acked").len();
    }
    assert_whole(&stage).await;
    let said = godot::output(stage.dir.path());
    assert!(!said.contains("ERROR"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_game_outlives_the_session_server_and_loses_nothing() {
    let mut stage = Stage::open(false, SessionLimits::default()).await;
    let activation = stage.activate("secret").await;
    let game = Game::start(&stage, &activation);
    for round in 1..=3 {
        until_acked(&stage, 50 * round);
        stage.restart(&activation).await;
        let resumed = |event: &&SessionEvent| matches!(event, SessionEvent::Hello { resumed: true, epoch: 1, os_pid, .. } if *os_pid == game.child.id());
        let count = |events: &[SessionEvent]| events.iter().filter(resumed).count() == round;
        stage.witness.until("return", count).await;
    }
    until_acked(&stage, 200);
    drop(game);
    assert_eq!(
        lines(&stage, "restored").len(),
        1,
        "it went on, it was not restored"
    );
    let acked = lines(&stage, "acked");
    let batches: Vec<u64> = acked.iter().map(|line| line.number("batch")).collect();
    assert_eq!(batches, (1..=acked.len() as u64).collect::<Vec<_>>());
    let said = godot::output(stage.dir.path());
    assert!(!said.contains("ERROR"), "{said}");
    assert_whole(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_answer_calls_and_make_them() {
    let stage = Stage::open(true, SessionLimits::default()).await;
    let activation = stage.activate("secret").await;
    let _game = Game::start(&stage, &activation);
    until_acked(&stage, 10);
    let ask = |term: Term| {
        stage
            .sessions
            .call(&stage.server, term, Duration::from_secs(5))
    };

    let status = ask(Term::tuple([Term::atom("tick")])).await.unwrap();
    assert!(field(&status, "tick").as_u64().unwrap() >= 10, "{status}");
    let vector = Term::tuple([
        Term::atom("godot"),
        Term::atom("vector3i"),
        Term::Int(1),
        Term::Int(-2),
        Term::Int(3),
    ]);
    let echoed = ask(Term::tuple([Term::atom("echo"), vector.clone()]))
        .await
        .unwrap();
    assert_eq!(echoed, vector);
    let through = |name: &str| {
        Term::list([
            Term::text("ask"),
            Term::text(name),
            Term::text("a@b"),
            Term::Float(f64::NAN),
        ])
    };
    let nan = Term::list([
        Term::text("ask"),
        Term::text("p"),
        Term::text("a@b"),
        Term::Int(5),
    ]);
    assert_eq!(field(&ask(nan).await.unwrap(), "value"), Term::Int(5));
    assert_eq!(
        field(&ask(through("nobody")).await.unwrap(), "error"),
        Term::text("no_proc")
    );
    assert_eq!(
        ask(Term::text("nonsense")).await.unwrap().to_string(),
        "{error,unknown_request}"
    );
    let pid = etf::Pid {
        node: etf::Atom::new("a@b"),
        id: 1,
        serial: 2,
        creation: 3,
    };
    let refused = ask(Term::list([Term::Pid(pid)])).await.unwrap_err();
    assert!(matches!(&refused, ScriptError::Unsupported { path, .. } if path.to_string() == "[0]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_script_times_out_and_its_death_ends_the_session() {
    let stage = Stage::open(false, SessionLimits::default()).await;
    let activation = stage.activate("secret").await;
    let mut game = Game::start(&stage, &activation);
    until_acked(&stage, 10);
    let ask = |term: Term| {
        stage
            .sessions
            .call(&stage.server, term, Duration::from_secs(5))
    };
    let slow = stage
        .sessions
        .call(&stage.server, Term::atom("hang"), Duration::from_secs(5))
        .await;
    assert_eq!(slow.unwrap(), Term::atom("ok"));
    // It answers until its next tick, in which it hangs.
    let silent = loop {
        let patience = Duration::from_millis(300);
        let tick = Term::atom("tick");
        match stage.sessions.call(&stage.server, tick, patience).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(silent, ScriptError::Timeout), "{silent:?}");
    game.child.kill().unwrap();
    game.ends();
    stage.sessions.close(&stage.server);
    stage
        .witness
        .until("close", |events| {
            events.last() == Some(&SessionEvent::Closed)
        })
        .await;
    assert!(matches!(
        ask(Term::atom("tick")).await,
        Err(ScriptError::NotConnected)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_game_that_was_followed_ends_itself() {
    let stage = Stage::open(false, SessionLimits::default()).await;
    let first = stage.activate("first").await;
    let mut old = Game::start(&stage, &first);
    until_acked(&stage, 20);
    stage.activate("second").await;
    assert_eq!(old.ends().code(), Some(70));
    assert!(godot::output(stage.dir.path()).contains("stale_epoch"));
    assert_whole(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_game_saves_and_ends() {
    let stage = Stage::open(false, SessionLimits::default()).await;
    let activation = stage.activate("secret").await;
    let mut game = Game::start(&stage, &activation);
    stage
        .witness
        .until("play", |events| {
            let playing = events
                .iter()
                .any(|e| matches!(e, SessionEvent::Playing { tick: 1 }));
            let beats = events
                .iter()
                .filter(|e| matches!(e, SessionEvent::Beat(_)))
                .count();
            playing && beats >= 3 && events.contains(&SessionEvent::Ready)
        })
        .await;
    until_acked(&stage, 40);
    assert!(stage.sessions.drain(&stage.server, Duration::from_secs(5)));
    assert_eq!(game.ends().code(), Some(0));
    stage
        .witness
        .until("drained", |events| events.contains(&SessionEvent::Drained))
        .await;
    stage
        .witness
        .until("close", |events| {
            events.last() == Some(&SessionEvent::Closed)
        })
        .await;
    let restored = stage.buffer.restore(&stage.server.scope()).await.unwrap();
    assert!(
        restored.tail.is_empty(),
        "the last batch held the whole state"
    );
    assert_whole(&stage).await;
}
