//! Promise: whatever a game process sends, or leaves unsent, a session acknowledges only what is on disk, applies
//! nothing twice, and ends with one clear word instead of harm. The games here are written in Rust, to misbehave exactly.
#![allow(clippy::unwrap_used)]

#[path = "support/player.rs"]
mod player;
#[path = "support/session.rs"]
#[allow(dead_code, reason = "shared with tests/godot_session.rs")]
mod session;

use bytes::Bytes;
use player::{Player, batch, batch_of, bytes, hello, number};
use session::Stage;
use sidekick::buffer::{Limit, Options, SinkRule, Start, StreamRule, WhenFull};
use sidekick::godot::frame::frame;
use sidekick::godot::variant::Variant;
use sidekick::godot::{SessionError, SessionLimits};
use sidekick::ports::{SessionEvent, Sessions as _};
use sidekick::types::{SinkName, StreamName};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

async fn count(stage: &Stage) -> usize {
    let stream = StreamName::try_from("events").unwrap();
    stage
        .buffer
        .read(&stream, 1, 100_000, 64 << 20)
        .await
        .map_or(0, |records| records.len())
}

async fn stage() -> Stage {
    Stage::open(false, SessionLimits::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_expected_process_is_let_in() {
    let limits = SessionLimits {
        hello_timeout: Duration::from_millis(200),
        ..SessionLimits::default()
    };
    let stage = Stage::open(false, limits).await;
    stage.activate("first").await;
    stage.activate("second").await;
    for (message, code, retry) in [
        (hello("arena", "second", 0, false), "unknown_server", true),
        (
            hello("Not An Id", "second", 0, false),
            "unknown_server",
            false,
        ),
        (hello("lobby", "first", 0, false), "unauthorized", false),
        (hello("lobby", "", 2, false), "unauthorized", false),
        (hello("lobby", "second", 3, true), "unauthorized", false),
        (hello("lobby", "first", 1, true), "stale_epoch", false),
        (batch(1), "protocol", false),
        (Variant::Int(1), "protocol", false),
    ] {
        let mut player = Player::connect(&stage).await;
        player.say(message.clone()).await;
        assert_eq!(
            player.refused().await,
            (code.to_owned(), retry),
            "{message:?}"
        );
        assert!(player.hear().await.is_none());
    }
    let mut silent = Player::connect(&stage).await;
    assert_eq!(silent.refused().await, ("protocol".to_owned(), true));
    let mut noise = Player::connect(&stage).await;
    noise.sink.write_all(&[255; 64]).await.unwrap();
    assert_eq!(noise.refused().await.0, "protocol");
    assert!(stage.witness.events().is_empty());
    assert!(
        Player::join(&stage, "second", false)
            .await
            .1
            .get("restore")
            .is_some()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_sent_again_are_acknowledged_and_not_applied_again() {
    let stage = stage().await;
    stage.activate("secret").await;
    let (mut player, welcome) = Player::join(&stage, "secret", false).await;
    assert_eq!(
        (number(&welcome, "epoch"), number(&welcome, "batch")),
        (1, 0)
    );
    for number in 1..=20 {
        player.say(batch(number)).await;
    }
    player.acked(20).await;
    assert_eq!(count(&stage).await, 20);
    drop(player);

    let (mut player, welcome) = Player::join(&stage, "secret", true).await;
    assert_eq!(number(&welcome, "batch"), 20);
    for number in 18..=25 {
        player.say(batch(number)).await;
    }
    player.acked(25).await;
    assert_eq!(count(&stage).await, 25);
    player.say(batch(27)).await;
    assert_eq!(player.refused().await, ("batch_gap".to_owned(), true));
    assert_eq!(count(&stage).await, 25);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_before_death_is_kept() {
    let stage = stage().await;
    stage.activate("secret").await;
    let (mut player, _) = Player::join(&stage, "secret", false).await;
    let sent: Vec<u8> = (1..=500).flat_map(|number| frame(&batch(number))).collect();
    player.sink.write_all(&sent).await.unwrap();
    drop(player);
    stage.sessions.close(&stage.server);
    stage
        .witness
        .until("close", |events| {
            events.last() == Some(&SessionEvent::Closed)
        })
        .await;
    assert_eq!(count(&stage).await, 500);
    stage.activate("next").await;
    let (_, welcome) = Player::join(&stage, "next", false).await;
    let last = (
        number(&welcome, "last_epoch"),
        number(&welcome, "last_batch"),
    );
    assert_eq!((number(&welcome, "batch"), last), (0, (1, 500)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_hello_waits_until_the_first_session_has_settled() {
    let stage = stage().await;
    stage.activate("secret").await;
    let (mut first, _) = Player::join(&stage, "secret", false).await;
    let sent: Vec<u8> = (1..=100).flat_map(|number| frame(&batch(number))).collect();
    first.sink.write_all(&sent).await.unwrap();
    let (_second, welcome) = Player::join(&stage, "secret", true).await;
    assert_eq!(number(&welcome, "batch"), 100);
    let events = stage.witness.events();
    let kinds: Vec<_> = events
        .iter()
        .map(|event| matches!(event, SessionEvent::Closed))
        .collect();
    assert_eq!(kinds, [false, true, false], "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn restore_gives_state_and_the_tail_after_it() {
    let stage = stage().await;
    stage.activate("secret").await;
    let (mut player, _) = Player::join(&stage, "secret", false).await;
    assert!(
        player
            .hear_type("state")
            .await
            .get("entries")
            .unwrap()
            .as_array()
            .unwrap()
            .is_empty()
    );
    player.hear_type("restored").await;
    player.say(batch(1)).await;
    let big = Variant::text("x".repeat(300_000));
    let put = vec![
        Variant::text("world"),
        bytes(&Variant::Int(5)),
        Variant::text("big"),
        bytes(&big),
    ];
    player
        .say(Variant::record([
            ("type", Variant::text("batch")),
            ("batch", Variant::Int(2)),
            ("put", Variant::array(put)),
            ("delete", Variant::array(vec![Variant::text("gone")])),
        ]))
        .await;
    for number in 3..=5 {
        player.say(batch(number)).await;
    }
    player.acked(5).await;

    stage.activate("next").await;
    let (mut player, _) = Player::join(&stage, "next", false).await;
    let (mut entries, mut tail) = (Vec::new(), Vec::new());
    loop {
        let message = player.hear().await.unwrap();
        match message.get("type").and_then(Variant::as_str).unwrap() {
            "state" => {
                entries.extend_from_slice(message.get("entries").unwrap().as_array().unwrap());
            }
            "tail" => tail.extend_from_slice(message.get("events").unwrap().as_array().unwrap()),
            "restored" => break,
            other => panic!("{other}"),
        }
    }
    let mut keys: Vec<_> = entries
        .chunks(2)
        .map(|pair| pair[0].as_str().unwrap())
        .collect();
    keys.sort_unstable();
    assert_eq!(keys, ["big", "world"]);
    assert!(entries.contains(&Variant::Int(5)) && entries.contains(&big));
    let values: Vec<_> = tail
        .iter()
        .map(|event| event.as_array().unwrap()[3].clone())
        .collect();
    assert_eq!(values, [Variant::Int(3), Variant::Int(4), Variant::Int(5)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_plain_data_is_named_and_the_rest_is_kept() {
    let stage = stage().await;
    stage.activate("secret").await;
    let (mut player, _) = Player::join(&stage, "secret", false).await;
    let object = Variant::Bytes(Bytes::from_static(&[24, 0, 0, 0]));
    let events = vec![
        Variant::text("events"),
        object,
        Variant::text("events"),
        bytes(&Variant::Int(1)),
        Variant::text(""),
        bytes(&Variant::Nil),
    ];
    player
        .say(Variant::record([
            ("type", Variant::text("batch")),
            ("batch", Variant::Int(1)),
            ("events", Variant::array(events)),
        ]))
        .await;
    let rejected = player.hear_type("rejected").await;
    let items = rejected.get("items").unwrap().as_array().unwrap();
    let place = |item: &Variant| item.as_array().unwrap()[1].as_int().unwrap();
    assert_eq!(items.iter().map(place).collect::<Vec<_>>(), [0, 2]);
    player.acked(1).await;
    assert_eq!(count(&stage).await, 1);
    let noted = StreamName::try_from("lobby/rejected").unwrap();
    assert_eq!(
        stage
            .buffer
            .read(&noted, 1, 10, 1 << 20)
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_never_fits_does_not_stop_those_behind_it() {
    let stage = stage().await;
    stage.activate("secret").await;
    let (mut player, _) = Player::join(&stage, "secret", false).await;
    // Over half a journal segment, which no journal record may be.
    let huge = Variant::Bytes(vec![7; 9 << 20].into());
    player.say(batch_of(1, bytes(&huge))).await;
    player.say(batch(2)).await;
    assert_eq!(number(&player.hear_type("rejected").await, "batch"), 1);
    player.acked(2).await;
    assert_eq!(count(&stage).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_game_over_its_window_is_cut_off_and_keeps_what_was_taken() {
    let limits = SessionLimits {
        window_bytes: 1000,
        ..SessionLimits::default()
    };
    let stage = Stage::open(false, limits).await;
    stage.activate("secret").await;
    let (mut player, welcome) = Player::join(&stage, "secret", false).await;
    assert_eq!(number(&welcome, "window_bytes"), 1000);
    let fat = |number| batch_of(number, bytes(&Variant::text("x".repeat(800))));
    let sent: Vec<u8> = (1..=3).flat_map(|number| frame(&fat(number))).collect();
    player.sink.write_all(&sent).await.unwrap();
    assert_eq!(player.refused().await, ("window".to_owned(), true));
    while player.hear().await.is_some() {}
    let (_, welcome) = Player::join(&stage, "secret", true).await;
    assert_eq!(number(&welcome, "batch") as usize, count(&stage).await);
}

fn small(options: &mut Options) {
    options.segment_bytes = 64 << 10;
    options.max_bytes = 512 << 10;
    options.reserve_bytes = 64 << 10;
    options.sinks = vec![SinkRule {
        name: SinkName::try_from("slow").unwrap(),
        patterns: vec!["*".to_owned()],
        start: Start::First,
    }];
}

async fn a_full_buffer_is_told_and_waited_out(change: fn(&mut Options)) {
    let stage = Stage::with(false, SessionLimits::default(), change).await;
    stage.activate("secret").await;
    let (mut player, _) = Player::join(&stage, "secret", false).await;
    let fat = |number| batch_of(number, bytes(&Variant::text("x".repeat(8000))));
    for number in 1..=100 {
        player.say(fat(number)).await;
    }
    let told = player.hear_type("full").await;
    assert_eq!(told.get("full"), Some(&Variant::Bool(true)));
    let full_at = count(&stage).await;
    assert!(full_at < 100, "it never was full");

    // The sink catches up; each time there is room for more.
    let (sink, stream) = (
        SinkName::try_from("slow").unwrap(),
        StreamName::try_from("events").unwrap(),
    );
    let mut events = stage.buffer.committed();
    let catching_up = async {
        loop {
            let last = stage.buffer.stream(&stream).map_or(0, |info| info.last);
            stage.buffer.advance(&sink, &stream, last).await.unwrap();
            events.changed().await.unwrap();
        }
    };
    tokio::select! {
        () = player.acked(100) => {}
        () = catching_up => {}
    }
    let info = stage.buffer.stream(&stream).unwrap();
    assert_eq!((info.last, info.dropped), (100, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_buffer_that_blocks_is_told_and_waited_out() {
    a_full_buffer_is_told_and_waited_out(small).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_buffer_that_rejects_is_told_and_tried_again() {
    a_full_buffer_is_told_and_waited_out(|options| {
        small(options);
        options.when_full = WhenFull::Reject;
    })
    .await;
}

fn limited(options: &mut Options) {
    small(options);
    options.max_bytes = 8 << 20;
    options.streams = vec![StreamRule {
        pattern: "events".to_owned(),
        limit: Limit {
            count: Some(20),
            ..Limit::default()
        },
        ..StreamRule::default()
    }];
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_at_its_limit_is_told_and_waited_out() {
    a_full_buffer_is_told_and_waited_out(limited).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_rejects_at_its_limit_is_told_and_tried_again() {
    a_full_buffer_is_told_and_waited_out(|options| {
        limited(options);
        options.when_full = WhenFull::Reject;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_frames_end_the_session_alone() {
    let limits = SessionLimits {
        frame_bytes: 100_000,
        ..SessionLimits::default()
    };
    let stage = Stage::open(false, limits).await;
    stage.activate("secret").await;
    let too_large = 200_000u32.to_le_bytes().to_vec();
    let not_a_variant = frame(&Variant::Nil)
        .iter()
        .map(|byte| byte | 0x80)
        .collect::<Vec<_>>();
    let no_type = frame(&Variant::record([("batch", Variant::Int(1))])).to_vec();
    let bad_field = frame(&Variant::record([("type", Variant::text("batch"))])).to_vec();
    let twice = frame(&hello("lobby", "secret", 0, true)).to_vec();
    for bytes in [too_large, not_a_variant, no_type, bad_field, twice] {
        let (mut player, _) = Player::join(&stage, "secret", true).await;
        player.sink.write_all(&bytes).await.unwrap();
        assert_eq!(player.refused().await, ("protocol".to_owned(), true));
        while player.hear().await.is_some() {}
    }
    let (mut player, _) = Player::join(&stage, "secret", true).await;
    player
        .say(Variant::record([(
            "type",
            Variant::text("from the future"),
        )]))
        .await;
    player.say(batch(1)).await;
    player.acked(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_has_one_owner() {
    let stage = stage().await;
    let options = sidekick::godot::SessionOptions {
        socket: Some(stage.socket()),
        tcp: None,
        limits: SessionLimits::default(),
    };
    let start = |options| {
        sidekick::godot::Sessions::start(
            options,
            stage.buffer.clone(),
            stage.witness.clone(),
            std::sync::Arc::new(session::Echo),
            sidekick::shutdown::Shutdown::new(),
        )
    };
    assert!(matches!(
        start(options.clone()).await,
        Err(SessionError::InUse(_))
    ));
    // What a killed sidekick leaves behind is no owner.
    let mut orphan = options.clone();
    orphan.socket = Some(stage.dir.path().join("orphan"));
    drop(std::os::unix::net::UnixListener::bind(orphan.socket.as_ref().unwrap()).unwrap());
    start(orphan).await.unwrap().stop().await;
    let mut file = options;
    file.socket = Some(stage.dir.path().join("file"));
    std::fs::write(file.socket.as_ref().unwrap(), "mine").unwrap();
    assert!(matches!(
        start(file).await,
        Err(SessionError::NotASocket(_))
    ));
}
