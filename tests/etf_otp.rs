//! The term codec and OTP's own understand each other, in both directions, over 100,000 random terms each way; and
//! ours accepts nothing that OTP refuses.
//!
//! Seeds are random and printed; `SIDEKICK_SEED` repeats a run.

#![allow(clippy::unwrap_used)]

#[path = "support/beam.rs"]
mod beam;
#[path = "support/random_terms.rs"]
mod random_terms;
#[path = "support/term_peer.rs"]
mod term_peer;
#[path = "support/terms.rs"]
mod terms;

use bytes::{BufMut, Bytes, BytesMut};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use random_terms::odd_form;
use sidekick::etf::{self, DecodeError, Term};
use std::io::Read;
use term_peer::{TermPeer, options};

/// Terms in each direction.
const TERMS: usize = 100_000;
/// Terms in one request to the peer.
const BATCH: usize = 5_000;
/// Changed payloads that both decoders judge.
const MUTATIONS: usize = 100_000;

fn seed() -> u64 {
    let given = std::env::var("SIDEKICK_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    println!("SIDEKICK_SEED={seed}");
    seed
}

fn has_fun(term: &Term) -> bool {
    match term {
        Term::Fun(_) => true,
        Term::Tuple(elements) | Term::List(elements) => elements.iter().any(has_fun),
        Term::ImproperList(elements, tail) => elements.iter().any(has_fun) || has_fun(tail),
        Term::Map(pairs) => pairs.iter().any(|(k, v)| has_fun(k) || has_fun(v)),
        _ => false,
    }
}

fn shown(wrong: &[Term], payloads: &[Bytes]) -> String {
    let at = wrong[0].as_u64().unwrap() as usize - 1;
    let payload = &payloads[at];

    format!(
        "{} wrong, the first: {payload:?}\n{:?}",
        wrong.len(),
        etf::decode(payload.clone())
    )
}

#[tokio::test]
async fn our_terms_come_back_from_otp() {
    let mut peer = TermPeer::start().await;
    let mut rng = StdRng::seed_from_u64(seed());
    for batch in 0..TERMS / BATCH {
        let ours: Vec<Term> = (0..BATCH)
            .map(|i| random_terms::term(&mut rng, if i % 8 == 0 { 4 } else { 2 }))
            .collect();
        let payloads: Vec<Bytes> = ours.iter().map(etf::encode).collect();
        let answers = peer.reencode(&payloads, options(batch)).await;
        assert_eq!(answers.len(), ours.len());
        let mut again = Vec::new();
        for (term, answer) in ours.into_iter().zip(answers) {
            assert!(!answer.is_empty(), "OTP refuses {term}\n{term:?}");
            let back = etf::decode(answer).unwrap_or_else(|e| panic!("{e}: {term}"));
            again.push(etf::encode(&back));
            // OTP writes a fun with another creator; for those its own comparison below counts.
            if !has_fun(&term) {
                assert_eq!(terms::normal(back), terms::normal(term));
            }
        }
        let wrong = peer.differ(payloads.iter().cloned().zip(again)).await;
        assert!(wrong.is_empty(), "{}", shown(&wrong, &payloads));
    }
}

#[tokio::test]
async fn otps_terms_come_back_from_us() {
    let mut peer = TermPeer::start().await;
    let seed = seed();
    for batch in 0..TERMS / BATCH {
        let theirs = peer
            .make(seed.wrapping_add(batch as u64), BATCH, options(batch))
            .await;
        let ours = |payload: &Bytes| {
            let term = etf::decode(payload.clone()).unwrap_or_else(|e| panic!("{e}: {payload:?}"));
            etf::encode(&term)
        };
        let ours: Vec<Bytes> = theirs.iter().map(ours).collect();
        let wrong = peer.wrong(&ours).await;
        assert!(wrong.is_empty(), "{}", shown(&wrong, &theirs));
    }
}

#[tokio::test]
async fn forms_that_otp_does_not_write_any_more_are_read_as_otp_reads_them() {
    let mut peer = TermPeer::start().await;
    let mut rng = StdRng::seed_from_u64(seed());
    for _ in 0..4 {
        let ours: Vec<Term> = (0..BATCH)
            .map(|_| random_terms::term(&mut rng, 3))
            .collect();
        let odd: Vec<Bytes> = ours
            .iter()
            .map(|t| odd_form(t, &mut rng).freeze())
            .collect();
        for (term, payload) in ours.iter().zip(&odd) {
            let back = etf::decode(payload.clone())
                .unwrap_or_else(|e| panic!("{e}: {term:?}\n{payload:?}"));
            assert_eq!(
                terms::normal(back),
                terms::normal(term.clone()),
                "{payload:?}"
            );
        }
        let wrong = peer
            .differ(odd.iter().cloned().zip(ours.iter().map(etf::encode)))
            .await;
        assert!(wrong.is_empty(), "{}", shown(&wrong, &odd));
    }
}

/// The BEAM never compresses what it sends to a peer; what `term_to_binary(_, [compressed])` makes is refused, so that a
/// small message cannot become a large one.
#[tokio::test]
async fn compressed_terms_are_refused_and_what_they_hold_is_not() {
    let mut peer = TermPeer::start().await;
    let compress = Term::list([Term::atom("compressed")]);
    let theirs = peer.make(seed(), BATCH, compress).await;
    let mut opened = Vec::new();
    let mut compressed = 0;
    for payload in theirs {
        if payload[1] != 80 {
            opened.push(payload);
            continue;
        }
        assert_eq!(etf::decode(payload.clone()), Err(DecodeError::Tag(80)));
        let mut plain = vec![etf::VERSION];
        flate2::read::ZlibDecoder::new(&payload[6..])
            .read_to_end(&mut plain)
            .unwrap();
        let term = etf::decode(plain.into()).unwrap();
        opened.push(etf::encode(&term));
        compressed += 1;
    }
    assert!(compressed > BATCH / 20, "only {compressed} were compressed");
    assert_eq!(peer.wrong(&opened).await, []);
}

#[tokio::test]
async fn what_we_accept_otp_accepts() {
    let mut peer = TermPeer::start().await;
    let mut rng = StdRng::seed_from_u64(seed());
    let originals: Vec<Bytes> = (0..500)
        .map(|i| {
            let term = random_terms::term(&mut rng, 3);
            if i % 2 == 0 {
                etf::encode(&term)
            } else {
                odd_form(&term, &mut rng).freeze()
            }
        })
        .collect();
    let mut accepted = Vec::new();
    for i in 0..MUTATIONS {
        let bytes = mutate(&originals[i % originals.len()], &mut rng);
        if let Ok(term) = etf::decode(bytes.clone()) {
            // And what we make of it is the same term.
            accepted.push((bytes, etf::encode(&term)));
        }
    }
    assert!(
        accepted.len() > MUTATIONS / 20,
        "only {} accepted",
        accepted.len()
    );
    for batch in accepted.chunks(BATCH) {
        let payloads: Vec<Bytes> = batch.iter().map(|(bytes, _)| bytes.clone()).collect();
        let answers = peer.reencode(&payloads, Term::list([])).await;
        let refused = answers.iter().position(Bytes::is_empty);
        assert_eq!(
            refused,
            None,
            "{}",
            shown(&[Term::Int(refused.unwrap_or(0) as i64 + 1)], &payloads)
        );
        let wrong = peer.differ(batch.iter().cloned()).await;
        assert!(wrong.is_empty(), "{}", shown(&wrong, &payloads));
    }
}

/// A key may be written twice in two forms. OTP finds out; a payload that passed us and that no BEAM reads would be
/// poison in the journal.
#[tokio::test]
async fn keys_that_are_one_term_for_otp_are_one_for_us() {
    let mut peer = TermPeer::start().await;
    let mut rng = StdRng::seed_from_u64(seed());
    let maps: Vec<Bytes> = (0..BATCH)
        .map(|_| {
            let key = random_terms::term(&mut rng, 2);
            let mut map = BytesMut::new();
            map.put_slice(&[etf::VERSION, 116, 0, 0, 0, 2]);
            for _ in 0..2 {
                let form = random_terms::loose_form(&key, &mut rng);
                map.put_slice(&form[1..]);
                map.put_u8(106);
            }
            map.freeze()
        })
        .collect();
    let answers = peer.reencode(&maps, Term::list([])).await;
    assert!(answers.iter().filter(|answer| answer.is_empty()).count() > BATCH * 9 / 10);
    for (map, answer) in maps.iter().zip(answers) {
        let ours = etf::decode(map.clone());
        assert_eq!(ours.is_err(), answer.is_empty(), "{map:?}\n{ours:?}");
    }
}

/// Changes one to three bytes, to any value or to a tag; or cuts, or doubles a piece.
fn mutate(original: &Bytes, rng: &mut StdRng) -> Bytes {
    const TAGS: [u8; 29] = [
        70, 77, 82, 88, 89, 90, 97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110,
        111, 112, 113, 114, 115, 116, 118, 119, 120,
    ];
    let mut bytes = original.to_vec();
    for _ in 0..rng.random_range(1..=3) {
        let at = rng.random_range(1..bytes.len());
        match rng.random_range(0..5) {
            0 => bytes[at] = rng.random(),
            1 => bytes[at] = TAGS[rng.random_range(0..TAGS.len())],
            2 => bytes[at] = bytes[at].wrapping_sub(1),
            3 => bytes[at] = [0, 1, 127, 128, 255][rng.random_range(0..5)],
            _ => bytes[at] = bytes[at].wrapping_add(1),
        }
    }
    bytes.into()
}
