//! The term codec and OTP's own understand each other, in both directions, and ours accepts nothing that OTP refuses.

#![allow(clippy::unwrap_used)]

#[path = "support/beam.rs"]
mod beam;
#[path = "support/terms.rs"]
mod terms;

use beam::{Beam, Epmd, unique};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rand::{Rng, SeedableRng};
use sidekick::etf::{self, Term};
use std::path::Path;

const TERMS: usize = 3000;
const MUTATIONS: usize = 20_000;

/// Seeds are random and printed; set `SIDEKICK_SEED` to repeat a run.
fn seed() -> u64 {
    let given = std::env::var("SIDEKICK_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    println!("SIDEKICK_SEED={seed}");
    seed
}

fn random_terms(count: usize) -> Vec<Term> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed().to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = terms::term();
    (0..count)
        .map(|_| strategy.new_tree(&mut runner).unwrap().current())
        .collect()
}

fn write(path: &Path, payloads: &[Bytes]) {
    let mut file = BytesMut::new();
    for payload in payloads {
        file.put_u32(payload.len() as u32);
        file.put_slice(payload);
    }
    std::fs::write(path, file).unwrap();
}

fn read(path: &Path) -> Vec<Bytes> {
    let mut file = Bytes::from(std::fs::read(path).unwrap());
    let mut payloads = Vec::new();
    while !file.is_empty() {
        let len = file.get_u32() as usize;
        payloads.push(file.split_to(len));
    }
    payloads
}

async fn erl(epmd: &Epmd) -> Beam {
    let mut beam = Beam::start(&unique("terms"), epmd.port).await;
    beam.eval(
        r"
        Read = fun(Path) -> {ok, File} = file:read_file(Path), [B || <<L:32, B:L/binary>> <= File] end,
        Write = fun(Path, Bs) -> ok = file:write_file(Path, [<<(byte_size(B)):32, B/binary>> || B <- Bs]) end,
        ok.
        ",
    )
    .await;
    beam
}

#[tokio::test]
async fn our_terms_come_back_from_otp() {
    let epmd = Epmd::start().await;
    let mut beam = erl(&epmd).await;
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
    let terms = random_terms(TERMS);
    write(&ours, &terms.iter().map(etf::encode).collect::<Vec<_>>());
    for options in ["[]", "[{minor_version,1}]"] {
        beam.eval(&format!(
            "Write({theirs:?}, [term_to_binary(binary_to_term(B), {options}) || B <- Read({ours:?})])."
        ))
        .await;
        let answers = read(&theirs);
        assert_eq!(answers.len(), terms.len());
        for (term, answer) in terms.iter().zip(answers) {
            let back = etf::decode(answer).unwrap_or_else(|e| panic!("{e}: {term}"));
            assert_eq!(terms::normal(back), terms::normal(term.clone()));
        }
    }
}

/// Random terms of every kind that a BEAM can make, funs and local identifiers among them.
const GENERATOR: &str = r#"
    Leaf = fun() -> case rand:uniform(20) of
        1 -> rand:uniform(1000) - 500;
        2 -> (rand:uniform(1 bsl 62) - 1) bsl rand:uniform(2000);
        3 -> -(rand:uniform(1 bsl 64));
        4 -> rand:normal() * math:pow(10, rand:uniform(200) - 100);
        5 -> list_to_atom([rand:uniform(255) || _ <- lists:seq(1, rand:uniform(20))]);
        6 -> list_to_atom([1000 + rand:uniform(5000) || _ <- lists:seq(1, rand:uniform(255))]);
        7 -> rand:bytes(rand:uniform(100));
        8 -> N = rand:uniform(63), <<(rand:uniform(1 bsl 62)):N>>;
        9 -> self();
        10 -> make_ref();
        11 -> hd(erlang:ports());
        12 -> fun lists:map/2;
        13 -> X = rand:uniform(9), fun(Y) -> {X, Y} end;
        14 -> [];
        15 -> [rand:uniform(256) - 1 || _ <- lists:seq(1, rand:uniform(200))];
        16 -> alias();
        17 -> binary_to_term(<<131,103,119,3,"a@b",1:32,0:32,1>>);
        18 -> case rand:uniform(200) of 1 -> lists:duplicate(70000, 7); _ -> atom end;
        19 -> <<>>;
        20 -> list_to_tuple(lists:seq(1, 300))
    end end,
    Gen = fun Gen(0) -> Leaf(); Gen(D) -> case rand:uniform(6) of
        1 -> list_to_tuple([Gen(D-1) || _ <- lists:seq(1, rand:uniform(5))]);
        2 -> [Gen(D-1) || _ <- lists:seq(1, rand:uniform(5))];
        3 -> [Gen(D-1) | Leaf()];
        4 -> maps:from_list([{Gen(D-1), Gen(D-1)} || _ <- lists:seq(1, rand:uniform(5))]);
        5 -> maps:from_list([{I, Leaf()} || I <- lists:seq(1, 40)]);
        6 -> Leaf()
    end end,
    ok.
