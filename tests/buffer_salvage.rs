//! `inspect --salvage`: every good record of a damaged directory is copied, what is missing is named, and the copy works on.

#[path = "support/buffers.rs"]
mod buffers;

use buffers::{
    activate, batch, hex, independent, key, open, options, payload, scope, sink, sink_rule, stream,
};
use serde_json::Value;
use sidekick::buffer::salvage::{SalvageError, Salvaged, salvage};
use sidekick::buffer::{Buffer, Change, Options, Start, inspect};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Some segments of events of three streams, of a game's batches, and of state, a stalled stream's events moved among them.
async fn filled(dir: &Path) -> Options {
    let mut options = options(dir);
    options.sinks.push(sink_rule("khepri", Start::First));
    let buffer = open(&options).await;
    let epoch = activate(&buffer, "lobby").await;
    for n in 1..=60_u64 {
        let mut batch = batch("lobby", epoch, n);
        let text = format!("{n}-{}", "x".repeat(2000));
        for name in ["a", "b"] {
            batch.events.push((stream(name), payload(&text)));
        }
        if n % 3 == 0 {
            for name in [format!("k{}", n % 12), "tick".to_owned()] {
                batch.changes.push(Change::Put(key(&name), payload(&text)));
            }
        }
        buffer.commit(batch).await.expect("commits");
        if n == 2 {
            let few = vec![payload("one"), payload("two")];
            buffer
                .append(&stream("few"), few, None)
                .await
                .expect("appends");
        }
    }
    buffer.close().await;
    options
}

fn journal(options: &Options) -> PathBuf {
    options.dir.join("journal")
}

/// A record as `inspect --dump` shows it: where it lies and what it holds.
struct Shown {
    segment: u64,
    from: u64,
    to: u64,
    content: Value,
}

fn shown(options: &Options) -> Vec<Shown> {
    let mut text = Vec::new();
    inspect::dump(&options.dir, &mut text).expect("dumps");
    let text = String::from_utf8(text).expect("text");
    let mut records: Vec<Shown> = Vec::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let (segment, from) = (
            line["segment"].as_u64().expect("a number"),
            line["offset"].as_u64().expect("a number"),
        );
        if let Some(before) = records.last_mut().filter(|last| last.segment == segment) {
            before.to = from;
        }
        records.push(Shown {
            segment,
            from,
            to: u64::MAX,
            content: line["content"].clone(),
        });
    }
    records
}

type Events = BTreeMap<(String, u64), String>;
type State = BTreeMap<(String, String), String>;

/// What records that are left say.
fn expected<'a>(records: impl Iterator<Item = &'a Shown>) -> (Events, State) {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let (mut events, mut state) = (Events::new(), State::new());
    for record in records.filter(|record| record.content.is_object()) {
        let content = &record.content;
        for event in content["events"].as_array().into_iter().flatten() {
            let seq = event["seq"].as_u64().expect("a number");
            events.insert((text(&event["stream"]), seq), text(&event["payload"]));
        }
        let scope = content["state"].get("scope");
        let changes = content["state"].get("changes").unwrap_or(&content["state"]);
        for change in changes.as_array().into_iter().flatten() {
            let scope = text(scope.unwrap_or(&change["scope"]));
            state.insert((scope, text(&change["key"])), text(&change["value"]));
        }
    }
    (events, state)
}

/// What a buffer answers, read as a sink reads: on from the last event.
async fn answers(buffer: &Buffer) -> (Events, State) {
    let (mut events, mut state) = (Events::new(), State::new());
    for info in buffer.streams() {
        let mut next = 1;
        loop {
            let records = buffer
                .read(&info.name, next, 7, 1 << 20)
                .await
                .expect("reads");
            let Some(last) = records.last() else { break };
            let first = records[0].seq;
            assert_eq!(
                last.seq - first + 1,
                records.len() as u64,
                "no gap within an answer"
            );
            next = last.seq + 1;
            events.extend(
                records
                    .iter()
                    .map(|r| ((info.name.to_string(), r.seq), hex(&r.payload))),
            );
        }
    }
    for scope in buffer.scopes() {
        for (key, value) in buffer.state(&scope).await.expect("reads") {
            state.insert((scope.to_string(), key.to_string()), hex(&value));
        }
    }
    (events, state)
}

