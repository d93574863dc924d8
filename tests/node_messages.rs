//! What OTP's processes send each other works with ours: every kind of call, monitors, links, exit signals, big messages,
//! and what is left of them when the connection goes.

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
use sidekick::node::gen_call::{self, Incoming};
use sidekick::node::{CallError, From, Node, Signal};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(25);
const BIG: usize = 64 << 20;

/// A node with the echo process `lobby`, and a connected BEAM whose shell is registered as `me` there and has `N` bound.
struct Pair {
    node: Node,
    beam: Beam,
    lobby: Pid,
    others: tokio::sync::mpsc::UnboundedReceiver<Signal>,
    epmd: Epmd,
}

async fn pair() -> Pair {
    let epmd = Epmd::start().await;
    let name = unique("sidekick");
    let node = echo::node(&name, COOKIE, epmd.port).await;
    let (lobby, others) = echo::echo(&node, "lobby");
    let mut beam = Beam::start(&unique("beam"), epmd.port).await;
    beam.eval(&format!(
        "N = '{name}', L = {{lobby, N}}, pong = net_adm:ping(N), register(me, self())."
    ))
    .await;
    Pair {
        node,
        beam,
        lobby,
        others,
        epmd,
    }
}

impl Pair {
    async fn shows(&mut self, code: &str, expected: &str) {
        assert_eq!(self.beam.show(code).await, expected, "{code}");
    }

    /// Binds `P` in the shell to a pid of ours.
    async fn tell_pid(&mut self, variable: &str, pid: &Pid) {
        let me = self.beam.name.parse().unwrap();
        self.node
            .send_name(None, "me", &me, Term::Pid(pid.clone()))
            .unwrap();
        self.beam
            .eval(&format!(
                "{variable} = receive {variable}_ when is_pid({variable}_) -> {variable}_ end."
            ))
            .await;
    }

    /// Everything that the shell sent before has been handled by the node.
    async fn settled(&mut self) {
        self.shows("gen_server:call(L, {echo, here}).", "here")
            .await;
    }
}

#[tokio::test]
async fn every_kind_of_call_is_answered() {
    let mut pair = pair().await;
    for (code, expected) in [
        (
            "gen_server:multi_call([N], lobby, {echo, 1}) =:= {[{N, 1}], []}.",
            "true",
        ),
        (
            "gen_server:multi_call([N], nobody, x) =:= {[], [N]}.",
            "true",
        ),
        (
            "gen_server:multi_call([N, 'none@127.0.0.1'], lobby, {echo, 2}, 20000) =:= {[{N, 2}], ['none@127.0.0.1']}.",
            "true",
        ),
        (
            "R1 = gen_server:send_request(L, {echo, 3}), gen_server:receive_response(R1, 20000).",
            "{reply,3}",
        ),
        (
            "R2 = gen_server:send_request(L, {echo, 4}), gen_server:wait_response(R2, 20000).",
            "{reply,4}",
        ),
        (
            "R3 = gen_server:send_request({nobody, N}, x), element(1, element(2, gen_server:receive_response(R3, 20000))).",
            "noproc",
        ),
        (
            "S = lists:foldl(fun(I, S0) -> gen_server:send_request(L, {echo, I}, I, S0) end, gen_server:reqids_new(), [5, 6, 7]), gen_server:reqids_size(S).",
            "3",
        ),
        (
            "Take = fun Take(S0) -> case gen_server:receive_response(S0, 20000, true) of no_request -> []; {{reply, V}, V, S1} -> [V | Take(S1)] end end, lists:sort(Take(S)).",
            "[5,6,7]",
        ),
        ("gen_server:abcast([N], lobby, abcast).", "abcast"),
        (
            "gen_statem:call(L, {echo, 8}, {clean_timeout, 20000}).",
            "8",
        ),
        (
            "{ok, V9} = gen:call(L, '$gen_call', {echo, 9}, 20000), V9.",
            "9",
        ),
        (
            "process_info(self(), message_queue_len).",
            "{message_queue_len,0}",
        ),
    ] {
        pair.shows(code, expected).await;
    }
    let Some(Signal::Message { term, .. }) = pair.others.recv().await else {
        panic!("a cast")
    };
    assert!(term.is_atom("abcast"));
}

