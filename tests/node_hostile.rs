//! Peers that send nonsense, too much, or nothing cost at most their own connection.

#![allow(clippy::unwrap_used)]

#[path = "support/beam.rs"]
mod beam;
#[path = "support/echo.rs"]
mod echo;
#[path = "support/logged.rs"]
mod logged;
#[path = "support/rogue.rs"]
mod rogue;

use beam::{Beam, COOKIE, Epmd, eventually, unique};
use bytes::{BufMut, BytesMut};
use logged::Logged;
use rogue::{House, Rogue, control, frame, operation};
use sidekick::dist::control::Target;
use sidekick::dist::frames;
use sidekick::etf::{Atom, Pid, Reference, Term};
use sidekick::node::{CallError, Faults, Node, Signal};
use sidekick::shutdown::Shutdown;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn frames_that_make_no_sense_end_the_connection() {
    let house = House::open().await;
    let counts: Vec<Vec<u8>> = [105u8, 108, 109, 116, 77]
        .map(|tag| frame(&[112, 131, tag, 255, 255, 255, 255, 0, 0]))
        .to_vec();
    let bad = [
        u32::MAX.to_be_bytes().to_vec(),
        ((1u32 << 20) + 1).to_be_bytes().to_vec(),
        frame(&[131, 68, 0, 131, 104, 1]),
        frame(&[131, 69, 0, 0, 0, 0, 0, 0, 0, 1]),
        frame(&[0]),
        frame(&[112]),
        frame(&[112, 112]),
        frame(&[112, 131, 104, 1, 97, 99]),
        frame(&[112, 131, 104, 0]),
        frame(&[112, 131, 106]),
        frame(&[112, 131, 111, 255, 255, 255, 255, 0]),
        frame(&[&[112, 131][..], &[104, 1].repeat(100_000)].concat()),
        frame(&[112, 131, 80, 0, 255, 255, 255]),
        frame(&[112, 131, 82, 0]),
    ];
    for bytes in bad.iter().chain(&counts) {
        let rogue = Rogue::connect(&house.node).await;
        rogue.write(bytes).await;
        rogue.hung_up().await;
        house.is_well().await;
    }
    eventually("no rogue is left", async || house.rogues() == 0).await;
}

/// Terms that are no proper field of a control message, or are one in the wrong place.
fn wild(house: &House) -> Vec<Term> {
    let elsewhere = Atom::new("elsewhere@nowhere");
    let lobby = &house.lobby;
    let pids = [
        lobby.clone(),
        Pid {
            node: elsewhere.clone(),
            ..lobby.clone()
        },
        Pid {
            creation: lobby.creation.wrapping_add(1),
            ..lobby.clone()
        },
        Pid {
            id: u32::MAX,
            serial: u32::MAX,
            ..lobby.clone()
        },
    ];
    let words = |n: usize| Reference::new(elsewhere.clone(), 0, &vec![u32::MAX; n]).unwrap();
    let names = [
        String::new(),
        "x".repeat(255),
        "lobby".to_owned(),
        "net_kernel".to_owned(),
    ];
    let rest = [
        Term::Ref(words(1)),
        Term::Ref(words(5)),
        Term::Big(num_bigint::BigInt::from(1) << 300_000),
        Term::Int(-1),
        Term::list([]),
        Term::tuple([]),
        Term::Map(Vec::new()),
        Term::binary(vec![0; 1000]),
    ];
    let pids = pids.into_iter().map(Term::Pid);
    let names = names.iter().map(|name| Term::atom(name));
    pids.chain(names).chain(rest).collect()
}

/// Each operation with fields of the wrong kinds, too few or too many: the connection ends, or goes on as if nothing had been
/// said; the node and its other peers do not notice.
#[tokio::test]
async fn control_messages_with_wild_fields() {
    let house = House::open().await;
    let wild = wild(&house);
    let mut said = 0;
    for number in (-1..=40).chain([255, 1 << 40]) {
        let mut rogues = Vec::new();
        for (i, first) in wild.iter().enumerate() {
            let rogue = Rogue::connect(&house.node).await;
            // More and more fields, as too few end the connection.
            for arity in (0..=6).rev() {
                let fields: Vec<Term> = (0..arity)
                    .map(|n| wild[(i + n * 5) % wild.len()].clone())
                    .collect();
                rogue
                    .write(&control(&operation(number, &fields), Some(first)))
                    .await;
                said += 1;
            }
            rogues.push(rogue);
        }
        house.is_well().await;
    }
    assert!(said > 3000, "{said}");
}

