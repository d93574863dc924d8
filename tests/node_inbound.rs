//! Stock OTP finds, calls, watches and steers processes of a sidekick node.

#![allow(clippy::unwrap_used)]

#[path = "support/beam.rs"]
mod beam;
#[path = "support/echo.rs"]
mod echo;

use beam::{Beam, COOKIE, Epmd, elixir, eventually, unique};
use sidekick::etf::Term;
use sidekick::node::{Node, Signal};

struct Pair {
    node: Node,
    beam: Beam,
    epmd: Epmd,
    name: String,
}

async fn pair() -> Pair {
    let epmd = Epmd::start().await;
    let name = unique("sidekick");
    let node = echo::node(&name, COOKIE, epmd.port).await;
    let beam = Beam::start(&unique("beam"), epmd.port).await;
    Pair {
        node,
        beam,
        epmd,
        name,
    }
}

#[tokio::test]
async fn ping_and_hidden() {
    let Pair {
        node,
        mut beam,
        name,
        epmd: _epmd,
    } = pair().await;
    assert_eq!(beam.show(&format!("net_adm:ping('{name}').")).await, "pong");
    assert_eq!(
        beam.show("{nodes(), length(nodes(hidden))}.").await,
        "{[],1}"
    );
    assert_eq!(node.peers()[0].node.as_str(), beam.name);
    node.close().await;
    eventually("nodedown", async || {
        beam.show("nodes(hidden).").await == "[]"
    })
    .await;
    assert_eq!(beam.show(&format!("net_adm:ping('{name}').")).await, "pang");
}

#[tokio::test]
async fn calls_by_name_and_pid() {
    let Pair {
        node,
        mut beam,
        name,
        epmd: _epmd,
    } = pair().await;
    let (_, mut others) = echo::echo(&node, "lobby");
    let call = |what: &str| format!("gen_server:call({{lobby,'{name}'}}, {what}).");
    assert_eq!(
        beam.show(&call("{echo,#{a=>[1,2.5,<<\"x\">>]}}")).await,
        "#{a => [1,2.5,<<\"x\">>]}"
    );
    assert_eq!(beam.show(&call("what")).await, "unknown");
    let big = format!(
        "B = binary:copy(<<7>>, 20000000), B =:= gen_server:call({{lobby,'{name}'}}, {{echo,B}}, 30000)."
    );
    assert_eq!(beam.show(&big).await, "true");
    beam.eval(&format!(
        "gen_server:cast({{lobby,'{name}'}}, {{hello,self()}})."
    ))
    .await;
    let Some(Signal::Message { term, .. }) = others.recv().await else {
        panic!("a message")
    };
    let pid = term.as_tuple().unwrap()[1].as_pid().unwrap().clone();
    node.send(&pid, Term::atom("back"));
    assert_eq!(beam.show("receive back -> got end.").await, "got");
    // A process that calls by pid, without an alias.
    let server = node.whereis("lobby").unwrap();
    node.send(&pid, Term::Pid(server));
    assert_eq!(beam.show("receive P when is_pid(P) -> ok end.").await, "ok");
    assert_eq!(beam.show("gen_server:call(P, {echo,1}).").await, "1");
    let raw = "R = make_ref(), P ! {'$gen_call', {self(), R}, {echo, 5}}, receive {R, X} -> X end.";
    assert_eq!(beam.show(raw).await, "5");
    let timeout = beam
        .try_eval(&format!("gen_server:call({{lobby,'{name}'}}, ignore, 50)."))
        .await;
    assert!(
        timeout.to_string().starts_with("{exit,{timeout,"),
        "{timeout}"
    );
}

#[tokio::test]
async fn unknown_names_are_noproc() {
    let Pair {
        node,
        mut beam,
        name,
        epmd: _epmd,
    } = pair().await;
    let answer = beam
        .try_eval(&format!("gen_server:call({{nobody,'{name}'}}, x)."))
        .await;
    assert!(answer.to_string().starts_with("{exit,{noproc,"), "{answer}");
    let code = format!(
        "M = monitor(process, {{nobody,'{name}'}}), receive {{'DOWN',M,process,What,Why}} -> {{What,Why}} end."
    );
    assert_eq!(
        beam.show(&code).await,
        format!("{{{{nobody,'{name}'}},noproc}}")
    );
    drop(node);
}

