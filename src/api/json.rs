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

/// A crash bundle: as [`to_term`], and its `reason` in the form in which monitors report it.
pub fn bundle(value: &Value) -> Term {
    let mut term = to_term(value);
    if let Term::Map(pairs) = &mut term {
        for (_, field) in pairs.iter_mut().filter(|(name, _)| name.is_atom("reason")) {
            *field = reason(&value["reason"]);
        }
    }
    term
}

fn reason(value: &Value) -> Term {
    let tagged = value.as_object().and_then(|fields| fields.iter().next());
    match (tagged, value.as_str()) {
        (Some((tag, Value::String(name))), _) => {
            Term::tuple(vec![Term::atom(tag), Term::atom(name)])
        }
        (Some((tag, value)), _) => Term::tuple(vec![Term::atom(tag), to_term(value)]),
        (None, Some(name)) => Term::atom(name),
        (None, None) => Term::nil(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn field_names_are_atoms_and_data_is_not() {
        let term = to_term(&json!({"at_ms": 5, "Some Key": [null, true, 1.5]}));
        assert_eq!(term.map_get("at_ms"), Some(&Term::Int(5)));
        let data = term
            .as_map()
            .and_then(|pairs| pairs.iter().find(|(key, _)| key.as_binary().is_some()));
        assert_eq!(
            data.map(|(_, value)| value.to_string()).as_deref(),
            Some("[nil,true,1.5]")
        );
    }

    #[test]
    fn the_reason_of_a_bundle_is_what_monitors_say() {
        let of = |value| {
            bundle(&json!({ "reason": value }))
                .map_get("reason")
                .map(ToString::to_string)
        };
        assert_eq!(
            of(json!({"signal": "sigsegv"})).as_deref(),
            Some("{signal,sigsegv}")
        );
        assert_eq!(
            of(json!({"exit_status": 3})).as_deref(),
            Some("{exit_status,3}")
        );
        assert_eq!(of(json!("hang")).as_deref(), Some("hang"));
    }
}
