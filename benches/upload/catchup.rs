//! A million records that gathered while the member, or the database, was dead; from its return until all are stored.

use crate::postgres::{Postgres, client};
use crate::usage::{cpu_seconds, forget_peak, peak_mib};
use crate::world::{World, binaries, streams};
use sidekick::etf::Term;
use std::time::{Duration, Instant};

const RECORDS: u64 = 1_000_000;
/// Nothing here takes longer; a figure that never comes ends the benchmark.
const PATIENCE: Duration = Duration::from_secs(100);

/// Into Khepri, then into PostgreSQL.
pub async fn figures() {
    let rows = [khepri().await, postgres().await];
    println!(
        "\n| {RECORDS} records made while it was dead | first stored after, s | all after, s | from the first on, records/s | CPU of sidekick, s | most RSS of sidekick, MiB |"
    );
    println!("|---|---|---|---|---|---|\n{}", rows.join("\n"));
}

/// What sidekick used since this was made.
struct Usage {
    pid: i32,
    cpu: f64,
}

impl Usage {
    fn since_now(pid: i32) -> Self {
        forget_peak(pid);
        let cpu = cpu_seconds(&[pid]);
        Self { pid, cpu }
    }

    fn row(&self, name: &str, first: f64, all: f64) -> String {
        let (cpu, peak) = (cpu_seconds(&[self.pid]) - self.cpu, peak_mib(self.pid));
        let rate = RECORDS as f64 / (all - first);
        format!("| {name} | {first:.1} | {all:.1} | {rate:.0} | {cpu:.1} | {peak:.1} |")
    }
}

async fn khepri() -> String {
    let mut world = World::start(1, "", "").await;
    let (names, origin) = (streams("backlog"), world.origin().await);
    world.members[0].kill().await;
    world.append(&names, RECORDS).await;
    world.boot().await;
    let usage = Usage::since_now(world.sidekick.pid());
    world.serve().await;
    let told = world
        .eval(&format!(
            "member:await(<<{origin:?}>>, {}, {RECORDS}).",
            binaries(&names)
        ))
        .await;
    let told = told.as_tuple().unwrap();
    let [all, first] = [0, 1].map(|n| told[n].as_u64().unwrap() as f64 / 1e6);
    usage.row("Khepri, one member", first, all)
}

async fn postgres() -> String {
    let mut server = Postgres::start().await;
    let url = server.url("postgres");
    // Made for its owner alone, as sidekick demands.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &url).unwrap();
    let sink = format!(
        "[[sink]]\nname = \"db\"\nkind = \"postgres\"\nurl_file = {:?}\nstreams = [\"*\"]\n",
        file.path().display().to_string()
    );
    let world = World::start(0, "", &sink).await;
    world.ask([Term::atom("init_sink"), Term::text("db")]).await;
    server.kill();
    world.append(&streams("backlog"), RECORDS).await;
    let usage = Usage::since_now(world.sidekick.pid());
    server.run().await;
    let began = Instant::now();
    let client = client(&url).await.unwrap();
    let mut first = None;
    let all = loop {
        let row = client
            .query_one(
                "SELECT coalesce(sum(seq), 0)::bigint FROM sidekick_watermarks",
                &[],
            )
            .await
            .unwrap();
        let (stored, at) = (row.get::<_, i64>(0) as u64, began.elapsed());
        if stored > 0 {
            first.get_or_insert(at);
        }
        if stored >= RECORDS {
            break at;
        }
        assert!(at < PATIENCE, "{stored} of {RECORDS} are stored");
        // sleep: the pause between two looks at a table that tells nobody of its change
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    usage.row(
        "PostgreSQL, jsonb",
        first.unwrap().as_secs_f64(),
        all.as_secs_f64(),
    )
}
