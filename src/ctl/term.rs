//! Terms of `eetf` from and to the plain values that commands work with.
//!
//! `eetf` writes lists of small integers as strings and cannot write lists of negative ones, so that requests
//! are made of binaries, non-negative integers and maps alone.

use super::error::CtlError;
use eetf::{Atom, BigInteger, Binary, FixInteger, Map, Term};
use serde_json::{Map as Object, Number, Value};

/// A binary.
pub(super) fn text(text: &str) -> Term {
    Term::from(Binary::from(text.as_bytes()))
}

/// An atom of the protocol.
pub(super) fn atom(name: &str) -> Term {
    Term::from(Atom::from(name))
}

/// A non-negative integer.
pub(super) fn number(number: u64) -> Term {
    i32::try_from(number).map_or_else(
        |_| Term::from(BigInteger::from(number)),
        |small| Term::from(FixInteger::from(small)),
    )
}

/// `true` or `false`.
pub(super) fn boolean(value: bool) -> Term {
    Term::from(Atom::from(if value { "true" } else { "false" }))
}

/// A map with atom keys.
pub(super) fn map(fields: Vec<(&str, Term)>) -> Term {
    Term::from(Map {
        map: fields
            .into_iter()
            .map(|(key, value)| (Term::from(Atom::from(key)), value))
            .collect(),
    })
}

/// Takes `ok`, `{ok, Value}` or `{error, {Code, Map}}` apart.
pub(super) fn reply(term: &Term) -> Result<Value, CtlError> {
    match term {
        Term::Atom(atom) if atom.name == "ok" => return Ok(Value::Null),
        Term::Tuple(tuple) => {
            if let [Term::Atom(tag), value] = tuple.elements.as_slice() {
                match tag.name.as_str() {
                    "ok" => return Ok(json(value)),
                    "error" => return Err(refused(value)),
                    _ => {}
                }
            }
        }
        _ => {}
    }
    Err(CtlError::Answer(term.to_string()))
}

/// What `erpc` gives for a call that ended without a value: `{Ref, error, undef, Stack}` where the function is
/// not there.
pub(super) fn exception(reason: &Term) -> CtlError {
    if let Term::Tuple(tuple) = reason {
        if let [_, Term::Atom(_), Term::Atom(undef), ..] = tuple.elements.as_slice() {
            if undef.name == "undef" {
                return CtlError::Refused {
                    code: "unknown_request".to_owned(),
                    facts: Object::new(),
                };
            }
        }
    }
    CtlError::Answer(reason.to_string())
}

fn refused(reason: &Term) -> CtlError {
    let (code, facts) = match reason {
        Term::Atom(code) => (code.name.clone(), Object::new()),
        Term::Tuple(tuple) => match tuple.elements.as_slice() {
            [Term::Atom(code), facts] => match json(facts) {
                Value::Object(facts) => (code.name.clone(), facts),
                other => (
                    code.name.clone(),
                    Object::from_iter([("detail".to_owned(), other)]),
                ),
            },
            _ => return CtlError::Answer(reason.to_string()),
        },
        _ => return CtlError::Answer(reason.to_string()),
    };
    CtlError::Refused { code, facts }
}

/// The nearest JSON: atoms and UTF-8 binaries are strings, tuples and lists arrays, `nil` and `undefined`
/// null; what JSON has not becomes its Erlang text.
pub(super) fn json(term: &Term) -> Value {
    match term {
        Term::Atom(atom) => match atom.name.as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "nil" | "undefined" => Value::Null,
            name => Value::String(name.to_owned()),
        },
        Term::FixInteger(integer) => integer.value.into(),
        Term::BigInteger(integer) => big(integer),
        Term::Float(float) => Number::from_f64(float.value).map_or(Value::Null, Value::Number),
        Term::Binary(binary) => Value::String(
            std::str::from_utf8(&binary.bytes)
                .map_or_else(|_| bytes_text(&binary.bytes), str::to_owned),
        ),
        Term::ByteList(list) => {
            Value::Array(list.bytes.iter().map(|byte| (*byte).into()).collect())
        }
        Term::List(list) => Value::Array(list.elements.iter().map(json).collect()),
        Term::Tuple(tuple) => Value::Array(tuple.elements.iter().map(json).collect()),
        Term::Map(map) => Value::Object(
            map.map
                .iter()
                .map(|(key, value)| (key_text(key), json(value)))
                .collect(),
        ),
        other => Value::String(other.to_string()),
    }
}

