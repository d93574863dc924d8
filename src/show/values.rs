//! Single values for people: text made harmless for a terminal, times, sizes.

use serde_json::Value;
use std::time::Duration;

/// A value whose unit is told by the ending of its name.
pub(super) fn field(key: &str, value: &Value) -> String {
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

/// A value on one line, without quotes and brackets.
pub fn plain(value: &Value) -> String {
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
pub fn harmless(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escape = c.is_control() && c != '\t';
            let escaped = escape.then(|| c.escape_default());
            let plain = (!escape).then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

/// A number of bytes.
pub(super) fn size(bytes: &Value) -> String {
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

/// A duration in milliseconds.
pub(super) fn duration(ms: &Value) -> String {
    ms.as_u64().map_or_else(
        || plain(ms),
        |ms| {
            let precise = if ms < 10_000 { ms } else { ms / 1000 * 1000 };
            humantime::format_duration(Duration::from_millis(precise)).to_string()
        },
    )
}

/// A wall clock time in UTC.
pub fn time(ms: &Value) -> String {
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
