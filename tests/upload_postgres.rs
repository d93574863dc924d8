//! What is in the buffer arrives in PostgreSQL exactly once, in order, whoever dies when and wherever a connection is cut.

#![allow(clippy::unwrap_used)]

#[path = "support/cutter.rs"]
mod cutter;
#[path = "support/echo.rs"]
mod echo;
#[path = "support/ports.rs"]
mod ports;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/uploader.rs"]
mod uploader;

use cutter::{Cut, Cutter};
use postgres::{Place, Postgres, client, sql};
use rand::Rng;
use sidekick::config::Columns;
use sidekick::upload::{BreakerOptions, BreakerState, SinkState};
use std::time::Duration;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uploader::{Side, config, expected_state, faults, state};

fn postgres_port() -> u16 {
    ports::free_port()
}

/// Asks again and again until the answer is yes; fails the test after a while.
async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !check().await {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        // sleep: the pause between two looks at something that tells nobody of its change
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_and_state_arrive_once_whoever_is_killed() {
    let (mut server, dir) = (Postgres::start().await, TempDir::new().unwrap());
    let config = config(&server.url("postgres"));
    let mut side = Side::start(dir.path(), &config).await;
    side.init().await;
    let names = ["events", "chat", "a/b"];
    let mut lasts = [0; 3];
    let mut value = 0;
    for round in 0..4 {
        let steps = rand::rng().random_range(20..80);
        for _ in 0..steps {
            let which = rand::rng().random_range(0..names.len());
            let count = rand::rng().random_range(1..60);
            side.number(names[which], lasts[which] + 1, count).await;
            lasts[which] += count;
            value += 1;
            side.put(["score", "round", "odd"][which], value).await;
            if value % 7 == 0 {
                side.delete("odd").await;
            }
        }
        // Some of it is stored when the database dies, some is not, and some is under way.
        let stored = side.status().acknowledged + rand::rng().random_range(1..200);
        eventually("more is stored", async || {
            let status = side.status();
            status.acknowledged >= stored || status.lag_records == 0
        })
        .await;
        server.kill();
        // In the second round sidekick dies with it, with uploads whose outcome nobody knows.
        if round == 1 {
            side.stop().await;
            side = Side::start(dir.path(), &config).await;
        }
        server.run().await;
    }
    side.delete("odd").await;
    side.put("score", 1_000_000).await;
    side.drain().await;
    let client = client(&server.url("postgres")).await.unwrap();
    for (name, last) in names.into_iter().zip(lasts) {
        assert_eq!(faults(&client, name, last).await, [""; 0]);
        side.cursor_at(name, last).await;
    }
    let state = state(&client).await;
    assert_eq!(state, expected_state(&side).await);
    assert!(!state.contains_key("odd") && state["score"] == "1000000");
    let status = side.status();
    assert_eq!((status.state, status.lag_records), (SinkState::Idle, 0));
    assert_eq!(status.kind, "postgres");
}

/// Uploads while connections are cut everywhere; gives how often.
async fn upload_through_cuts(side: &Side, cutter: &Cutter) -> (u64, u32) {
    let mut last = 0;
    for cut in [Cut::AfterCommit, Cut::WithinInsert, Cut::BeforeCommit] {
        for _ in 0..3 {
            let before = cutter.done();
            cutter.cut(cut, 1);
            side.number("events", last + 1, 150).await;
            side.put("last", last).await;
            last += 150;
            eventually("a connection is cut", async || cutter.done() > before).await;
            side.drain().await;
        }
    }
    (last, cutter.done())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_may_be_cut_anywhere() {
    for place in Place::all().await {
        let dir = TempDir::new().unwrap();
        let cutter = Cutter::start(place.through(0).0).await;
        let side = Side::start(dir.path(), &config(&place.through(cutter.port).1)).await;
        side.init().await;
        let (last, cuts) = upload_through_cuts(&side, &cutter).await;
        assert!(cuts >= 9, "{cuts} cuts");
        let client = client(&place.url).await.unwrap();
        assert_eq!(
            faults(&client, "events", last).await,
            [""; 0],
            "{}",
            place.name
        );
        assert_eq!(
            state(&client).await,
            expected_state(&side).await,
            "{}",
            place.name
        );
        side.stop().await;
    }
}

/// The check that the others rest upon does find what it looks for.
#[tokio::test(flavor = "multi_thread")]
async fn where_the_watermark_does_not_stay_duplicates_are_found() {
    let (server, dir) = (Postgres::start().await, TempDir::new().unwrap());
    let url = server.url("postgres");
    let cutter = Cutter::start(format!("127.0.0.1:{}", server.port)).await;
    let side = Side::start(dir.path(), &config(&postgres::url(cutter.port, "postgres"))).await;
    side.init().await;
    let forget = "ALTER TABLE sidekick_records DROP CONSTRAINT sidekick_records_pkey;
        CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN NEW.seq := OLD.seq; RETURN NEW; END $$;
        CREATE TRIGGER forget BEFORE UPDATE ON sidekick_watermarks FOR EACH ROW EXECUTE FUNCTION forget()";
    sql(&url, forget).await.unwrap();
    cutter.cut(Cut::AfterCommit, 1);
    side.number("events", 1, 150).await;
    let client = client(&url).await.unwrap();
    let mut found = Vec::new();
    eventually("a record is there twice", async || {
        found = faults(&client, "events", 150).await;
        !found.is_empty() && found.iter().all(|fault| fault.contains("times"))
    })
    .await;
    assert_eq!(found[0], "events 1 is there 2 times");
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_the_database_refuses_for_now_are_tried_again() {
    let (server, dir) = (Postgres::start().await, TempDir::new().unwrap());
    let url = server.url("postgres");
    let side = Side::start(dir.path(), &config(&url)).await;
    side.init().await;
    // A sequence is not rolled back, so that the refusals come to an end: the first while records are inserted, later ones
    // while the watermark is moved, and the last at the commit.
    let refuse = "CREATE SEQUENCE refusals;
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('refusals') <= TG_ARGV[0]::int8 THEN
                RAISE EXCEPTION 'restart transaction' USING ERRCODE = TG_ARGV[1];
            END IF; RETURN NEW; END $$;
        CREATE TRIGGER first BEFORE INSERT ON sidekick_records FOR EACH STATEMENT EXECUTE FUNCTION refuse('2', '40001');
        CREATE TRIGGER second BEFORE UPDATE ON sidekick_watermarks FOR EACH ROW EXECUTE FUNCTION refuse('4', '40P01');
        CREATE CONSTRAINT TRIGGER third AFTER UPDATE ON sidekick_watermarks DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION refuse('8', '40001')";
    sql(&url, refuse).await.unwrap();
    side.number("events", 1, 500).await;
    side.drain().await;
    let client = client(&url).await.unwrap();
    assert_eq!(faults(&client, "events", 500).await, [""; 0]);
    let refusals = client
        .query_one("SELECT last_value FROM refusals", &[])
        .await;
    assert!(refusals.unwrap().get::<_, i64>(0) > 8);
    assert_eq!(side.status().error, None);
}

/// Takes the rows of all watermarks again and again, and lets them be as they are. CockroachDB rolls back whoever else has them.
async fn rival(place: &Place, done: &CancellationToken) {
    let client = client(&place.url).await.unwrap();
    let begin = if place.is_cockroach() {
        "BEGIN PRIORITY HIGH"
    } else {
        "BEGIN"
    };
    let take = format!("{begin}; UPDATE sidekick_watermarks SET seq = seq; COMMIT");
    while !done.is_cancelled() {
        if client.batch_execute(&take).await.is_err() {
            client.batch_execute("ROLLBACK").await.unwrap();
        }
        // sleep: the rival leaves room for others
        tokio::time::sleep(Duration::from_millis(rand::rng().random_range(0..30))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rival_for_the_watermarks_makes_nothing_arrive_twice() {
    for place in Place::all().await {
        let dir = TempDir::new().unwrap();
        let side = Side::start(dir.path(), &config(&place.url)).await;
        side.init().await;
        let mut events = side.upload.events();
        let done = CancellationToken::new();
        let feed = async {
            for n in 0..60 {
                side.number("events", 1 + n * 50, 50).await;
                side.number("chat", 1 + n * 50, 50).await;
                // sleep: uploads of different sizes, while the rival is about
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            side.drain().await;
            done.cancel();
        };
        tokio::join!(rival(&place, &done), feed);
        let refused = std::iter::from_fn(|| events.try_recv().ok())
            .filter(|event| format!("{event:?}").contains("40001"))
            .count();
        assert_eq!(refused > 0, place.is_cockroach(), "{refused} refusals");
        let client = client(&place.url).await.unwrap();
        for name in ["events", "chat"] {
            assert_eq!(faults(&client, name, 3000).await, [""; 0], "{}", place.name);
        }
        side.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_schema_is_told_with_its_remedy_and_made() {
    for place in Place::all().await {
        let dir = TempDir::new().unwrap();
        let mut settings = config(&place.url);
        settings.tables.records = "matches".to_owned();
        settings.columns = Columns {
            seq: "number".to_owned(),
            payload: "event".to_owned(),
            ..Columns::default()
        };
        let side = Side::start(dir.path(), &settings).await;
        side.number("events", 1, 10).await;
        eventually("the remedy is told", async || {
            let error = side.status().error.unwrap_or_default();
            error.contains("run  sidekick ctl sink init db")
        })
        .await;
        assert_eq!(side.status().state, SinkState::BackingOff);

        // A table of the user's own that does not fit is not touched.
        let client = client(&place.url).await.unwrap();
        let own =
            "CREATE TABLE matches (origin uuid, stream text, number text, at_ms int8, node text)";
        client.batch_execute(own).await.unwrap();
        let refused = side
            .upload
            .init(&uploader::sink())
            .await
            .unwrap_err()
            .to_string();
        assert!(
            refused
                .contains("table matches exists, but its column number is of type text, not int8"),
            "{refused}"
        );
        let mend = "DROP TABLE matches; CREATE TABLE matches (origin uuid, stream text, number int8, at_ms int8, node text)";
        client.batch_execute(mend).await.unwrap();
        let refused = side
            .upload
            .init(&uploader::sink())
            .await
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("no column event of type jsonb"),
            "{refused}"
        );
        client.batch_execute("DROP TABLE matches").await.unwrap();

        let made = side.upload.init(&uploader::sink()).await.unwrap();
        let again = side.upload.init(&uploader::sink()).await.unwrap();
        assert_eq!(made.store, again.store);
        assert!(
            made.tables
                .iter()
                .any(|(name, made)| name == "matches" && *made)
        );
        assert!(again.tables.iter().all(|(_, made)| !made));
        side.drain().await;
        let count = client
            .query_one(
                "SELECT count(*), max(number), max(event->>'n') FROM matches",
                &[],
            )
            .await
            .unwrap();
        assert_eq!(
            (count.get(0), count.get(1), count.get(2)),
            (10_i64, 10_i64, "9")
        );

        side.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_were_made_end_the_wait_for_them() {
    let (server, dir) = (Postgres::start().await, TempDir::new().unwrap());
    let settings = config(&server.url("postgres"));
    let mut options = Side::options("db", &settings);
    // One that the test would not outlive.
    options.breaker = BreakerOptions {
        failures: 2,
        open_min: Duration::from_secs(3600),
        open_max: Duration::from_secs(3600),
    };
    let side = Side::start_sinks(dir.path(), vec![options]).await;
    side.number("events", 1, 10).await;
    eventually("the breaker opens", async || {
        side.status().breaker == BreakerState::Open
    })
    .await;
    side.init().await;
    side.cursor_at("events", 10).await;
    let client = client(&server.url("postgres")).await.unwrap();
    assert_eq!(faults(&client, "events", 10).await, [""; 0]);
    side.stop().await;
}

/// Another store under the same address must not be taken for the one that holds the records.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_in_anothers_place_halts_the_sink() {
    for place in Place::all().await {
        let dir = TempDir::new().unwrap();
        let side = Side::start(dir.path(), &config(&place.url)).await;
        side.init().await;
        side.number("events", 1, 10).await;
        side.cursor_at("events", 10).await;
        let another = "DELETE FROM sidekick_store; DELETE FROM sidekick_watermarks";
        sql(&place.url, another).await.unwrap();
        side.init().await;
        side.number("events", 11, 1).await;
        eventually("the sink halts", async || {
            side.status().state == SinkState::Halted
        })
        .await;
        let error = side.status().error.unwrap();
        assert!(error.contains("the store is another one"), "{error}");
        assert_eq!(side.cursor("events"), 10, "{}", place.name);
        side.stop().await;
    }
}

/// A second writer is no fault of the record that finds its place taken: nothing is passed over.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_anothers_in_the_way_halts_the_sink() {
    for place in Place::all().await {
        let dir = TempDir::new().unwrap();
        let side = Side::start(dir.path(), &config(&place.url)).await;
        side.init().await;
        side.number("events", 1, 10).await;
        side.cursor_at("events", 10).await;
        let another = "INSERT INTO sidekick_records (origin, stream, seq, at_ms, node, payload)
            SELECT origin, stream, 13, at_ms, 'another', payload FROM sidekick_records WHERE seq = 1";
        sql(&place.url, another).await.unwrap();
        side.number("events", 11, 10).await;
        eventually("the sink halts", async || {
            side.status().state == SinkState::Halted
        })
        .await;
        let status = side.status();
        let error = status.error.unwrap();
        assert!(
            error.contains("record above the watermark"),
            "{}: {error}",
            place.name
        );
        assert_eq!(status.dead_letters, 0, "{}", place.name);
        side.stop().await;
    }
}
