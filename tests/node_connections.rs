//! How connections begin and end: cookies, duplicates, both sides at once, names, the port mapper.

#![allow(clippy::unwrap_used)]

#[path = "support/beam.rs"]
mod beam;
#[path = "support/echo.rs"]
mod echo;

use beam::{Beam, COOKIE, Epmd, eventually, free_port, unique};
use sidekick::dist::NodeName;
use sidekick::dist::epmd::client;
use sidekick::etf::Term;
use sidekick::node::{ConnectError, Node, NodeError};
use sidekick::shutdown::Shutdown;
use std::time::Duration;

#[tokio::test]
async fn a_wrong_cookie_is_refused_on_both_sides() {
    let epmd = Epmd::start().await;
    let name = unique("sidekick");
    let node = echo::node(&name, "another-cookie", epmd.port).await;
    let peer = unique("beam");
    let mut beam = Beam::start(&peer, epmd.port).await;
    assert_eq!(beam.show(&format!("net_adm:ping('{name}').")).await, "pang");
    let error = node.connect(&peer.parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("cookie"), "{error}");
    assert!(node.peers().is_empty());
    // The same peer with the right cookie comes in.
    beam.eval(&format!("erlang:set_cookie('{name}', 'another-cookie')."))
        .await;
    assert_eq!(beam.show(&format!("net_adm:ping('{name}').")).await, "pong");
}

#[tokio::test]
async fn a_restarted_peer_replaces_its_old_connection() {
    let epmd = Epmd::start().await;
    let peer: NodeName = unique("beam").parse().unwrap();
    let mut beam = Beam::start(peer.as_str(), epmd.port).await;
    let name = unique("sidekick");
    let first = echo::node(&name, COOKIE, epmd.port).await;
    first.connect(&peer).await.unwrap();
    // The same name connects again while the peer still holds the old connection: it says `alive`.
    let other = Epmd::start().await;
    let port = client::lookup("127.0.0.1", epmd.port, peer.name())
        .await
        .unwrap()
        .unwrap();
    let (_held, _) = client::register(other.port, peer.name(), port, false)
        .await
        .unwrap();
    let second = echo::node(&name, COOKIE, other.port).await;
    second.connect(&peer).await.unwrap();
    eventually("the old connection is gone", async || {
        !first.is_connected(&peer)
    })
    .await;
    let _echo = echo::echo(&second, "lobby");
    assert_eq!(
        beam.show(&format!("gen_server:call({{lobby,'{name}'}}, {{echo,1}})."))
            .await,
        "1"
    );
    assert!(second.is_connected(&peer));
}

#[tokio::test]
async fn a_peer_that_comes_again_replaces_its_old_connection() {
    let epmd = Epmd::start().await;
    let name = unique("sidekick");
    let node = echo::node(&name, COOKIE, epmd.port).await;
    let peer = unique("peer");
    let first = echo::node(&peer, COOKIE, epmd.port).await;
    first.connect(node.name()).await.unwrap();
    let other = Epmd::start().await;
    let (_held, _) = client::register(
        other.port,
        node.name().name(),
        node.listen_address().port(),
        false,
    )
    .await
    .unwrap();
    let second = echo::node(&peer, COOKIE, other.port).await;
    second.connect(node.name()).await.unwrap();
    eventually("the old one is told", async || {
        !first.is_connected(node.name())
    })
    .await;
    assert_eq!(node.peers().len(), 1);
    let _echo = echo::echo(&second, "lobby");
    let request = Term::tuple([Term::atom("echo"), Term::Int(1)]);
    let reply = node
        .call("lobby", second.name(), request, Duration::from_secs(10))
        .await;
    assert_eq!(reply, Ok(Term::Int(1)));
}

#[tokio::test]
async fn both_sides_at_once_make_one_connection() {
    let epmd = Epmd::start().await;
    for round in 0..10 {
        // Both orders of names, as the greater one wins.
        let (ours, theirs) = if round % 2 == 0 {
            ("a", "b")
        } else {
            ("b", "a")
        };
        let peer: NodeName = unique(theirs).parse().unwrap();
        let mut beam = Beam::start(peer.as_str(), epmd.port).await;
        let node = echo::node(&unique(ours), COOKIE, epmd.port).await;
        let _echo = echo::echo(&node, "lobby");
        beam.begin(&format!("net_adm:ping('{}').", node.name()))
            .await;
        let (a, b) = tokio::join!(node.connect(&peer), beam.result());
        a.unwrap();
        assert_eq!(b.to_string(), "{ok,pong}");
        let call = format!("gen_server:call({{lobby,'{}'}}, {{echo,1}}).", node.name());
        assert_eq!(beam.show(&call).await, "1");
        assert_eq!(node.peers().len(), 1);
        node.close().await;
        beam.kill().await;
    }
}