/// The events that are among `all` but not among `left`.
fn missing(all: &Events, left: &Events) -> BTreeSet<(String, u64)> {
    all.keys()
        .filter(|event| !left.contains_key(event))
        .cloned()
        .collect()
}

fn told_missing(salvaged: &Salvaged) -> BTreeSet<(String, u64)> {
    let ranges = salvaged.missing_events.iter();
    ranges
        .flat_map(|(stream, ranges)| {
            ranges
                .iter()
                .flat_map(move |(a, b)| (*a..=*b).map(move |seq| (stream.clone(), seq)))
        })
        .collect()
}

fn overwrite(file: &Path, offset: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(file).expect("opens");
    file.write_all_at(bytes, offset).expect("writes");
}

/// Salvages, compares with what the records left say, and goes on with the copy.
async fn check(what: &str, options: &Options, all: &[Shown], hit: impl Fn(&Shown) -> bool) {
    let out = options.dir.with_file_name(format!("out-{what}"));
    let salvaged = salvage(&options.dir, &out).unwrap_or_else(|error| panic!("{what}: {error}"));
    let (before, _) = expected(all.iter());
    let (events, state) = expected(all.iter().filter(|record| !hit(record)));
    assert_eq!(
        told_missing(&salvaged),
        missing(&before, &events),
        "{what}: {salvaged:?}"
    );
    assert_eq!(salvaged.is_complete(), what == "nothing", "{what}");
    let copy = Options {
        dir: out.clone(),
        ..options.clone()
    };
    for round in ["first", "again"] {
        let buffer = open(&copy).await;
        assert_eq!(buffer.origin().to_string(), salvaged.origin, "{what}");
        let (found, values) = answers(&buffer).await;
        let differing = missing(&events, &found);
        assert!(
            found == events,
            "{what}, {round}: differs, missing {differing:?}"
        );
        assert_eq!(values, state, "{what}, {round}: state");
        buffer.close().await;
    }
    if what == "two sectors" {
        let lines = independent(&out).expect("an independent reader agrees");
        let seen = lines.iter().filter(|line| line.starts_with("event"));
        assert_eq!(seen.count(), events.len(), "{what}");
    }
    goes_on(what, &copy, &salvaged).await;
}

