//! Promise: a standby is held until its token is that of an activation, and from that moment nobody else writes.
#![allow(clippy::unwrap_used)]

#[path = "support/player.rs"]
#[allow(dead_code, reason = "shared with tests/session_protocol.rs")]
mod player;
#[path = "support/session.rs"]
#[allow(dead_code, reason = "shared with tests/godot_session.rs")]
mod session;

use player::{Player, batch, hello, number};
use session::Stage;
use sidekick::godot::SessionLimits;
use sidekick::ports::{Activation, SessionEvent, Sessions as _};
use sidekick::types::{StreamName, Token};

async fn stage() -> Stage {
    Stage::open(false, SessionLimits::default()).await
}

async fn waiting(stage: &Stage, secret: &str, count: usize) -> Player {
    let mut standby = Player::connect(stage).await;
    standby.say(hello("lobby", secret, 0, false)).await;
    let waits = |event: &&SessionEvent| matches!(event, SessionEvent::StandbyHello { os_pid: 1 });
    let enough = |events: &[SessionEvent]| events.iter().filter(waits).count() == count;
    stage.witness.until("standby", enough).await;
    standby
}

#[tokio::test(flavor = "multi_thread")]
async fn its_welcome_comes_with_its_epoch_and_the_one_before_writes_nothing_after_that() {
    let stage = stage().await;
    stage.activate("first").await;
    let (mut old, _) = Player::join(&stage, "first", false).await;
    old.say(batch(1)).await;
    old.acked(1).await;
    let token = Token::new("second");
    stage.sessions.stand_by(&stage.server, Some(&token));
    let mut standby = waiting(&stage, "second", 1).await;
    // It changes nothing for the one that plays.
    old.say(batch(2)).await;
    old.acked(2).await;

    let scope = stage.server.scope();
    let epoch = stage.buffer.activate(&scope, token.clone()).await.unwrap();
    // Durable, and nobody was told yet: the old one is fenced already.
    old.say(batch(3)).await;
    assert_eq!(old.refused().await, ("stale_epoch".to_owned(), false));
    let activation = Activation { epoch, token };
    stage.sessions.expect(&stage.server, &activation);
    let welcome = standby.hear_type("welcome").await;
    let told = ["epoch", "batch", "last_epoch", "last_batch"].map(|name| number(&welcome, name));
    assert_eq!(told, [2, 0, 1, 2]);
    standby.hear_type("restored").await;
    standby.say(batch(1)).await;
    standby.acked(1).await;
    let mut again = Player::connect(&stage).await;
    again.say(hello("lobby", "first", 1, true)).await;
    assert_eq!(again.refused().await, ("stale_epoch".to_owned(), false));
    let stream = StreamName::try_from("events").unwrap();
    let kept = stage.buffer.read(&stream, 1, 10, 1 << 20).await.unwrap();
    assert_eq!(kept.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_comes_again_waits_again_and_one_that_is_not_wanted_is_sent_away() {
    let stage = stage().await;
    stage.activate("first").await;
    let token = Token::new("second");
    stage.sessions.stand_by(&stage.server, Some(&token));
    drop(waiting(&stage, "second", 1).await);
    let closed = |events: &[SessionEvent]| events.contains(&SessionEvent::StandbyClosed);
    stage.witness.until("end", closed).await;
    let mut standby = waiting(&stage, "second", 2).await;
    // The same process, whose connection was half dead: the newest one waits.
    let mut newest = waiting(&stage, "second", 3).await;
    assert_eq!(standby.refused().await, ("unauthorized".to_owned(), false));
    stage.sessions.stand_by(&stage.server, None);
    assert_eq!(newest.refused().await, ("unauthorized".to_owned(), false));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_waits_when_sidekick_ends_is_told_nothing_so_that_it_comes_again() {
    let mut stage = stage().await;
    let first = stage.activate("first").await;
    let token = Token::new("second");
    stage.sessions.stand_by(&stage.server, Some(&token));
    let mut standby = waiting(&stage, "second", 1).await;
    stage.restart(&first).await;
    assert!(standby.hear().await.is_none());
    stage.sessions.stand_by(&stage.server, Some(&token));
    waiting(&stage, "second", 2).await;
}
