//! Random terms of every kind, made without shrinking, and so quickly; and the same terms in forms that only older or
//! odder encoders write.

#![allow(dead_code, clippy::unwrap_used)]

use bytes::{BufMut, BytesMut};
use num_bigint::BigInt;
use rand::Rng;
use rand::rngs::StdRng;
use sidekick::etf::{self, Atom, Pid, Port, Reference, Term};
use std::collections::HashSet;

/// A term that nests at most so deep.
pub fn term(rng: &mut StdRng, depth: u32) -> Term {
    if depth == 0 || rng.random_bool(0.4) {
        return leaf(rng);
    }
    match rng.random_range(0..5) {
        0 => Term::Tuple(terms(rng, depth)),
        1 => Term::List(terms(rng, depth)),
        2 => improper(terms(rng, depth), leaf(rng)),
        3 => map(rng, depth),
        _ => Term::List((0..rng.random_range(0..20)).map(|_| byte(rng)).collect()),
    }
}

fn terms(rng: &mut StdRng, depth: u32) -> Vec<Term> {
    (0..rng.random_range(0..6))
        .map(|_| term(rng, depth - 1))
        .collect()
}

fn byte(rng: &mut StdRng) -> Term {
    Term::Int(rng.random_range(-1..=256))
}

fn improper(mut head: Vec<Term>, tail: Term) -> Term {
    match tail {
        tail if head.is_empty() => tail,
        Term::List(more) => {
            head.extend(more);
            Term::List(head)
        }
        tail => Term::ImproperList(head, Box::new(tail)),
    }
}

/// Keys are simple, so that no two are the same term in different forms.
fn map(rng: &mut StdRng, depth: u32) -> Term {
    let mut seen = HashSet::new();
    let mut pairs = Vec::new();
    let count = if rng.random_bool(0.05) {
        rng.random_range(30..60)
    } else {
        rng.random_range(0..6)
    };
    for _ in 0..count {
        let key = if rng.random_bool(0.8) {
            leaf(rng)
        } else {
            Term::Tuple(vec![leaf(rng), leaf(rng)])
        };
        if seen.insert(etf::encode(&key)) {
            pairs.push((key, term(rng, depth - 1)));
        }
    }
    Term::Map(pairs)
}

fn leaf(rng: &mut StdRng) -> Term {
    match rng.random_range(0..16) {
        0 => Term::Int(rng.random_range(-300..300)),
        1 => Term::Int(i64::from(rng.random::<i32>())),
        2 => Term::Int(rng.random::<i64>() >> rng.random_range(0..64)),
        3 => big(rng),
        4 | 5 => Term::Float(float(rng)),
        6 | 7 => Term::Atom(atom(rng)),
        8 | 9 => Term::binary(bytes(rng)),
        10 => {
            let (mut bytes, bits) = (bytes(rng), rng.random_range(1..8));
            bytes.push(rng.random::<u8>() & !(0xff >> bits));
            Term::BitBinary {
                bytes: bytes.into(),
                bits,
            }
        }
        11 => Term::Pid(pid(rng)),
        12 => Term::Port(Port {
            node: node(rng),
            id: rng.random::<u64>() >> rng.random_range(0..64),
            creation: creation(rng),
        }),
        13 => {
            let mut words: Vec<u32> = (0..rng.random_range(1..=5)).map(|_| rng.random()).collect();
            words[0] >>= [0, 14][rng.random_range(0..2)];
            Term::Ref(Reference::new(node(rng), creation(rng), &words).unwrap())
        }
        14 => Term::List(Vec::new()),
        _ => fun(rng),
    }
}

fn big(rng: &mut StdRng) -> Term {
    let len = if rng.random_bool(0.05) {
        rng.random_range(200..3000)
    } else {
        rng.random_range(1..40)
    };
    let mut magnitude = vec![0; len];
    rng.fill(&mut magnitude[..]);
    let value = BigInt::from_signed_bytes_le(&magnitude);
    i64::try_from(&value).map_or(Term::Big(value), Term::Int)
}

fn float(rng: &mut StdRng) -> f64 {
    const EDGES: [f64; 8] = [
        0.0,
        -0.0,
        5e-324,
        -5e-324,
        f64::MIN_POSITIVE,
        f64::MAX,
        f64::MIN,
        1.0,
    ];
    if rng.random_bool(0.3) {
        return EDGES[rng.random_range(0..EDGES.len())];
    }
    loop {
        let value = f64::from_bits(rng.random());
        if value.is_finite() {
            return value;
        }
    }
}

