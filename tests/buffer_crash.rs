//! kill -9 at random moments: whatever was acknowledged is there, in order, once; and an independent reader agrees.
//!
//! The writer is this test binary again, started with `SIDEKICK_CRASH_DIR`. It prints each acknowledgement only after the
//! buffer gave it. `SIDEKICK_CRASH_ROUNDS` makes it longer (default 20), `SIDEKICK_CRASH_SEED` repeats a run.

#[path = "support/buffers.rs"]
mod buffers;

use buffers::*;
use rand::{Rng, SeedableRng, rngs::StdRng};
use sidekick::buffer::{Buffer, Change, Options, Producer, Record, Start};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

fn crash_options(dir: &Path) -> Options {
    let mut options = options(dir);
    options.max_bytes = 4 << 20;
    options.sinks.push(sink_rule("khepri", Start::First));
    options
}

fn say(line: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        // Nobody listens any more: the test itself was ended.
        std::process::exit(1);
    }
}

/// Not a test of its own: the process that gets killed.
#[test]
fn writer() {
    let Ok(dir) = std::env::var("SIDEKICK_CRASH_DIR") else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let buffer = open(&crash_options(Path::new(&dir))).await;
        let producers: Vec<_> = (0..3)
            .map(|n| tokio::spawn(produce(buffer.clone(), n)))
            .collect();
        let session = tokio::spawn(play(buffer.clone()));
        let drainer = tokio::spawn(drain(buffer.clone()));
        say(format_args!("started"));
        for task in producers {
            task.await.expect("no panic");
        }
        session.await.expect("no panic");
        drainer.await.expect("no panic");
    });
}

/// Appends batches of 1 to 5 events; the payload is the event's sequence. Sends the last batch of its past life again.
async fn produce(buffer: Buffer, n: u64) {
    let name = stream(&format!("p{n}"));
    let mut last = buffer.stream(&name).map_or(0, |info| info.last);
    for number in 1.. {
        let count = 1 + (number + n) % 5;
        let payloads: Vec<_> = (1..=count)
            .map(|k| payload(&format!("{:<300}", last + k)))
            .collect();
        // A fresh name for each life; numbers count within it.
        let producer = Producer {
            name: format!("{}", buffer.incarnation()).into(),
            batch: number,
        };
        let appended = buffer
            .append(&name, payloads.clone(), Some(producer.clone()))
            .await
            .expect("appends");
        assert_eq!((appended.first, appended.last), (last + 1, last + count));
        if number % 10 == 0 {
            let again = buffer
                .append(&name, payloads, Some(producer))
                .await
                .expect("answers");
            assert_eq!(
                (again.first, again.last, again.repeated),
                (appended.first, appended.last, true)
            );
        }
        last = appended.last;
        say(format_args!("appended {n} {last}"));
    }
}

/// What the `g`th batch of the session does.
fn changes_of(g: u64) -> Vec<Change> {
    if g % 4 != 0 {
        return Vec::new();
    }
    let mut changes = vec![
        Change::Put(key("g"), payload(&g.to_string())),
        Change::Put(key(&format!("k{}", g % 60)), payload(&g.to_string())),
    ];
    if g % 12 == 0 {
        changes.push(Change::Delete(key(&format!("k{}", (g + 20) % 60))));
    }
    changes
}

async fn play(buffer: Buffer) {
    let mut g = progress(&buffer).await;
    let epoch = activate(&buffer, "lobby").await;
    for number in 1.. {
        g += 1;
        let mut batch = batch("lobby", epoch, number);
        batch
            .events
            .push((stream("match"), payload(&g.to_string())));
        batch.changes = changes_of(g);
        let committed = buffer.commit(batch.clone()).await.expect("commits");
        assert!(!committed.repeated);
        if number % 16 == 0 {
            assert!(buffer.commit(batch).await.expect("answers").repeated);
        }
        say(format_args!("played {g}"));
    }
}

/// How many batches the session has committed, by what restore gives back alone.
async fn progress(buffer: &Buffer) -> u64 {
    let restored = buffer.restore(&scope("lobby")).await.expect("restores");
    let number = |bytes: &[u8]| {
        std::str::from_utf8(bytes)
            .expect("text")
            .parse::<u64>()
            .expect("a number")
    };
    let state: BTreeMap<_, _> = restored.state.iter().cloned().collect();
    let point = state.get(&key("g")).map_or(0, |value| number(value));
    let tail: Vec<u64> = restored
        .tail
        .iter()
        .map(|event| number(&event.payload))
        .collect();
    let g = tail.last().copied().unwrap_or(point);
    assert_eq!(
        tail,
        (point + 1..=g).collect::<Vec<_>>(),
        "the tail is what came after the state point, in order"
    );
    assert!(!restored.tail_cut);
    let mut model = BTreeMap::new();
    for change in (1..=g).flat_map(changes_of) {
        match change {
            Change::Put(key, value) => drop(model.insert(key, value)),
            Change::Delete(key) => drop(model.remove(&key)),
        }
    }
    assert_eq!(state, model, "the state is that of batch {g}");
    g
}

