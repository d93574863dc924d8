//! A disk that is full, broken or slow: nothing is acknowledged that is not durable, it is told, and what can go on goes on.

#[path = "support/buffers.rs"]
mod buffers;
#[path = "support/powercut/mod.rs"]
mod powercut;
#[path = "support/servant.rs"]
mod servant;

use buffers::*;
use powercut::disk::{self, Disk, Honours};
use powercut::record::Entry;
use powercut::{Behind, JOURNAL_ONLY, NO_GROWTH, NO_SPACE, SYNC_FAILS, SYNC_LIES, WRITE_FAILS};
use rand::{SeedableRng, rngs::StdRng};
use servant::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};

/// Not a test of its own: the process that meets the errors.
#[test]
fn servant() {
    serve();
}

fn said(lines: &[String], begin: &str) -> usize {
    lines.iter().filter(|line| line.starts_with(begin)).count()
}

/// Opens what is there, and counts the events of `log`.
fn events(root: &Path) -> u64 {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let buffer = open(&servant_options(root)).await;
        let last = buffer.stream(&stream("log")).map_or(0, |info| info.last);
        if last > 0 {
            let events = everything(&buffer, &stream("log"), last).await;
            assert_eq!(events.len() as u64, last);
        }
        buffer.close().await;
        last
    })
}

/// Everything that was acknowledged is there after a kill; and so it is after power cuts.
fn nothing_is_lost(servant: &Servant, acknowledged: u64) {
    assert!(events(&servant.root()) >= acknowledged);
    let mut disk = Disk::new(&servant.root(), Honours::ALL);
    servant
        .behind
        .record()
        .iter()
        .for_each(|entry| disk.apply(entry));
    for seed in 0..4 {
        let image = servant.place.path().join("image");
        disk::write(&disk.cut(&mut StdRng::seed_from_u64(seed)), &image);
        assert!(events(&image) >= acknowledged, "after power cut {seed}");
    }
}

/// While there is no space nothing is acknowledged, `full` is told and reads go on; then it goes on by itself.
fn waits_for_space(faults: u32, batch: usize) {
    let mut servant = Servant::start();
    servant.order("append log 3");
    servant.wait_n("appended", 3);
    servant.behind.faults(faults | JOURNAL_ONLY, 0);
    servant.order(&format!("append log {batch}"));
    let before = servant.wait("full true");
    servant.order("read log");
    let meanwhile = servant.wait("read");
    let acknowledged = said(&before, "appended") + said(&meanwhile, "appended");
    assert!(acknowledged < batch, "some of them have to wait");
    assert_eq!(said(&before, "refused") + said(&before, "failed"), 0);
    assert!(servant.behind.hit() > 0);
    servant.behind.faults(0, 0);
    let mut after = servant.wait_n("appended", batch - acknowledged);
    if said(&after, "full false") == 0 {
        after.extend(servant.wait("full false"));
    }
    assert_eq!(said(&after, "refused") + said(&after, "failed"), 0);
    servant.order("append log 1");
    servant.wait("appended");
    servant.kill();
    nothing_is_lost(&servant, 3 + batch as u64 + 1);
}

#[test]
fn a_disk_without_any_space_is_waited_for() {
    waits_for_space(NO_SPACE, 1);
}

#[test]
fn a_disk_without_space_for_new_segments_is_waited_for() {
    waits_for_space(NO_GROWTH, 400);
}

#[test]
fn a_buffer_on_a_full_disk_can_be_closed() {
    let mut servant = Servant::start();
    servant.behind.faults(NO_SPACE | JOURNAL_ONLY, 0);
    servant.order("append log 1");
    servant.wait("full true");
    servant.order("close");
    let lines = servant.wait("closed");
    assert_eq!(said(&lines, "appended"), 0);
}

#[test]
fn a_buffer_is_not_opened_without_space() {
    for faults in [NO_SPACE, NO_GROWTH] {
        let mut servant = Servant::start_with(faults);
        let lines = servant.wait("unopened");
        let why = lines.last().expect("one");
        assert!(why.contains("space"), "{why}");
        servant.kill();
        // Half a beginning is no obstacle once there is space.
        servant.behind.faults(0, 0);
        assert_eq!(events(&servant.root()), 0);
    }
}

#[test]
fn a_broken_disk_is_not_opened() {
    for faults in [WRITE_FAILS, SYNC_FAILS] {
        let mut servant = Servant::start_with(faults);
        servant.wait("unopened");
        servant.kill();
        assert_eq!(events(&servant.root()), 0);
    }
}