#[tokio::test]
async fn monitors_tell_the_reason_by_name_and_by_pid() {
    let Pair {
        node,
        mut beam,
        name,
        epmd: _epmd,
    } = pair().await;
    let (pid, _others) = echo::echo(&node, "lobby");
    beam.eval(&format!("M1 = monitor(process, {{lobby,'{name}'}})."))
        .await;
    beam.eval(&format!(
        "M3 = monitor(process, {{lobby,'{name}'}}), demonitor(M3)."
    ))
    .await;
    beam.eval("register(me, self()).").await;
    node.connect(&beam.name.parse().unwrap()).await.unwrap();
    let me = beam.name.parse().unwrap();
    node.send_name(None, "me", &me, Term::Pid(pid.clone()))
        .unwrap();
    beam.eval("receive P when is_pid(P) -> ok end, M2 = monitor(process, P).")
        .await;
    // All monitors are in place once a later call was answered.
    beam.eval(&format!("gen_server:call({{lobby,'{name}'}}, {{echo,1}})."))
        .await;
    let reason = Term::tuple([Term::atom("signal"), Term::atom("sigsegv")]);
    node.end(&pid, reason);
    let down = "receive {'DOWN',M1,process,W1,R1} -> {W1,R1} end.";
    assert_eq!(
        beam.show(down).await,
        format!("{{{{lobby,'{name}'}},{{signal,sigsegv}}}}")
    );
    let down = "receive {'DOWN',M2,process,W2,R2} -> {W2 =:= P,R2} end.";
    assert_eq!(beam.show(down).await, "{true,{signal,sigsegv}}");
    assert_eq!(
        beam.show("receive {'DOWN',M3,_,_,_} -> bad after 100 -> none end.")
            .await,
        "none"
    );
    let again = "M4 = monitor(process, P), receive {'DOWN',M4,_,_,R4} -> R4 end.";
    assert_eq!(beam.show(again).await, "noproc");
    assert!(node.whereis("lobby").is_none());
}

#[tokio::test]
async fn links_and_exit_signals() {
    let Pair {
        node,
        mut beam,
        name,
        epmd: _epmd,
    } = pair().await;
    let (pid, mut others) = echo::echo(&node, "lobby");
    beam.eval(&format!(
        "net_adm:ping('{name}'), process_flag(trap_exit, true), register(me, self())."
    ))
    .await;
    let me = beam.name.parse().unwrap();
    node.send_name(None, "me", &me, Term::Pid(pid.clone()))
        .unwrap();
    beam.eval("receive P when is_pid(P) -> ok end.").await;
    beam.eval("exit(P, shutdown), exit(P, kill).").await;
    for (why, killed) in [("shutdown", false), ("kill", true)] {
        let Some(Signal::Exit {
            reason,
            kill,
            linked,
            ..
        }) = others.recv().await
        else {
            panic!("an exit")
        };
        assert!(reason.is_atom(why) && kill == killed && !linked);
    }
    beam.eval("link(P), unlink(P), link(P).").await;
    beam.eval("gen_server:call(P, {echo,1}).").await;
    node.end(&pid, Term::atom("hang"));
    assert_eq!(
        beam.show("receive {'EXIT',P,Why} -> Why end.").await,
        "hang"
    );
    assert_eq!(
        beam.show("catch link(P), receive {'EXIT',P,Why2} -> Why2 end.")
            .await,
        "noproc"
    );
    // A linked BEAM process ends.
    let (pid, mut others) = echo::echo(&node, "lobby");
    node.send_name(None, "me", &me, Term::Pid(pid)).unwrap();
    beam.eval("receive P5 when is_pid(P5) -> ok end.").await;
    beam.eval("spawn(fun() -> link(P5), gen_server:call(P5, {echo,1}), exit(boom) end).")
        .await;
    let Some(Signal::Exit {
        reason,
        linked: true,
        ..
    }) = others.recv().await
    else {
        panic!("an exit")
    };
    assert!(reason.is_atom("boom"));
}

