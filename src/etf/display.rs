//! Terms in Erlang's own syntax, for logs and people.

use crate::etf::{Atom, Term};
use std::fmt::{self, Write};

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.as_str();
        let plain = text.starts_with(|c: char| c.is_ascii_lowercase())
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '@'));
        if plain {
            return f.write_str(text);
        }
        f.write_char('\'')?;
        for c in text.chars() {
            match c {
                '\'' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                c if c.is_control() => write!(f, "\\x{{{:x}}}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('\'')
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => value.fmt(f),
            Self::Big(value) => value.fmt(f),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Atom(atom) => atom.fmt(f),
            Self::Binary(bytes) => binary(bytes, f),
            Self::BitBinary { bytes, bits } => {
                let (last, whole) = bytes.split_last().unwrap_or((&0, &[]));
                f.write_str("<<")?;
                for byte in whole {
                    write!(f, "{byte},")?;
                }
                write!(f, "{}:{bits}>>", last >> (8 - bits.clamp(&1, &7)))
            }
            Self::Tuple(elements) => sequence('{', elements, f).and_then(|()| f.write_char('}')),
            Self::List(elements) => list(elements, f),
            Self::ImproperList(elements, tail) => {
                sequence('[', elements, f)?;
                write!(f, "|{tail}]")
            }
            Self::Map(pairs) => {
                f.write_str("#{")?;
                for (i, (key, value)) in pairs.iter().enumerate() {
                    write!(f, "{}{key} => {value}", if i > 0 { "," } else { "" })?;
                }
                f.write_char('}')
            }
            Self::Pid(pid) => write!(f, "<{}.{}.{}>", pid.node, pid.id, pid.serial),
            Self::Port(port) => write!(f, "#Port<{}.{}>", port.node, port.id),
            Self::Ref(reference) => {
                write!(f, "#Ref<{}", reference.node)?;
                for word in reference.words() {
                    write!(f, ".{word}")?;
                }
                f.write_char('>')
            }
            Self::Fun(_) => f.write_str("#Fun<>"),
        }
    }
}

fn sequence(open: char, elements: &[Term], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_char(open)?;
    for (i, element) in elements.iter().enumerate() {
        write!(f, "{}{element}", if i > 0 { "," } else { "" })?;
    }
    Ok(())
}

/// Lists of printable characters read as text, as the Erlang shell shows them.
fn list(elements: &[Term], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let printable = |term: &Term| matches!(term, Term::Int(10 | 13 | 32..=126));
    if elements.is_empty() || !elements.iter().all(printable) {
        sequence('[', elements, f)?;
        return f.write_char(']');
    }
    let text: String = elements
        .iter()
        .filter_map(Term::as_u64)
        .filter_map(|code| char::from_u32(code as u32))
        .collect();
    write!(f, "{text:?}")
}

fn binary(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(|c: char| c.is_control() && !c.is_whitespace()) => {
            write!(
                f,
                "<<{text:?}{}>>",
                if text.is_ascii() { "" } else { "/utf8" }
            )
        }
        _ => {
            f.write_str("<<")?;
            for (i, byte) in bytes.iter().enumerate() {
                write!(f, "{}{byte}", if i > 0 { "," } else { "" })?;
            }
            f.write_str(">>")
        }
    }
}