/// Likewise, as far as a peer may speak for itself.
#[tokio::test]
async fn control_messages_in_ones_own_name_with_wild_fields() {
    let house = House::open().await;
    let wild = wild(&house);
    for number in 1..=36 {
        let mut rogues = Vec::new();
        for field in &wild {
            let rogue = Rogue::connect(&house.node).await;
            let (own, reference) = (Term::Pid(rogue.pid.clone()), Term::Ref(rogue.reference(1)));
            let orders = [
                [own.clone(), field.clone(), reference.clone(), field.clone()],
                [reference.clone(), own.clone(), field.clone(), field.clone()],
                [Term::Int(7), own.clone(), field.clone(), reference],
                [field.clone(), field.clone(), own.clone(), own],
            ];
            for fields in orders {
                for arity in [4, 3, 2] {
                    let message = operation(number, &fields[..arity]);
                    rogue.write(&control(&message, Some(field))).await;
                }
            }
            rogues.push(rogue);
        }
        house.is_well().await;
    }
}

#[tokio::test]
async fn spawn_requests_with_wild_options_are_answered_or_end_the_connection() {
    let house = House::open().await;
    let mfa = |module: &str, function: &str, arity: i64| {
        Term::tuple([Term::atom(module), Term::atom(function), Term::Int(arity)])
    };
    let options = [
        Term::list([Term::tuple([])]),
        Term::list([Term::list([]), Term::Int(1), Term::Map(Vec::new())]),
        Term::list(vec![Term::atom("monitor"); 10_000]),
        Term::atom("monitor"),
        Term::ImproperList(vec![Term::atom("link")], Box::new(Term::atom("monitor"))),
    ];
    let calls = [
        mfa("erpc", "execute_call", 4),
        mfa("erpc", "execute_call", -1),
        mfa("os", "cmd", 1),
        Term::tuple([]),
    ];
    for options in &options {
        for call in &calls {
            for arguments in [
                Term::list([]),
                Term::list(vec![Term::list([]); 4]),
                Term::atom("x"),
                Term::list(vec![Term::Int(1000); 1000]),
            ] {
                let rogue = Rogue::connect(&house.node).await;
                let pid = Term::Pid(rogue.pid.clone());
                let fields = [
                    Term::Ref(rogue.reference(1)),
                    pid.clone(),
                    pid,
                    call.clone(),
                    options.clone(),
                ];
                rogue
                    .write(&control(&operation(29, &fields), Some(&arguments)))
                    .await;
            }
        }
    }
    house.is_well().await;
    // Each connection has ended in order: nothing stays in the table.
    eventually("all rogues are gone", async || house.rogues() == 0).await;
}

#[tokio::test]
async fn unlink_ids_are_numbers_of_64_bits() {
    let house = House::open().await;
    let lobby = Term::Pid(house.lobby.clone());
    let fits = [
        Term::Int(1),
        Term::Int(i64::MAX),
        Term::int(i128::from(u64::MAX)),
    ];
    let bad = [
        Term::Int(-1),
        Term::int(i128::from(u64::MAX) + 1),
        Term::Big(num_bigint::BigInt::from(1) << 100_000),
        Term::atom("id"),
        Term::binary(vec![0; 100_000]),
    ];
    let rogue = Rogue::connect(&house.node).await;
    let unlink = |rogue: &Rogue, id: &Term| {
        control(
            &operation(
                35,
                &[id.clone(), Term::Pid(rogue.pid.clone()), lobby.clone()],
            ),
            None,
        )
    };
    for id in fits {
        rogue.write(&unlink(&rogue, &id)).await;
    }
    for id in bad {
        let rogue = Rogue::connect(&house.node).await;
        rogue.write(&unlink(&rogue, &id)).await;
        rogue.hung_up().await;
    }
    assert_eq!(house.rogues(), 1);
    house.is_well().await;
}

