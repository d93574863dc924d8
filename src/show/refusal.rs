//! Refusals as sentences.

use super::plain;
use serde_json::{Map, Value};

/// What was refused and the facts, as one sentence without a remedy.
pub fn refusal(code: &str, facts: &Map<String, Value>) -> String {
    let text = |key: &str| facts.get(key).and_then(Value::as_str);
    let mut sentence = match (code, text("what"), text("name")) {
        ("not_found", Some(what), Some(name)) => format!("there is no {what} {name:?}"),
        _ => code.replace('_', " "),
    };
    let rest: Vec<String> = facts
        .iter()
        .filter(|(key, _)| {
            !(code == "not_found" && matches!(key.as_str(), "what" | "name")) && *key != "detail"
                // Its detail says it in fewer words.
                && code != "not_drained"
        })
        .map(|(key, value)| format!("{key}: {}", plain(value)))
        .collect();
    if !rest.is_empty() {
        sentence = format!("{sentence} ({})", rest.join(", "));
    }
    if let Some(detail) = text("detail") {
        sentence = format!("{sentence}: {detail}");
    }
    sentence
}
