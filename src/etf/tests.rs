use super::*;
use bytes::{BufMut, Bytes, BytesMut};

fn hostile(body: &[u8]) -> Result<Term, DecodeError> {
    let mut input = vec![VERSION];
    input.extend_from_slice(body);
    decode(input.into())
}

fn round(term: &Term) {
    assert_eq!(&decode(encode(term)).unwrap(), term);
}

#[test]
fn nesting_is_capped_and_does_not_overflow_the_stack() {
    for (open, close) in [
        (&[104u8, 1][..], &[106u8][..]),
        (&[108, 0, 0, 0, 1], &[106, 106]),
    ] {
        let mut body = open.repeat(1_000_000);
        body.extend_from_slice(close);
        assert_eq!(hostile(&body), Err(DecodeError::TooDeep));
    }
    let by_tail = [108u8, 0, 0, 0, 1, 106].repeat(100_000);
    assert_eq!(hostile(&by_tail), Err(DecodeError::TooDeep));
    let maps = [116u8, 0, 0, 0, 1].repeat(100_000);
    assert_eq!(hostile(&maps), Err(DecodeError::TooDeep));
    let fun = [
        &[112u8, 0, 0, 0, 0][..],
        &[0; 21],
        &[0, 0, 0, 1, 119, 1, b'm', 97, 0, 97, 0, 88, 119, 1, b'n'],
        &[0; 12],
    ];
    let funs = fun.concat().repeat(10_000);
    assert_eq!(hostile(&funs), Err(DecodeError::TooDeep));
}