/// Sequences continue, the old session is fenced, a report names the parent, cursors stand where they stood.
async fn goes_on(what: &str, copy: &Options, salvaged: &Salvaged) {
    let report = inspect::verify(&copy.dir).expect("reads");
    assert_eq!(report.parent.as_ref(), Some(&salvaged.parent), "{what}");
    assert!(report.problems.is_empty(), "{what}: {:?}", report.problems);
    let buffer = open(copy).await;
    let last = buffer.stream(&stream("a")).expect("known").last;
    let appended = buffer
        .append(&stream("a"), vec![payload("new")], None)
        .await;
    assert_eq!(appended.expect("appends").first, last + 1, "{what}");
    buffer
        .commit(batch("lobby", 1, 61))
        .await
        .expect_err("the old session is fenced");
    let epoch = activate(&buffer, "lobby").await;
    assert!(epoch > 1, "{what}");
    // Space comes back although there are gaps.
    for info in buffer.streams() {
        buffer
            .advance(&sink("khepri"), &info.name, info.last)
            .await
            .expect("advances");
    }
    buffers::until(&buffer, "trimmed", |buffer| {
        let streams = buffer.streams();
        streams.iter().all(|info| info.first > info.last)
    })
    .await;
    buffer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_readable_is_copied_and_what_is_missing_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = filled(dir.path()).await;
    let all = shown(&options);
    let whole = dir.path().join("whole");
    copy_dir(&options.dir, &whole);
    let third = fs::read_dir(journal(&options)).expect("lists");
    let mut files: Vec<PathBuf> = third
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .collect();
    files.sort();
    assert!(files.len() >= 4, "{} segments", files.len());
    let id = |file: &Path| {
        let stem = file.file_stem().expect("a name").to_string_lossy();
        u64::from_str_radix(&stem, 16).expect("hexadecimal")
    };
    let (first, middle, last) = (&files[0], &files[1], &files[files.len() - 1]);
    let (first_id, middle_id, last_id) = (id(first), id(middle), id(last));
    let restore = || {
        fs::remove_dir_all(&options.dir).expect("removes");
        copy_dir(&whole, &options.dir);
    };

    check("nothing", &options, &all, |_| false).await;
    overwrite(middle, 30_000, &[0xa5]);
    check("a byte", &options, &all, |r| {
        r.segment == middle_id && (r.from..r.to).contains(&30_000)
    })
    .await;
    restore();
    overwrite(middle, 20_480, &[0x5a; 8192]);
    check("two sectors", &options, &all, |r| {
        r.segment == middle_id && r.from < 28_672 && r.to > 20_480
    })
    .await;
    restore();
    overwrite(middle, 0, &[0; 4096]);
    check("a header", &options, &all, |_| false).await;
    restore();
    let file = OpenOptions::new().write(true).open(middle).expect("opens");
    file.set_len(40_000).expect("cuts");
    check("cut", &options, &all, |r| {
        r.segment == middle_id && r.to > 40_000
    })
    .await;
    restore();
    fs::remove_file(middle).expect("removes");
    check("a segment", &options, &all, |r| r.segment == middle_id).await;
    restore();
    fs::remove_file(first).expect("removes");
    check("the first", &options, &all, |r| r.segment == first_id).await;
    restore();
    let newest = all.iter().filter(|r| r.segment == last_id);
    let place = newest.clone().nth(newest.count() / 2).expect("some").from;
    overwrite(last, place + 9, &[0xa5]);
    check("in the last", &options, &all, |r| {
        r.segment == last_id && r.from == place
    })
    .await;
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("makes");
    for entry in fs::read_dir(from).expect("lists") {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("a type").is_dir() {
            copy_dir(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("copies");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_refuses_what_would_do_harm() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = filled(dir.path()).await;
    let out = dir.path().join("out");
    fs::create_dir(&out).expect("makes");
    fs::write(out.join("mine"), "").expect("writes");
    let refused = salvage(&options.dir, &out).expect_err("there is something");
    assert!(matches!(refused, SalvageError::NotEmpty(_)), "{refused}");
    fs::remove_file(out.join("mine")).expect("removes");

    let buffer = open(&options).await;
    let refused = salvage(&options.dir, &out).expect_err("in use");
    assert!(matches!(refused, SalvageError::InUse(_)), "{refused}");
    buffer
        .advance(&sink("khepri"), &stream("few"), 1)
        .await
        .expect("advances");
    buffer.close().await;

    let refused = salvage(&out, &dir.path().join("other")).expect_err("nothing there");
    assert!(!dir.path().join("other").exists(), "{refused}");
    salvage(&options.dir, &out).expect("now it can");
    let copy = Options {
        dir: out,
        ..options
    };
    let buffer = open(&copy).await;
    let few = buffer.stream(&stream("few")).expect("known");
    assert_eq!(
        few.cursors,
        [(sink("khepri"), 1)],
        "what a sink has it does not get again"
    );
    assert_eq!(buffer.scopes(), [scope("lobby")]);
    let delta = buffer
        .state_delta(&sink("khepri"), &scope("lobby"))
        .await
        .expect("reads");
    assert_eq!(
        delta.expect("all of it").after,
        0,
        "a new origin has its own state"
    );
    buffer.close().await;
}
