//! Hostile terms, by name: each was seen to crash, stall, inflate or mislead some decoder. Ours answers with an error, or
//! with the right term, and soon. How much memory it takes over that is measured in `hostile_memory`.

#![allow(clippy::unwrap_used)]

#[path = "support/random_terms.rs"]
mod random_terms;

use bytes::{BufMut, Bytes, BytesMut};
use rand::SeedableRng;
use rand::rngs::StdRng;
use sidekick::etf::{self, DecodeError, Limits, Term};

const HUGE: [u8; 4] = [255; 4];

fn decode(body: &[u8]) -> Result<Term, DecodeError> {
    etf::decode([&[etf::VERSION], body].concat().into())
}

fn nested(open: &[u8], times: usize) -> Vec<u8> {
    [&open.repeat(times)[..], &[106]].concat()
}

#[test]
fn nesting_of_two_thousand_and_of_a_million() {
    let one_in_another: [&[u8]; 5] = [
        &[104, 1],
        &[105, 0, 0, 0, 1],
        &[108, 0, 0, 0, 1],
        &[116, 0, 0, 0, 1],
        &[116, 0, 0, 0, 1, 97, 1],
    ];
    for open in one_in_another {
        for times in [257, 2_000, 1_000_000] {
            assert_eq!(
                decode(&nested(open, times)),
                Err(DecodeError::TooDeep),
                "{open:?}"
            );
        }
    }
    // By the tail of a list, and by the free variable of a fun.
    let tails = nested(&[108, 0, 0, 0, 1, 106], 1_000_000);
    assert_eq!(decode(&tails), Err(DecodeError::TooDeep));
    let fun = [
        &[112u8, 0, 0, 0, 0][..],
        &[0; 21],
        &[0, 0, 0, 1, 119, 1, b'm', 97, 0, 97, 0, 88, 119, 1, b'n'],
        &[0; 12],
    ];
    assert_eq!(
        decode(&nested(&fun.concat(), 2_000)),
        Err(DecodeError::TooDeep)
    );
}

#[test]
fn nesting_to_the_bound_is_no_strain_on_a_small_stack() {
    let body = nested(&[104, 1], usize::from(Limits::default().depth));
    let thread = std::thread::Builder::new().stack_size(512 << 10);
    let decoded = thread.spawn(move || decode(&body).map(|term| term.to_string().len()));
    assert!(decoded.unwrap().join().unwrap().unwrap() > 256);
}

#[test]
fn counts_of_four_billion() {
    let text = [119, 1, b'n'];
    let promises: [(&str, Vec<u8>); 12] = [
        ("tuple", [&[105][..], &HUGE].concat()),
        ("list", [&[108][..], &HUGE].concat()),
        ("map", [&[116][..], &HUGE].concat()),
        ("binary", [&[109][..], &HUGE].concat()),
        ("bit binary", [&[77][..], &HUGE, &[3]].concat()),
        ("string", vec![107, 255, 255]),
        ("atom", vec![118, 255, 255]),
        ("latin1 atom", vec![100, 255, 255]),
        ("small atom", vec![119, 255]),
        ("big", [&[111][..], &[0, 0, 255, 255], &[0]].concat()),
        (
            "fun",
            [
                &[112][..],
                &HUGE,
                &[0; 21],
                &HUGE,
                &text,
                &[97, 0, 97, 0, 88],
                &text,
                &[0; 12],
            ]
            .concat(),
        ),
        ("nested tuples", [&[105][..], &HUGE].concat().repeat(200)),
    ];
    for (what, promise) in promises {
        for more in [0, 1, 100] {
            let body = [&promise[..], &vec![106; more]].concat();
            assert_eq!(
                decode(&body),
                Err(DecodeError::Truncated),
                "{what} and {more} bytes"
            );
        }
    }
    let long = decode(&[&[111][..], &HUGE, &[0, 1]].concat());
    assert_eq!(long, Err(DecodeError::TooBig(u32::MAX as usize)));
}

