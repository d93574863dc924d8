//! A writer that is killed at any moment, and what must be there afterwards. Shared by the tests of kills and of power cuts.
#![allow(dead_code, reason = "each test file uses some")]

use crate::buffers::*;
use sidekick::buffer::{Buffer, Change, Options, Producer, Start};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

pub fn crash_options(dir: &Path) -> Options {
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

/// The process that gets killed: what it says it was told by the buffer. Never returns; does nothing without a directory.
pub fn write_until_killed() {
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
        say(format_args!(
            "appended {n} {last} {} {number}",
            buffer.incarnation()
        ));
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

/// What a writer said.
#[derive(Default, Debug, Clone)]
pub struct Acknowledged {
    /// By producer: the last sequence, and the incarnation and number of its batch.
    appended: BTreeMap<u64, (u64, u64, u64)>,
    played: u64,
    drained: BTreeMap<String, u64>,
}

impl Acknowledged {
    /// Takes in a line of a writer's output.
    pub fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().expect("a number");
        match words[0] {
            "appended" => {
                let last = (number(2), number(3), number(4));
                self.appended.insert(number(1), last);
            }
            "played" => self.played = number(1),
            "drained" => drop(self.drained.insert(words[1].to_owned(), number(2))),
            _ => {}
        }
    }
}

/// Whatever was acknowledged is there, in order, once.
pub async fn check(buffer: &Buffer, told: &Acknowledged) {
    for (n, (last, incarnation, batch)) in &told.appended {
        let name = stream(&format!("p{n}"));
        let info = buffer.stream(&name).expect("known");
        assert!(
            info.last >= *last,
            "{name}: acknowledged up to {last}, there is {info:?}"
        );
        let drained = told.drained.get(&name.to_string()).copied().unwrap_or(0);
        // Trimming goes on meanwhile: up to what was drained and not further.
        let records = everything(buffer, &name, info.last).await;
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
        // Who lost the answer asks again.
        let producer = Producer {
            name: incarnation.to_string().into(),
            batch: *batch,
        };
        let again = buffer
            .append(&name, vec![payload("again")], Some(producer))
            .await
            .expect("answers");
        assert_eq!((again.last, again.repeated), (*last, true), "{name}");
    }
    let g = progress(buffer).await;
    assert!(
        g >= told.played,
        "played up to {} was acknowledged, {g} is there",
        told.played
    );
}
