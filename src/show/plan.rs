//! What reading the configuration again changes, and what a rolling restart did.

use super::values::plain;
use serde_json::Value;
use std::fmt::Write as _;

/// One line for each server that differs, then what stays and what needs more than this.
pub fn plan(answer: &Value) -> String {
    let items = |name: &str| {
        answer[name]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default()
    };
    let mut text = String::new();
    let rows = items("added")
        .iter()
        .map(|id| ('+', id, "is added".to_owned()));
    let rows = rows.chain(items("changed").iter().map(|changed| {
        let keys: Vec<String> = changed["keys"]
            .as_array()
            .into_iter()
            .flatten()
            .map(plain)
            .collect();
        let how = if changed["restart"] == true {
            "restarts"
        } else {
            "goes on"
        };
        (
            '~',
            &changed["server"],
            format!("{how} with another {}", keys.join(", ")),
        )
    }));
    let removed = items("removed")
        .iter()
        .map(|id| ('-', id, "stops and is removed".to_owned()));
    let rows: Vec<_> = rows.chain(removed).collect();
    let width = rows
        .iter()
        .map(|(_, id, _)| plain(id).len())
        .max()
        .unwrap_or(0);
    for (mark, id, what) in &rows {
        let _ = writeln!(text, "{mark} {:<width$}  {what}", plain(id));
    }
    let _ = writeln!(text, "{} unchanged", items("unchanged").len());
    let sections: Vec<String> = items("needs_sidekick")
        .iter()
        .map(|name| format!("[{}]", plain(name)))
        .collect();
    if !sections.is_empty() {
        let sections = sections.join(", ");
        let _ = writeln!(
            text,
            "{sections} changed too: needs a restart of sidekick; games with on_exit = \"keep\" play on meanwhile"
        );
    }
    for warning in items("warnings") {
        let _ = writeln!(text, "warning: {}", plain(warning));
    }
    text += match (answer["done"] == true, rows.is_empty()) {
        (_, true) => "no server changes\n",
        (true, false) => "done\n",
        (false, false) => "nothing was done: this is the plan\n",
    };
    text
}

/// What a rolling restart did.
pub fn rolled(answer: &Value) -> String {
    let restarted = answer["restarted"].as_array().into_iter().flatten();
    let restarted: Vec<String> = restarted.map(plain).collect();
    match restarted.len() {
        0 => "none of them was up, so none was restarted\n".to_owned(),
        _ => format!("{} restarted\n", restarted.join(", ")),
    }
}
