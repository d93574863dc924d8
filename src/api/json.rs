//! JSON documents (crash bundles) as terms.

use crate::etf::Term;
use serde_json::Value;

/// Objects become maps. Keys of documents that sidekick itself writes are a fixed set and become atoms; a key
/// of any other form (data, not a field name) becomes a binary.
pub fn to_term(value: &Value) -> Term {
    match value {
        Value::Null => Term::nil(),
        Value::Bool(b) => Term::bool(*b),
        Value::Number(n) => n
            .as_i64()
            .map_or_else(|| Term::Float(n.as_f64().unwrap_or(0.0)), Term::Int),
        Value::String(s) => Term::binary(s.clone().into_bytes()),
        Value::Array(items) => Term::List(items.iter().map(to_term).collect()),
        Value::Object(fields) => {
            Term::Map(fields.iter().map(|(k, v)| (key(k), to_term(v))).collect())
        }
    }
}

fn key(name: &str) -> Term {
    let plain = name.len() <= 40
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if plain && !name.is_empty() {
        Term::atom(name)
    } else {
        Term::binary(name.as_bytes().to_vec())
    }
}
