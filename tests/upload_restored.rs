//! A database that holds less than it acknowledged (restored from an older backup, emptied by an operator) gets again what is
//! here, and halts the sink over what is not: nothing is missing that nobody was told of.

#![allow(clippy::unwrap_used)]

#[path = "support/echo.rs"]
mod echo;
#[path = "support/ports.rs"]
mod ports;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/uploader.rs"]
mod uploader;

use postgres::{Place, client, sql};
use sidekick::upload::{DrainReport, SinkOptions};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use uploader::{Side, config, expected_state, faults, state};

fn postgres_port() -> u16 {
    ports::free_port()
}

/// As `url` says, and a second sink whose tables never come to be, so that nothing is trimmed.
async fn pinned(dir: &Path, url: &str) -> Side {
    let db = Side::options("db", &config(url));
    let mut other = config(url);
    "nowhere".clone_into(&mut other.tables.store);
    let pin = SinkOptions {
        streams: vec!["events".to_owned()],
        ..Side::options("pin", &other)
    };
    Side::start_sinks(dir, vec![db, pin]).await
}

async fn drained(side: &Side) -> DrainReport {
    let sink = uploader::sink();
    let report = side.upload.drain_one(&sink, Duration::from_secs(20));
    report.await.unwrap()
}

async fn drains(side: &Side) -> bool {
    drained(side).await.stored
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_here_yet_is_stored_again() {
    for place in Place::all().await {
        let dir = TempDir::new().unwrap();
        let side = pinned(dir.path(), &place.url).await;
        side.init().await;
        side.number("events", 1, 40).await;
        assert!(drains(&side).await);
        let backup = "CREATE TABLE old_records AS SELECT * FROM sidekick_records; CREATE TABLE old_watermarks AS SELECT * FROM \
                      sidekick_watermarks";
        sql(&place.url, backup).await.unwrap();
        side.number("events", 41, 60).await;
        assert!(drains(&side).await);

        // An older backup: what came after it is stored again.
        let restore = "TRUNCATE sidekick_records, sidekick_watermarks; INSERT INTO sidekick_records SELECT * FROM old_records; INSERT \
                       INTO sidekick_watermarks SELECT * FROM old_watermarks";
        sql(&place.url, restore).await.unwrap();
        assert!(drains(&side).await);
        let look = client(&place.url).await.unwrap();
        assert_eq!(faults(&look, "events", 100).await, [""; 0]);

        // All of it is gone: so is the row that told how far it was.
        let empty = "TRUNCATE sidekick_records, sidekick_watermarks";
        sql(&place.url, empty).await.unwrap();
        assert!(drains(&side).await);
        assert_eq!(faults(&look, "events", 100).await, [""; 0]);

        // The next sidekick knows it too.
        side.stop().await;
        sql(&place.url, empty).await.unwrap();
        let side = pinned(dir.path(), &place.url).await;
        assert!(drains(&side).await);
        assert_eq!(
            faults(&look, "events", 100).await,
            [""; 0],
            "{}",
            place.name
        );
        side.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_here_halts_the_sink_and_no_drain_calls_it_stored() {
    for place in Place::all().await {
        let dir = TempDir::new().unwrap();
        let side = Side::start(dir.path(), &config(&place.url)).await;
        side.init().await;
        side.number("events", 1, 50).await;
        side.drain().await;
        side.cursor_at("events", 50).await;
        let mut commits = side.buffer.committed();
        while side
            .buffer
            .stream(&uploader::stream("events"))
            .unwrap()
            .first
            <= 50
        {
            commits.changed().await.unwrap();
        }
        let empty = "TRUNCATE sidekick_records, sidekick_watermarks";
        sql(&place.url, empty).await.unwrap();
        let report = drained(&side).await;
        assert!(!report.stored && !report.streams[0].stored, "{report:?}");
        let error = report.error.unwrap();
        assert!(error.contains("lacks events from 1 to 50"), "{error}");

        // An operator gives them up; the next sidekick does not halt over them again.
        let loss = side.upload.accept_loss(&uploader::sink()).await.unwrap();
        assert_eq!((loss.from, loss.to), (1, 50));
        side.number("events", 51, 5).await;
        assert!(drains(&side).await);
        assert!(side.upload.accept_loss(&uploader::sink()).await.is_err());
        side.stop().await;
        let side = Side::start(dir.path(), &config(&place.url)).await;
        assert!(drains(&side).await);
        let look = client(&place.url).await.unwrap();
        assert_eq!(faults(&look, "events", 55).await.len(), 50);
        side.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watermark_alone_that_was_set_back_halts_the_sink_and_buries_nothing() {
    for place in Place::all().await {
        let dir = TempDir::new().unwrap();
        let side = pinned(dir.path(), &place.url).await;
        side.init().await;
        // Whatever order the columns of the key have.
        let key = if place.is_cockroach() {
            "ALTER TABLE sidekick_records ALTER PRIMARY KEY USING COLUMNS (seq, stream, origin)"
        } else {
            "ALTER TABLE sidekick_records DROP CONSTRAINT sidekick_records_pkey; ALTER TABLE sidekick_records ADD PRIMARY KEY (seq, stream, \
             origin)"
        };
        sql(&place.url, key).await.unwrap();
        side.number("events", 1, 20).await;
        assert!(drains(&side).await);
        let back = "UPDATE sidekick_watermarks SET seq = 5";
        sql(&place.url, back).await.unwrap();
        let report = drained(&side).await;
        let error = report.error.unwrap();
        assert!(
            error.contains("set seq in table sidekick_watermarks to the highest number"),
            "{error}"
        );
        assert_eq!(side.status().dead_letters, 0);

        // As it says.
        let mend = "UPDATE sidekick_watermarks SET seq = (SELECT max(seq) FROM sidekick_records)";
        sql(&place.url, mend).await.unwrap();
        side.upload.retry(&uploader::sink()).await.unwrap();
        side.number("events", 21, 5).await;
        assert!(drains(&side).await);
        let look = client(&place.url).await.unwrap();
        assert_eq!(faults(&look, "events", 25).await, [""; 0]);
        side.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn state_is_stored_again_as_a_whole() {
    for place in Place::all().await {
        let dir = TempDir::new().unwrap();
        let side = Side::start(dir.path(), &config(&place.url)).await;
        side.init().await;
        for (key, value) in [("score", 1), ("round", 2), ("odd", 3)] {
            side.put(key, value).await;
        }
        assert!(drains(&side).await);
        let backup = "CREATE TABLE old_state AS SELECT * FROM sidekick_state; CREATE TABLE old_scopes AS SELECT * FROM sidekick_scopes";
        sql(&place.url, backup).await.unwrap();
        side.delete("odd").await;
        side.put("score", 10).await;
        assert!(drains(&side).await);

        // A drain sees it, though nothing changed since; what was removed does not come back.
        let empty = "TRUNCATE sidekick_state, sidekick_scopes";
        let restore = "INSERT INTO sidekick_state SELECT * FROM old_state; INSERT INTO sidekick_scopes SELECT * FROM old_scopes";
        let look = client(&place.url).await.unwrap();
        for change in [false, true] {
            for lost in [empty.to_owned(), format!("{empty}; {restore}")] {
                sql(&place.url, &lost).await.unwrap();
                if change {
                    side.put("round", 20).await;
                }
                assert!(drains(&side).await, "{:?}", side.status());
                assert_eq!(state(&look).await, expected_state(&side).await);
            }
        }

        // A database that is ahead of what there ever was here is no loss of the buffer's, but a buffer from an older copy.
        sql(&place.url, "UPDATE sidekick_scopes SET rev = 1000")
            .await
            .unwrap();
        let error = drained(&side).await.error.unwrap();
        assert!(
            error.contains("holds revision 1000 of the state of lobby, but only"),
            "{error}"
        );
        side.stop().await;
    }
}
