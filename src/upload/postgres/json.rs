//! Terms as JSON text for `jsonb`. docs/PROTOCOL.md, "Payloads as jsonb", is the table of it.
//!
//! The text is written directly: `serde_json`'s numbers are 64 bits wide, and `jsonb` keeps any. A float is written with the
//! fewest digits that read back as the same double; `-0.0`, which a `numeric` cannot hold, is written as `{"$float": "-0.0"}`.
//!
//! Architecture Invariant: whatever a payload holds, the text is JSON that PostgreSQL takes as `jsonb`.

use crate::etf::{self, Term};
use crate::types::Payload;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Longer integers are not written as numbers: a `numeric` ends at 131,072 digits.
const INTEGER_BITS_MAX: u64 = 1 << 16;

/// A payload as JSON text.
///
/// # Errors
/// Where the payload is no term, which the buffer does not let in.
pub(super) fn payload(payload: &Payload) -> Result<String, etf::DecodeError> {
    let term = etf::decode(payload.clone())?;
    let mut out = String::with_capacity(payload.len() * 2);
    write_term(&mut out, &term);
    Ok(out)
}

fn write_term(out: &mut String, term: &Term) {
    match term {
        Term::Int(value) => put(out, format_args!("{value}")),
        Term::Big(value) if value.bits() <= INTEGER_BITS_MAX => put(out, format_args!("{value}")),
        Term::Float(value) if *value == 0.0 && value.is_sign_negative() => {
            tagged(out, "$float", |out| write_text(out, "-0.0"));
        }
        // The shortest form that reads back as the same double, which is also JSON: terms have no other floats.
        Term::Float(value) => put(out, format_args!("{value:?}")),
        Term::Atom(atom) => match atom.as_str() {
            "true" => out.push_str("true"),
            "false" => out.push_str("false"),
            "nil" | "undefined" => out.push_str("null"),
            name => write_bytes(out, name.as_bytes()),
        },
        Term::Binary(bytes) => write_bytes(out, bytes),
        Term::List(elements) => write_list(out, elements),
        Term::Tuple(elements) => tagged(out, "$tuple", |out| write_list(out, elements)),
        Term::Map(pairs) => write_map(out, pairs),
        // What JSON has not and databases do not search: the external term itself.
        other => tagged(out, "$term", |out| {
            write_text(out, &base64(&etf::encode(other)));
        }),
    }
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    let written = out.write_fmt(text);
    debug_assert!(written.is_ok(), "writing to a string does not fail");
}

fn tagged(out: &mut String, tag: &str, value: impl FnOnce(&mut String)) {
    out.push('{');
    write_text(out, tag);
    out.push(':');
    value(out);
    out.push('}');
}

fn write_list(out: &mut String, elements: &[Term]) {
    out.push('[');
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_term(out, element);
    }
    out.push(']');
}

/// An object where every key is text of its own; else `{"$map": [[key, value], …]}`.
fn write_map(out: &mut String, pairs: &[(Term, Term)]) {
    let keys: Option<Vec<&str>> = pairs.iter().map(|(key, _)| key_text(key)).collect();
    let keys = keys.filter(|keys| keys.iter().collect::<BTreeSet<_>>().len() == keys.len());
    let Some(keys) = keys else {
        return tagged(out, "$map", |out| {
            out.push('[');
            for (index, (key, value)) in pairs.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push('[');
                write_term(out, key);
                out.push(',');
                write_term(out, value);
                out.push(']');
            }
            out.push(']');
        });
    };
    out.push('{');
    for (index, (key, (_, value))) in keys.into_iter().zip(pairs).enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_text(out, key);
        out.push(':');
        write_term(out, value);
    }
    out.push('}');
}

/// Keys that begin with `$` are kept for the tags.
fn key_text(key: &Term) -> Option<&str> {
    key.as_text()
        .filter(|text| !text.starts_with('$') && !text.contains('\0'))
}

/// Text where it is text that `jsonb` takes (it refuses U+0000), else base64.
fn write_bytes(out: &mut String, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => write_text(out, text),
        _ => tagged(out, "$binary", |out| write_text(out, &base64(bytes))),
    }
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => put(out, format_args!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
            out.push(if place > group.len() {
                '='
            } else {
                digit as char
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{base64, payload};
    use crate::etf::{self, Term};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn mapped(term: &Term) -> Value {
        let text = payload(&etf::encode(term)).unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn each_kind_has_its_form() {
        let term = Term::map([
            ("whole", Term::int(-7)),
            ("big", Term::int(1_i128 << 70)),
            ("half", Term::Float(0.5)),
            ("text", Term::text("a \"quote\" \\ \n\u{1}ü")),
            ("raw", Term::binary(vec![0xff, 0xfe])),
            ("nul", Term::text("a\0")),
            ("atom", Term::atom("win")),
            ("yes", Term::bool(true)),
            ("none", Term::nil()),
            ("pair", Term::tuple([Term::int(1), Term::list([])])),
        ]);
        let text = payload(&etf::encode(&term)).unwrap();
        assert!(text.contains("\"big\":1180591620717411303424"), "{text}");
        let value = mapped(&term);
        assert_eq!(value["whole"], json!(-7));
        assert_eq!(value["half"], json!(0.5));
        assert_eq!(value["text"], json!("a \"quote\" \\ \n\u{1}ü"));
        assert_eq!(value["raw"], json!({"$binary": "//4="}));
        assert_eq!(value["nul"], json!({"$binary": "YQA="}));
        assert_eq!(value["atom"], json!("win"));
        assert_eq!(
            (&value["yes"], &value["none"]),
            (&json!(true), &json!(null))
        );
        assert_eq!(value["pair"], json!({"$tuple": [1, []]}));
    }

    #[test]
    fn maps_whose_keys_are_no_object_keys_are_lists_of_pairs() {
        let numbers = Term::Map(vec![(Term::int(1), Term::text("one"))]);
        assert_eq!(mapped(&numbers), json!({"$map": [[1, "one"]]}));
        let twice = Term::Map(vec![
            (Term::atom("a"), Term::int(1)),
            (Term::text("a"), Term::int(2)),
        ]);
        assert_eq!(mapped(&twice), json!({"$map": [["a", 1], ["a", 2]]}));
        let tag = Term::map([("$float", Term::int(1))]);
        assert_eq!(mapped(&tag), json!({"$map": [["$float", 1]]}));
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        let texts = ["", "f", "fo", "foo", "foob", "fooba", "foobar"];
        let coded = [
            "", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy",
        ];
        for (text, coded) in texts.iter().zip(coded) {
            assert_eq!(base64(text.as_bytes()), coded);
        }
    }

    proptest! {
        #[test]
        fn doubles_read_back_as_they_were(bits: u64) {
            let float = f64::from_bits(bits);
            prop_assume!(float.is_finite() && bits != (-0.0_f64).to_bits());
            let text = payload(&etf::encode(&Term::Float(float))).unwrap();
            prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), bits);
            prop_assert!(serde_json::from_str::<Value>(&text).is_ok());
        }
    }
}
