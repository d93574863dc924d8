//! What people see.

use super::*;
use serde_json::json;

fn server() -> Value {
    json!({
        "id": "lobby", "state": "running", "os_pid": 4711, "since_ms": 0, "epoch": 2, "restarts": 1,
        "last_exit": {"reason": ["signal", "sigsegv"], "at_ms": 5}, "rss_bytes": 124_780_544,
        "standby": {"state": "standby", "os_pid": 4712}
    })
}

#[test]
fn status_shows_servers_and_sinks() {
    let shown = status(&json!({
        "info": {"name": "sidekick@127.0.0.1", "version": "0.1.0", "uptime_ms": 183_400, "incarnation": 2,
                 "origin": "o", "peers": [{"node": "frontend@127.0.0.1"}],
                 "buffer": {"bytes": 1024, "max_bytes": 1_073_741_824, "full": true}},
        "servers": [server()],
        "sinks": [{"name": "khepri", "kind": "beam", "state": "uploading", "node": "frontend@127.0.0.1", "lag": 3, "error": null}]
    }));
    for part in [
        "sidekick@127.0.0.1  version 0.1.0  up 3m 3s",
        "1.0 KiB of 1.0 GiB  FULL",
        "frontend@127.0.0.1",
    ] {
        assert!(shown.contains(part), "{part:?} not in:\n{shown}");
    }
    let row: Vec<&str> = shown
        .lines()
        .find(|line| line.starts_with("lobby"))
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(
        row,
        [
            "lobby",
            "running",
            "4711",
            "1970-01-01T00:00:00.000Z",
            "2",
            "1",
            "signal",
            "sigsegv",
            "119.0",
            "MiB",
            "ready"
        ]
    );
    let sink: Vec<&str> = shown
        .lines()
        .find(|line| line.starts_with("khepri"))
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(
        sink,
        [
            "khepri",
            "beam",
            "uploading",
            "frontend@127.0.0.1",
            "3",
            "-",
            "-",
            "-",
            "-"
        ]
    );
}

#[test]
fn terminals_are_safe_from_what_games_write() {
    let line = json!({"at_ms": 0, "source": "stdout", "line": "a\u{1b}[2Jb\tc"});
    assert_eq!(
        log_line(&line),
        "1970-01-01T00:00:00.000Z  stdout    a\\u{1b}[2Jb\tc\n"
    );
}

#[test]
fn nothing_is_said_in_words() {
    assert_eq!(streams(&json!([])), "no streams yet\n");
    let pasts = json!([{ "rev": 12, "value": "new" }, { "rev": 9, "deleted": true }]);
    assert_eq!(
        history("k", &pasts),
        "      12  \"new\"\n       9  (removed)\n"
    );
    assert_eq!(history("k", &json!([])), "nothing is known of key k\n");
    let limit = json!({ "bytes": 1 << 20, "count": 9, "age_ms": 60_000 });
    let shown = streams(&json!([
        { "name": "log", "limit": limit, "full": true },
        { "name": "free", "limit": null, "full": false },
    ]));
    assert!(shown.contains("1.0 MiB, 9 records, 1m  FULL"), "{shown}");
    assert_eq!(shown.matches("FULL").count(), 1, "{shown}");
    assert_eq!(state("lobby", &json!({})), "scope lobby holds nothing\n");
    assert_eq!(
        crashes("crash lobby NUMBER", &json!([])),
        "no crashes are recorded\n"
    );
    assert_eq!(
        records("s", &json!([])),
        "no records from there on in stream s\n"
    );
}

#[test]
fn fields_carry_their_units() {
    let shown = fields(
        &json!({"rss_bytes": 2048, "uptime_ms": 1500, "last_exit": null, "session": {"ready": true}}),
    );
    assert_eq!(
        shown,
        "last_exit  -\nrss_bytes  2.0 KiB\nsession    ready: true\nuptime_ms  1s 500ms\n"
    );
    assert_eq!(
        done(&json!({"server": "lobby", "done": "started"})),
        "lobby started\n"
    );
}

#[test]
fn sinks_drains_and_dead_letters_read_at_a_glance() {
    let row = json!({"name": "db", "kind": "postgres", "state": "backing_off", "node": null, "lag_records": 40, "lag_scopes": 2, "lag_age_ms": 61_000,
                     "breaker": {"state": "half_open"}, "dead_letters": 2, "error": "refused"});
    let shown = sinks(&json!([row]));
    for part in ["half_open", "40 + 2 scopes", "1m 1s", "refused"] {
        assert!(shown.contains(part), "{part:?} not in:\n{shown}");
    }
    let proof = json!({"sinks": [{"sink": "db", "stored": true, "scopes": [],
                       "streams": [{"stream": "events", "last": 9, "watermark": 9, "stored": true}]}]});
    assert_eq!(
        drained(&proof),
        "db  stored: 1 streams, 0 scopes\n  events  holds everything up to 9\n"
    );
    let letter = json!({"number": 3, "stream": "events", "seq": 7, "dead_ms": 0, "attempts": 3, "error": "no\u{1b}[2J",
                        "payload": {"n": 7}});
    let shown = dead_letters("sidekick ctl sink redrive db", &json!([letter]));
    assert!(shown.contains("sidekick ctl sink redrive db"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "{shown}");
    assert_eq!(dead_letters("", &json!([])), "no dead letters\n");
    let stream = json!({"name": "events", "first": 1, "last": 9, "bytes": 10, "cursors": {"db": 4}, "dropped": 0,
                        "lag": {"db": {"records": 5, "bytes": 2048, "age_ms": 3000}, "k": {"records": 0}}});
    let shown = streams(&json!([stream]));
    assert!(shown.contains("db: 5 records, 2.0 KiB, 3s"), "{shown}");
}
