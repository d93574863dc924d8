//! What those who do not know the cookie can do: little, slowly, and without keeping anybody else out.

#![allow(clippy::unwrap_used)]

#[path = "support/beam.rs"]
mod beam;
#[path = "support/echo.rs"]
mod echo;
#[path = "support/logged.rs"]
mod logged;

use beam::{Beam, COOKIE, Epmd, unique};
use logged::Logged;
use sidekick::dist::Cookie;
use sidekick::dist::handshake::{self, Identity};
use sidekick::node::Node;
use std::io::ErrorKind;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A client that shakes hands with this cookie; whether the node let it in.
async fn try_cookie(node: &Node, cookie: &str) -> bool {
    let stream = TcpStream::connect(node.listen_address()).await.unwrap();
    let identity = Identity {
        name: unique("stranger").parse().unwrap(),
        creation: 7,
        cookie: Cookie::new(cookie),
        visible: false,
        monitors: true,
    };
    handshake::connect(stream, &identity, node.name(), || false)
        .await
        .is_ok()
}

async fn ping(beam: &mut Beam, node: &Node) -> String {
    beam.show(&format!("net_adm:ping('{}').", node.name()))
        .await
}

#[tokio::test]
async fn wrong_cookies_are_slowed_and_told_once_with_the_remedy() {
    let epmd = Epmd::start().await;
    let node = echo::node(&unique("sidekick"), COOKIE, epmd.port).await;
    let mut beam = Beam::start(&unique("beam"), epmd.port).await;
    let logged = Logged::start();
    let started = Instant::now();
    for _ in 0..10 {
        assert!(!try_cookie(&node, "a-guess").await);
    }
    // 10 + 20 + ... + 640 ms, then a second each.
    assert!(started.elapsed() > Duration::from_secs(3));
    assert_eq!(logged.count("a peer was refused"), 1, "{}", logged.text());
    assert_eq!(logged.count("give both nodes the same one"), 1);
    // Somebody with the cookie at the same address comes in, and then nobody there waits any more.
    assert_eq!(ping(&mut beam, &node).await, "pong");
    assert!(try_cookie(&node, COOKIE).await);
}

#[tokio::test]
async fn silent_strangers_keep_nobody_out() {
    let epmd = Epmd::start().await;
    let node = echo::node(&unique("sidekick"), COOKIE, epmd.port).await;
    let mut beam = Beam::start(&unique("beam"), epmd.port).await;
    let mut strangers = Vec::new();
    for i in 0..300 {
        let mut stranger = TcpStream::connect(node.listen_address()).await.unwrap();
        // Some stop in the midst of a message.
        if i % 2 == 0 {
            let _ = stranger.write_all(&[0, 40, b'N', 1, 2, 3]).await;
        }
        strangers.push(stranger);
    }
    assert_eq!(ping(&mut beam, &node).await, "pong");
    // The newest still have their time, the oldest gave way.
    let newest = strangers.last().unwrap().try_read(&mut [0]).unwrap_err();
    assert_eq!(newest.kind(), ErrorKind::WouldBlock);
    let mut rest = Vec::new();
    let _ = strangers[0].read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn who_promises_too_much_is_hung_up_on_at_once() {
    let logged = Logged::start();
    let epmd = Epmd::start().await;
    let node = echo::node(&unique("sidekick"), COOKIE, epmd.port).await;
    let silent = TcpStream::connect(node.listen_address()).await.unwrap();
    for head in [[0xff, 0xff], [0x02, 0x01], *b"GE"] {
        let mut stranger = TcpStream::connect(node.listen_address()).await.unwrap();
        stranger.write_all(&head).await.unwrap();
        let mut rest = Vec::new();
        let _ = stranger.read_to_end(&mut rest).await;
        assert!(rest.is_empty());
    }
    let still_open = silent.try_read(&mut [0]).unwrap_err();
    assert_eq!(still_open.kind(), ErrorKind::WouldBlock);
    logged.wait("longer than any of the handshake").await;
}

#[tokio::test]
async fn a_peer_that_hangs_while_it_connects_is_given_up_on() {
    let epmd = Epmd::start().await;
    let node = echo::node(&unique("sidekick"), COOKIE, epmd.port).await;
    let hangs = Beam::start(&unique("beam"), epmd.port).await;
    let mut good = Beam::start(&unique("beam"), epmd.port).await;
    hangs.pause();
    // Its kernel takes the connection, nobody answers.
    let error = node.connect(&hangs.name.parse().unwrap()).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("longer than 7 seconds"), "{error}");
    assert_eq!(ping(&mut good, &node).await, "pong");
}