#[tokio::test]
async fn a_reply_that_comes_too_late_is_dropped() {
    let mut pair = pair().await;
    let mut slow = pair.node.spawn(16);
    assert!(pair.node.register("slow", slow.pid()));
    let timeout = pair
        .beam
        .try_eval("gen_server:call({slow, N}, first, 50).")
        .await;
    assert!(timeout.to_string().starts_with("{exit,{timeout,"));
    let early =
        "R = gen_server:send_request({slow, N}, second), gen_server:receive_response(R, 50).";
    pair.shows(early, "timeout").await;
    for request in ["first", "second"] {
        let Some(Signal::Message { term, .. }) = slow.recv().await else {
            panic!("a call")
        };
        let Incoming::Call {
            from,
            request: asked,
        } = gen_call::parse(term)
        else {
            panic!("a call")
        };
        assert!(asked.is_atom(request));
        pair.node.reply(&from, Term::atom("late"));
        // The same to a caller that has never been.
        let nobody = From {
            pid: from.pid.clone(),
            tag: Term::ImproperList(
                vec![Term::atom("alias")],
                Box::new(Term::Ref(
                    Reference::new(from.pid.node.clone(), from.pid.creation, &[1, 2, 3]).unwrap(),
                )),
            ),
        };
        pair.node.reply(&nobody, Term::atom("late"));
    }
    pair.settled().await;
    pair.shows("receive X -> X after 0 -> nothing end.", "nothing")
        .await;
}

#[tokio::test]
async fn big_messages_go_both_ways() {
    let mut pair = pair().await;
    let code = format!(
        "B = binary:copy(<<\"0123456789abcdef\">>, {}), B =:= gen_server:call(L, {{echo, B}}, infinity).",
        BIG / 16
    );
    pair.shows(&code, "true").await;
    pair.beam
        .eval("Echo = spawn(fun F() -> receive {'$gen_call', From, X} -> gen:reply(From, X), F() end end), register(echo, Echo).")
        .await;
    let peer = pair.beam.name.parse().unwrap();
    let big = Term::binary(vec![9; BIG]);
    let reply = pair.node.call("echo", &peer, big.clone(), LONG).await;
    assert!(reply == Ok(big), "the reply differs");
}

#[tokio::test]
async fn small_calls_are_answered_while_a_big_message_is_on_its_way() {
    let mut pair = pair().await;
    let name = unique("raw");
    let mut raw = RawPeer::connect(&pair.node, &name, COOKIE).await;
    let calls = "[gen_server:call(L, {echo, I}) || I <- lists:seq(1, 200)] =:= lists:seq(1, 200).";

    let tag = Reference::new(Atom::new(&name), 7, &[1, 0, 0]).unwrap();
    let from = Term::tuple([Term::Pid(raw.pid.clone()), Term::Ref(tag.clone())]);
    let request = Term::tuple([Term::atom("echo"), Term::binary(vec![5; BIG])]);
    let call = Term::tuple([Term::atom("$gen_call"), from, request]);
    let mut frame = BytesMut::new();
    frames::reg_send(&mut frame, &raw.pid, &Atom::new("lobby"), &call);
    let (first, rest) = frame.split_at(BIG / 2);

    // Half of it has been sent, and nothing more comes until the small calls are done.
    raw.write(first).await;
    pair.shows(calls, "true").await;
    raw.write(rest).await;
    // The reply waits to be read, and nobody reads it until the small calls are done.
    let sent_to = |node: &Node| {
        let peers = node.peers();
        let peer = peers.iter().find(|peer| peer.node.as_str() == name);
        peer.map_or(0, |peer| peer.sent_bytes)
    };
    eventually("the reply is on its way", async || {
        sent_to(&pair.node) > BIG as u64
    })
    .await;
    pair.shows(calls, "true").await;
    let reply = raw.next().await.payload.unwrap().unwrap();
    let [Term::Ref(to), Term::Binary(bytes)] = reply.as_tuple().unwrap() else {
        panic!("a reply")
    };
    assert!(*to == tag && bytes.len() == BIG && bytes.iter().all(|byte| *byte == 5));
}

#[tokio::test]
async fn monitors_and_demonitors() {
    let mut pair = pair().await;
    let lobby = pair.lobby.clone();
    pair.tell_pid("P", &lobby).await;
    pair.beam
        .eval("A = monitor(process, P), B = monitor(process, P), C = monitor(process, L), D = monitor(process, L), E = monitor(process, P, [{tag, 'GONE'}]).")
        .await;
    pair.shows(
        "{demonitor(B), demonitor(D, [flush, info])}.",
        "{true,true}",
    )
    .await;
    pair.settled().await;
    pair.node.end(
        &lobby,
        Term::tuple([Term::atom("exit_status"), Term::Int(3)]),
    );
    let down = "receive {'DOWN', A, process, P, RA} -> RA end.";
    pair.shows(down, "{exit_status,3}").await;
    let down = "receive {'DOWN', C, process, L, RC} -> RC end.";
    pair.shows(down, "{exit_status,3}").await;
    let down = "receive {'GONE', E, process, P, RE} -> RE end.";
    pair.shows(down, "{exit_status,3}").await;
    // What came before a demonitor with flush is taken out of the mailbox.
    pair.shows("F = monitor(process, P), G = monitor(process, {nobody, N}), receive {'DOWN', G, _, _, RG} -> RG end.", "noproc")
        .await;
    pair.shows("demonitor(F, [flush]).", "true").await;
    pair.shows("receive X -> X after 0 -> nothing end.", "nothing")
        .await;
}

