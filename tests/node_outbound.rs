//! A sidekick node connects to stock OTP, calls its processes, watches them, and survives their loss.

#![allow(clippy::unwrap_used)]

#[path = "support/beam.rs"]
mod beam;
#[path = "support/echo.rs"]
mod echo;

use beam::{Beam, COOKIE, Epmd, eventually, unique};
use sidekick::dist::NodeName;
use sidekick::etf::Term;
use sidekick::node::{CallError, Node, PeerEvent, Signal};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);

/// A server that echoes, delays, keeps silent, stops, or answers without the alias.
const SERVER: &str = r"
    Server = spawn(fun Serve() ->
        receive
            {'$gen_call', From, {echo, X}} -> gen:reply(From, X), Serve();
            {'$gen_call', {Pid, [alias|Ref]}, {plain, X}} -> Pid ! {Ref, X}, Serve();
            {'$gen_call', {Pid, Tag}, {to_pid, X}} -> Pid ! {Tag, X}, Serve();
            {'$gen_call', From, {late, Ms, X}} -> timer:sleep(Ms), gen:reply(From, X), Serve();
            {'$gen_call', _, ignore} -> Serve();
            {'$gen_call', _, {stop, Why}} -> exit(Why);
            {'$gen_cast', {tell, To, X}} -> To ! X, Serve();
            {tell, To, X} -> To ! X, Serve()
        end
    end), register(server, Server).
";

struct Pair {
    node: Node,
    beam: Beam,
    epmd: Epmd,
    peer: NodeName,
}

async fn pair() -> Pair {
    let epmd = Epmd::start().await;
    let name = unique("beam");
    let mut beam = Beam::start(&name, epmd.port).await;
    beam.eval(SERVER).await;
    let node = echo::node(&unique("sidekick"), COOKIE, epmd.port).await;
    Pair {
        node,
        beam,
        epmd,
        peer: name.parse().unwrap(),
    }
}

fn request(kind: &str, value: Term) -> Term {
    Term::tuple([Term::atom(kind), value])
}

#[tokio::test]
async fn calls_are_answered() {
    let Pair {
        node,
        mut beam,
        epmd: _epmd,
        peer,
    } = pair().await;
    let list = Term::list([Term::Int(1), Term::Float(0.5), Term::text("ü")]);
    let value = Term::map([("a", list)]);
    for kind in ["echo", "plain", "to_pid"] {
        let reply = node
            .call("server", &peer, request(kind, value.clone()), LONG)
            .await;
        assert_eq!(reply.unwrap(), value, "{kind}");
    }
    let big = Term::binary(vec![3; 20_000_000]);
    assert_eq!(
        node.call("server", &peer, request("echo", big.clone()), LONG)
            .await
            .unwrap(),
        big
    );
    let calls =
        (0..200i64).map(|i| node.call("server", &peer, request("echo", Term::Int(i)), LONG));
    let replies = futures::future::join_all(calls).await;
    assert!(
        replies
            .into_iter()
            .zip(0..)
            .all(|(reply, i)| reply == Ok(Term::Int(i)))
    );
    assert!(node.peers()[0].sent_bytes > 20_000_000);
    // Nothing is left behind at the server.
    let monitors = "length(element(2, process_info(whereis(server), monitored_by))).";
    eventually("demonitored", async || beam.show(monitors).await == "0").await;
}

#[tokio::test]
async fn calls_that_fail() {
    let Pair {
        node,
        mut beam,
        epmd: _epmd,
        peer,
    } = pair().await;
    let call = |what: Term, ms: u64| node.call("server", &peer, what, Duration::from_millis(ms));
    assert_eq!(
        node.call("nobody", &peer, Term::nil(), LONG).await,
        Err(CallError::NoProc)
    );
    assert_eq!(
        call(Term::atom("ignore"), 50).await,
        Err(CallError::Timeout)
    );
    let late = Term::tuple([Term::atom("late"), Term::Int(200), Term::Int(1)]);
    assert_eq!(call(late, 50).await, Err(CallError::Timeout));
    // The late reply of the one before is not taken for this one's.
    assert_eq!(
        call(request("echo", Term::Int(2)), 20_000).await,
        Ok(Term::Int(2))
    );
    let stopped = call(request("stop", Term::atom("oops")), 20_000).await;
    assert_eq!(stopped, Err(CallError::Exit(Term::atom("oops"))));
    let unknown: NodeName = unique("unknown").parse().unwrap();
    assert_eq!(
        node.call("x", &unknown, Term::nil(), LONG).await,
        Err(CallError::NoConnection)
    );
    assert_eq!(beam.show("1 + 1.").await, "2");
}