#[tokio::test]
async fn two_sidekicks_at_once_make_one_connection() {
    let epmd = Epmd::start().await;
    for _ in 0..20 {
        let a = echo::node(&unique("a"), COOKIE, epmd.port).await;
        let b = echo::node(&unique("b"), COOKIE, epmd.port).await;
        let _echo = echo::echo(&b, "lobby");
        let (one, two) = tokio::join!(a.connect(b.name()), b.connect(a.name()));
        one.unwrap();
        two.unwrap();
        let request = Term::tuple([Term::atom("echo"), Term::Int(1)]);
        let reply = a
            .call("lobby", b.name(), request, Duration::from_secs(10))
            .await;
        assert_eq!(reply, Ok(Term::Int(1)));
        a.close().await;
        b.close().await;
    }
}

#[tokio::test]
async fn a_peer_without_a_name_is_given_one() {
    let epmd = Epmd::start().await;
    let name = unique("sidekick");
    let node = echo::node(&name, COOKIE, epmd.port).await;
    let _echo = echo::echo(&node, "lobby");
    let mut beam =
        Beam::start_with("undefined@127.0.0.1", epmd.port, &["-setcookie", COOKIE]).await;
    assert_eq!(
        beam.show(&format!("net_kernel:connect_node('{name}')."))
            .await,
        "true"
    );
    assert_eq!(
        beam.show(&format!("gen_server:call({{lobby,'{name}'}}, {{echo,1}})."))
            .await,
        "1"
    );
    let given = beam.eval("node().").await;
    assert_eq!(
        node.peers()[0].node.as_str(),
        given.as_atom().unwrap().as_str()
    );
}

#[tokio::test]
async fn a_taken_name_is_told() {
    let epmd = Epmd::start().await;
    let name = unique("sidekick");
    let _first = echo::node(&name, COOKIE, epmd.port).await;
    let error = Node::start(echo::options(&name, COOKIE, epmd.port), Shutdown::new())
        .await
        .unwrap_err();
    assert!(matches!(error, NodeError::NameTaken(_)), "{error}");
    let mut options = echo::options(&unique("x"), COOKIE, epmd.port);
    options.listen_port = epmd.port;
    let error = Node::start(options, Shutdown::new()).await.unwrap_err();
    assert!(matches!(error, NodeError::Listen { .. }), "{error}");
}

#[tokio::test]
async fn sidekick_serves_the_port_mapper_where_there_is_none() {
    let port = free_port();
    let name = unique("sidekick");
    let node = echo::node(&name, COOKIE, port).await;
    let peer: NodeName = unique("beam").parse().unwrap();
    let mut beam = Beam::start(peer.as_str(), port).await;
    assert_eq!(beam.show(&format!("net_adm:ping('{name}').")).await, "pong");
    let names = beam
        .show("{ok, L} = erl_epmd:names(), lists:sort([N || {N,_} <- L]).")
        .await;
    assert!(
        names.contains(node.name().name()) && names.contains(peer.name()),
        "{names}"
    );
    let registered = async || {
        client::lookup("127.0.0.1", port, peer.name())
            .await
            .unwrap()
            .is_some()
    };
    assert!(registered().await);
    assert!(matches!(
        client::lookup("127.0.0.1", port, "nobody").await,
        Ok(None)
    ));
    let taken = client::register(port, peer.name(), 1, false).await;
    assert!(matches!(taken, Err(client::EpmdFailure::Refused(1))));
    beam.kill().await;
    eventually("unregistered with its connection", async || {
        !registered().await
    })
    .await;
    // A second sidekick uses the first one's.
    let second = echo::node(&unique("second"), COOKIE, port).await;
    second.connect(node.name()).await.unwrap();
    // When the one that serves is gone, the other serves.
    node.close().await;
    drop(node);
    let found = async || {
        matches!(
            client::lookup("127.0.0.1", port, second.name().name()).await,
            Ok(Some(_))
        )
    };
    eventually("registered again", found).await;
}

#[tokio::test]
async fn registers_again_with_a_restarted_port_mapper() {
    let epmd = Epmd::start().await;
    let port = epmd.port;
    let mut options = echo::options(&unique("sidekick"), COOKIE, port);
    options.serve_epmd = false;
    let node = Node::start(options, Shutdown::new()).await.unwrap();
    epmd.kill().await;
    let _epmd = Epmd::start_on(port).await;
    let found = async || {
        matches!(
            client::lookup("127.0.0.1", port, node.name().name()).await,
            Ok(Some(_))
        )
    };
    eventually("registered again", found).await;
}

#[tokio::test]
async fn without_a_port_mapper_the_remedy_is_told() {
    let mut options = echo::options(&unique("sidekick"), COOKIE, free_port());
    options.serve_epmd = false;
    let error = Node::start(options, Shutdown::new()).await.unwrap_err();
    assert!(matches!(error, NodeError::Epmd { .. }), "{error}");
    let epmd = Epmd::start().await;
    let node = echo::node(&unique("sidekick"), COOKIE, epmd.port).await;
    let nobody = unique("nobody").parse().unwrap();
    assert!(matches!(
        node.connect(&nobody).await,
        Err(ConnectError::NotRegistered)
    ));
}
