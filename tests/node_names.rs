//! Names and addresses: IPv6, short names, names that a peer asks for, visible nodes, fixed ports; and peers whose
//! connection is there but who are not.

#![allow(clippy::unwrap_used)]

#[path = "support/beam.rs"]
mod beam;
#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/echo.rs"]
mod echo;
#[path = "support/sidekick.rs"]
mod sidekick_process;

use beam::{Beam, COOKIE, Epmd, eventually, free_port, unique};
use certificates::{Authority, erl_flags, own, verify};
use sidekick::dist::NodeName;
use sidekick::dist::epmd::client;
use sidekick::etf::Term;
use sidekick::node::{Node, NodeOptions, PeerEvent};
use sidekick::shutdown::Shutdown;
use sidekick_process::Sidekick;
use std::net::Ipv6Addr;
use std::time::Duration;

const SHORT: [&str; 2] = ["-setcookie", COOKIE];

fn at(host: &str, stem: &str) -> String {
    unique(stem).replace("127.0.0.1", host)
}

async fn start(options: NodeOptions) -> Node {
    let node = Node::start(options, Shutdown::new()).await.unwrap();
    echo::echo(&node, "lobby");
    node
}

/// The peer calls us and we call the peer, over the connection there is.
async fn talk(node: &Node, beam: &mut Beam) {
    let name = node.name();
    let call = format!("gen_server:call({{lobby,'{name}'}}, {{echo,1}}).");
    assert_eq!(beam.show(&call).await, "1");
    let peer = node.peers()[0].node.clone();
    let group = Term::tuple([Term::atom("is_auth"), Term::Atom(name.atom().clone())]);
    let reply = node
        .call("net_kernel", &peer, group, Duration::from_secs(10))
        .await;
    assert_eq!(reply, Ok(Term::atom("yes")));
}

#[tokio::test]
async fn nodes_meet_over_ipv6() {
    // With OTP's port mapper, and with sidekick's own.
    let epmd = Epmd::start().await;
    for port in [epmd.port, free_port()] {
        let mut options = echo::options(&at("::1", "sidekick"), COOKIE, port);
        options.listen_address = Ipv6Addr::LOCALHOST.into();
        let node = start(options).await;
        let flags = ["-setcookie", COOKIE, "-proto_dist", "inet6_tcp"];
        for ours in [true, false] {
            let mut beam = Beam::start_with(&at("::1", "beam"), port, &flags).await;
            if ours {
                node.connect(&beam.name.parse().unwrap()).await.unwrap();
            } else {
                let ping = beam
                    .show(&format!("net_adm:ping('{}').", node.name()))
                    .await;
                assert_eq!(ping, "pong");
            }
            talk(&node, &mut beam).await;
            beam.kill().await;
            eventually("it is gone", async || node.peers().is_empty()).await;
        }
        node.close().await;
    }
}

#[tokio::test]
async fn nodes_meet_over_ipv6_and_tls() {
    let (epmd, dir) = (Epmd::start().await, tempfile::tempdir().unwrap());
    let files = Authority::new("the cluster").files(dir.path(), &["::1"]);
    let mut options = echo::options(&at("::1", "sidekick"), COOKIE, epmd.port);
    options.listen_address = Ipv6Addr::LOCALHOST.into();
    options.tls = Some(files.clone());
    let node = start(options).await;
    let both = format!("{}, {}", own(&files), verify(&files));
    let mut flags = erl_flags(dir.path(), &both, &both);
    flags[1] = "inet6_tls".to_owned();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let flags = [&SHORT[..], &flags].concat();
    for ours in [true, false] {
        let mut beam = Beam::start_with(&at("::1", "beam"), epmd.port, &flags).await;
        if ours {
            node.connect(&beam.name.parse().unwrap()).await.unwrap();
        } else {
            let ping = beam
                .show(&format!("net_adm:ping('{}').", node.name()))
                .await;
            assert_eq!(ping, "pong");
        }
        talk(&node, &mut beam).await;
        beam.kill().await;
        eventually("it is gone", async || node.peers().is_empty()).await;
    }
}

