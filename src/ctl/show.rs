//! Answers for people: tables, times, sizes. Text that games wrote is made harmless for a terminal.

use comfy_table::{Table, presets};
use serde_json::Value;
use std::time::Duration;

/// A cell of a table: its heading, and how it is made from a row.
type Column = (&'static str, fn(&Value) -> String);

/// Servers, sinks, peers, buffer.
pub(super) fn status(answer: &Value) -> String {
    let info = &answer["info"];
    let mut text = format!(
        "{}  version {}  up {}  incarnation {}\norigin {}\nbuffer {}\npeers  {}\n",
        plain(&info["name"]),
        plain(&info["version"]),
        duration(&info["uptime_ms"]),
        plain(&info["incarnation"]),
        plain(&info["origin"]),
        buffer(&info["buffer"]),
        peers(&info["peers"]),
    );
    let rows = items(&answer["servers"]);
    if rows.is_empty() {
        text += "\nno servers are configured\n";
    } else {
        text += "\n";
        text += &table(&SERVER_COLUMNS, rows);
    }
    if !items(&answer["sinks"]).is_empty() {
        text += "\n";
        text += &sinks(&answer["sinks"]);
    }
    text
}

const SERVER_COLUMNS: [Column; 8] = [
    ("SERVER", |row| plain(&row["id"])),
    ("STATE", |row| plain(&row["state"])),
    ("PID", |row| plain(&row["os_pid"])),
    ("SINCE", |row| time(&row["since_ms"])),
    ("EPOCH", |row| plain(&row["epoch"])),
    ("RESTARTS", |row| plain(&row["restarts"])),
    ("LAST EXIT", |row| last_exit(&row["last_exit"])),
    ("MEMORY", |row| size(&row["rss_bytes"])),
];

fn last_exit(exit: &Value) -> String {
    match exit.get("reason") {
        Some(reason) => plain(reason),
        None => plain(exit),
    }
}

fn buffer(buffer: &Value) -> String {
    let full = if buffer["full"] == true { "  FULL" } else { "" };
    format!(
        "{} of {}{full}",
        size(&buffer["bytes"]),
        size(&buffer["max_bytes"])
    )
}

fn peers(peers: &Value) -> String {
    let names: Vec<String> = items(peers)
        .iter()
        .map(|peer| plain(peer.get("node").unwrap_or(peer)))
        .collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

/// Sinks with what they lag behind.
pub(super) fn sinks(answer: &Value) -> String {
    listing("no sinks are configured", &SINK_COLUMNS, answer)
}

const SINK_COLUMNS: [Column; 6] = [
    ("SINK", |row| plain(&row["name"])),
    ("KIND", |row| plain(&row["kind"])),
    ("STATE", |row| plain(&row["state"])),
    ("NODE", |row| plain(&row["node"])),
    ("LAG", |row| {
        row.get("lag")
            .or(row.get("lag_records"))
            .map_or_else(|| "-".to_owned(), plain)
    }),
    ("ERROR", |row| plain(&row["error"])),
];

/// Crash bundles, newest as given.
pub(super) fn crashes(server: &str, answer: &Value) -> String {
    let columns: [Column; 4] = [
        ("NUMBER", |row| plain(&row["number"])),
        ("AT", |row| time(&row["at_ms"])),
        ("REASON", |row| plain(&row["reason"])),
        ("DETAIL", |row| {
            plain(row.get("detail").unwrap_or(&Value::Null))
        }),
    ];
    let text = listing("no crashes are recorded", &columns, answer);
    if items(answer).is_empty() {
        return text;
    }
    format!("{text}one of them whole:  sidekick ctl crashes {server} NUMBER\n")
}

/// Streams with their cursors.
pub(super) fn streams(answer: &Value) -> String {
    let columns: [Column; 6] = [
        ("STREAM", |row| plain(&row["name"])),
        ("FIRST", |row| plain(&row["first"])),
        ("LAST", |row| plain(&row["last"])),
        ("BYTES", |row| size(&row["bytes"])),
        ("DROPPED", |row| plain(&row["dropped"])),
        ("CURSORS", |row| plain(&row["cursors"])),
    ];
    listing("no streams yet", &columns, answer)
}

/// Records of one stream.
pub(super) fn records(stream: &str, answer: &Value) -> String {
    if items(answer).is_empty() {
        return format!("no records from there on in stream {stream}\n");
    }
    lines(items(answer).iter().map(|row| {
        format!(
            "{:>8}  {}  {}",
            plain(&row["seq"]),
            time(&row["at_ms"]),
            harmless(&row["payload"].to_string())
        )
    }))
}

/// Keys and values of a scope.
pub(super) fn state(scope: &str, answer: &Value) -> String {
    match answer.as_object() {
        Some(values) if !values.is_empty() => lines(
            values
                .iter()
                .map(|(key, value)| format!("{}  {}", harmless(key), harmless(&value.to_string()))),
        ),
        _ => format!("scope {scope} holds nothing\n"),
    }
}

/// Log lines of a server.
pub(super) fn log_lines(answer: &Value) -> String {
    items(answer).iter().map(log_line).collect()
}

/// One log line with its end.
pub(super) fn log_line(line: &Value) -> String {
    let text = line["line"].as_str().unwrap_or_default();
    format!(
        "{}  {:<8}  {}\n",
        time(&line["at_ms"]),
        plain(&line["source"]),
        harmless(text)
    )
}

/// Fields of one thing, one per line; units by the ending of their name.
pub(super) fn fields(answer: &Value) -> String {
    let Some(fields) = answer.as_object() else {
        return format!("{}\n", plain(answer));
    };
    let width = fields.keys().map(String::len).max().unwrap_or(0);
    lines(
        fields
            .iter()
            .map(|(key, value)| format!("{key:<width$}  {}", field(key, value))),
    )
}

fn field(key: &str, value: &Value) -> String {
    if key.split('_').any(|word| word == "bytes") {
        size(value)
    } else if key == "at_ms" || key == "since_ms" {
        time(value)
    } else if key.ends_with("uptime_ms") {
        duration(value)
    } else {
        plain(value)
    }
}

/// A whole document, indented.
pub(super) fn document(answer: &Value) -> String {
    format!("{answer:#}\n")
}

/// What a command did.
pub(super) fn done(answer: &Value) -> String {
    let what = answer
        .get("server")
        .or(answer.get("sink"))
        .unwrap_or(&Value::Null);
    format!("{} {}\n", plain(what), plain(&answer["done"]))
}

/// A value on one line, without quotes and brackets.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Array(list) if list.is_empty() => "-".to_owned(),
        Value::Object(fields) if fields.is_empty() => "-".to_owned(),
        Value::String(text) => harmless(text),
        Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join(" "),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| format!("{}: {}", harmless(key), field(key, value)))
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    }
}