#[tokio::test]
async fn a_monitor_by_name_stays_with_the_process_it_met() {
    let mut pair = pair().await;
    let old = pair.lobby.clone();
    pair.beam
        .eval("A = monitor(process, L), B = monitor(process, L).")
        .await;
    pair.settled().await;
    pair.node.unregister("lobby");
    let (new, _new_others) = echo::echo(&pair.node, "lobby");
    pair.beam
        .eval("C = monitor(process, L), demonitor(B).")
        .await;
    pair.settled().await;
    pair.node.end(&old, Term::atom("first"));
    pair.shows("receive {'DOWN', A, process, L, RA} -> RA end.", "first")
        .await;
    pair.node.end(&new, Term::atom("second"));
    pair.shows("receive {'DOWN', C, process, L, RC} -> RC end.", "second")
        .await;
    pair.shows("receive X -> X after 0 -> nothing end.", "nothing")
        .await;
}

#[tokio::test]
async fn links_break_once_and_unlinked_ones_never() {
    let mut pair = pair().await;
    let lobby = pair.lobby.clone();
    pair.tell_pid("P", &lobby).await;
    pair.beam
        .eval("process_flag(trap_exit, true), Me = self(), Linked = fun(Do) -> spawn(fun() -> process_flag(trap_exit, true), link(P), Do(), gen_server:call(P, {echo, 1}), Me ! linked, receive M -> Me ! {self(), M} end end) end.")
        .await;
    pair.beam
        .eval("X = Linked(fun() -> ok end), Y = Linked(fun() -> unlink(P) end), receive linked -> ok end, receive linked -> ok end.")
        .await;
    pair.node.end(&lobby, Term::atom("hang"));
    pair.shows("receive {X, {'EXIT', P, Why}} -> Why end.", "hang")
        .await;
    pair.shows("Y ! stop, receive {Y, Got} -> Got end.", "stop")
        .await;
    // A process that does not trap exits dies of the link.
    let (other, _others) = echo::echo(&pair.node, "other");
    pair.tell_pid("Q", &other).await;
    pair.beam
        .eval("{Z, ZM} = spawn_monitor(fun() -> link(Q), gen_server:call(Q, {echo, 1}), Me ! linked, receive never -> ok end end), receive linked -> ok end.")
        .await;
    let reason = Term::tuple([Term::atom("signal"), Term::atom("sigsegv")]);
    pair.node.end(&other, reason);
    let died = "receive {'DOWN', ZM, process, Z, Died} -> Died end.";
    pair.shows(died, "{signal,sigsegv}").await;
}

#[tokio::test]
async fn an_unlink_is_acknowledged_even_where_there_is_no_link() {
    let pair = pair().await;
    let mut raw = RawPeer::connect(&pair.node, &unique("raw"), COOKIE).await;
    let me = raw.pid.clone();
    let unlink = |id: i64, to: &Pid| {
        let control = Term::tuple([
            Term::Int(35),
            Term::Int(id),
            Term::Pid(me.clone()),
            Term::Pid(to.clone()),
        ]);
        let control = sidekick::etf::encode(&control);
        let mut frame = (control.len() as u32 + 1).to_be_bytes().to_vec();
        frame.push(112);
        frame.extend_from_slice(&control);
        frame
    };
    let gone = Pid {
        id: 99_999,
        ..pair.lobby.clone()
    };
    raw.say(|out| frames::link(out, &me, &pair.lobby)).await;
    raw.write(&unlink(41, &pair.lobby)).await;
    raw.write(&unlink(42, &gone)).await;
    assert_eq!(raw.next_control().await, Control::Ignored);
    assert_eq!(raw.next_control().await, Control::Ignored);
    // The link is gone: of the end of the process only the monitor hears.
    let reference = Reference::new(me.node.clone(), 7, &[1, 0, 0]).unwrap();
    let target = Target::Pid(pair.lobby.clone());
    raw.say(|out| frames::monitor(out, &me, &target, &reference))
        .await;
    raw.say(|out| frames::link(out, &me, &gone)).await;
    let Control::Exit { reason, .. } = raw.next_control().await else {
        panic!("an exit")
    };
    assert!(reason.is_atom("noproc"));
    pair.node.end(&pair.lobby, Term::atom("over"));
    let Control::MonitorExit { reason, .. } = raw.next_control().await else {
        panic!("the end")
    };
    assert!(reason.is_atom("over"));
}

