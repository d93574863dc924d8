//! Peers that send nonsense, too much, or nothing cost at most their own connection.

#![allow(clippy::unwrap_used)]

#[path = "support/beam.rs"]
mod beam;
#[path = "support/echo.rs"]
mod echo;

use beam::{Beam, COOKIE, Epmd, eventually, unique};
use bytes::{BufMut, BytesMut};
use sidekick::dist::handshake::{self, Identity, Peer};
use sidekick::dist::{Cookie, frames};
use sidekick::etf::{Atom, Pid, Term};
use sidekick::node::{Node, Signal};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A peer that passed the handshake and then does as it likes.
struct Rogue {
    peer: Peer,
    pid: Pid,
}

impl Rogue {
    async fn connect(node: &Node) -> Self {
        let name = unique("rogue");
        let stream = TcpStream::connect(node.listen_address()).await.unwrap();
        let identity = Identity {
            name: name.parse().unwrap(),
            creation: 7,
            cookie: Cookie::new(COOKIE),
            visible: false,
            monitors: true,
        };
        let peer = handshake::connect(stream, &identity, node.name(), || false)
            .await
            .unwrap();
        let pid = Pid {
            node: Atom::new(&name),
            id: 1,
            serial: 0,
            creation: 7,
        };
        Self { peer, pid }
    }

    /// Writes as much as the node takes within a while.
    async fn write(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.peer.stream.writable().await.unwrap();
            match self.peer.stream.try_write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    /// Completes once the node has hung up.
    async fn hung_up(&self) {
        let mut buffer = [0; 4096];
        loop {
            self.peer.stream.readable().await.unwrap();
            match self.peer.stream.try_read(&mut buffer) {
                Ok(0) => return,
                Err(e) if e.kind() != std::io::ErrorKind::WouldBlock => return,
                _ => {}
            }
        }
    }
}

async fn node() -> (Node, Epmd) {
    let epmd = Epmd::start().await;
    let mut options = echo::options(&unique("sidekick"), COOKIE, epmd.port);
    options.frame_bytes_max = 1 << 20;
    options.queue_bytes_max = 8 << 20;
    let node = Node::start(options, sidekick::shutdown::Shutdown::new())
        .await
        .unwrap();
    (node, epmd)
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes()[..], body].concat()
}

#[tokio::test]
async fn frames_that_make_no_sense_end_the_connection() {
    let (node, _epmd) = node().await;
    let bad = [
        (u32::MAX).to_be_bytes().to_vec(),
        frame(&[131, 68, 0, 131, 104, 1]),
        frame(&[112]),
        frame(&[112, 131, 104, 1, 97, 99]),
        frame(&[112, 131, 106]),
        frame(&[&[112, 131][..], &[104, 1].repeat(100_000)].concat()),
        frame(&[112, 131, 80, 0, 255, 255, 255]),
    ];
    for bytes in bad {
        let rogue = Rogue::connect(&node).await;
        rogue.write(&bytes).await;
        rogue.hung_up().await;
    }
    eventually("no peer is left", async || node.peers().is_empty()).await;
}

#[tokio::test]
async fn payloads_that_are_refused_cost_only_themselves() {
    let (node, _epmd) = node().await;
    let (_pid, mut others) = echo::echo(&node, "lobby");
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
    let Some(Signal::Message { term, from }) = others.recv().await else {
        panic!("a message")
    };
    assert!(term.is_atom("still here") && from == Some(rogue.pid.clone()));
}

#[tokio::test]
async fn a_peer_that_does_not_read_loses_its_connection() {
    let (node, _epmd) = node().await;
    let rogue = Rogue::connect(&node).await;
    eventually("connected", async || node.peers().len() == 1).await;
    let big = Term::binary(vec![0; 1 << 20]);
    for _ in 0..40 {
        node.send(&rogue.pid, big.clone());
    }
    eventually("dropped", async || node.peers().is_empty()).await;
}

#[tokio::test]
async fn a_full_mailbox_holds_its_senders_for_a_while_only() {
    let (node, _epmd) = node().await;
    let process = node.spawn(1);
    let _ = echo::echo(&node, "lobby");
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
    let (node, _epmd) = node().await;
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
    let node = Node::start(options, sidekick::shutdown::Shutdown::new())
        .await
        .unwrap();
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
