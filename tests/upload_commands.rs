//! What an operator sees and does of sinks in trouble, with the real binary: breaker, drain, dead letters, and an end that waits for
//! nobody.

#![allow(clippy::unwrap_used)]

#[path = "support/ports.rs"]
mod ports;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/sidekick.rs"]
mod sidekick_binary;

use postgres::{Postgres, client, sql};
use sidekick::buffer::{Buffer, Options};
use sidekick::etf::{self, Term};
use sidekick::types::StreamName;
use sidekick_binary::Sidekick;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn settings_file(dir: &Path, server: &Postgres) {
    std::fs::write(dir.join("database.url"), server.url("postgres")).unwrap();
    let port = ports::free_port();
    let text = format!(
        "[node]\nname = \"sidekick_{port}@127.0.0.1\"\n[node.epmd]\nport = {port}\n[[sink]]\nname = \"db\"\nkind = \"postgres\"\n\
         url_file = \"database.url\"\nlimits = {{ records = 20, timeout = \"2s\" }}\n\
         breaker = {{ failures = 2, open = \"1h\", open_max = \"1h\" }}\ndead_letters = {{ after = 1 }}\n"
    );
    std::fs::write(dir.join("sidekick.toml"), text).unwrap();
}

/// Records that are there before sidekick starts.
async fn backlog(dir: &Path, first: i64, last: i64) {
    let options = Options::new(dir.join("var/buffer"));
    let buffer = tokio::task::spawn_blocking(|| Buffer::open(options));
    let buffer = buffer.await.unwrap().unwrap();
    let record = |n| etf::encode(&Term::map([("n", Term::int(n))]));
    let payloads = (first..=last).map(record).collect();
    let stream = StreamName::try_from("events").unwrap();
    buffer.append(&stream, payloads, None).await.unwrap();
    buffer.close().await;
}

async fn count(server: &Postgres) -> i64 {
    let look = client(&server.url("postgres")).await.unwrap();
    let text = "SELECT count(DISTINCT payload->>'n') FROM sidekick_records";
    look.query_one(text, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_and_mends_a_sink_in_trouble() {
    let (server, dir) = (Postgres::start().await, TempDir::new().unwrap());
    settings_file(dir.path(), &server);
    backlog(dir.path(), 1, 100).await;
    let sidekick = Sidekick::start_in(dir.path());
    // Without tables nothing can be stored, and the breaker opens for an hour.
    let list = ["sink", "list"];
    let open = sidekick.ctl_until(&list, |sinks| sinks[0]["breaker"]["state"] == "open");
    assert_eq!(
        (&open[0]["lag_records"], &open[0]["dead_letters"]),
        (&100.into(), &0.into())
    );
    assert!(open[0]["lag_age_ms"].as_u64().is_some(), "{open}");
    let streams = sidekick.ctl_json(&["streams"]);
    assert_eq!(streams[0]["lag"]["db"]["records"], 100, "{streams}");
    let refused = sidekick.ctl(&["sink", "drain", "db", "--timeout", "1s"]);
    let told = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(told.contains("events up to 100 is not confirmed"), "{told}");

    sidekick.ctl_json(&["sink", "init", "db"]);
    let no_sevens =
        "ALTER TABLE sidekick_records ADD CONSTRAINT sevens CHECK ((payload->>'n')::int % 10 <> 7)";
    sql(&server.url("postgres"), no_sevens).await.unwrap();
    sidekick.ctl_json(&["sink", "retry", "db"]);
    let proof = sidekick.ctl_json(&["sink", "drain"]);
    let stream = &proof["sinks"][0]["streams"][0];
    assert_eq!(
        (&stream["watermark"], &stream["stored"]),
        (&100.into(), &true.into())
    );
    let dead = sidekick.ctl_json(&["sink", "dead", "db"]);
    let seqs: Vec<_> = dead
        .as_array()
        .unwrap()
        .iter()
        .map(|letter| letter["seq"].as_u64())
        .collect();
    assert_eq!(seqs, (0..10).map(|n| Some(n * 10 + 7)).collect::<Vec<_>>());
    assert_eq!(dead[0]["payload"]["n"], 7);
    assert_eq!(sidekick.ctl_json(&list)[0]["dead_letters"], 10);
    let table = String::from_utf8(sidekick.ctl(&["sink", "dead", "db"]).stdout).unwrap();
    assert!(
        table.contains("sevens") && table.contains("sink redrive db"),
        "{table}"
    );

    // What is in use is not forgotten: its cursors keep what it has yet to get.
    let refused = sidekick.ctl(&["sink", "forget", "db"]);
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("sink db is in use"), "{told}");
    let refused = sidekick.ctl(&["sink", "retry", "db", "--accept-loss"]);
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("sink db has not halted over lost"), "{told}");

    settle(&sidekick, &server, &dead).await;
    end_alone(sidekick, server, dir.path()).await;
}