/// Control characters could drive the reader's terminal: they show as their escapes.
fn harmless(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escape = c.is_control() && c != '\t';
            let escaped = escape.then(|| c.escape_default());
            let plain = (!escape).then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

fn size(bytes: &Value) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let Some(count) = bytes.as_u64() else {
        return plain(bytes);
    };
    let (mut size, mut unit) = (count as f64, 0);
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    let decimals = usize::from(unit > 0);
    format!("{size:.decimals$} {}", UNITS[unit])
}

fn duration(ms: &Value) -> String {
    ms.as_u64().map_or_else(
        || plain(ms),
        |ms| {
            let precise = if ms < 10_000 { ms } else { ms / 1000 * 1000 };
            humantime::format_duration(Duration::from_millis(precise)).to_string()
        },
    )
}

/// A wall clock time in UTC.
fn time(ms: &Value) -> String {
    /// The year 9999 ends here; what is later is no time.
    const LAST: u64 = 253_402_300_799_999;
    match ms.as_u64().filter(|ms| *ms <= LAST) {
        Some(ms) => {
            humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + Duration::from_millis(ms))
                .to_string()
        }
        None => plain(ms),
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn listing(nothing: &str, columns: &[Column], answer: &Value) -> String {
    match items(answer) {
        [] => format!("{nothing}\n"),
        rows => table(columns, rows),
    }
}

fn table(columns: &[Column], rows: &[Value]) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(columns.iter().map(|(heading, _)| *heading));
    for row in rows {
        table.add_row(columns.iter().map(|(_, cell)| cell(row)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    lines(table.lines().map(|line| line.trim_end().to_owned()))
}

/// Each with its end.
fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn server() -> Value {
        json!({
            "id": "lobby", "state": "running", "os_pid": 4711, "since_ms": 0, "epoch": 2, "restarts": 1,
            "last_exit": {"reason": ["signal", "sigsegv"], "at_ms": 5}, "rss_bytes": 124_780_544
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
                "MiB"
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
        assert_eq!(state("lobby", &json!({})), "scope lobby holds nothing\n");
        assert_eq!(crashes("lobby", &json!([])), "no crashes are recorded\n");
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
}