#[tokio::test]
async fn rpc_and_erpc_return_values() {
    let Pair {
        node,
        mut beam,
        name,
        epmd: _epmd,
    } = pair().await;
    node.serve_functions(echo::sums());
    let own_name = format!("'{name}'");
    let expected = [
        ("rpc:call(N, sidekick, add, [2,3]).", "5"),
        ("rpc:cast(N, sidekick, add, [1,2]).", "true"),
        ("rpc:multicall([N,N], sidekick, add, [1,2]).", "{[3,3],[]}"),
        ("erpc:call(N, sidekick, add, [2,3]).", "5"),
        ("erpc:cast(N, sidekick, add, [1,2]).", "ok"),
        ("erpc:multicall([N], sidekick, add, [1,2]).", "[{ok,3}]"),
        (
            "R = erpc:send_request(N, sidekick, add, [4,4]), erpc:receive_response(R).",
            "8",
        ),
        ("erpc:call(N, sidekick, whoami, []) =:= node().", "true"),
        (
            "gen_server:call({rex,N}, {call,sidekick,add,[1,1],group_leader()}).",
            "2",
        ),
        ("rpc:call(N, net_kernel, get_net_ticktime, []).", "60"),
        ("rpc:call(N, erlang, node, []).", &own_name),
    ];
    beam.eval(&format!("N = '{name}'.")).await;
    for (code, value) in expected {
        assert_eq!(beam.show(code).await, value, "{code}");
    }
}

#[tokio::test]
async fn rpc_and_erpc_refuse_as_otp_does() {
    let Pair {
        node,
        mut beam,
        name,
        epmd: _epmd,
    } = pair().await;
    node.serve_functions(echo::sums());
    beam.eval(&format!("N = '{name}'.")).await;
    let expected = [
        (
            "rpc:call(N, sidekick, nope, [1]).",
            "{ok,{badrpc,{'EXIT',{undef,[{sidekick,nope,[1],[]}",
        ),
        (
            "gen_server:call({rex,N}, {call,sidekick,nope,[1],group_leader()}).",
            "{ok,{badrpc,{'EXIT',{undef,[{sidekick,nope,[1],[]}]}}}}",
        ),
        (
            "erpc:call(N, os, cmd, [\"true\"]).",
            "{error,{exception,undef,[{os,cmd,[\"true\"],[]}",
        ),
        (
            "erpc:call(N, sidekick, crash, []).",
            "{error,{exception,internal_error,",
        ),
    ];
    for (code, start) in expected {
        let answer = beam.try_eval(code).await.to_string();
        assert!(answer.starts_with(start), "{code}: {answer}");
    }
}

#[tokio::test]
async fn spawning_anything_else_is_refused() {
    let Pair {
        mut beam,
        name,
        node,
        epmd: _epmd,
    } = pair().await;
    let code = format!(
        "R = spawn_request('{name}', os, cmd, [\"true\"], []), receive {{spawn_reply,R,S,W}} -> {{S,W}} end."
    );
    assert_eq!(beam.show(&code).await, "{error,notsup}");
    assert_eq!(beam.show(&format!("net_adm:ping('{name}').")).await, "pong");
    drop(node);
}

#[tokio::test]
async fn elixirs_own_functions() {
    let epmd = Epmd::start().await;
    let name = unique("sidekick");
    let node = echo::node(&name, COOKIE, epmd.port).await;
    node.serve_functions(echo::sums());
    let (_pid, _others) = echo::echo(&node, "sidekick");
    let script = format!(
        r#"
        node = :"{name}"
        :pong = Node.ping(node)
        [^node] = Node.list(:hidden)
        {{:ok, "é"}} = GenServer.call({{:sidekick, node}}, {{:echo, {{:ok, "é"}}}})
        ref = Process.monitor({{:nobody, node}})
        receive do {{:DOWN, ^ref, :process, {{:nobody, ^node}}, :noproc}} -> :ok end
        {{:noproc, _}} = catch_exit = (try do GenServer.call({{:nobody, node}}, 1) catch :exit, e -> e end)
        3 = :erpc.call(node, :sidekick, :add, [1, 2])
        3 = :rpc.call(node, :sidekick, :add, [1, 2])
        {{[ok: 3], []}} = {{Enum.map([node], &{{:ok, :erpc.call(&1, :sidekick, :add, [1, 2])}}), []}}
        {{replies, []}} = GenServer.multi_call([node], :sidekick, {{:echo, 7}}, 5000)
        IO.inspect(replies == [{{node, 7}}])
        _ = catch_exit
        "#
    );
    let said = elixir(&unique("elixir"), epmd.port, &script).await;
    // OTP 29 warns before it where the machine has no SCTP.
    assert_eq!(said.lines().last(), Some("true"), "{said}");
}
