//! Records per second into PostgreSQL: by a sink, by psql's `\copy` of the same rows into the same table, and by one `INSERT` for
//! each record; interleaved, on one server that syncs. `./scripts/bench upload` runs it.

#![allow(clippy::unwrap_used)]

#[path = "../tests/support/echo.rs"]
mod echo;
#[path = "../tests/support/ports.rs"]
mod ports;
#[path = "../tests/support/postgres.rs"]
mod postgres;
#[path = "../tests/support/uploader.rs"]
mod uploader;

use postgres::{Postgres, client, sql};
use sidekick::config::PayloadForm;
use sidekick::etf::{self, Term};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;
use uploader::{Side, config, sink, stream};

/// Records of one round.
const RECORDS: u64 = 200_000;
/// Streams that they are spread over.
const STREAMS: u64 = 4;
/// Records that are inserted one by one.
const SINGLES: i64 = 2_000;

fn postgres_port() -> u16 {
    ports::free_port()
}

/// About what a game records.
fn payload(n: u64) -> Term {
    Term::map([
        ("kind", Term::text("goal")),
        ("by", Term::text("a player's name")),
        ("tick", Term::int(n)),
        (
            "at",
            Term::list([
                Term::Float(n as f64 / 3.0),
                Term::Float(1.5),
                Term::Float(-0.25),
            ]),
        ),
    ])
}

/// One round's figures, each in records per second, and the CPU time of sidekick for a thousand records.
struct Round {
    sink: f64,
    copy: f64,
    single: f64,
    cpu: Duration,
}

#[tokio::main]
async fn main() {
    let rounds = std::env::args().find_map(|text| text.parse().ok());
    let rounds: usize = rounds.unwrap_or(3);
    println!(
        "| payload | sink, records/s | `\\copy` | sink ÷ `\\copy` | one INSERT each | CPU of sidekick for 1000 |"
    );
    println!("|---|---|---|---|---|---|");
    for form in [PayloadForm::Jsonb, PayloadForm::Bytea] {
        let mut all = Vec::new();
        for _ in 0..rounds {
            all.push(round(form).await);
        }
        let figure = |of: fn(&Round) -> f64| {
            let mut values: Vec<f64> = all.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            let (least, most) = (values[0], values[values.len() - 1]);
            (values[values.len() / 2], least, most)
        };
        let rate = |of| {
            let (median, least, most) = figure(of);
            format!(
                "{:.1} k ({:.1}–{:.1})",
                median / 1e3,
                least / 1e3,
                most / 1e3
            )
        };
        let (ratio, least, most) = figure(|round| round.sink / round.copy);
        let (cpu, _, _) = figure(|round| round.cpu.as_secs_f64());
        println!(
            "| {} | {} | {} | {ratio:.2} ({least:.2}–{most:.2}) | {} | {:.1} ms |",
            form.as_str(),
            rate(|round| round.sink),
            rate(|round| round.copy),
            rate(|round| round.single),
            cpu * 1e3
        );
    }
}

async fn round(form: PayloadForm) -> Round {
    let (server, dir) = (Postgres::start().await, TempDir::new().unwrap());
    let url = server.url("postgres");
    let mut settings = config(&url);
    settings.payload = form;
    // The records are there before the sink may begin, so that the whole is one backlog.
    let side = Side::start_with(dir.path(), &settings, 1000).await;
    for first in (0..RECORDS).step_by(1000) {
        let payloads = (first..first + 1000)
            .map(|n| etf::encode(&payload(n)))
            .collect();
        let name = format!("s{}", first / 1000 % STREAMS);
        side.buffer
            .append(&stream(&name), payloads, None)
            .await
            .unwrap();
    }
    let (began, cpu) = (Instant::now(), cpu());
    side.upload.init(&sink()).await.unwrap();
    side.drain().await;
    let (sink, cpu) = (began.elapsed(), self::cpu().saturating_sub(cpu));
    side.stop().await;
    let client = client(&url).await.unwrap();
    let copy = copy(&client, &url).await;
    let single = singles(&client, form).await;
    Round {
        sink: RECORDS as f64 / sink.as_secs_f64(),
        copy: RECORDS as f64 / copy.as_secs_f64(),
        single: SINGLES as f64 / single.as_secs_f64(),
        cpu: cpu / (RECORDS / 1000) as u32,
    }
}

/// Writes the rows to a file, empties the table and has psql copy them back.
async fn copy(client: &Client, url: &str) -> Duration {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("rows");
    psql(
        url,
        &format!("\\copy sidekick_records to '{}'", file.display()),
    )
    .await;
    sql(url, "TRUNCATE sidekick_records; CHECKPOINT")
        .await
        .unwrap();
    let began = Instant::now();
    psql(
        url,
        &format!("\\copy sidekick_records from '{}'", file.display()),
    )
    .await;
    let took = began.elapsed();
    let row = client
        .query_one("SELECT count(*) FROM sidekick_records", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, i64>(0), RECORDS as i64);
    took
}

async fn psql(url: &str, command: &str) {
    let bin = std::env::var("SIDEKICK_PG_BIN").unwrap();
    let mut psql = tokio::process::Command::new(format!("{bin}/psql"));
    psql.args(["-q", "-X", "-v", "ON_ERROR_STOP=1", "-c", command, url]);
    assert!(psql.status().await.unwrap().success(), "{command}");
}

/// Each record in a transaction of its own, by a prepared statement.
async fn singles(client: &Client, form: PayloadForm) -> Duration {
    let table = "CREATE TABLE singles (LIKE sidekick_records INCLUDING ALL)";
    client.batch_execute(table).await.unwrap();
    let some =
        "SELECT origin, stream, seq, at_ms, node, payload::text FROM sidekick_records LIMIT $1";
    let rows = client.query(some, &[&SINGLES]).await.unwrap();
    assert_eq!(rows.len(), SINGLES as usize);
    let insert = format!(
        "INSERT INTO singles (origin, stream, seq, at_ms, node, payload) VALUES ($1, $2, $3, $4, $5, $6::text::{})",
        form.as_str()
    );
    let insert = client.prepare(&insert).await.unwrap();
    let began = Instant::now();
    for row in rows {
        let (origin, stream): (uuid::Uuid, &str) = (row.get(0), row.get(1));
        let (seq, at, node): (i64, i64, &str) = (row.get(2), row.get(3), row.get(4));
        let body: &str = row.get(5);
        let values: [&(dyn ToSql + Sync); 6] = [&origin, &stream, &seq, &at, &node, &body];
        assert_eq!(client.execute(&insert, &values).await.unwrap(), 1);
    }
    began.elapsed()
}

/// CPU time of this process so far.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // Linux counts in hundredths of a second here, whatever the kernel's own clock.
    Duration::from_millis(ticks * 10)
}