/// From the fault on nothing is acknowledged, and it is told. How many had been acknowledged.
fn stops(faults: u32) -> (Servant, u64) {
    let mut servant = Servant::start();
    servant.order("append log 5");
    servant.wait_n("appended", 5);
    servant.behind.faults(faults | JOURNAL_ONLY, 0);
    servant.order("append log 7");
    let mut lines = servant.wait_n("refused", 7);
    if said(&lines, "failed") == 0 {
        lines.extend(servant.wait("failed"));
    }
    // It does not go on as if nothing had been.
    servant.behind.faults(0, 0);
    servant.order("append log 3");
    lines.extend(servant.wait_n("refused", 3));
    lines.extend(servant.kill());
    assert_eq!(said(&lines, "appended"), 0);
    (servant, 5)
}

#[test]
fn a_failed_write_stops_it() {
    let (servant, acknowledged) = stops(WRITE_FAILS);
    nothing_is_lost(&servant, acknowledged);
}

#[test]
fn a_failed_sync_stops_it() {
    let (servant, acknowledged) = stops(SYNC_FAILS);
    nothing_is_lost(&servant, acknowledged);
}

/// What the two tests above rely on: had the syncs not been waited for, or their errors ignored, something would be lost.
#[test]
fn a_sync_that_lies_is_noticed() {
    let mut servant = Servant::start();
    servant.behind.faults(SYNC_LIES | JOURNAL_ONLY, 0);
    servant.order("append log 9");
    servant.wait_n("appended", 9);
    servant.kill();
    let lost = catch_unwind(AssertUnwindSafe(|| nothing_is_lost(&servant, 9)));
    assert!(lost.is_err());
}

/// How many events stand in what was written: each is mostly spaces.
fn events_in(data: &[u8]) -> usize {
    let runs = data.chunk_by(|a, b| a == b);
    runs.filter(|run| run[0] == b' ' && run.len() > 900).count()
}

/// Whether more was acknowledged at any moment than was durable.
fn acknowledged_early(record: &[Entry]) -> bool {
    let (mut written, mut durable, mut acknowledged) = (0, 0, 0);
    record.iter().any(|entry| {
        match entry {
            Entry::Write { data, .. } => written += events_in(data),
            Entry::Sync { .. } => durable = written,
            Entry::Said(said) => acknowledged += usize::from(said.starts_with(b"appended")),
            _ => {}
        }
        acknowledged > durable
    })
}

#[test]
fn a_slow_sync_pushes_back_and_holds_up_nobody_else() {
    let mut servant = Servant::start();
    servant.order("append log 1");
    servant.wait("appended");
    servant.behind.faults(JOURNAL_ONLY, 2000);
    let syncs = servant.behind.syncs();
    servant.order("append log 100");
    while servant.behind.syncs() == syncs {
        std::thread::yield_now();
    }
    for _ in 0..5 {
        servant.order("read log");
        let lines = servant.wait("read");
        assert_eq!(
            lines,
            ["read log 1"],
            "reads go on, nothing is acknowledged"
        );
    }
    servant.wait("appended");
    servant.behind.faults(0, 0);
    servant.wait_n("appended", 99);
    let mut record = servant.behind.record();
    assert!(!acknowledged_early(&record));
    record.retain(|entry| !matches!(entry, Entry::Sync { .. }));
    assert!(acknowledged_early(&record), "a missing sync is noticed");
}

/// The whole program: it ends with code 1, and says why.
#[test]
fn sidekick_ends_with_code_1() {
    let place = tempfile::tempdir().expect("temporary directory");
    let behind = Behind::new(place.path());
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let config = format!(
        "[node]\nname = \"errors_{}@127.0.0.1\"\n[node.epmd]\nport = {port}\n[buffer]\ndir = {:?}\n\
         [[server]]\nid = \"lobby\"\ncommand = [\"sleep\", \"1000\"]\nautostart = false\n",
        std::process::id(),
        behind.root().join("buffer")
    );
    std::fs::write(place.path().join("sidekick.toml"), config).expect("writes");
    let binary = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sidekick"));
        command
            .env("SIDEKICK_COOKIE", "test_cookie")
            .current_dir(place.path())
            .stdin(Stdio::null());
        command
    };
    let mut run = binary();
    run.arg("run").stderr(Stdio::piped());
    let mut child = behind.wrap(&mut run).spawn().expect("starts");
    let mut log = std::io::BufReader::new(child.stderr.take().expect("piped"));
    let mut read = String::new();
    while !read.contains("sidekick runs") {
        let n = std::io::BufRead::read_line(&mut log, &mut read).expect("reads");
        assert!(n > 0, "{read}");
    }
    behind.faults(SYNC_FAILS | JOURNAL_ONLY, 0);
    // A server's activation is journalled before it starts.
    let start = binary()
        .args(["ctl", "start", "lobby"])
        .output()
        .expect("runs");
    assert!(!start.status.success());
    std::io::Read::read_to_string(&mut log, &mut read).expect("reads");
    assert_eq!(child.wait().expect("ends").code(), Some(1), "{read}");
    assert!(read.contains("syncing the journal failed"), "{read}");
}
