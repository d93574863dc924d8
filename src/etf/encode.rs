//! Terms to bytes.

use crate::etf::{Atom, Pid, Port, Reference, Term, VERSION};
use bytes::{BufMut, Bytes, BytesMut};
use num_bigint::{BigInt, Sign};

/// Longest list of small integers that OTP writes as a string.
const STRING_LEN_MAX: usize = 65_535;

/// The external form with its leading version byte: a `types::Payload`.
pub fn encode(term: &Term) -> Bytes {
    let mut out = BytesMut::with_capacity(64);
    out.put_u8(VERSION);
    encode_into(term, &mut out);
    out.freeze()
}

/// Appends the external form without the version byte, for use inside other terms and frames.
pub fn encode_into(term: &Term, out: &mut BytesMut) {
    match term {
        Term::Int(value) => put_int(*value, out),
        Term::Big(value) => put_big(value, out),
        Term::Float(value) => put_float(*value, out),
        Term::Atom(atom) => put_atom(atom, out),
        Term::Binary(bytes) => {
            out.reserve(5 + bytes.len());
            out.put_u8(109);
            out.put_u32(bytes.len() as u32);
            out.put_slice(bytes);
        }
        Term::BitBinary { bytes, bits } => {
            out.put_u8(77);
            out.put_u32(bytes.len() as u32);
            out.put_u8(*bits);
            out.put_slice(bytes);
        }
        Term::Tuple(elements) => {
            put_tuple_header(elements.len(), out);
            for element in elements {
                encode_into(element, out);
            }
        }
        Term::List(elements) => put_list(elements, out),
        Term::ImproperList(elements, tail) => {
            if !elements.is_empty() {
                out.put_u8(108);
                out.put_u32(elements.len() as u32);
                for element in elements {
                    encode_into(element, out);
                }
            }
            encode_into(tail, out);
        }
        Term::Map(pairs) => {
            out.put_u8(116);
            out.put_u32(pairs.len() as u32);
            for (key, value) in pairs {
                encode_into(key, out);
                encode_into(value, out);
            }
        }
        Term::Pid(pid) => put_pid(pid, out),
        Term::Port(port) => put_port(port, out),
        Term::Ref(reference) => put_ref(reference, out),
        Term::Fun(bytes) => out.put_slice(bytes),
    }
}

/// Starts a tuple of so many elements, which the caller appends.
pub(crate) fn put_tuple_header(arity: usize, out: &mut BytesMut) {
    if let Ok(arity) = u8::try_from(arity) {
        out.put_u8(104);
        out.put_u8(arity);
    } else {
        out.put_u8(105);
        out.put_u32(arity as u32);
    }
}

/// Appends an integer.
pub(crate) fn put_int(value: i64, out: &mut BytesMut) {
    if let Ok(small) = u8::try_from(value) {
        out.put_u8(97);
        out.put_u8(small);
    } else if let Ok(medium) = i32::try_from(value) {
        out.put_u8(98);
        out.put_i32(medium);
    } else {
        let magnitude = value.unsigned_abs().to_le_bytes();
        let len = magnitude.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
        out.put_u8(110);
        out.put_u8(len as u8);
        out.put_u8(u8::from(value < 0));
        out.put_slice(&magnitude[..len]);
    }
}

fn put_big(value: &BigInt, out: &mut BytesMut) {
    if let Ok(small) = i64::try_from(value) {
        return put_int(small, out);
    }
    let (sign, magnitude) = value.to_bytes_le();
    if let Ok(len) = u8::try_from(magnitude.len()) {
        out.put_u8(110);
        out.put_u8(len);
    } else {
        out.put_u8(111);
        out.put_u32(magnitude.len() as u32);
    }
    out.put_u8(u8::from(sign == Sign::Minus));
    out.put_slice(&magnitude);
}

fn put_float(value: f64, out: &mut BytesMut) {
    if value.is_finite() {
        out.put_u8(70);
        out.put_f64(value);
    } else if value.is_nan() {
        put_atom_text("nan", out);
    } else if value > 0.0 {
        put_atom_text("infinity", out);
    } else {
        put_atom_text("-infinity", out);
    }
}

/// Appends an atom.
pub(crate) fn put_atom(atom: &Atom, out: &mut BytesMut) {
    put_atom_text(atom.as_str(), out);
}

fn put_atom_text(text: &str, out: &mut BytesMut) {
    if let Ok(len) = u8::try_from(text.len()) {
        out.put_u8(119);
        out.put_u8(len);
    } else {
        out.put_u8(118);
        out.put_u16(text.len() as u16);
    }
    out.put_slice(text.as_bytes());
}

fn put_list(elements: &[Term], out: &mut BytesMut) {
    if elements.is_empty() {
        out.put_u8(106);
        return;
    }
    let is_byte = |term: &Term| matches!(term, Term::Int(0..=255));
    if elements.len() <= STRING_LEN_MAX && elements.iter().all(is_byte) {
        out.put_u8(107);
        out.put_u16(elements.len() as u16);
        out.extend(elements.iter().map(|term| match term {
            Term::Int(value) => *value as u8,
            _ => 0,
        }));
        return;
    }
    out.put_u8(108);
    out.put_u32(elements.len() as u32);
    for element in elements {
        encode_into(element, out);
    }
    out.put_u8(106);
}

/// Appends a pid.
pub(crate) fn put_pid(pid: &Pid, out: &mut BytesMut) {
    out.put_u8(88);
    put_atom(&pid.node, out);
    out.put_u32(pid.id);
    out.put_u32(pid.serial);
    out.put_u32(pid.creation);
}

fn put_port(port: &Port, out: &mut BytesMut) {
    if let Ok(id) = u32::try_from(port.id) {
        out.put_u8(89);
        put_atom(&port.node, out);
        out.put_u32(id);
    } else {
        out.put_u8(120);
        put_atom(&port.node, out);
        out.put_u64(port.id);
    }
    out.put_u32(port.creation);
}

/// Appends a reference.
pub(crate) fn put_ref(reference: &Reference, out: &mut BytesMut) {
    out.put_u8(90);
    out.put_u16(reference.words().len() as u16);
    put_atom(&reference.node, out);
    out.put_u32(reference.creation);
    for word in reference.words() {
        out.put_u32(*word);
    }
}
