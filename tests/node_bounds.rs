//! What peers may make us hold is bounded, and at the bound they are told so (docs/PROTOCOL.md, "Bounds").

#![allow(clippy::unwrap_used)]

#[path = "support/beam.rs"]
mod beam;
#[path = "support/echo.rs"]
mod echo;
#[path = "support/raw_peer.rs"]
mod raw_peer;

use beam::{Beam, COOKIE, Epmd, eventually, unique};
use bytes::BytesMut;
use raw_peer::RawPeer;
use sidekick::dist::control::{Control, Target};
use sidekick::dist::frames;
use sidekick::etf::{Atom, Pid, Reference, Term};
use sidekick::node::{Caller, Functions, Node, Outcome, Signal};
use sidekick::ports::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

async fn node() -> (Node, Epmd) {
    let epmd = Epmd::start().await;
    let node = echo::node(&unique("sidekick"), COOKIE, epmd.port).await;
    (node, epmd)
}

/// Functions that never return.
struct Endless;

impl Functions for Endless {
    fn call<'a>(
        &'a self,
        _: Caller,
        _: &'a str,
        _: &'a str,
        _: Vec<Term>,
    ) -> BoxFuture<'a, Outcome> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn more_work_than_is_allowed_is_refused() {
    let (node, epmd) = node().await;
    node.serve_functions(Arc::new(Endless));
    let mut beam = Beam::start(&unique("beam"), epmd.port).await;
    beam.eval(&format!(
        "N = '{}', Rs = [erpc:send_request(N, sidekick, wait, []) || _ <- lists:seq(1, 1024)].",
        node.name()
    ))
    .await;
    for (code, expected) in [
        (
            "try erpc:call(N, sidekick, wait, []) catch error:Why -> Why end.",
            "{erpc,system_limit}",
        ),
        (
            "rpc:call(N, sidekick, wait, []).",
            "{badrpc,{'EXIT',system_limit}}",
        ),
        (
            "gen_server:call({rex, N}, {call, sidekick, wait, [], group_leader()}).",
            "{badrpc,system_limit}",
        ),
    ] {
        assert_eq!(beam.show(code).await, expected, "{code}");
    }
}

#[tokio::test]
async fn a_full_mailbox_drops_messages_and_other_processes_go_on() {
    const HELD: i64 = 8;
    const SENT: i64 = 500;
    let (node, _epmd) = node().await;
    let mut full = node.spawn(HELD as usize);
    assert!(node.register("full", full.pid()));
    let (_lobby, mut others) = echo::echo(&node, "lobby");
    let raw = RawPeer::connect(&node, &unique("raw"), COOKIE).await;
    let bystander = RawPeer::connect(&node, &unique("raw"), COOKIE).await;
    let (name, lobby) = (Atom::new("full"), Atom::new("lobby"));
    let mut out = BytesMut::new();
    for number in 0..SENT {
        frames::reg_send(&mut out, &raw.pid, &name, &Term::Int(number));
    }
    frames::reg_send(&mut out, &raw.pid, &lobby, &Term::atom("later"));
    raw.write(&out).await;
    // Another peer is heard at once, whose process is not the full one.
    bystander
        .say(|out| frames::reg_send(out, &bystander.pid, &lobby, &Term::atom("first")))
        .await;
    for expected in ["first", "later"] {
        let Some(Signal::Message { term, .. }) = others.recv().await else {
            panic!("a message")
        };
        assert!(term.is_atom(expected), "{term}");
    }
    assert_eq!(node.dropped_messages(), (SENT - HELD) as u64);
    // What had room is there in order, and with room again messages arrive again.
    let mut heard = Vec::new();
    while let Some(Signal::Message { term, .. }) = full.try_recv() {
        heard.push(term);
    }
    assert_eq!(heard, (0..HELD).map(Term::Int).collect::<Vec<_>>());
    raw.say(|out| frames::reg_send(out, &raw.pid, &name, &Term::atom("again")))
        .await;
    eventually("messages arrive again", async || full.try_recv().is_some()).await;
}

#[tokio::test]
async fn a_peer_holds_so_many_monitors_and_links_and_no_more() {
    // Half of what one connection may hold: as many links go with them.
    const MOST: u32 = 50_000;
    let (node, _epmd) = node().await;
    let (lobby, _others) = echo::echo(&node, "lobby");
    let mut raw = RawPeer::connect(&node, &unique("raw"), COOKIE).await;
    let (me, name) = (raw.pid.clone(), raw.pid.node.clone());
    let reference = |number: u32| Reference::new(name.clone(), 7, &[number & 0x3_ffff, 0, 0]);
    let target = Target::Pid(lobby.clone());
    let mut out = BytesMut::new();
    for number in 0..=MOST {
        frames::monitor(&mut out, &me, &target, &reference(number).unwrap());
        let linked = Pid {
            id: number + 1,
            ..me.clone()
        };
        frames::link(&mut out, &linked, &lobby);
    }
    raw.write(&out).await;
    // The last ones are told what they would be told of a process that is not there.
    let Control::MonitorExit {
        reference: refused,
        reason,
        ..
    } = raw.next_control().await
    else {
        panic!("a monitor that ended")
    };
    assert!(refused == reference(MOST).unwrap() && reason.is_atom("noproc"));
    let Control::Exit { to, reason, .. } = raw.next_control().await else {
        panic!("a link that broke")
    };
    assert!(to.id == MOST + 1 && reason.is_atom("noproc"));
    // One less is room for one more.
    raw.say(|out| frames::demonitor(out, &me, &target, &reference(0).unwrap()))
        .await;
    raw.say(|out| frames::monitor(out, &me, &target, &reference(MOST).unwrap()))
        .await;
    node.end(&lobby, Term::atom("over"));
    let (mut ended, mut broken) = (0, 0);
    while ended + broken < 2 * MOST {
        match raw.next_control().await {
            Control::MonitorExit { reason, .. } if reason.is_atom("over") => ended += 1,
            Control::Exit { reason, .. } if reason.is_atom("over") => broken += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((ended, broken), (MOST, MOST));
}

/// However the old connection's reader and writer learn of it, and in whatever order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_comes_again_and_again_leaves_nothing_of_its_old_connections() {
    let (node, _epmd) = node().await;
    let (lobby, mut others) = echo::echo(&node, "lobby");
    let name = unique("raw");
    let mut last = None;
    for round in 0..200 {
        let raw = RawPeer::connect(&node, &name, COOKIE).await;
        if let Some(old) = last.take() {
            drop(old);
            let exit = tokio::time::timeout(Duration::from_secs(20), others.recv()).await;
            let Some(Signal::Exit { from, reason, .. }) = exit.expect("its links break") else {
                panic!("an exit")
            };
            assert!(from == raw.pid && reason.is_atom("noconnection"));
        }
        raw.say(|out| frames::link(out, &raw.pid, &lobby)).await;
        raw.say(|out| frames::reg_send(out, &raw.pid, &Atom::new("lobby"), &Term::Int(round)))
            .await;
        let Some(Signal::Message { term, .. }) = others.recv().await else {
            panic!("a message")
        };
        assert_eq!(term, Term::Int(round));
        last = Some(raw);
    }
    assert_eq!(node.peers().len(), 1);
}