/// One letter is discarded, the others are offered again once the cause is mended.
async fn settle(sidekick: &Sidekick, server: &Postgres, dead: &serde_json::Value) {
    let number = dead[0]["number"].to_string();
    assert_eq!(
        sidekick.ctl(&["sink", "discard", "db"]).status.code(),
        Some(2)
    );
    assert_eq!(
        sidekick.ctl_json(&["sink", "discard", "db", "--seq", &number])["count"],
        1
    );
    assert_eq!(
        sidekick
            .ctl(&["sink", "redrive", "db", "--seq", &number])
            .status
            .code(),
        Some(1)
    );
    sql(
        &server.url("postgres"),
        "ALTER TABLE sidekick_records DROP CONSTRAINT sevens",
    )
    .await
    .unwrap();
    assert_eq!(sidekick.ctl_json(&["sink", "redrive", "db"])["count"], 9);
    sidekick.ctl_json(&["sink", "drain", "db"]);
    assert_eq!(
        sidekick.ctl_json(&["sink", "dead", "db"]),
        serde_json::json!([])
    );
    assert_eq!(count(server).await, 99);
}

/// The database is gone at the end, with nothing left to upload, then with something.
async fn end_alone(mut sidekick: Sidekick, mut server: Postgres, dir: &Path) {
    let list = ["sink", "list"];
    // Everything is acknowledged: an end without the database is no loss, and is not called one.
    server.kill();
    let began = Instant::now();
    assert_eq!(sidekick.terminate(), Some(0));
    assert!(
        began.elapsed() < Duration::from_secs(9),
        "{:?}",
        began.elapsed()
    );
    sidekick.wait_log("sidekick has ended");
    drop(sidekick);

    // With something left it says what, and does not wait for it either.
    backlog(dir, 101, 110).await;
    let mut sidekick = Sidekick::start_in(dir);
    sidekick.ctl_until(&list, |sinks| sinks[0]["breaker"]["state"] == "open");
    let began = Instant::now();
    assert_eq!(sidekick.terminate(), Some(0));
    assert!(
        began.elapsed() < Duration::from_secs(9),
        "{:?}",
        began.elapsed()
    );
    let left = sidekick.wait_log("some records are not uploaded yet");
    assert!(left.contains("events up to 119 is not confirmed"), "{left}");
    server.run().await;
    let sidekick = Sidekick::start_in(dir);
    sidekick.ctl_json(&["sink", "drain"]);
    assert_eq!(count(&server).await, 109);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_got_another_name_leaves_one_behind_that_is_seen_and_given_up() {
    let (server, dir) = (Postgres::start().await, TempDir::new().unwrap());
    settings_file(dir.path(), &server);
    backlog(dir.path(), 1, 30).await;
    let list = ["sink", "list"];
    let mut sidekick = Sidekick::start_in(dir.path());
    sidekick.ctl_until(&list, |sinks| sinks[0]["lag_records"] == 30);
    assert_eq!(sidekick.terminate(), Some(0));
    drop(sidekick);

    let file = dir.path().join("sidekick.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("\"db\"", "\"database\"")).unwrap();
    let sidekick = Sidekick::start_in(dir.path());
    let kept = "records are kept for a sink that the configuration does not have";
    let told = sidekick.seen(kept);
    assert!(told.contains("\"sink\":\"db\""), "{told}");
    sidekick.ctl_json(&["sink", "init", "database"]);
    sidekick.ctl_json(&["sink", "retry", "database"]);
    sidekick.ctl_json(&["sink", "drain", "database"]);
    assert_eq!(count(&server).await, 30);
    let sinks = sidekick.ctl_json(&list);
    assert_eq!(
        (
            &sinks[1]["name"],
            &sinks[1]["state"],
            &sinks[1]["lag_records"]
        ),
        (&"db".into(), &"removed".into(), &30.into())
    );
    let table = String::from_utf8(sidekick.ctl(&list).stdout).unwrap();
    assert!(table.contains("sidekick ctl sink forget db"), "{table}");
    sidekick.ctl_json(&["sink", "forget", "db"]);
    assert_eq!(sidekick.ctl_json(&list).as_array().unwrap().len(), 1);
}
