use super::super::output;
use super::super::status::EndReason;
use super::*;

fn bundle(at_ms: u64, line: u32) -> Bundle {
    let text = format!(
        "handle_crash: Program crashed with signal 11\nGDScript backtrace (most recent call first):\n    [0] f (res://a.gd:{line})\n"
    );
    Bundle {
        server: "lobby".into(),
        at_ms,
        start_number: 1,
        start: format!("start-{at_ms}"),
        os_pid: 7,
        epoch: Some(3),
        reason: EndReason::Signal("sigsegv".into()),
        decision: None,
        detail: None,
        while_away: false,
        standby: false,
        exit: None,
        output: output::read(text.lines()),
        log: Vec::new(),
        beats: Vec::new(),
        activity: None,
        figures: Value::Null,
        samples: Vec::new(),
        core_dump: None,
        versions: Value::Null,
        binary: None,
        facts: json!({"streams": {}}),
    }
}

fn numbers(store: &Store) -> Vec<u64> {
    store.list().iter().map(|crash| crash.number).collect()
}

#[test]
fn bundles_are_numbered_listed_and_bounded_by_count() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = Store::new(dir.path(), "lobby", 3, u64::MAX);
    assert!(store.list().is_empty());
    for at_ms in 1..=5 {
        let written = store.write(&bundle(at_ms, 3)).expect("writes");
        assert_eq!((written.number, written.kind.count), (at_ms, at_ms));
    }
    assert_eq!(numbers(&store), [3, 4, 5]);
    let list = store.list();
    assert_eq!(list[0].reason, "signal sigsegv");
    assert_eq!(list[0].script_line.as_deref(), Some("res://a.gd:3"));
    let kind = list[0].kind.clone().expect("known");
    assert_eq!(
        (kind.count, kind.first_seen_ms, kind.last_seen_ms),
        (5, 1, 5)
    );
    let read = store.read(5).expect("is there");
    assert_eq!((&read["number"], &read["count"]), (&json!(5), &json!(5)));
    assert_eq!(store.read(1), None);
    let later = Store::new(dir.path(), "lobby", 3, u64::MAX);
    assert_eq!(later.write(&bundle(6, 4)).expect("writes").number, 6);
    let other = later.list().pop().expect("is there").kind.expect("known");
    assert_eq!((other.count, other.first_seen_ms), (1, 6));
}

#[test]
fn bytes_are_bounded_and_the_newest_stays_whatever_its_size() {
    let dir = tempfile::tempdir().expect("tempdir");
    let size = {
        let store = Store::new(&dir.path().join("a"), "lobby", 9, u64::MAX);
        store.write(&bundle(1, 3)).expect("writes");
        store.list()[0].bytes
    };
    let store = Store::new(&dir.path().join("b"), "lobby", 9, size * 5 / 2);
    for at_ms in 1..=5 {
        store.write(&bundle(at_ms, 3)).expect("writes");
    }
    assert_eq!(numbers(&store), [4, 5]);
    let tiny = Store::new(&dir.path().join("b"), "lobby", 9, 1);
    tiny.write(&bundle(6, 3)).expect("writes");
    assert_eq!(numbers(&tiny), [6]);
    assert_eq!(tiny.list()[0].kind.as_ref().map(|kind| kind.count), Some(6));
}

#[test]
fn damaged_files_are_told_and_hinder_nothing() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = Store::new(dir.path(), "lobby", 9, u64::MAX);
    for at_ms in 1..=3 {
        store.write(&bundle(at_ms, 3)).expect("writes");
    }
    let path = dir.path().join("lobby/00000002.json");
    let whole = fs::read(&path).expect("reads");
    for cut in [0, 1, whole.len() / 2, whole.len() - 2] {
        fs::write(&path, &whole[..cut]).expect("writes");
        let list = store.list();
        assert_eq!(list.len(), 3, "cut at {cut}");
        assert!(list[1].damaged.is_some(), "cut at {cut}");
        assert!(list[0].damaged.is_none() && list[2].damaged.is_none());
        assert!(store.read(2).expect("is there")["damaged"].is_string());
    }
    fs::write(&path, b"[]").expect("writes");
    assert!(store.list()[1].damaged.is_some());
    assert_eq!(store.write(&bundle(4, 3)).expect("writes").kind.count, 4);
}

#[test]
fn numbers_and_counts_survive_whatever_is_lost() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = Store::new(dir.path(), "lobby", 9, u64::MAX);
    for at_ms in 1..=3 {
        store.write(&bundle(at_ms, 3)).expect("writes");
    }
    let known = dir.path().join("lobby/known.json");
    fs::write(&known, b"not json").expect("writes");
    assert_eq!(store.list().len(), 3, "the bundles speak for themselves");
    let fourth = store.write(&bundle(4, 3)).expect("writes");
    assert_eq!((fourth.number, fourth.kind.count), (4, 4));
    assert!(dir.path().join("lobby/known.damaged").exists());
    for number in 1..=4 {
        fs::remove_file(dir.path().join(format!("lobby/{number:08}.json"))).expect("removes");
    }
    let fifth = store.write(&bundle(5, 3)).expect("writes");
    assert_eq!((fifth.number, fifth.kind.count), (5, 5), "no number twice");
}

#[test]
fn an_end_that_a_dead_sidekick_had_written_down_is_not_written_again() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = Store::new(dir.path(), "lobby", 9, u64::MAX);
    let first = store.write(&bundle(1, 3)).expect("writes");
    // It died before the count was written: the bundle itself tells it.
    fs::remove_file(dir.path().join("lobby/known.json")).expect("removes");
    let again = Bundle {
        while_away: true,
        ..bundle(1, 3)
    };
    assert_eq!(store.write(&again).expect("writes"), first);
    assert_eq!(numbers(&store), [1]);
    let next = store.write(&bundle(2, 3)).expect("writes");
    assert_eq!((next.number, next.kind.count), (2, 2));
}

#[test]
fn ends_that_come_together_get_a_number_each() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = Store::new(dir.path(), "lobby", 99, u64::MAX);
    std::thread::scope(|scope| {
        for at_ms in 1..=8 {
            let store = store.clone();
            scope.spawn(move || store.write(&bundle(at_ms, 3)).expect("writes"));
        }
    });
    assert_eq!(numbers(&store), (1..=8).collect::<Vec<_>>());
    assert_eq!(
        store.list()[0].kind.as_ref().map(|kind| kind.count),
        Some(8)
    );
}
