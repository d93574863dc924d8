//! Lines come, and all of them, with and without inotify.

use super::*;
use crate::supervisor::status::LogLine;
use crate::types::ServerId;
use rustix::fs::inotify;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use tokio::sync::broadcast;

type Lines = broadcast::Receiver<(ServerId, LogLine)>;

fn instance() -> std::os::fd::OwnedFd {
    let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
    inotify::init(flags).expect("one is left")
}

fn append(path: &Path) -> File {
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).open(path);
    file.expect("opens")
}

/// A server whose empty files are followed: its standard output, and what comes of it.
fn followed(dir: &Path, tail: &Tail, server: &str) -> (File, Lines, Arc<LogBook>) {
    let (events, lines) = broadcast::channel(64);
    let id = ServerId::new(server).expect("valid");
    let path = |source: &str| dir.join(format!("{server}.{source}.log"));
    let files = Files {
        book: Arc::new(LogBook::new(id, 100_000, events)),
        slot: Slot::First,
        stdout: path("stdout"),
        stderr: path("stderr"),
        last: None,
    };
    let (file, _) = (append(&files.stdout), append(&files.stderr));
    let book = files.book.clone();
    tail.follow(server, files);
    (file, lines, book)
}

/// The next line; only a failing test waits so long.
async fn next(lines: &mut Lines) -> String {
    let patience = std::time::Duration::from_secs(30);
    let line = tokio::time::timeout(patience, lines.recv()).await;
    line.expect("a line comes").expect("is heard").1.line
}

fn texts(book: &LogBook) -> Vec<String> {
    let lines = book.read(usize::MAX, None).into_iter();
    lines.map(|line| line.line).collect()
}

#[tokio::test]
async fn lines_come_by_themselves_with_and_without_inotify() {
    for inotify in [None, Some(instance())] {
        let dir = tempfile::tempdir().expect("tempdir");
        let tail = Tail::watching(Watch::with(inotify)).expect("starts");
        let (mut one, mut of_one, _) = followed(dir.path(), &tail, "one");
        let (mut two, mut of_two, _) = followed(dir.path(), &tail, "two");
        for round in 0..3 {
            for (file, lines) in [(&mut one, &mut of_one), (&mut two, &mut of_two)] {
                writeln!(file, "round {round}").expect("writes");
                assert_eq!(next(lines).await, format!("round {round}"));
            }
        }
        // Who is forgotten is looked at no more, the other still is.
        tail.drain("one", true).await;
        writeln!(one, "unheard").expect("writes");
        writeln!(two, "heard").expect("writes");
        assert_eq!(next(&mut of_two).await, "heard");
        assert!(of_one.try_recv().is_err());
    }
}

#[tokio::test]
async fn a_drain_without_inotify_finds_every_line_once() {
    let dir = tempfile::tempdir().expect("tempdir");
    let tail = Tail::watching(Watch::with(None)).expect("starts");
    let (mut file, _, book) = followed(dir.path(), &tail, "one");
    let mut wanted = Vec::new();
    for round in 0..20 {
        let lines: Vec<String> = (0..1_000).map(|n| format!("line {round} {n}")).collect();
        file.write_all((lines.join("\n") + "\n").as_bytes())
            .expect("writes");
        wanted.extend(lines);
        tail.drain("one", false).await;
        assert_eq!(texts(&book).len(), wanted.len());
    }
    write!(file, "the last one has no end").expect("writes");
    wanted.push("the last one has no end".into());
    tail.drain("one", true).await;
    assert!(texts(&book) == wanted, "{:?}", texts(&book).last());
}

#[test]
fn only_a_blind_server_wakes_the_reader() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("x.log");
    let mut watch = Watch::with(Some(instance()));
    append(&path);
    watch.add("watched", &path);
    assert!(watch.timeout().is_none() && watch.blind().next().is_none());
    watch.add("gone", &dir.path().join("y.log"));
    assert!(!watch.timeout().is_none());
    assert_eq!(watch.blind().collect::<Vec<_>>(), ["gone"]);
    watch.remove("gone");
    assert!(watch.timeout().is_none());
}

#[test]
fn a_file_whose_event_was_lost_in_a_full_queue_is_read() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut watch = Watch::with(Some(instance()));
    let mut files = ["a", "b", "c"].map(|name| {
        let path = dir.path().join(name);
        let file = append(&path);
        watch.add(name, &path);
        file
    });
    let most = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events");
    let most: usize = most.expect("linux").trim().parse().expect("a number");
    // The kernel merges events of one file that follow each other.
    for n in 0..=most {
        files[n % 2].write_all(b"x").expect("writes");
    }
    files[2].write_all(b"x").expect("writes");
    let mut grown = Vec::new();
    watch.take(&mut grown);
    assert_eq!(grown, ["a", "b", "c"]);
}
