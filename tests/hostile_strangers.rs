//! Strangers' bytes on every way in: what real OTP says, changed at each place, and what nobody should say. The answer is
//! an error, soon; nobody is let in, nothing panics, and who asks next is served.

#![allow(clippy::unwrap_used)]

#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/strangers.rs"]
mod strangers;

use bytes::Buf;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sidekick::dist::Cookie;
use sidekick::dist::epmd::client;
use sidekick::dist::epmd::server::Server;
use sidekick::dist::handshake::{self, HandshakeError, TIMEOUT, Verdict};
use std::time::{Duration, Instant};
use strangers::{Side, Stranger, identity, message, pair, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// All of these strangers at once, none of whom may be let in; each hangs up, so no answer needs the time of a silent one.
fn all_are_refused(side: Side, speeches: &[Vec<u8>]) {
    run(async {
        for some in speeches.chunks(64) {
            let meetings = some.iter().map(|says| async move {
                let stranger = Stranger {
                    what: String::new(),
                    side,
                    says: says.clone().into(),
                };
                let met = tokio::time::timeout(TIMEOUT / 2, stranger.meet()).await;
                assert!(met.expect("answered soon").is_err(), "let in: {says:?}");
            });
            futures::future::join_all(meetings).await;
        }
    });
}

#[test]
fn the_worst_of_strangers_are_refused() {
    run(async {
        for stranger in strangers::all() {
            let met = tokio::time::timeout(TIMEOUT / 2, stranger.meet()).await;
            assert!(met.expect("answered soon").is_err(), "{}", stranger.what);
        }
    });
}

#[test]
fn recorded_handshakes_of_who_connects_changed_at_each_place() {
    for (_, bytes) in corpus::read("handshake_connects") {
        all_are_refused(Side::Accept, &corpus::every_single_change(&bytes));
    }
}

#[test]
fn recorded_handshakes_of_who_is_connected_to_changed_at_each_place() {
    for (_, bytes) in corpus::read("handshake_accepts") {
        all_are_refused(Side::Connect, &corpus::every_single_change(&bytes));
    }
}

#[test]
fn recorded_handshakes_changed_at_random() {
    let mut rng = StdRng::seed_from_u64(corpus::seed());
    for (kind, side) in [
        ("handshake_connects", Side::Accept),
        ("handshake_accepts", Side::Connect),
    ] {
        for (_, bytes) in corpus::read(kind) {
            let changed: Vec<_> = (0..1500)
                .map(|_| corpus::mutate(&bytes, &mut rng))
                .collect();
            all_are_refused(side, &changed);
        }
    }
}

/// A client of our own that knows the cookie, each bit of whose digest is changed in turn: the cookie alone lets one in.
#[test]
fn a_digest_that_is_wrong_in_one_bit() {
    run(async {
        for bit in 0..=128 {
            let (near, mut far) = pair().await;
            let mut name = vec![b'N'];
            name.extend(0x0d_07df_7fbdu64.to_be_bytes());
            name.extend([0, 0, 0, 7, 0, 3]);
            name.extend(b"a@b");
            let peer = async {
                far.write_all(&message(&name)).await.unwrap();
                let status = far.read_u16().await.unwrap();
                far.read_exact(&mut vec![0; usize::from(status)])
                    .await
                    .unwrap();
                let mut challenge = vec![0; usize::from(far.read_u16().await.unwrap())];
                far.read_exact(&mut challenge).await.unwrap();
                let number = (&challenge[9..13]).get_u32();
                let mut digest = md5::compute(format!("{}{number}", "a secret")).0;
                if bit < 128 {
                    digest[bit / 8] ^= 1 << (bit % 8);
                }
                let reply = [&b"r\0\0\0\x01"[..], &digest].concat();
                far.write_all(&message(&reply)).await.unwrap();
                far.read_u16().await
            };
            let ours = identity();
            let welcome = |_| std::future::ready(Verdict::Ok);
            let accept = handshake::accept(near, &ours, welcome);
            let (accepted, acknowledged) =
                tokio::join!(async { accept.await.map_err(|(_, error)| error) }, peer);
            match accepted {
                Err(HandshakeError::WrongCookie) => assert!(bit < 128 && acknowledged.is_err()),
                Ok(_) => assert!(bit == 128 && acknowledged.is_ok()),
                Err(error) => panic!("{error}"),
            }
        }
    });
}

/// How it ends with somebody who says nothing, or a byte each second.
async fn slow(side: Side, trickles: bool) -> (HandshakeError, Duration) {
    let (near, mut far) = pair().await;
    let speech = tokio::spawn(async move {
        let first = if side == Side::Accept { b'N' } else { b's' };
        for byte in message(&[first; 40]) {
            // sleep: slowness is the subject
            tokio::time::sleep(Duration::from_secs(1)).await;
            if trickles && far.write_all(&[byte]).await.is_err() {
                break;
            }
        }
    });
    let (ours, peer, started) = (identity(), "a@b".parse().unwrap(), Instant::now());
    let error = if side == Side::Accept {
        let welcome = |_| std::future::ready(Verdict::Ok);
        handshake::accept(near, &ours, welcome).await.unwrap_err().1
    } else {
        let met = handshake::connect(near, &ours, &peer, || false).await;
        met.unwrap_err()
    };
    speech.abort();
    (error, started.elapsed())
}

#[tokio::test]
async fn who_says_nothing_or_a_byte_each_second_has_seven_seconds() {
    let all = futures::future::join_all([
        slow(Side::Accept, false),
        slow(Side::Accept, true),
        slow(Side::Connect, false),
        slow(Side::Connect, true),
    ]);
    for (error, took) in all.await {
        assert!(matches!(error, HandshakeError::Timeout), "{error}");
        assert!(took > TIMEOUT / 2 && took < TIMEOUT * 2, "{took:?}");
    }
}

#[test]
fn a_wrong_cookie_is_told_from_everything_else() {
    run(async {
        let (near, far) = pair().await;
        let (ours, mut theirs) = (identity(), identity());
        theirs.name = "frontend@127.0.0.1".parse().unwrap();
        theirs.cookie = Cookie::new("a guess");
        let (accepted, connected) = tokio::join!(
            handshake::accept(near, &ours, |_| std::future::ready(Verdict::Ok)),
            handshake::connect(far, &theirs, &ours.name, || false),
        );
        let (name, error) = accepted.unwrap_err();
        assert!(matches!(error, HandshakeError::WrongCookie) && name == Some(theirs.name));
        assert!(matches!(connected.unwrap_err(), HandshakeError::Rejected));
    });
}

#[test]
fn recorded_answers_of_a_port_mapper_changed() {
    let mut rng = StdRng::seed_from_u64(corpus::seed());
    run(async {
        for (name, bytes) in corpus::read("epmd_answers") {
            let single = corpus::every_single_change(&bytes);
            let random = (0..100).map(|_| corpus::mutate(&bytes, &mut rng));
            for says in single.into_iter().chain(random) {
                for side in [Side::Lookup, Side::Register] {
                    let stranger = Stranger {
                        what: name.clone(),
                        side,
                        says: says.clone().into(),
                    };
                    // Some changes make another true answer; none takes long.
                    let met = tokio::time::timeout(Duration::from_secs(3), stranger.meet()).await;
                    let _ = met.expect("answered soon");
                }
            }
        }
    });
}

#[test]
fn recorded_requests_to_a_port_mapper_changed() {
    let mut rng = StdRng::seed_from_u64(corpus::seed());
    run(async {
        let server = Server::start(0).await.unwrap();
        for (_, bytes) in corpus::read("epmd_requests") {
            let single = corpus::every_single_change(&bytes);
            let random = (0..200).map(|_| corpus::mutate(&bytes, &mut rng));
            for says in single.into_iter().chain(random) {
                let mut stranger = TcpStream::connect(("127.0.0.1", server.port()))
                    .await
                    .unwrap();
                stranger.write_all(&says).await.unwrap();
                stranger.shutdown().await.unwrap();
                let mut answer = Vec::new();
                let read = stranger.read_to_end(&mut answer);
                let ended = tokio::time::timeout(Duration::from_secs(5), read).await;
                let _ = ended.expect("hung up on soon");
                assert!(answer.len() < 64 << 10);
            }
        }
        // Registrations of strangers went with their connections; the place is in order.
        let found = client::lookup("127.0.0.1", server.port(), "nobody").await;
        assert!(matches!(found, Ok(None)));
        let (held, _) = client::register(server.port(), "somebody", 4000, false)
            .await
            .unwrap();
        let found = client::lookup("127.0.0.1", server.port(), "somebody").await;
        assert!(matches!(found, Ok(Some(4000))));
        drop(held);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_at_all(says in prop::collection::vec(any::<u8>(), 0..300)) {
        run(async {
            for side in [Side::Accept, Side::Connect] {
                let stranger = Stranger { what: String::new(), side, says: says.clone().into() };
                assert!(stranger.meet().await.is_err());
            }
            for side in [Side::Lookup, Side::Register] {
                let _ = Stranger { what: String::new(), side, says: says.clone().into() }.meet().await;
            }
            strangers::ask_port_mapper(&says).await;
        });
    }
}
