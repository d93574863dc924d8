//! What a database or its tables lack is told with what helps, costs no record its place, and goes on by itself once it is mended; a
//! database that only answers questions, or nothing at all, is left for another that does.

#![allow(clippy::unwrap_used)]

#[path = "support/echo.rs"]
mod echo;
#[path = "support/ports.rs"]
mod ports;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/uploader.rs"]
mod uploader;

use postgres::{Postgres, client, sql};
use sidekick::config::PostgresConfig;
use sidekick::upload::{SinkOptions, SinkState};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use uploader::{DEADLINE, Side, config, faults, sink};

fn postgres_port() -> u16 {
    ports::free_port()
}

/// Waits until the sink says this of itself.
async fn says(side: &Side, words: &str) {
    let mut events = side.upload.events();
    let said = async {
        loop {
            let error = side.status().error.unwrap_or_default();
            if error.contains(words) {
                return;
            }
            events.recv().await.unwrap();
        }
    };
    let said = tokio::time::timeout(DEADLINE, said).await;
    said.unwrap_or_else(|_| panic!("it never said {words:?}, but {:?}", side.status()));
}

async fn init_refuses(side: &Side, words: &str) {
    let refused = side.upload.init(&sink()).await.unwrap_err().to_string();
    assert!(refused.contains(words), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_init_checks_can_be_written() {
    let (server, dir) = (Postgres::start().await, TempDir::new().unwrap());
    let url = server.url("postgres");
    let poor = url.replace("sidekick@", "poor@");
    let side = Side::start(dir.path(), &config(&poor)).await;
    side.number("events", 1, 5).await;
    says(
        &side,
        "correct the user or the password in the variable URL",
    )
    .await;
    sql(&url, "CREATE ROLE poor LOGIN").await.unwrap();
    init_refuses(
        &side,
        "table sidekick_store cannot be made: permission denied for schema public",
    )
    .await;
    init_refuses(&side, "run what  sidekick ctl sink init db --sql  prints").await;

    // As whoever may make tables runs the statements.
    let made = side.upload.schema_sql(&sink()).unwrap();
    sql(&url, &made).await.unwrap();
    let grant = "GRANT SELECT ON ALL TABLES IN SCHEMA public TO poor";
    sql(&url, grant).await.unwrap();
    init_refuses(
        &side,
        "permission denied for table sidekick_watermarks (SQLSTATE 42501); grant SELECT, INSERT",
    )
    .await;
    let grant = "GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO poor; REVOKE INSERT ON sidekick_records FROM poor";
    sql(&url, grant).await.unwrap();
    init_refuses(&side, "permission denied for table sidekick_records").await;
    side.upload.retry(&sink()).await.unwrap();
    says(
        &side,
        "permission denied for table sidekick_records (SQLSTATE 42501); grant SELECT, INSERT",
    )
    .await;
    // Before it may write, for a column that may not be null is added to no table that has rows.
    tables_of_ones_own(&side, &url).await;
    sql(&url, "GRANT INSERT ON sidekick_records TO poor")
        .await
        .unwrap();

    let done = side.upload.init(&sink()).await.unwrap();
    assert!(done.tables.iter().all(|(_, made)| !made));
    side.upload.retry(&sink()).await.unwrap();
    side.drain().await;
    let look = client(&url).await.unwrap();
    assert_eq!(faults(&look, "events", 5).await, [""; 0]);
    // What init tried left nothing behind.
    let rows = "SELECT (SELECT count(*) FROM sidekick_watermarks) + (SELECT count(*) FROM sidekick_scopes)";
    assert_eq!(look.query_one(rows, &[]).await.unwrap().get::<_, i64>(0), 1);
    side.stop().await;
}

/// What a user's own tables may lack is found, and named.
async fn tables_of_ones_own(side: &Side, url: &str) {
    sql(
        url,
        "ALTER TABLE sidekick_records ADD COLUMN season text NOT NULL",
    )
    .await
    .unwrap();
    init_refuses(
        side,
        "table sidekick_records exists, but its column season may not be null and has no default",
    )
    .await;
    sql(
        url,
        "ALTER TABLE sidekick_records ALTER COLUMN season SET DEFAULT 'first'",
    )
    .await
    .unwrap();
    sql(
        url,
        "ALTER TABLE sidekick_watermarks DROP CONSTRAINT sidekick_watermarks_pkey",
    )
    .await
    .unwrap();
    init_refuses(
        side,
        "table sidekick_watermarks exists, but it has no unique key on what tells its rows apart",
    )
    .await;
    sql(
        url,
        "ALTER TABLE sidekick_watermarks ADD PRIMARY KEY (stream, origin)",
    )
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_at_the_commit_lies_among_the_dead_letters() {
    let (server, dir) = (Postgres::start().await, TempDir::new().unwrap());
    let url = server.url("postgres");
    let side = Side::start(dir.path(), &config(&url)).await;
    side.init().await;
    // Judged only as the transaction ends.
    let rule = "CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.payload->>'n' = '7' THEN RAISE EXCEPTION 'no \
                sevens'; END IF; RETURN NULL; END $$; CREATE CONSTRAINT TRIGGER judge AFTER INSERT ON sidekick_records DEFERRABLE INITIALLY \
                DEFERRED FOR EACH ROW EXECUTE FUNCTION judge()";
    sql(&url, rule).await.unwrap();
    side.number("events", 1, 20).await;
    side.drain().await;
    let dead = side.upload.dead(&sink()).await.unwrap();
    assert_eq!(
        dead.iter().map(|letter| letter.seq).collect::<Vec<_>>(),
        [7]
    );
    assert!(dead[0].error.contains("no sevens"), "{}", dead[0].error);
    let look = client(&url).await.unwrap();
    assert_eq!(faults(&look, "events", 20).await, ["events 7 is missing"]);
    side.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_partition_buries_nothing() {
    let (server, dir) = (Postgres::start().await, TempDir::new().unwrap());
    let url = server.url("postgres");
    let parts = "CREATE TABLE sidekick_records (origin uuid NOT NULL, stream text NOT NULL, seq int8 NOT NULL, at_ms int8 NOT NULL, node text NOT \
                 NULL, payload jsonb NOT NULL, PRIMARY KEY (origin, stream, seq)) PARTITION BY RANGE (seq); CREATE TABLE part_1 PARTITION OF \
                 sidekick_records FOR VALUES FROM (0) TO (11)";
    sql(&url, parts).await.unwrap();
    let side = Side::start(dir.path(), &config(&url)).await;
    side.init().await;
    side.number("events", 1, 10).await;
    side.drain().await;
    side.number("events", 11, 10).await;
    says(&side, "make the partition").await;
    assert_eq!(
        (side.status().state, side.status().dead_letters),
        (SinkState::BackingOff, 0)
    );
    sql(
        &url,
        "CREATE TABLE part_2 PARTITION OF sidekick_records FOR VALUES FROM (11) TO (1000)",
    )
    .await
    .unwrap();
    side.drain().await;
    let look = client(&url).await.unwrap();
    assert_eq!(faults(&look, "events", 20).await, [""; 0]);
    assert_eq!(side.status().dead_letters, 0);
    side.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_proves_nothing() {
    let (server, dir) = (Postgres::start().await, TempDir::new().unwrap());
    let url = server.url("postgres");
    let side = Side::start(dir.path(), &config(&url)).await;
    side.init().await;
    side.number("events", 1, 20).await;
    side.drain().await;
    side.stop().await;
    // It is behind, as a standby may be, and takes no writes. What it lacks is trimmed here.
    let standby = "UPDATE sidekick_watermarks SET seq = 5; ALTER DATABASE postgres SET default_transaction_read_only = on";
    sql(&url, standby).await.unwrap();
    let side = Side::start(dir.path(), &config(&url)).await;
    side.number("events", 21, 5).await;
    says(&side, "it only takes questions").await;
    assert_eq!(side.status().state, SinkState::BackingOff, "it is not lost");
    let primary = "BEGIN READ WRITE; ALTER DATABASE postgres RESET default_transaction_read_only; UPDATE sidekick_watermarks SET seq = 20; \
                   COMMIT";
    sql(&url, primary).await.unwrap();
    side.drain().await;
    let look = client(&url).await.unwrap();
    assert_eq!(faults(&look, "events", 25).await, [""; 0]);
    side.stop().await;
}

/// A port that takes no connection and refuses none.
async fn deaf() -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    // Nobody accepts: once the queue is full the next attempt gets no answer.
    while let Ok(stream) =
        tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
    {
        waiting.push(stream.unwrap());
    }
    (listener, waiting)
}

#[tokio::test(flavor = "multi_thread")]
async fn where_one_host_does_not_answer_the_next_is_used() {
    let (server, dir) = (Postgres::start().await, TempDir::new().unwrap());
    let (listener, _waiting) = deaf().await;
    let port = listener.local_addr().unwrap().port();
    let url = format!(
        "postgres://sidekick@127.0.0.1:{port},127.0.0.1:{}/postgres",
        server.port
    );
    let options = SinkOptions {
        timeout: Duration::from_secs(3),
        ..Side::options("db", &config(&url))
    };
    let side = Side::start_sinks(dir.path(), vec![options]).await;
    let label = side.status().node.unwrap_or_default();
    side.init().await;
    side.number("events", 1, 10).await;
    side.drain().await;
    let look = client(&server.url("postgres")).await.unwrap();
    assert_eq!(faults(&look, "events", 10).await, [""; 0], "{label}");
    side.stop().await;
}

/// Stands before a server, and lets through what opens a connection and nothing after. Tells of each connection as it comes and
/// as it ends.
async fn mute(server: String) -> (u16, mpsc::UnboundedReceiver<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let (server, tell) = (server.clone(), tell.clone());
            tokio::spawn(async move {
                let _ = tell.send(true);
                let mut far = TcpStream::connect(&server).await.unwrap();
                let (mut to, mut from) = (vec![0; 4096], vec![0; 4096]);
                // Until the connection is open: it was asked whether it takes writes.
                let mut ready = 0;
                while ready < 2 {
                    tokio::select! {
                        read = near.read(&mut to) => far.write_all(&to[..read.unwrap()]).await.unwrap(),
                        read = far.read(&mut from) => {
                            let read = read.unwrap();
                            near.write_all(&from[..read]).await.unwrap();
                            ready += i32::from(from[..read].ends_with(b"Z\0\0\0\x05I"));
                        }
                    }
                }
                while matches!(near.read(&mut to).await, Ok(1..)) {}
                let _ = tell.send(false);
            });
        }
    });
    (port, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_has_gone_quiet_is_let_go() {
    let (server, dir) = (Postgres::start().await, TempDir::new().unwrap());
    let (port, mut told) = mute(format!("127.0.0.1:{}", server.port)).await;
    let settings: PostgresConfig = config(&postgres::url(port, "postgres"));
    let options = SinkOptions {
        timeout: Duration::from_millis(300),
        ..Side::options("db", &settings)
    };
    let side = Side::start_sinks(dir.path(), vec![options]).await;
    side.number("events", 1, 10).await;
    let (mut open, mut ended) = (0, 0);
    while ended < 4 {
        let one = tokio::time::timeout(DEADLINE, told.recv()).await;
        let came = one
            .expect("connections that are of no use are closed")
            .unwrap();
        open += i32::from(came) - i32::from(!came);
        ended += i32::from(!came);
        assert!(open <= 4, "{open} connections are open");
    }
    assert!(side.status().error.unwrap().contains("no answer from"));
    side.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_for_the_time_goes_in_smaller_parts() {
    let (server, dir) = (Postgres::start().await, TempDir::new().unwrap());
    let url = server.url("postgres");
    let options = SinkOptions {
        timeout: Duration::from_millis(800),
        ..Side::options("db", &config(&url))
    };
    let side = Side::start_sinks(dir.path(), vec![options]).await;
    side.init().await;
    // Each record takes 10 ms, so that 200 of them never get through at once.
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.01); RETURN NEW; END $$; CREATE \
                TRIGGER slow BEFORE INSERT ON sidekick_records FOR EACH ROW EXECUTE FUNCTION slow()";
    sql(&url, slow).await.unwrap();
    side.number("events", 1, 400).await;
    side.drain().await;
    let look = client(&url).await.unwrap();
    assert_eq!(faults(&look, "events", 400).await, [""; 0]);
    side.stop().await;
}
