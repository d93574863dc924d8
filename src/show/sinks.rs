//! Sinks, their drains and dead letters.

use super::values::duration;
use super::{Column, harmless, items, lines, listing, plain, time};
use serde_json::Value;

/// Sinks with what they lag behind.
pub fn sinks(answer: &Value) -> String {
    listing("no sinks are configured", &SINK_COLUMNS, answer)
}

const SINK_COLUMNS: [Column; 9] = [
    ("SINK", |row| plain(&row["name"])),
    ("KIND", |row| plain(&row["kind"])),
    ("STATE", |row| plain(&row["state"])),
    ("NODE", |row| plain(&row["node"])),
    ("LAG", |row| {
        let records = row.get("lag").or(row.get("lag_records"));
        let records = records.map_or_else(|| "-".to_owned(), plain);
        match row["lag_scopes"].as_u64() {
            None | Some(0) => records,
            Some(scopes) => format!("{records} + {scopes} scopes"),
        }
    }),
    ("AGE", |row| duration(&row["lag_age_ms"])),
    ("BREAKER", |row| plain(&row["breaker"]["state"])),
    ("DEAD", |row| plain(&row["dead_letters"])),
    ("ERROR", |row| plain(&row["error"])),
];

/// What a drain proved.
pub fn drained(answer: &Value) -> String {
    lines(items(&answer["sinks"]).iter().flat_map(|sink| {
        let (name, streams) = (plain(&sink["sink"]), items(&sink["streams"]));
        let head = format!(
            "{name}  stored: {} streams, {} scopes",
            streams.len(),
            items(&sink["scopes"]).len()
        );
        let told = streams.iter().map(|stream| {
            let up_to = plain(&stream["watermark"]);
            format!(
                "  {}  holds everything up to {up_to}",
                plain(&stream["stream"])
            )
        });
        std::iter::once(head).chain(told).collect::<Vec<_>>()
    }))
}

/// The dead letters of a sink; `redrive` is how they are offered again.
pub fn dead_letters(redrive: &str, answer: &Value) -> String {
    let columns: [Column; 7] = [
        ("LETTER", |row| plain(&row["number"])),
        ("STREAM", |row| plain(&row["stream"])),
        ("SEQ", |row| plain(&row["seq"])),
        ("DEAD SINCE", |row| time(&row["dead_ms"])),
        ("ATTEMPTS", |row| plain(&row["attempts"])),
        ("ERROR", |row| plain(&row["error"])),
        ("PAYLOAD", |row| {
            let text: String = row["payload"].to_string().chars().take(60).collect();
            harmless(&text)
        }),
    ];
    let text = listing("no dead letters", &columns, answer);
    if items(answer).is_empty() {
        return text;
    }
    format!("{text}once the cause is mended:  {redrive}\n")
}

/// What was given up of what a store lost.
pub fn given_up(answer: &Value) -> String {
    format!(
        "{} from {} to {} is given up; the sink tries again\n",
        plain(&answer["stream"]),
        plain(&answer["from"]),
        plain(&answer["to"])
    )
}

/// What was done to dead letters.
pub fn settled(how: &str, answer: &Value) -> String {
    format!("{} dead letters {how}\n", plain(&answer["count"]))
}