/// Reads what there is and acknowledges most of it, so that segments are freed all the time.
async fn drain(buffer: Buffer) {
    let khepri = sink("khepri");
    let mut committed = buffer.committed();
    loop {
        for info in buffer.streams() {
            let cursor = info
                .cursors
                .iter()
                .find(|(name, _)| *name == khepri)
                .map_or(0, |(_, seq)| *seq);
            let records = buffer
                .read(&info.name, cursor + 1, 200, usize::MAX)
                .await
                .expect("reads");
            assert!(
                records
                    .iter()
                    .zip(cursor + 1..)
                    .all(|(record, seq)| record.seq == seq),
                "no gap behind the cursor"
            );
            if let Some(last) = records.last().filter(|_| records.len() >= 100) {
                say(format_args!("drained {} {}", info.name, last.seq));
                buffer
                    .advance(&khepri, &info.name, last.seq)
                    .await
                    .expect("advances");
            }
        }
        committed.changed().await.expect("still open");
    }
}

#[derive(Default, Debug)]
struct Acknowledged {
    appended: BTreeMap<u64, u64>,
    played: u64,
    drained: BTreeMap<String, u64>,
}

/// Runs the writer until it said `lines` lines, kills it, reads what else it said.
fn run_and_kill(dir: &Path, lines: usize, told: &mut Acknowledged) {
    let mut child = Command::new(std::env::current_exe().expect("this binary"))
        .args(["writer", "--exact", "--nocapture"])
        .env("SIDEKICK_CRASH_DIR", dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let out = BufReader::new(child.stdout.take().expect("piped"));
    let mut said = 0;
    for line in out.lines() {
        let line = line.expect("reads");
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().expect("a number");
        match words[0] {
            "appended" => drop(told.appended.insert(number(1), number(2))),
            "played" => told.played = number(1),
            "drained" => drop(told.drained.insert(words[1].to_owned(), number(2))),
            _ => {}
        }
        said += 1;
        if said == lines {
            child.kill().expect("kills");
        }
    }
    let mut stderr = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().expect("piped"), &mut stderr)
        .expect("reads");
    let status = child.wait().expect("ends");
    assert!(
        said >= lines && !status.success(),
        "the writer ended by itself: {stderr}"
    );
}

async fn check(buffer: &Buffer, told: &Acknowledged) {
    for (n, last) in &told.appended {
        let name = stream(&format!("p{n}"));
        let info = buffer.stream(&name).expect("known");
        assert!(
            info.last >= *last,
            "{name}: acknowledged up to {last}, there is {info:?}"
        );
        let drained = told.drained.get(&name.to_string()).copied().unwrap_or(0);
        // Trimming goes on meanwhile: up to what was drained and not further.
        let mut records = Vec::new();
        while records
            .last()
            .is_none_or(|record: &Record| record.seq < info.last)
        {
            records = buffer
                .read(&name, 1, usize::MAX, usize::MAX)
                .await
                .expect("reads");
            if records.is_empty() {
                break;
            }
        }
        let first = records.first().map_or(info.last + 1, |record| record.seq);
        assert!(
            first <= drained + 1,
            "{name}: trimmed to {first}, drained were {drained}: {info:?}"
        );
        assert_eq!(records.len() as u64, info.last + 1 - first);
        for (record, seq) in records.iter().zip(first..) {
            assert_eq!(
                (record.seq, &record.payload),
                (seq, &payload(&format!("{seq:<300}")))
            );
        }
    }
    let g = progress(buffer).await;
    assert!(
        g >= told.played,
        "played up to {} was acknowledged, {g} is there",
        told.played
    );
}

#[test]
fn nothing_acknowledged_is_lost() {
    let rounds: usize = std::env::var("SIDEKICK_CRASH_ROUNDS")
        .map_or(20, |rounds| rounds.parse().expect("a number"));
    let seed: u64 = std::env::var("SIDEKICK_CRASH_SEED")
        .map_or_else(|_| rand::random(), |seed| seed.parse().expect("a number"));
    println!("SIDEKICK_CRASH_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().expect("temporary directory");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut told = Acknowledged::default();
    for round in 0..rounds {
        run_and_kill(dir.path(), random.random_range(1..1500), &mut told);
        if round % 7 == 3 {
            std::fs::remove_dir_all(dir.path().join("buffer/index")).expect("removes the index");
        }
        runtime.block_on(async {
            let buffer = open(&crash_options(dir.path())).await;
            check(&buffer, &told).await;
            let ours = (round + 1 == rounds).then_some(witnessed(&buffer).await);
            buffer.close().await;
            if let Some(ours) = ours {
                let theirs = independent(&crash_options(dir.path()).dir).expect("reads");
                assert_eq!(beyond_cursors(&theirs), beyond_cursors(&ours));
            }
        });
    }
}
