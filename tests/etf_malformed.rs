//! Terms of no proper form, by name: numbers that are none, text that is none, keys that stand twice, identifiers and funs
//! that no BEAM makes. What passes the decoder may go on to a BEAM, so what OTP refuses (or does not survive) is refused.

#![allow(clippy::unwrap_used)]

use sidekick::etf::{self, DecodeError, Term};

fn decode(body: &[u8]) -> Result<Term, DecodeError> {
    etf::decode([&[etf::VERSION], body].concat().into())
}

#[test]
fn floats_that_are_no_numbers() {
    for bits in [
        f64::NAN.to_bits(),
        f64::INFINITY.to_bits(),
        f64::NEG_INFINITY.to_bits(),
        u64::MAX,
        0x7ff0_0000_0000_0001,
    ] {
        assert_eq!(
            decode(&[&[70][..], &bits.to_be_bytes()].concat()),
            Err(DecodeError::Float)
        );
    }
    let old = |text: &str| {
        let mut body = vec![99];
        body.extend(text.as_bytes());
        body.resize(32, 0);
        decode(&body)
    };
    assert_eq!(old("-1.50000000000000000000e+00"), Ok(Term::Float(-1.5)));
    for text in [
        "nan",
        "inf",
        "-infinity",
        "1e999",
        "1.0e999",
        "",
        "1",
        "1.",
        ".5",
        " 1.0",
        "1.0 ",
        "0x1p3",
        "1.0e",
        "1_0.0",
        "-",
        "--1.0",
    ] {
        assert_eq!(old(text), Err(DecodeError::Float), "{text:?}");
    }
    assert_eq!(
        decode(&[&[99][..], &[0xff; 31]].concat()),
        Err(DecodeError::Float)
    );
}

#[test]
fn negative_zero_and_the_smallest_floats_keep_their_bits() {
    for value in [-0.0, 0.0, 5e-324, -5e-324, f64::MIN_POSITIVE, f64::MAX] {
        let Ok(Term::Float(back)) = etf::decode(etf::encode(&Term::Float(value))) else {
            panic!("a float");
        };
        assert_eq!(back.to_bits(), value.to_bits());
    }
}

#[test]
fn atoms_that_are_no_text_or_too_long() {
    for bad in [
        &[0xffu8][..],
        &[0xc3, 0x28],
        &[0xed, 0xa0, 0x80],
        &[0xf4, 0x90, 0x80, 0x80],
        &[0xc0, 0x80],
        &[0xe2, 0x82],
    ] {
        let small = [&[119, bad.len() as u8][..], bad].concat();
        let large = [&[118, 0, bad.len() as u8][..], bad].concat();
        assert_eq!(
            (decode(&small), decode(&large)),
            (Err(DecodeError::Atom), Err(DecodeError::Atom)),
            "{bad:?}"
        );
    }
    let atom = |tag: u8, letter: &str, count: usize| {
        let text = letter.repeat(count);
        let len = (text.len() as u16).to_be_bytes();
        decode(&[&[tag][..], &len, text.as_bytes()].concat())
    };
    for (tag, letter) in [(118, "a"), (118, "é"), (118, "𝄞"), (100, "a")] {
        assert!(atom(tag, letter, 255).is_ok());
        assert_eq!(atom(tag, letter, 256), Err(DecodeError::Atom));
    }
    assert_eq!(atom(118, "a", 65_535), Err(DecodeError::Atom));
    // Latin-1 that is no UTF-8 is text all the same.
    assert_eq!(decode(&[115, 2, 0xff, b'a']), Ok(Term::atom("ÿa")));
}

#[test]
fn atoms_where_only_atoms_may_stand() {
    for tag in [88, 89, 90, 101, 102, 103, 113, 114, 120] {
        let body = [
            &[tag][..],
            &[0, 1][..usize::from(matches!(tag, 90 | 114)) * 2],
            &[97, 1],
            &[0; 40],
        ]
        .concat();
        assert_eq!(decode(&body), Err(DecodeError::Tag(97)), "{tag}");
    }
}