#[tokio::test]
async fn nodes_with_short_names_meet() {
    let epmd = Epmd::start().await;
    let node = start(echo::options(
        &at("localhost", "sidekick"),
        COOKIE,
        epmd.port,
    ))
    .await;
    for ours in [true, false] {
        let name = at("localhost", "beam");
        let mut beam = Beam::start_named(&["-sname", &name], epmd.port, &SHORT).await;
        if ours {
            node.connect(&name.parse().unwrap()).await.unwrap();
        } else {
            let ping = beam
                .show(&format!("net_adm:ping('{}').", node.name()))
                .await;
            assert_eq!(ping, "pong");
        }
        talk(&node, &mut beam).await;
        beam.kill().await;
        eventually("it is gone", async || node.peers().is_empty()).await;
    }
}

#[tokio::test]
async fn peers_without_a_name_are_given_one_of_our_kind() {
    let epmd = Epmd::start().await;
    let kinds = [
        (["-sname", "undefined"], "localhost"),
        (["-name", "undefined@127.0.0.1"], "127.0.0.1"),
    ];
    for (named, host) in kinds {
        let node = start(echo::options(&at(host, "sidekick"), COOKIE, epmd.port)).await;
        let mut beams = Vec::new();
        for _ in 0..3 {
            let mut beam = Beam::start_named(&named, epmd.port, &SHORT).await;
            let connect = format!("net_kernel:connect_node('{}').", node.name());
            assert_eq!(beam.show(&connect).await, "true");
            beams.push(beam);
        }
        let mut given = Vec::new();
        for beam in &mut beams {
            let name = beam.eval("node().").await;
            given.push(name.as_atom().unwrap().as_str().to_owned());
        }
        let mut known: Vec<String> = node.peers().iter().map(|p| p.node.to_string()).collect();
        given.sort();
        known.sort();
        assert_eq!(given, known);
        let call = format!("gen_server:call({{lobby,'{}'}}, {{echo,1}}).", node.name());
        assert_eq!(beams[0].show(&call).await, "1");
        // The name is the peer's for as long as it is connected.
        let first = node.peers()[0].node.clone();
        let group = Term::tuple([
            Term::atom("is_auth"),
            Term::Atom(node.name().atom().clone()),
        ]);
        let reply = node
            .call("net_kernel", &first, group, Duration::from_secs(10))
            .await;
        assert_eq!(reply, Ok(Term::atom("yes")));
        node.close().await;
    }
}

#[tokio::test]
async fn a_node_is_hidden_unless_it_says_otherwise() {
    let epmd = Epmd::start().await;
    for visible in [false, true] {
        let mut options = echo::options(&unique("sidekick"), COOKIE, epmd.port);
        options.visible = visible;
        let node = start(options).await;
        let mut beam = Beam::start(&unique("beam"), epmd.port).await;
        node.connect(&beam.name.parse().unwrap()).await.unwrap();
        let (mine, other) = if visible {
            ("visible", "hidden")
        } else {
            ("hidden", "visible")
        };
        eventually("it is in the list", async || {
            beam.show(&format!("nodes({mine}) =:= ['{}'].", node.name()))
                .await
                == "true"
        })
        .await;
        assert_eq!(beam.show(&format!("nodes({other}).")).await, "[]");
        // What a visible node owes to OTP's `global` it does not have; that must not hold up the peer.
        let registered = beam.show("global:register_name(here, self()).").await;
        assert_eq!(registered, "yes");
        // A peer that asks for a connection sees the same.
        let mut beam = Beam::start(&unique("beam"), epmd.port).await;
        let seen = format!(
            "pong = net_adm:ping('{0}'), nodes({mine}) =:= ['{0}'].",
            node.name()
        );
        assert_eq!(beam.show(&seen).await, "true");
        assert_eq!(node.peers().iter().filter(|peer| peer.hidden).count(), 0);
        node.close().await;
    }
}

#[tokio::test]
async fn the_listen_port_and_address_can_be_fixed() {
    let (epmd, port) = (Epmd::start().await, free_port());
    let name = unique("sidekick");
    for _ in 0..2 {
        let mut options = echo::options(&name, COOKIE, epmd.port);
        options.listen_port = port;
        let node = start(options).await;
        assert_eq!(node.listen_address(), ([127, 0, 0, 1], port).into());
        let known = client::lookup("127.0.0.1", epmd.port, node.name().name()).await;
        assert_eq!(known.unwrap(), Some(port));
        let mut beam = Beam::start(&unique("beam"), epmd.port).await;
        let ping = beam.show(&format!("net_adm:ping('{name}').")).await;
        assert_eq!(ping, "pong");
        // With a peer connected, so that the port is free for the next one all the same.
        node.close().await;
    }
}