"#;

#[tokio::test]
async fn otps_terms_come_back_from_us() {
    let epmd = Epmd::start().await;
    let mut beam = erl(&epmd).await;
    let dir = tempfile::tempdir().unwrap();
    let (theirs, ours) = (dir.path().join("theirs"), dir.path().join("ours"));
    beam.eval(GENERATOR).await;
    beam.eval(&format!("rand:seed(exsss, {}).", seed())).await;
    let make = format!(
        "Terms = [Gen(rand:uniform(4) - 1) || _ <- lists:seq(1, {TERMS})], Write({theirs:?}, [term_to_binary(T) || T <- Terms])."
    );
    beam.eval(&make).await;
    let decoded: Vec<Term> = read(&theirs)
        .into_iter()
        .map(|payload| etf::decode(payload).unwrap())
        .collect();
    write(&ours, &decoded.iter().map(etf::encode).collect::<Vec<_>>());
    let same = beam
        .eval(&format!(
            "[binary_to_term(B) || B <- Read({ours:?})] =:= Terms."
        ))
        .await;
    assert!(same.is_atom("true"));
}

#[tokio::test]
async fn what_we_accept_otp_accepts() {
    let epmd = Epmd::start().await;
    let mut beam = erl(&epmd).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("accepted");
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed());
    let originals: Vec<Bytes> = random_terms(200).iter().map(etf::encode).collect();
    let mutated = (0..MUTATIONS).map(|i| mutate(&originals[i % originals.len()], &mut rng));
    let accepted: Vec<Bytes> = mutated
        .filter(|bytes| etf::decode(bytes.clone()).is_ok())
        .collect();
    assert!(
        accepted.len() > MUTATIONS / 20,
        "only {} accepted",
        accepted.len()
    );
    write(&path, &accepted);
    let check = "fun(B) -> try binary_to_term(B), true catch _:_ -> false end end";
    let refused = beam
        .eval(&format!("[B || B <- Read({path:?}), not ({check})(B)]."))
        .await;
    let refused = refused.as_list().unwrap();
    let show = |bytes: &Term| {
        let bytes = bytes.as_binary().unwrap();
        format!("{:?}\n{}", &bytes[..], etf::decode(bytes.clone()).unwrap())
    };
    assert!(
        refused.is_empty(),
        "{} of {}: {}",
        refused.len(),
        accepted.len(),
        show(&refused[0])
    );
}

/// Changes one to three bytes, to any value or to a tag.
fn mutate(original: &Bytes, rng: &mut impl Rng) -> Bytes {
    const TAGS: [u8; 27] = [
        70, 77, 82, 88, 89, 90, 97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110,
        111, 114, 115, 116, 118, 119, 120,
    ];
    let mut bytes = original.to_vec();
    for _ in 0..rng.random_range(1..=3) {
        let at = rng.random_range(1..bytes.len());
        bytes[at] = match rng.random_range(0..3) {
            0 => rng.random(),
            1 => TAGS[rng.random_range(0..TAGS.len())],
            _ => bytes[at].wrapping_add(1),
        };
    }
    bytes.into()
}