#[test]
fn maps_with_a_key_twice() {
    let twice = |keys: &[&[u8]]| {
        let mut body = vec![116];
        body.extend((keys.len() as u32).to_be_bytes());
        for key in keys {
            body.extend(*key);
            body.push(106);
        }
        decode(&body)
    };
    let same: [(&str, [&[u8]; 2]); 8] = [
        ("integers", [&[97, 1], &[98, 0, 0, 0, 1]]),
        ("an integer and a big one", [&[97, 1], &[110, 2, 0, 1, 0]]),
        ("atoms", [&[119, 1, 0x61], &[100, 0, 1, 0x61]]),
        ("text", [&[107, 0, 1, 97], &[108, 0, 0, 0, 1, 97, 97, 106]]),
        ("binaries", [&[109, 0, 0, 0, 1, 9], &[77, 0, 0, 0, 1, 8, 9]]),
        (
            "bits",
            [&[77, 0, 0, 0, 1, 3, 0xff], &[77, 0, 0, 0, 1, 3, 0xe0]],
        ),
        ("tuples", [&[104, 1, 97, 1], &[105, 0, 0, 0, 1, 97, 1]]),
        (
            "maps",
            [
                &[116, 0, 0, 0, 2, 97, 1, 106, 97, 2, 106],
                &[116, 0, 0, 0, 2, 97, 2, 106, 97, 1, 106],
            ],
        ),
    ];
    for (what, keys) in same {
        assert_eq!(twice(&keys), Err(DecodeError::DuplicateKey), "{what}");
        // Also among many.
        let others: Vec<Vec<u8>> = (10..50).map(|n| vec![97, n]).collect();
        let many: Vec<&[u8]> = keys
            .into_iter()
            .chain(others.iter().map(Vec::as_slice))
            .collect();
        assert_eq!(
            twice(&many),
            Err(DecodeError::DuplicateKey),
            "{what} among many"
        );
    }
    // An integer and a float are two keys, and so are the zeros.
    assert!(twice(&[&[97, 1], &[70, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]]).is_ok());
    assert!(
        twice(&[
            &[70, 0, 0, 0, 0, 0, 0, 0, 0],
            &[70, 0x80, 0, 0, 0, 0, 0, 0, 0]
        ])
        .is_ok()
    );
}

/// Each map around a key would have to compare that key again.
#[test]
fn maps_in_keys_of_maps_are_not_compared_for_ever() {
    let core = [&[109][..], &(1u32 << 20).to_be_bytes(), &vec![0; 1 << 20]].concat();
    let mut body = core;
    for _ in 0..200 {
        body = [&[116, 0, 0, 0, 2, 97, 1, 106][..], &body, &[106]].concat();
    }
    assert_eq!(decode(&body), Err(DecodeError::TooMany));
}

#[test]
fn identifiers_of_old_forms_with_what_they_could_not_hold() {
    let name = [119, 1, b'n'];
    let pid = |creation| decode(&[&[103][..], &name, &[0; 8], &[creation]].concat());
    let port = |creation| decode(&[&[102][..], &name, &[0; 4], &[creation]].concat());
    assert!(pid(3).is_ok() && port(3).is_ok());
    assert_eq!(pid(4), Err(DecodeError::Malformed("creation")));
    assert_eq!(port(255), Err(DecodeError::Malformed("creation")));
    let reference = |word: u32| decode(&[&[101][..], &name, &word.to_be_bytes(), &[0]].concat());
    assert!(reference((1 << 18) - 1).is_ok());
    assert_eq!(reference(1 << 18), Err(DecodeError::Malformed("reference")));
}

/// `fun m:f/256` ends OTP 27.3 with a segmentation fault, so it must never get as far as a BEAM.
#[test]
fn funs_that_a_beam_does_not_survive() {
    let fun = |arity: &[u8]| decode(&[&[113, 119, 1, b'm', 119, 1, b'f'][..], arity].concat());
    assert!(matches!(fun(&[97, 255]), Ok(Term::Fun(_))));
    for arity in [
        &[98, 0, 0, 1, 0][..],
        &[98, 0, 0, 0, 1],
        &[110, 1, 0, 1],
        &[119, 1, b'a'],
        &[106],
    ] {
        assert!(fun(arity).is_err(), "{arity:?}");
    }
}

#[test]
fn funs_that_lie_about_their_size() {
    let body = [
        &[0u8; 21][..],
        &[0; 4],
        &[119, 1, b'm', 97, 0, 97, 0, 88, 119, 1, b'n'],
        &[0; 12],
    ]
    .concat();
    let fun = |size: u32| decode(&[&[112][..], &size.to_be_bytes(), &body].concat());
    let right = body.len() as u32 + 4;
    assert!(fun(right).is_ok());
    for wrong in [0, 4, right - 1, right + 1, u32::MAX] {
        assert_eq!(fun(wrong), Err(DecodeError::Malformed("fun")));
    }
}

#[test]
fn bit_strings_with_impossible_ends() {
    for bad in [
        [77, 0, 0, 0, 1, 0, 1],
        [77, 0, 0, 0, 1, 9, 1],
        [77, 0, 0, 0, 1, 255, 1],
    ] {
        assert_eq!(decode(&bad), Err(DecodeError::Malformed("bit string")));
    }
    assert_eq!(
        decode(&[77, 0, 0, 0, 0, 3]),
        Err(DecodeError::Malformed("bit string"))
    );
}