/// What a call that nobody answers came to, while a peer that has seen an earlier reference of ours answers to the next ones.
async fn forged(faults: Faults) -> Result<Term, CallError> {
    let epmd = Epmd::start().await;
    let mut options = echo::options(&unique("sidekick"), COOKIE, epmd.port);
    options.faults = faults;
    let node = Node::start(options, Shutdown::new()).await.unwrap();
    let friend = echo::node(&unique("friend"), COOKIE, epmd.port).await;
    let (_pid, _others) = echo::echo(&friend, "lobby");
    node.connect(friend.name()).await.unwrap();
    let rogue = Rogue::connect(&node).await;
    let seen = node.make_ref();
    let patience = Duration::from_secs(2);
    let call = node.call("lobby", friend.name(), Term::atom("ignore"), patience);
    let forge = async {
        // The call comes first; the number goes up by one, the last word does not follow from what was seen.
        tokio::task::yield_now().await;
        for ahead in 1..=3 {
            let &[low, high, seal] = seen.words() else {
                panic!("three words")
            };
            let words = [low + ahead, high, seal];
            let guess = Reference::new(seen.node.clone(), seen.creation, &words).unwrap();
            let mut bytes = BytesMut::new();
            let reply = Term::tuple([Term::Ref(guess.clone()), Term::atom("forged")]);
            let (own, alias) = (Term::Pid(rogue.pid.clone()), Term::Ref(guess.clone()));
            bytes.put_slice(&control(&operation(33, &[own, alias]), Some(&reply)));
            let target = Target::Pid(rogue.pid.clone());
            let forged = Term::atom("forged");
            frames::monitor_exit(&mut bytes, &target, &rogue.pid, &guess, &forged);
            rogue.write(&bytes).await;
        }
    };
    tokio::join!(call, forge).0
}

/// A peer that was asked something knows our references, but not the next one, and must not answer for others.
#[tokio::test]
async fn nobody_answers_for_another() {
    assert_eq!(forged(Faults::default()).await, Err(CallError::Timeout));
    // The control: where references follow from one another, it does.
    let faults = Faults {
        references_can_be_guessed: true,
        ..Faults::default()
    };
    assert_eq!(forged(faults).await, Ok(Term::atom("forged")));
}

/// A fault of ours in handling one message costs that message: its sender's connection goes on, and what hangs on it.
#[tokio::test]
async fn a_panic_in_handling_a_message_ends_that_message_only() {
    let logged = Logged::start();
    let faults = Faults {
        panics_at: Some(Atom::new("bomb")),
        ..Faults::default()
    };
    let mut house = House::open_with(faults).await;
    let rogue = Rogue::connect(&house.node).await;
    let (bomb, lobby, hi) = (Atom::new("bomb"), Atom::new("lobby"), Term::atom("hi"));
    let target = Target::Pid(house.lobby.clone());
    let mut bytes = BytesMut::new();
    frames::monitor(&mut bytes, &rogue.pid, &target, &rogue.reference(1));
    for number in 0..3i64 {
        frames::reg_send(&mut bytes, &rogue.pid, &bomb, &hi);
        frames::reg_send(&mut bytes, &rogue.pid, &lobby, &Term::Int(number));
    }
    rogue.write(&bytes).await;
    // Those before and after it arrive, in order.
    for number in 0..3 {
        let Some(Signal::Message { term, .. }) = house.others.recv().await else {
            panic!("a message")
        };
        assert_eq!(term, Term::Int(number));
    }
    assert_eq!(logged.count("a fault of ours"), 3, "{}", logged.text());
    house.is_well().await;
    let over = Term::atom("over");
    house.node.end(&house.lobby, over.clone());
    let mut told = BytesMut::new();
    frames::monitor_exit(&mut told, &target, &rogue.pid, &rogue.reference(1), &over);
    assert_eq!(rogue.first_frame().await, told);
}

/// Where every message meets such a fault the connection is of no use, and ends in order.
#[tokio::test]
async fn a_hundred_panics_end_the_connection() {
    let faults = Faults {
        panics_at: Some(Atom::new("bomb")),
        ..Faults::default()
    };
    let house = House::open_with(faults).await;
    let rogue = Rogue::connect(&house.node).await;
    let mut bytes = BytesMut::new();
    for _ in 0..101 {
        frames::reg_send(
            &mut bytes,
            &rogue.pid,
            &Atom::new("bomb"),
            &Term::atom("hi"),
        );
    }
    rogue.write(&bytes).await;
    rogue.hung_up().await;
    eventually("it is gone", async || house.rogues() == 0).await;
    house.is_well().await;
}

