//! Replies as JSON values, from which they are shown.

use crate::etf::{Atom, Term};
use serde_json::{Map, Number, Value};

/// A refusal: its code and facts.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// The code.
    pub code: String,
    /// The facts.
    pub facts: Map<String, Value>,
}

/// Takes `ok`, `{ok, Value}` or `{error, {Code, Map}}` apart.
pub fn reply(term: &Term) -> Result<Value, Refused> {
    let refused = |code: String, facts| Err(Refused { code, facts });
    match term.as_tuple() {
        None if term.is_atom("ok") => Ok(Value::Null),
        Some([ok, value]) if ok.is_atom("ok") => Ok(json(value)),
        Some([error, reason]) if error.is_atom("error") => match reason.as_tuple() {
            Some([Term::Atom(code), facts @ Term::Map(_)]) => match json(facts) {
                Value::Object(facts) => refused(code.as_str().to_owned(), facts),
                _ => refused(code.as_str().to_owned(), Map::new()),
            },
            _ => refused(reason.to_string(), Map::new()),
        },
        _ => refused(term.to_string(), Map::new()),
    }
}

/// The nearest JSON: atoms and UTF-8 binaries are strings, tuples and lists arrays, `nil` and `undefined` null; what
/// JSON has not becomes its Erlang text.
pub fn json(term: &Term) -> Value {
    match term {
        Term::Atom(atom) => match atom.as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "nil" | "undefined" => Value::Null,
            name => Value::String(name.to_owned()),
        },
        Term::Int(integer) => (*integer).into(),
        Term::Float(float) => Number::from_f64(*float).map_or(Value::Null, Value::Number),
        Term::List(list) | Term::Tuple(list) => Value::Array(list.iter().map(json).collect()),
        Term::Map(pairs) => Value::Object(
            pairs
                .iter()
                .map(|(key, value)| (key_text(key), json(value)))
                .collect(),
        ),
        Term::Binary(_) => match term.as_text() {
            Some(text) => Value::String(text.to_owned()),
            None => Value::String(term.to_string()),
        },
        other => other
            .as_u64()
            .map_or_else(|| Value::String(other.to_string()), Value::from),
    }
}

fn key_text(key: &Term) -> String {
    match (key.as_atom().map(Atom::as_str), key.as_text()) {
        (Some(text), _) | (None, Some(text)) => text.to_owned(),
        (None, None) => key.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json as j;

    #[test]
    fn replies_come_apart() {
        assert_eq!(reply(&Term::atom("ok")), Ok(Value::Null));
        let value = Term::map([("id", Term::text("lobby")), ("epoch", Term::int(3))]);
        assert_eq!(reply(&Term::ok(value)), Ok(j!({"id": "lobby", "epoch": 3})));
        let error = Term::error("full", Term::map([("bytes", Term::int(1_u64 << 40))]));
        let refused = reply(&error).expect_err("refused");
        assert_eq!(
            (refused.code.as_str(), &refused.facts["bytes"]),
            ("full", &j!(1_u64 << 40))
        );
        assert_eq!(reply(&Term::int(1)).expect_err("refused").code, "1");
    }

    #[test]
    fn terms_become_their_nearest_json() {
        let term = Term::list([
            Term::nil(),
            Term::bool(true),
            Term::int(u64::MAX),
            Term::binary(vec![255]),
            Term::tuple([Term::atom("signal"), Term::atom("sigsegv")]),
        ]);
        assert_eq!(
            json(&term),
            j!([null, true, u64::MAX, "<<255>>", ["signal", "sigsegv"]])
        );
        let keyed = Term::Map(vec![
            (Term::text("größe"), Term::Float(1.5)),
            (Term::int(7), Term::nil()),
        ]);
        assert_eq!(json(&keyed), j!({"größe": 1.5, "7": null}));
    }
}