#[test]
fn the_deepest_accepted_term_decodes_encodes_and_prints_on_a_small_stack() {
    let depth = usize::from(Limits::default().depth);
    let body = |open: &[u8], close: &[u8]| {
        [&open.repeat(depth)[..], &[106], &close.repeat(depth)].concat()
    };
    let bodies = [
        body(&[104, 1], &[]),
        body(&[108, 0, 0, 0, 1], &[106]),
        body(&[116, 0, 0, 0, 1, 97, 1], &[]),
        body(&[116, 0, 0, 0, 1], &[106]),
    ];
    let work = move || {
        for body in bodies {
            let term = hostile(&body).unwrap();
            assert_eq!(encode(&term)[1..], body);
            assert!(term == term.clone() && term.to_string().len() > 2 * depth);
        }
    };
    std::thread::Builder::new()
        .stack_size(1 << 20)
        .spawn(work)
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn counts_beyond_the_input_are_refused_without_allocation() {
    for tag in [105u8, 108, 109, 111, 116] {
        let refused = hostile(&[tag, 255, 255, 255, 255, 0, 0]).unwrap_err();
        assert!(
            matches!(refused, DecodeError::Truncated | DecodeError::TooBig(_)),
            "{tag}: {refused}"
        );
    }
    assert_eq!(
        hostile(&[77, 255, 255, 255, 255, 1]),
        Err(DecodeError::Truncated)
    );
    assert_eq!(hostile(&[107, 255, 255, 1]), Err(DecodeError::Truncated));
}

#[test]
fn a_small_input_that_would_fill_memory_is_refused() {
    let mut body = BytesMut::new();
    body.put_u8(105);
    body.put_u32(5 << 20);
    body.put_bytes(106, 5 << 20);
    assert_eq!(hostile(&body), Err(DecodeError::TooMany));
}

#[test]
fn refused_tags() {
    for tag in [68u8, 69, 80, 82, 0, 117, 121, 255] {
        assert_eq!(
            hostile(&[tag, 0, 0, 0, 9, 9, 9]),
            Err(DecodeError::Tag(tag))
        );
    }
    assert_eq!(
        decode(Bytes::from_static(&[130, 97, 1])),
        Err(DecodeError::Version(130))
    );
    assert_eq!(decode(Bytes::new()), Err(DecodeError::Truncated));
    assert_eq!(hostile(&[97, 1, 2]), Err(DecodeError::Trailing(1)));
}

#[test]
fn long_integers_are_bounded() {
    let mut body = vec![111, 0, 2, 0, 0, 0];
    body.extend(vec![1; 128 << 10]);
    assert_eq!(hostile(&body), Err(DecodeError::TooBig(128 << 10)));
}

#[test]
fn what_otp_refuses_is_refused() {
    let duplicate = [116, 0, 0, 0, 2, 97, 1, 106, 98, 0, 0, 0, 1, 106];
    assert_eq!(hostile(&duplicate), Err(DecodeError::DuplicateKey));
    let nan = [&[70u8][..], &f64::NAN.to_be_bytes()].concat();
    assert_eq!(hostile(&nan), Err(DecodeError::Float));
    assert_eq!(hostile(&[119, 2, 0xc3, 0x28]), Err(DecodeError::Atom));
    let long = [&[118u8, 1, 44][..], &[b'a'; 300]].concat();
    assert_eq!(hostile(&long), Err(DecodeError::Atom));
    assert_eq!(
        hostile(&[77, 0, 0, 0, 1, 0, 1]),
        Err(DecodeError::Malformed("bit string"))
    );
    assert_eq!(
        hostile(&[90, 0, 6, 119, 1, b'a', 0, 0, 0, 0]),
        Err(DecodeError::Malformed("reference"))
    );
}

#[test]
fn duplicate_keys_are_found_in_large_maps_and_behind_other_orders() {
    let mut pairs: Vec<_> = (0..100i64).map(|i| (Term::Int(i), Term::nil())).collect();
    let duplicates = |pairs: &[_]| keys::has_duplicates(pairs, &mut keys::Budget::of(1 << 20));
    assert_eq!(duplicates(&pairs), Ok(false));
    pairs.push((Term::Int(42), Term::nil()));
    assert_eq!(duplicates(&pairs), Ok(true));
    let (a, b) = ((Term::Int(1), Term::nil()), (Term::Int(2), Term::nil()));
    let one = Term::list([Term::Map(vec![a.clone(), b.clone()])]);
    let two = Term::list([Term::Map(vec![b, a])]);
    let behind = [(one, Term::nil()), (two, Term::nil())];
    assert_eq!(duplicates(&behind), Ok(true));
}

#[test]
fn the_cases_that_eetf_gets_wrong() {
    round(&Term::list([Term::Int(-1), Term::Int(-2), Term::Int(-3)]));
    round(&Term::List(vec![Term::Int(7); 70_000]));
    assert_eq!(
        hostile(&[107, 0, 1, b'a']).unwrap(),
        Term::list([Term::Int(97)])
    );
}

#[test]
fn binaries_are_slices_of_the_input() {
    let input = encode(&Term::tuple([Term::binary(vec![7u8; 1000])]));
    let Term::Tuple(elements) = decode(input.clone()).unwrap() else {
        panic!("a tuple")
    };
    let binary = elements[0].as_binary().unwrap();
    assert!(input.as_ptr_range().contains(&binary.as_ptr()));
}

#[test]
fn integers_at_the_edges() {
    for value in [
        0,
        255,
        256,
        -1,
        i64::from(i32::MIN),
        i64::from(i32::MAX) + 1,
        i64::MIN,
        i64::MAX,
    ] {
        round(&Term::Int(value));
    }
    round(&Term::int(i128::MAX));
    round(&Term::int(i128::MIN));
    round(&Term::Big(num_bigint::BigInt::from(3) << 5000));
}

#[test]
fn a_prefix_leaves_the_rest() {
    let mut input = BytesMut::new();
    input.extend_from_slice(&encode(&Term::atom("first")));
    input.extend_from_slice(&encode(&Term::Int(5)));
    let mut input = input.freeze();
    assert_eq!(
        split_prefix(&mut input).unwrap(),
        encode(&Term::atom("first"))
    );
    assert_eq!(decode_prefix(&mut input).unwrap(), Term::Int(5));
    assert!(input.is_empty());
}

#[test]
fn lists_in_pieces_are_one_list() {
    let body = [108, 0, 0, 0, 1, 97, 1, 108, 0, 0, 0, 1, 97, 2, 106];
    assert_eq!(
        hostile(&body).unwrap(),
        Term::list([Term::Int(1), Term::Int(2)])
    );
}

#[test]
fn terms_print_as_erlang_writes_them() {
    let term = Term::tuple([
        Term::atom("ok"),
        Term::map([("a", Term::Float(1.0)), ("B c", Term::text("hé"))]),
        Term::charlist("hi"),
        Term::ImproperList(vec![Term::atom("alias")], Box::new(Term::Int(1))),
        Term::binary(vec![1u8, 2]),
        Term::list([]),
    ]);
    let text = r#"{ok,#{a => 1.0,'B c' => <<"hé"/utf8>>},"hi",[alias|1],<<1,2>>,[]}"#;
    assert_eq!(term.to_string(), text);
}

#[test]
fn atoms_are_cut_at_255_characters() {
    assert_eq!(Atom::new(&"é".repeat(300)).as_str().chars().count(), 255);
    assert!(Atom::try_new(&"é".repeat(256)).is_none());
    round(&Term::atom(&"é".repeat(255)));
}