#[tokio::test]
async fn payloads_that_are_refused_cost_only_themselves() {
    let house = House::open().await;
    let node = house.node.clone();
    let mut house = house;
    let rogue = Rogue::connect(&node).await;
    let name = Atom::new("lobby");
    for payload in [
        &[104u8, 1].repeat(100_000)[..],
        &[82, 0],
        &[111, 255, 255, 255, 255, 0],
        &[108, 255, 255, 255, 255],
    ] {
        let mut bytes = BytesMut::new();
        frames::reg_send(
            &mut bytes,
            &rogue.pid,
            &name,
            &Term::Fun(payload.to_vec().into()),
        );
        rogue.write(&bytes).await;
    }
    let mut bytes = BytesMut::new();
    bytes.put_bytes(0, 4 * 10_000); // ticks
    frames::reg_send(&mut bytes, &rogue.pid, &name, &Term::atom("still here"));
    rogue.write(&bytes).await;
    let Some(Signal::Message { term, from }) = house.others.recv().await else {
        panic!("a message")
    };
    assert!(term.is_atom("still here") && from == Some(rogue.pid.clone()));
}

#[tokio::test]
async fn a_peer_that_does_not_read_loses_its_connection() {
    let house = House::open().await;
    let node = house.node.clone();
    let rogue = Rogue::connect(&node).await;
    eventually("connected", async || house.rogues() == 1).await;
    let big = Term::binary(vec![0; 1 << 20]);
    for _ in 0..40 {
        node.send(&rogue.pid, big.clone());
    }
    eventually("dropped", async || house.rogues() == 0).await;
    house.is_well().await;
}

#[tokio::test]
async fn a_full_mailbox_holds_its_senders_for_a_while_only() {
    let house = House::open().await;
    let node = house.node.clone();
    let process = node.spawn(1);
    let rogue = Rogue::connect(&node).await;
    let mut bytes = BytesMut::new();
    for i in 0..1000i64 {
        frames::send(&mut bytes, process.pid(), &Term::Int(i));
    }
    let started = Instant::now();
    rogue.write(&bytes).await;
    eventually("the rest is dropped", async || {
        node.dropped_messages() == 999
    })
    .await;
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn strangers_are_hung_up_on() {
    let house = House::open().await;
    let node = house.node.clone();
    let started = Instant::now();
    let mut silent = TcpStream::connect(node.listen_address()).await.unwrap();
    let mut garbage = TcpStream::connect(node.listen_address()).await.unwrap();
    garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _ = silent.read_to_end(&mut rest).await;
    let _ = garbage.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
    let waited = started.elapsed();
    assert!(
        waited > Duration::from_secs(6) && waited < Duration::from_secs(15),
        "{waited:?}"
    );
}

#[tokio::test]
async fn ticks_keep_an_idle_connection_and_their_lack_ends_it() {
    let epmd = Epmd::start().await;
    let peer = unique("beam");
    let flags = ["-setcookie", COOKIE, "-kernel", "net_ticktime", "4"];
    let mut beam = Beam::start_with(&peer, epmd.port, &flags).await;
    let mut options = echo::options(&unique("sidekick"), COOKIE, epmd.port);
    options.ticktime = Duration::from_secs(4);
    let node = Node::start(options, Shutdown::new()).await.unwrap();
    let peer = peer.parse().unwrap();
    node.connect(&peer).await.unwrap();
    let mut events = node.peer_events();
    // Twice the tick time without a message.
    let quiet = tokio::time::timeout(Duration::from_secs(8), events.recv()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    assert_eq!(beam.show("length(nodes(hidden)).").await, "1");
    let stopped = Instant::now();
    beam.pause();
    events.recv().await.unwrap();
    let seen_after = stopped.elapsed();
    assert!(
        seen_after > Duration::from_secs(2) && seen_after < Duration::from_secs(7),
        "{seen_after:?}"
    );
}