/// From a set that is not too large: the atoms of a BEAM are never freed.
fn atom(rng: &mut StdRng) -> Atom {
    let seed = rng.random_range(0u32..5000);
    let (len, highest) = match seed % 5 {
        0 => (seed % 256, 0x7f),
        1 => (seed % 256, 0xff),
        2 => (seed % 256, 0xd7ff),
        3 => (255, 0x10_ffff),
        _ => (seed % 12, 0x7f),
    };
    let characters =
        (1..=len).filter_map(|n| char::from_u32(1 + seed.wrapping_mul(n * 7919) % highest));
    Atom::new(&characters.collect::<String>())
}

fn bytes(rng: &mut StdRng) -> Vec<u8> {
    let len = if rng.random_bool(0.02) {
        rng.random_range(1000..3000)
    } else {
        rng.random_range(0..40)
    };
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes[..]);
    bytes
}

fn node(rng: &mut StdRng) -> Atom {
    Atom::new(&format!("n{}@host", rng.random_range(0..100)))
}

fn creation(rng: &mut StdRng) -> u32 {
    if rng.random_bool(0.5) {
        rng.random_range(0..4)
    } else {
        rng.random()
    }
}

fn pid(rng: &mut StdRng) -> Pid {
    Pid {
        node: node(rng),
        id: rng.random(),
        serial: rng.random(),
        creation: creation(rng),
    }
}

/// `fun m:f/a`, or a fun with its free variables as a BEAM of another node would send it.
fn fun(rng: &mut StdRng) -> Term {
    let mut out = BytesMut::new();
    let put = |term: &Term, out: &mut BytesMut| etf::encode_into(term, out);
    if rng.random_bool(0.5) {
        out.put_u8(113);
        put(&Term::Atom(atom(rng)), &mut out);
        put(&Term::Atom(atom(rng)), &mut out);
        put(&Term::Int(rng.random_range(0..256)), &mut out);
        return Term::Fun(out.freeze());
    }
    let mut body = BytesMut::new();
    let free = rng.random_range(0..4);
    body.put_u8(rng.random_range(0..20));
    body.put_u128(rng.random());
    // OTP's order of funs in small maps is not one where indices differ by more than an int holds.
    body.put_u32(rng.random_range(0..1000));
    body.put_u32(free);
    put(&Term::atom("some_module"), &mut body);
    put(&Term::Int(rng.random_range(0..400)), &mut body);
    put(&Term::Int(rng.random_range(0..1 << 27)), &mut body);
    put(&Term::Pid(pid(rng)), &mut body);
    for _ in 0..free {
        put(&term(rng, 1), &mut body);
    }
    out.put_u8(112);
    out.put_u32(body.len() as u32 + 4);
    out.put_slice(&body);
    Term::Fun(out.freeze())
}

/// The external form as some other encoder might have written it: old tags, longer forms than needed.
pub fn odd_form(term: &Term, rng: &mut StdRng) -> BytesMut {
    let mut out = BytesMut::new();
    out.put_u8(etf::VERSION);
    put_odd(term, rng, &mut out);
    out
}

/// A form of what OTP holds for the same term, though its bytes say more: zero words at the end of a reference, bits
/// beyond the end of a bit string, another arity and uniq of a fun.
pub fn loose_form(term: &Term, rng: &mut StdRng) -> BytesMut {
    match term {
        Term::Ref(reference) if reference.words().len() < 5 => {
            let mut words = reference.words().to_vec();
            words.resize(rng.random_range(words.len()..=5), 0);
            let padded = Reference::new(reference.node.clone(), reference.creation, &words);
            odd_form(&Term::Ref(padded.unwrap()), rng)
        }
        Term::BitBinary { bytes, bits } => {
            let mut bytes = bytes.to_vec();
            *bytes.last_mut().unwrap() |= rng.random::<u8>() >> bits;
            odd_form(
                &Term::BitBinary {
                    bytes: bytes.into(),
                    bits: *bits,
                },
                rng,
            )
        }
        Term::Fun(bytes) if bytes[0] == 112 => {
            let mut bytes = bytes.to_vec();
            // The arity and the new uniq.
            rng.fill(&mut bytes[5..5 + 17]);
            odd_form(&Term::Fun(bytes.into()), rng)
        }
        other => odd_form(other, rng),
    }
}