#[tokio::test]
async fn a_peer_of_the_same_name_takes_the_place_of_one_that_hangs() {
    let (first, second) = (Epmd::start().await, Epmd::start().await);
    let node = start(echo::options(&unique("sidekick"), COOKIE, first.port)).await;
    let own = node.name();
    let port = node.listen_address().port();
    let _held = client::register(second.port, own.name(), port, false)
        .await
        .unwrap();
    let peer: NodeName = unique("beam").parse().unwrap();
    let mut hangs = Beam::start(peer.as_str(), first.port).await;
    assert_eq!(hangs.show(&format!("net_adm:ping('{own}').")).await, "pong");
    let mut events = node.peer_events();
    hangs.pause();
    let mut fresh = Beam::start(peer.as_str(), second.port).await;
    assert_eq!(fresh.show(&format!("net_adm:ping('{own}').")).await, "pong");
    assert_eq!(events.recv().await.unwrap(), PeerEvent::Down(peer.clone()));
    assert_eq!(events.recv().await.unwrap(), PeerEvent::Up(peer.clone()));
    talk(&node, &mut fresh).await;
    assert_eq!(node.peers().len(), 1);
    // Going on, it finds its connection gone, and hurts nobody.
    hangs.resume();
    eventually("it knows", async || {
        hangs.show("length(nodes(hidden)).").await == "0"
    })
    .await;
    talk(&node, &mut fresh).await;
}

#[tokio::test]
async fn a_sidekick_that_hangs_is_found_and_comes_back() {
    let peer = format!("beam_{:08x}@127.0.0.1", rand::random::<u32>());
    let node = format!("connect = [{peer:?}]\nticktime = \"4s\"");
    let sidekick = tokio::task::spawn_blocking(move || Sidekick::start_with(&node, ""))
        .await
        .unwrap();
    let (port, name) = (sidekick.epmd_port, sidekick.name.clone());
    let flags = [
        "-setcookie",
        "test_cookie",
        "-kernel",
        "net_ticktime",
        "4",
        "-kernel",
        "logger_level",
        "critical",
    ];
    let mut beam = Beam::start_with(&peer, port, &flags).await;
    beam.eval("net_kernel:monitor_nodes(true, #{node_type => all}).")
        .await;
    eventually("it connects", async || {
        beam.show("length(nodes(hidden)).").await == "1"
    })
    .await;
    beam.eval("F = fun G() -> receive {nodeup,_,_} -> G() after 0 -> ok end end, F().")
        .await;
    sidekick.pause();
    let down = beam
        .show("receive {nodedown,N,_} -> N after 15000 -> never end.")
        .await;
    assert_eq!(down, format!("'{name}'"));
    sidekick.resume();
    let up = beam
        .show("receive {nodeup,U,_} -> U after 15000 -> never end.")
        .await;
    assert_eq!(up, format!("'{name}'"));
}

#[tokio::test]
async fn both_sides_at_once_again_and_again() {
    let epmd = Epmd::start().await;
    for (ours, theirs) in [("a", "b"), ("b", "a")] {
        let peer: NodeName = unique(theirs).parse().unwrap();
        let mut beam = Beam::start(peer.as_str(), epmd.port).await;
        let node = start(echo::options(&unique(ours), COOKIE, epmd.port)).await;
        let name = node.name();
        for _ in 0..100 {
            beam.begin(&format!("net_adm:ping('{name}').")).await;
            let (a, b) = tokio::join!(node.connect(&peer), beam.result());
            a.unwrap();
            assert_eq!(b.to_string(), "{ok,pong}");
            assert_eq!(node.peers().len(), 1);
            let call = format!("gen_server:call({{lobby,'{name}'}}, {{echo,1}}).");
            assert_eq!(beam.show(&call).await, "1");
            beam.eval(&format!("erlang:disconnect_node('{name}')."))
                .await;
            eventually("both know", async || {
                node.peers().is_empty() && beam.show("length(nodes(hidden)).").await == "0"
            })
            .await;
        }
    }
}