#[test]
fn references_of_no_word_and_of_too_many() {
    let reference = |tag: u8, words: u16| {
        let mut body = BytesMut::new();
        body.put_u8(tag);
        body.put_u16(words);
        body.put_slice(&[119, 1, b'n']);
        body.put_bytes(0, if tag == 90 { 4 } else { 1 });
        body.put_bytes(0, usize::from(words) * 4);
        decode(&body)
    };
    for tag in [90, 114] {
        for words in [0, 6, 7, 1000, u16::MAX] {
            assert_eq!(
                reference(tag, words),
                Err(DecodeError::Malformed("reference"))
            );
        }
        assert!((1..=5).all(|words| reference(tag, words).is_ok()));
    }
}

#[test]
fn distribution_header_cache_reference_fragment_local_and_unknown_tags() {
    let known = [
        70, 77, 88, 89, 90, 97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111,
        112, 113, 114, 115, 116, 118, 119, 120,
    ];
    for tag in (0..=255).filter(|tag| !known.contains(tag)) {
        // Alone, and inside of another term.
        assert_eq!(decode(&[tag, 0, 0, 0, 0, 0]), Err(DecodeError::Tag(tag)));
        assert_eq!(
            decode(&[104, 1, tag, 0, 0, 0, 0]),
            Err(DecodeError::Tag(tag))
        );
    }
    for tag in [68, 69, 70, 82, 121, 80, 117] {
        assert_eq!(
            known.contains(&tag),
            tag == 70,
            "{tag} is spoken of in the documentation"
        );
    }
}

/// A compressed term of 1.4 MB can become 1.5 GB. No BEAM compresses what it sends to a peer, so none is opened.
#[test]
fn compressed_bomb() {
    use std::io::Write;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&[109, 0, 152, 150, 128]).unwrap();
    for _ in 0..100 {
        encoder.write_all(&vec![0; 100_000]).unwrap();
    }
    let body = [&[80, 0, 152, 150, 133][..], &encoder.finish().unwrap()].concat();
    assert!(body.len() < 20_000);
    assert_eq!(decode(&body), Err(DecodeError::Tag(80)));
}

/// Seven bytes that promise an integer of four billion stalled a decoder for twelve seconds.
#[test]
fn large_big_of_seven_bytes() {
    assert!(matches!(
        decode(&[&[111][..], &HUGE, &[0]].concat()),
        Err(DecodeError::TooBig(_))
    ));
    assert_eq!(
        decode(&[111, 0, 0, 255, 255, 0, 1]),
        Err(DecodeError::Truncated)
    );
}

#[test]
fn big_integers_at_and_beyond_the_bound() {
    let big = |len: u32| {
        let mut body = vec![111];
        body.extend(len.to_be_bytes());
        body.push(1);
        body.extend(vec![0xff; len as usize]);
        decode(&body)
    };
    assert!(matches!(big(64 << 10), Ok(Term::Big(_))));
    assert_eq!(
        big((64 << 10) + 1),
        Err(DecodeError::TooBig((64 << 10) + 1))
    );
}

#[test]
fn integers_written_longer_than_needed() {
    for zero in [
        &[110u8, 0, 0][..],
        &[110, 0, 1],
        &[110, 3, 1, 0, 0, 0],
        &[111, 0, 0, 0, 0, 1],
    ] {
        assert_eq!(decode(zero), Ok(Term::Int(0)), "{zero:?}");
    }
    assert_eq!(
        decode(&[110, 9, 1, 5, 0, 0, 0, 0, 0, 0, 0, 0]),
        Ok(Term::Int(-5))
    );
    assert_eq!(
        decode(&[110, 8, 1, 0, 0, 0, 0, 0, 0, 0, 128]),
        Ok(Term::Int(i64::MIN))
    );
    // Any sign but zero is minus, as OTP has it.
    assert_eq!(decode(&[110, 1, 7, 5]), Ok(Term::Int(-5)));
}

#[test]
fn byte_lists_are_lists_of_integers() {
    let list = |values: &[i64]| Term::List(values.iter().copied().map(Term::Int).collect());
    assert_eq!(decode(&[107, 0, 3, 97, 0, 255]), Ok(list(&[97, 0, 255])));
    assert_eq!(decode(&[107, 0, 0]), Ok(list(&[])));
    let negative = list(&[-1, -2, -3]);
    assert_eq!(etf::decode(etf::encode(&negative)), Ok(negative));
    for len in [65_535, 65_536, 70_000] {
        let long = Term::List(vec![Term::Int(7); len]);
        assert_eq!(etf::decode(etf::encode(&long)), Ok(long));
    }
}