#[tokio::test]
async fn exit_signals_both_ways() {
    let mut pair = pair().await;
    let lobby = pair.lobby.clone();
    pair.tell_pid("P", &lobby).await;
    pair.beam
        .eval("exit(P, shutdown), exit(P, normal), exit(P, {why, 1}), exit(P, kill).")
        .await;
    for (why, killed) in [
        ("shutdown", false),
        ("normal", false),
        ("{why,1}", false),
        ("kill", true),
    ] {
        let Some(Signal::Exit {
            reason,
            kill,
            linked,
            ..
        }) = pair.others.recv().await
        else {
            panic!("an exit")
        };
        assert_eq!(
            (reason.to_string().as_str(), kill, linked),
            (why, killed, false)
        );
    }
    let spawned = "{T, TM} = spawn_monitor(fun() -> process_flag(trap_exit, true), receive {'EXIT', From, Why} -> exit({got, node(From) =:= N, Why}) end end), {K, KM} = spawn_monitor(fun() -> process_flag(trap_exit, true), receive never -> ok end end), {U, UM} = spawn_monitor(fun() -> receive never -> ok end end), {T, K, U}.";
    let Term::Tuple(pids) = pair.beam.eval(spawned).await else {
        panic!("pids")
    };
    for (pid, reason) in pids.iter().zip(["shutdown", "kill", "boom"]) {
        pair.node
            .exit(&lobby, pid.as_pid().unwrap(), &Term::atom(reason));
    }
    pair.shows(
        "receive {'DOWN', TM, _, _, TR} -> TR end.",
        "{got,true,shutdown}",
    )
    .await;
    pair.shows("receive {'DOWN', KM, _, _, KR} -> KR end.", "killed")
        .await;
    pair.shows("receive {'DOWN', UM, _, _, UR} -> UR end.", "boom")
        .await;
}

#[tokio::test]
async fn a_disconnect_ends_what_pends_on_both_sides() {
    let mut pair = pair().await;
    let lobby = pair.lobby.clone();
    pair.tell_pid("P", &lobby).await;
    pair.beam
        .eval("register(deaf, spawn(fun() -> receive never -> ok end end)), Me = self(), spawn(fun() -> Me ! {call, catch gen_server:call(L, ignore, infinity)} end), M = monitor(process, P), link(P), process_flag(trap_exit, true).")
        .await;
    pair.settled().await;
    let peer: sidekick::dist::NodeName = pair.beam.name.parse().unwrap();
    let pending = {
        let (node, peer) = (pair.node.clone(), peer.clone());
        tokio::spawn(async move { node.call("deaf", &peer, Term::atom("x"), LONG).await })
    };
    let Term::Pid(deaf) = pair.beam.eval("whereis(deaf).").await else {
        panic!("a pid")
    };
    let watch = pair.node.watch(&deaf);
    let monitors = "length(element(2, process_info(whereis(deaf), monitored_by))).";
    eventually("the call pends", async || {
        pair.beam.show(monitors).await == "2"
    })
    .await;
    pair.shows("erlang:disconnect_node(N).", "true").await;
    pair.shows(
        "receive {call, {'EXIT', {Why, {gen_server, call, _}}}} -> Why =:= {nodedown, N} end.",
        "true",
    )
    .await;
    pair.shows(
        "receive {'DOWN', M, process, P, MR} -> MR end.",
        "noconnection",
    )
    .await;
    pair.shows("receive {'EXIT', P, LR} -> LR end.", "noconnection")
        .await;
    assert_eq!(pending.await.unwrap(), Err(CallError::NoConnection));
    assert!(watch.await.is_atom("noconnection"));
    // Our process heard of the link's end, and the next call connects anew.
    let Some(Signal::Exit {
        reason,
        linked: true,
        ..
    }) = pair.others.recv().await
    else {
        panic!("an exit")
    };
    assert!(reason.is_atom("noconnection"));
    pair.settled().await;
    assert!(pair.node.is_connected(&peer));
    let _ = &pair.epmd;
}