#[tokio::test]
async fn a_killed_peer_fails_calls_and_ends_watches() {
    let Pair {
        node,
        mut beam,
        epmd: _epmd,
        peer,
    } = pair().await;
    let mut process = node.spawn(16);
    node.connect(&peer).await.unwrap();
    let tell = Term::tuple([
        Term::atom("tell"),
        Term::Pid(process.pid().clone()),
        Term::atom("hi"),
    ]);
    node.send_name(Some(process.pid()), "server", &peer, tell)
        .unwrap();
    let Some(Signal::Message { term, .. }) = process.recv().await else {
        panic!("a message")
    };
    assert!(term.is_atom("hi"));
    let Term::Pid(remote) = beam.eval("whereis(server).").await else {
        panic!("a pid")
    };
    let watch = node.watch(&remote);
    let (pid, mut others) = echo::echo(&node, "linked");
    node.send_name(
        None,
        "server",
        &peer,
        Term::tuple([Term::atom("tell"), Term::Pid(remote.clone()), Term::nil()]),
    )
    .unwrap();
    let link = format!(
        "L = spawn(fun() -> {{ok,P}} = {{ok,gen_server:call({{linked,'{}'}}, {{echo,1}})}}, receive X -> X end end), L.",
        node.name()
    );
    beam.eval(&link).await;
    let mut events = node.peer_events();
    let pending = {
        let (node, peer) = (node.clone(), peer.clone());
        tokio::spawn(async move { node.call("server", &peer, Term::atom("ignore"), LONG).await })
    };
    let settled = node
        .call("server", &peer, request("echo", Term::Int(1)), LONG)
        .await;
    assert_eq!(settled, Ok(Term::Int(1)));
    let killed = std::time::Instant::now();
    beam.kill().await;
    assert_eq!(pending.await.unwrap(), Err(CallError::NoConnection));
    assert!(watch.await.is_atom("noconnection"));
    println!("loss seen after {:?}", killed.elapsed());
    assert_eq!(events.recv().await.unwrap(), PeerEvent::Down(peer.clone()));
    assert!(node.peers().is_empty());
    assert!(others.try_recv().is_err());
    drop(pid);
}

#[tokio::test]
async fn watches_tell_the_reason() {
    let Pair {
        node,
        mut beam,
        epmd: _epmd,
        peer,
    } = pair().await;
    node.connect(&peer).await.unwrap();
    let Term::Pid(remote) = beam.eval("whereis(server).").await else {
        panic!("a pid")
    };
    let (watch, dropped) = (node.watch(&remote), node.watch(&remote));
    drop(dropped);
    assert_eq!(
        node.call("server", &peer, request("echo", Term::Int(1)), LONG)
            .await,
        Ok(Term::Int(1))
    );
    let monitors = "length(element(2, process_info(whereis(server), monitored_by))).";
    eventually("one watch", async || beam.show(monitors).await == "1").await;
    beam.eval("exit(whereis(server), why).").await;
    assert!(watch.await.is_atom("why"));
    assert!(node.watch(&remote).await.is_atom("noproc"));
    let local = node.spawn(1);
    let watch = node.watch(local.pid());
    drop(local);
    assert!(watch.await.is_atom("normal"));
}

#[tokio::test]
async fn links_break_with_the_connection() {
    let Pair {
        node,
        mut beam,
        epmd: _epmd,
        peer,
    } = pair().await;
    let (pid, mut others) = echo::echo(&node, "lobby");
    node.connect(&peer).await.unwrap();
    beam.eval("register(me, self()).").await;
    node.send_name(None, "me", &peer, Term::Pid(pid)).unwrap();
    beam.eval("receive P when is_pid(P) -> link(P) end.").await;
    beam.eval("gen_server:call(P, {echo,1}).").await;
    beam.kill().await;
    let Some(Signal::Exit {
        reason,
        linked: true,
        ..
    }) = others.recv().await
    else {
        panic!("an exit")
    };
    assert!(reason.is_atom("noconnection"));
}

#[tokio::test]
async fn local_calls_work_like_remote_ones() {
    let Pair {
        node,
        epmd: _epmd,
        beam: _beam,
        ..
    } = pair().await;
    let (pid, _others) = echo::echo(&node, "here");
    let own = node.name().clone();
    assert_eq!(
        node.call("here", &own, request("echo", Term::Int(1)), LONG)
            .await,
        Ok(Term::Int(1))
    );
    assert_eq!(
        node.call("nobody", &own, Term::nil(), LONG).await,
        Err(CallError::NoProc)
    );
    let short = Duration::from_millis(20);
    assert_eq!(
        node.call("here", &own, Term::atom("ignore"), short).await,
        Err(CallError::Timeout)
    );
    let pending = {
        let (node, own) = (node.clone(), own.clone());
        tokio::spawn(async move { node.call("here", &own, Term::atom("ignore"), LONG).await })
    };
    tokio::task::yield_now().await;
    node.end(&pid, Term::atom("gone"));
    let ended = pending.await.unwrap();
    assert!(
        matches!(ended, Err(CallError::Exit(_) | CallError::NoProc)),
        "{ended:?}"
    );
}

#[tokio::test]
async fn keeps_connected_over_restarts_of_the_peer() {
    let Pair {
        node,
        beam,
        epmd,
        peer,
    } = pair().await;
    let mut events = node.peer_events();
    node.keep_connected(vec![peer.clone()]);
    assert_eq!(events.recv().await.unwrap(), PeerEvent::Up(peer.clone()));
    beam.kill().await;
    assert_eq!(events.recv().await.unwrap(), PeerEvent::Down(peer.clone()));
    let mut beam = Beam::start(peer.as_str(), epmd.port).await;
    assert_eq!(events.recv().await.unwrap(), PeerEvent::Up(peer.clone()));
    assert_eq!(beam.show("length(nodes(hidden)).").await, "1");
}