fn put_odd(term: &Term, rng: &mut StdRng, out: &mut BytesMut) {
    match term {
        Term::Int(value) => put_odd_int(*value, rng, out),
        Term::Big(value) => put_odd_big(value, rng, out),
        Term::Float(value) if rng.random() => {
            out.put_u8(99);
            let text = format!("{value:.20e}");
            out.put_slice(text.as_bytes());
            out.put_bytes(0, 31 - text.len());
        }
        Term::Atom(atom) => put_odd_atom(atom, rng, out),
        Term::Tuple(elements) => {
            out.put_u8(105);
            out.put_u32(elements.len() as u32);
            for element in elements {
                put_odd(element, rng, out);
            }
        }
        Term::List(elements) if !elements.is_empty() => {
            put_odd_head(elements, rng, out);
            out.put_u8(106);
        }
        Term::ImproperList(elements, tail) => {
            put_odd_head(elements, rng, out);
            put_odd(tail, rng, out);
        }
        Term::Map(pairs) => {
            out.put_u8(116);
            out.put_u32(pairs.len() as u32);
            for (key, value) in pairs.iter().rev() {
                put_odd(key, rng, out);
                put_odd(value, rng, out);
            }
        }
        Term::Pid(pid) if pid.creation < 4 => {
            out.put_u8(103);
            put_odd_atom(&pid.node, rng, out);
            out.put_u32(pid.id);
            out.put_u32(pid.serial);
            out.put_u8(pid.creation as u8);
        }
        Term::Port(port) if port.creation < 4 && port.id < 1 << 28 => {
            out.put_u8(102);
            put_odd_atom(&port.node, rng, out);
            out.put_u32(port.id as u32);
            out.put_u8(port.creation as u8);
        }
        Term::Port(port) => {
            out.put_u8(120);
            put_odd_atom(&port.node, rng, out);
            out.put_u64(port.id);
            out.put_u32(port.creation);
        }
        Term::Ref(reference) if reference.creation < 4 && reference.words()[0] < 1 << 18 => {
            put_old_reference(reference, rng, out);
        }
        Term::Binary(bytes) if !bytes.is_empty() && rng.random() => {
            out.put_u8(77);
            out.put_u32(bytes.len() as u32);
            out.put_u8(8);
            out.put_slice(bytes);
        }
        other => etf::encode_into(other, out),
    }
}

fn put_old_reference(reference: &Reference, rng: &mut StdRng, out: &mut BytesMut) {
    let words = reference.words();
    if words.len() == 1 {
        out.put_u8(101);
        put_odd_atom(&reference.node, rng, out);
        out.put_u32(words[0]);
        return out.put_u8(reference.creation as u8);
    }
    out.put_u8(114);
    out.put_u16(words.len() as u16);
    put_odd_atom(&reference.node, rng, out);
    out.put_u8(reference.creation as u8);
    for word in words {
        out.put_u32(*word);
    }
}

/// A list in one or more pieces, without its end.
fn put_odd_head(elements: &[Term], rng: &mut StdRng, out: &mut BytesMut) {
    let mut rest = elements;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rng.random_range(1..=rest.len()));
        out.put_u8(108);
        out.put_u32(piece.len() as u32);
        for element in piece {
            put_odd(element, rng, out);
        }
        rest = after;
    }
}

fn put_odd_int(value: i64, rng: &mut StdRng, out: &mut BytesMut) {
    if let (Ok(medium), true) = (i32::try_from(value), rng.random()) {
        out.put_u8(98);
        return out.put_i32(medium);
    }
    put_odd_big(&BigInt::from(value), rng, out);
}

/// With leading zeros, and zero with either sign.
fn put_odd_big(value: &BigInt, rng: &mut StdRng, out: &mut BytesMut) {
    let (sign, mut magnitude) = value.to_bytes_le();
    magnitude.resize(magnitude.len() + rng.random_range(0..4), 0);
    if let (Ok(len), true) = (u8::try_from(magnitude.len()), rng.random()) {
        out.put_u8(110);
        out.put_u8(len);
    } else {
        out.put_u8(111);
        out.put_u32(magnitude.len() as u32);
    }
    let negative = match sign {
        num_bigint::Sign::Minus => true,
        num_bigint::Sign::NoSign => rng.random(),
        num_bigint::Sign::Plus => false,
    };
    out.put_u8(u8::from(negative));
    out.put_slice(&magnitude);
}

fn put_odd_atom(atom: &Atom, rng: &mut StdRng, out: &mut BytesMut) {
    let text = atom.as_str();
    let latin1: Option<Vec<u8>> = text
        .chars()
        .map(|c| u8::try_from(u32::from(c)).ok())
        .collect();
    match latin1 {
        Some(latin1) if rng.random() => {
            if rng.random() {
                out.put_u8(115);
                out.put_u8(latin1.len() as u8);
            } else {
                out.put_u8(100);
                out.put_u16(latin1.len() as u16);
            }
            out.put_slice(&latin1);
        }
        _ => {
            out.put_u8(118);
            out.put_u16(text.len() as u16);
            out.put_slice(text.as_bytes());
        }
    }
}