fn big(integer: &BigInteger) -> Value {
    let text = integer.value.to_string();
    text.parse::<u64>()
        .map(Value::from)
        .or_else(|_| text.parse::<i64>().map(Value::from))
        .unwrap_or(Value::String(text))
}

fn key_text(key: &Term) -> String {
    match (key, json(key)) {
        (Term::Atom(atom), _) => atom.name.clone(),
        (_, Value::String(text)) => text,
        (_, other) => other.to_string(),
    }
}

fn bytes_text(bytes: &[u8]) -> String {
    let list: Vec<String> = bytes.iter().map(u8::to_string).collect();
    format!("<<{}>>", list.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use eetf::{ByteList, List, Tuple};
    use serde_json::json as j;

    fn atom(name: &str) -> Term {
        Term::from(Atom::from(name))
    }

    fn tuple(elements: Vec<Term>) -> Term {
        Term::from(Tuple::from(elements))
    }

    #[test]
    fn replies_come_apart() {
        assert_eq!(reply(&atom("ok")).unwrap(), Value::Null);
        let value = tuple(vec![
            atom("ok"),
            map(vec![("id", text("lobby")), ("epoch", number(3))]),
        ]);
        assert_eq!(reply(&value).unwrap(), j!({"id": "lobby", "epoch": 3}));
        let error = tuple(vec![
            atom("error"),
            tuple(vec![atom("full"), map(vec![("bytes", number(1 << 40))])]),
        ]);
        let Err(CtlError::Refused { code, facts }) = reply(&error) else {
            panic!("not refused")
        };
        assert_eq!((code.as_str(), &facts["bytes"]), ("full", &j!(1_u64 << 40)));
        assert!(matches!(reply(&atom("what")), Err(CtlError::Answer(_))));
    }

    #[test]
    fn a_missing_function_is_an_unknown_request() {
        let undef = tuple(vec![
            number(1),
            atom("error"),
            atom("undef"),
            Term::from(List::nil()),
        ]);
        assert!(
            exception(&undef)
                .to_string()
                .contains("ctl of the same version")
        );
        assert!(matches!(exception(&atom("x")), CtlError::Answer(_)));
    }

    #[test]
    fn terms_become_their_nearest_json() {
        let reason = tuple(vec![atom("signal"), atom("sigsegv")]);
        let list = Term::from(List::from(vec![atom("true"), atom("nil"), reason]));
        assert_eq!(json(&list), j!([true, null, ["signal", "sigsegv"]]));
        assert_eq!(
            json(&Term::from(ByteList::from(vec![1, 255]))),
            j!([1, 255])
        );
        assert_eq!(
            json(&Term::from(Binary::from(vec![255, 0]))),
            j!("<<255,0>>")
        );
        assert_eq!(json(&Term::from(BigInteger::from(u64::MAX))), j!(u64::MAX));
        let keyed = Term::from(Map {
            map: [(number(7), text("x")), (text("k"), text("y"))]
                .into_iter()
                .collect(),
        });
        assert_eq!(json(&keyed), j!({"7": "x", "k": "y"}));
    }

    #[test]
    fn requests_survive_the_encoder() {
        let arguments = Term::from(List::from(vec![
            text("lobby"),
            map(vec![("after", number(u64::MAX))]),
        ]));
        let mut bytes = Vec::new();
        arguments.encode(&mut bytes).unwrap();
        assert_eq!(Term::decode(bytes.as_slice()).unwrap(), arguments);
    }
}
