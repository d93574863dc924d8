//! Frames that real OTP sends, changed: to a whole node with a good peer on another connection. The connection ends or goes
//! on; the good peer is answered, and no message of the one reaches the other.

#![allow(clippy::unwrap_used)]

#[path = "support/beam.rs"]
mod beam;
#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/echo.rs"]
mod echo;
#[path = "support/rogue.rs"]
mod rogue;

use beam::eventually;
use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rogue::{House, Rogue, frame};
use sidekick::dist::control::Control;
use sidekick::etf;

/// Peers for each recorded frame.
const PEERS: usize = 60;
/// Changed frames that each sends: most changes of a control message end the connection, those of a payload do not.
const FRAMES: usize = 6;

/// A frame whose length is right, whatever is in it.
fn changed(original: &[u8], rng: &mut StdRng) -> Vec<u8> {
    frame(&corpus::mutate(&original[4..], rng))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_frames_changed_at_random() {
    let mut rng = StdRng::seed_from_u64(corpus::seed());
    let house = House::open().await;
    for (name, bytes) in corpus::read("frames") {
        let mut rogues = Vec::new();
        for _ in 0..PEERS {
            let rogue = Rogue::connect(&house.node).await;
            let frames: Vec<u8> = (0..FRAMES)
                .flat_map(|_| changed(&bytes, &mut rng))
                .collect();
            rogue.write(&frames).await;
            rogues.push(rogue);
        }
        house.is_well().await;
        drop(rogues);
        eventually(&format!("the connections of {name} are over"), async || {
            house.rogues() == 0
        })
        .await;
    }
}

/// The stream itself changed, lengths too: what follows a wrong length is read as something else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_streams_changed_at_random() {
    let mut rng = StdRng::seed_from_u64(corpus::seed());
    let house = House::open().await;
    let stream: Vec<u8> = corpus::read("frames")
        .into_iter()
        .flat_map(|(_, bytes)| bytes)
        .collect();
    for _ in 0..100 {
        let rogue = Rogue::connect(&house.node).await;
        rogue.write(&corpus::mutate(&stream, &mut rng)).await;
        drop(rogue);
    }
    house.is_well().await;
    eventually("all are gone", async || house.rogues() == 0).await;
}

#[test]
fn recorded_terms_changed_at_each_place_and_at_random() {
    let mut rng = StdRng::seed_from_u64(corpus::seed());
    let mut accepted = 0;
    for (name, bytes) in corpus::read("terms") {
        etf::decode(bytes.clone().into()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let single = corpus::every_single_change(&bytes);
        let random = (0..500).map(|_| corpus::mutate(&bytes, &mut rng));
        for changed in single.into_iter().chain(random) {
            if let Ok(term) = etf::decode(Bytes::from(changed)) {
                accepted += 1;
                let again = etf::encode(&term);
                assert_eq!(etf::encode(&etf::decode(again.clone()).unwrap()), again);
                let _ = (term.to_string(), Control::parse(term));
            }
        }
    }
    assert!(accepted > 1000, "{accepted}");
}