#[test]
fn improper_lists_and_odd_ends() {
    let one = Term::Int(1);
    let improper = Term::ImproperList(vec![one.clone()], Box::new(Term::atom("t")));
    assert_eq!(
        decode(&[108, 0, 0, 0, 1, 97, 1, 119, 1, b't']),
        Ok(improper)
    );
    // No element and a tail that is no list: just the tail, as OTP reads it.
    assert_eq!(decode(&[108, 0, 0, 0, 0, 97, 1]), Ok(one.clone()));
    assert_eq!(decode(&[108, 0, 0, 0, 0, 106]), Ok(Term::list([])));
    // A string as the tail makes one proper list.
    let joined = Term::list([one.clone(), Term::Int(97)]);
    assert_eq!(decode(&[108, 0, 0, 0, 1, 97, 1, 107, 0, 1, 97]), Ok(joined));
    assert_eq!(
        decode(&[108, 0, 0, 0, 1, 97, 1]),
        Err(DecodeError::Truncated)
    );
}

#[test]
fn empty_containers() {
    assert_eq!(decode(&[104, 0]), Ok(Term::tuple([])));
    assert_eq!(decode(&[105, 0, 0, 0, 0]), Ok(Term::tuple([])));
    assert_eq!(decode(&[116, 0, 0, 0, 0]), Ok(Term::Map(Vec::new())));
    assert_eq!(decode(&[109, 0, 0, 0, 0]), Ok(Term::binary(Vec::new())));
    assert_eq!(decode(&[119, 0]), Ok(Term::atom("")));
}

#[test]
fn versions_and_bytes_that_follow() {
    for version in (0..=255).filter(|v| *v != etf::VERSION) {
        assert_eq!(
            etf::decode(vec![version, 106].into()),
            Err(DecodeError::Version(version))
        );
    }
    assert_eq!(etf::decode(Bytes::new()), Err(DecodeError::Truncated));
    assert_eq!(decode(&[106, 0]), Err(DecodeError::Trailing(1)));
    assert_eq!(decode(&[106, 131, 106]), Err(DecodeError::Trailing(2)));
}

#[test]
fn every_prefix_of_every_term_is_refused() {
    let mut rng = StdRng::seed_from_u64(7);
    let mut prefixes = 0;
    for i in 0..2_000 {
        let term = random_terms::term(&mut rng, 2);
        let whole = if i % 2 == 0 {
            etf::encode(&term)
        } else {
            random_terms::odd_form(&term, &mut rng).freeze()
        };
        for end in 0..whole.len().min(600) {
            let cut = etf::decode(whole.slice(..end));
            assert_eq!(cut, Err(DecodeError::Truncated), "{end} of {whole:?}");
            prefixes += 1;
        }
        let more = [&whole[..], &[0]].concat();
        assert_eq!(etf::decode(more.into()), Err(DecodeError::Trailing(1)));
    }
    assert!(prefixes > 50_000, "{prefixes}");
}

#[test]
fn too_many_terms_in_one_input() {
    let count = Limits::default().terms;
    let tuple = [&[105][..], &(count as u32).to_be_bytes(), &vec![106; count]].concat();
    assert_eq!(decode(&tuple), Err(DecodeError::TooMany));
    let strings = [107, 255, 255]
        .into_iter()
        .chain(vec![0; 65_535])
        .collect::<Vec<u8>>()
        .repeat(65);
    let list = [&[108, 0, 0, 0, 65][..], &strings, &[106]].concat();
    assert_eq!(decode(&list), Err(DecodeError::TooMany));
}

/// What is shown to people is text of a sane size, whatever a peer sent.
#[test]
fn the_longest_integer_prints_in_no_time() {
    let body = [&[111, 0, 1, 0, 0, 0][..], &vec![0xff; 64 << 10]].concat();
    let text = decode(&body).unwrap().to_string();
    assert!(text.len() > 150_000 && text.bytes().all(|b| b.is_ascii_digit()));
}
