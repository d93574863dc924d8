//! Answers for people: tables and lines, made from the replies of requests as JSON values.
//!
//! `ctl` and `console` show the same things, so they show them alike. Text that games wrote is made harmless for a
//! terminal.

mod crash;
mod plan;
mod refusal;
mod sinks;
mod values;

#[cfg(test)]
mod tests;

pub use crash::crash;
pub use plan::{plan, rolled};
pub use refusal::refusal;
pub use sinks::{dead_letters, drained, given_up, settled, sinks};
pub use values::{harmless, plain, time};

use comfy_table::{Table, presets};
use serde_json::Value;
use values::{duration, field, size};

/// A cell of a table: its heading, and how it is made from a row.
type Column = (&'static str, fn(&Value) -> String);

/// Servers, sinks, peers, buffer.
pub fn status(answer: &Value) -> String {
    let info = &answer["info"];
    let mut text = format!(
        "{}  version {}  up {}  incarnation {}\norigin {}\nbuffer {}\npeers  {}\n",
        plain(&info["name"]),
        plain(&info["version"]),
        duration(&info["uptime_ms"]),
        plain(&info["incarnation"]),
        plain(&info["origin"]),
        buffer(&info["buffer"]),
        peer_names(&info["peers"]),
    );
    text += "\n";
    text += &servers(&answer["servers"]);
    if !items(&answer["sinks"]).is_empty() {
        text += "\n";
        text += &sinks(&answer["sinks"]);
    }
    text
}

/// Servers, each with how it is.
pub fn servers(answer: &Value) -> String {
    listing("no servers are configured", &SERVER_COLUMNS, answer)
}

const SERVER_COLUMNS: [Column; 9] = [
    ("SERVER", |row| plain(&row["id"])),
    ("STATE", |row| plain(&row["state"])),
    ("PID", |row| plain(&row["os_pid"])),
    ("SINCE", |row| time(&row["since_ms"])),
    ("EPOCH", |row| plain(&row["epoch"])),
    ("RESTARTS", |row| plain(&row["restarts"])),
    ("LAST EXIT", |row| last_exit(&row["last_exit"])),
    ("MEMORY", |row| {
        let high = if row["health"]["memory_high"] == true {
            "  HIGH"
        } else {
            ""
        };
        size(&row["rss_bytes"]) + high
    }),
    ("STANDBY", |row| standby(&row["standby"])),
];

fn standby(standby: &Value) -> String {
    match standby.get("state") {
        Some(state) if state == "standby" => "ready".to_owned(),
        Some(state) => plain(state),
        None => plain(standby),
    }
}

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

fn peer_names(peers: &Value) -> String {
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

/// Connected nodes with what passed between them and sidekick.
pub fn peers(answer: &Value) -> String {
    let columns: [Column; 5] = [
        ("NODE", |row| plain(&row["node"])),
        ("HIDDEN", |row| plain(&row["hidden"])),
        ("SINCE", |row| time(&row["since_ms"])),
        ("RECEIVED", |row| size(&row["received_bytes"])),
        ("SENT", |row| size(&row["sent_bytes"])),
    ];
    listing("no node is connected", &columns, answer)
}

/// Crash bundles, newest as given; `whole` is the command that shows one of them.
pub fn crashes(whole: &str, answer: &Value) -> String {
    let columns: [Column; 6] = [
        ("NUMBER", |row| plain(&row["number"])),
        ("AT", |row| time(&row["at_ms"])),
        ("REASON", |row| match row["damaged"].as_str() {
            Some(_) => "(damaged)".to_owned(),
            None => plain(&row["reason"]),
        }),
        ("SEEN", |row| plain(&row["count"])),
        ("SCRIPT LINE", |row| {
            plain(row.get("script_line").unwrap_or(&Value::Null))
        }),
        ("FINGERPRINT", |row| plain(&row["fingerprint"])),
    ];
    let text = listing("no crashes are recorded", &columns, answer);
    if items(answer).is_empty() {
        return text;
    }
    format!("{text}one of them whole:  {whole}\n")
}

/// Streams with their cursors.
pub fn streams(answer: &Value) -> String {
    let columns: [Column; 8] = [
        ("STREAM", |row| plain(&row["name"])),
        ("FIRST", |row| plain(&row["first"])),
        ("LAST", |row| plain(&row["last"])),
        ("BYTES", |row| size(&row["bytes"])),
        ("DROPPED", |row| plain(&row["dropped"])),
        ("LIMIT", stream_limit),
        ("CURSORS", |row| plain(&row["cursors"])),
        ("BEHIND", behind),
    ];
    listing("no streams yet", &columns, answer)
}

/// How far the sinks are behind, those that are.
fn behind(stream: &Value) -> String {
    let lags = stream["lag"].as_object().into_iter().flatten();
    let late = lags
        .filter(|(_, lag)| lag["records"] != 0)
        .map(|(sink, lag)| {
            format!(
                "{}: {} records, {}, {}",
                harmless(sink),
                plain(&lag["records"]),
                size(&lag["bytes"]),
                duration(&lag["age_ms"])
            )
        });
    let late: Vec<String> = late.collect();
    if late.is_empty() {
        "-".to_owned()
    } else {
        late.join("; ")
    }
}

fn stream_limit(stream: &Value) -> String {
    let limit = &stream["limit"];
    let set = |name: &str, show: fn(&Value) -> String| limit.get(name).map(show);
    let parts = [
        set("bytes", size),
        set("count", |count| format!("{} records", plain(count))),
        set("age_ms", duration),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    match (parts.is_empty(), stream["full"] == true) {
        (true, _) => "-".to_owned(),
        (_, true) => format!("{}  FULL", parts.join(", ")),
        _ => parts.join(", "),
    }
}

/// Records of one stream.
pub fn records(stream: &str, answer: &Value) -> String {
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
pub fn state(scope: &str, answer: &Value) -> String {
    match answer.as_object() {
        Some(values) if !values.is_empty() => lines(
            values
                .iter()
                .map(|(key, value)| format!("{}  {}", harmless(key), harmless(&value.to_string()))),
        ),
        _ => format!("scope {scope} holds nothing\n"),
    }
}

/// A key's value and its earlier ones.
pub fn history(key: &str, answer: &Value) -> String {
    if items(answer).is_empty() {
        return format!("nothing is known of key {key}\n");
    }
    lines(items(answer).iter().map(|past| {
        let value = past.get("value").map_or_else(
            || "(removed)".to_owned(),
            |value| harmless(&value.to_string()),
        );
        format!("{:>8}  {value}", plain(&past["rev"]))
    }))
}

/// Log lines of a server.
pub fn log_lines(answer: &Value) -> String {
    items(answer).iter().map(log_line).collect()
}

/// One log line with its end.
pub fn log_line(line: &Value) -> String {
    let text = line["line"].as_str().unwrap_or_default();
    format!(
        "{}  {:<8}  {}\n",
        time(&line["at_ms"]),
        plain(&line["source"]),
        harmless(text)
    )
}

/// Fields of one thing, one per line; units by the ending of their name.
pub fn fields(answer: &Value) -> String {
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

/// A whole document, indented.
pub fn document(answer: &Value) -> String {
    format!("{answer:#}\n")
}

/// Which tables of a sink were made, or the statements that make them.
pub fn initialized(answer: &Value) -> String {
    if let Some(sql) = answer["sql"].as_str() {
        return sql.to_owned();
    }
    let tables = items(&answer["tables"]).iter();
    let told =
        lines(tables.map(|table| format!("{}  {}", plain(&table["done"]), plain(&table["name"]))));
    format!("{told}store {}\n", plain(&answer["store"]))
}

/// What a command did.
pub fn done(answer: &Value) -> String {
    let what = answer
        .get("server")
        .or(answer.get("sink"))
        .unwrap_or(&Value::Null);
    format!("{} {}\n", plain(what), plain(&answer["done"]))
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
