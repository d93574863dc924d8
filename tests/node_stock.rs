//! What stock OTP does beside the calls: hidden and late nodes, `monitor_node`, nodes that are dead or hang among those that
//! are asked, the port mapper of a machine that has none, and small calls beside big ones.

#![allow(clippy::unwrap_used)]

#[path = "support/beam.rs"]
mod beam;
#[path = "support/echo.rs"]
mod echo;
#[path = "support/sidekick.rs"]
mod sidekick_process;

use beam::{Beam, COOKIE, Epmd, eventually, free_port, unique};
use sidekick::dist::epmd::client;
use sidekick::etf::Term;
use sidekick::node::Node;
use sidekick::shutdown::Shutdown;
use sidekick_process::Sidekick;
use tokio::process::Command;

const FLAGS: [&str; 2] = ["-setcookie", COOKIE];

/// A node with the echo process `lobby`, and a BEAM with `N` and `L` bound that is connected to it.
async fn pair(epmd_port: u16, flags: &[&str]) -> (Node, Beam) {
    let node = echo::node(&unique("sidekick"), COOKIE, epmd_port).await;
    let _lobby = echo::echo(&node, "lobby");
    node.serve_functions(echo::sums());
    let mut beam = Beam::start_with(&unique("beam"), epmd_port, flags).await;
    let bind = format!("N = '{}', L = {{lobby, N}}, net_adm:ping(N).", node.name());
    assert_eq!(beam.show(&bind).await, "pong");
    (node, beam)
}

async fn shows(beam: &mut Beam, code: &str, expected: &str) {
    assert_eq!(beam.show(code).await, expected, "{code}");
}

#[tokio::test]
async fn a_hidden_beam_is_known_as_one_and_a_visible_one_is_not() {
    let epmd = Epmd::start().await;
    for hidden in [false, true] {
        let flags = if hidden {
            vec!["-hidden", FLAGS[0], FLAGS[1]]
        } else {
            FLAGS.to_vec()
        };
        let (node, mut beam) = pair(epmd.port, &flags).await;
        assert_eq!(node.peers()[0].hidden, hidden);
        // Whatever it is itself, we are hidden to it.
        shows(&mut beam, "{nodes(), nodes(hidden) =:= [N]}.", "{[],true}").await;
        shows(&mut beam, "gen_server:call(L, {echo, 1}).", "1").await;
        beam.eval("erlang:disconnect_node(N).").await;
        eventually("it is gone", async || node.peers().is_empty()).await;
        // The same where we ask for the connection.
        node.connect(&beam.name.parse().unwrap()).await.unwrap();
        assert_eq!(node.peers()[0].hidden, hidden);
    }
}

#[tokio::test]
async fn a_beam_may_become_a_node_after_its_start_and_cease_to_be_one() {
    let epmd = Epmd::start().await;
    let node = echo::node(&unique("sidekick"), COOKIE, epmd.port).await;
    let _lobby = echo::echo(&node, "lobby");
    // Flags that name nothing.
    let unnamed = ["-proto_dist", "inet_tcp"];
    let mut beam = Beam::start_named(&unnamed, epmd.port, &FLAGS).await;
    shows(&mut beam, "is_alive().", "false").await;
    for hidden in ["true", "false"] {
        let name = unique("late");
        let start = format!(
            "{{ok, _}} = net_kernel:start('{name}', #{{name_domain => longnames, hidden => {hidden}}}), gen_server:call({{lobby, '{}'}}, {{echo, 2}}).",
            node.name()
        );
        shows(&mut beam, &start, "2").await;
        let peers = node.peers();
        assert_eq!(peers.len(), 1);
        assert_eq!(peers[0].node.as_str(), name);
        assert_eq!(peers[0].hidden.to_string(), hidden);
        shows(&mut beam, "net_kernel:stop().", "ok").await;
        eventually("it is gone", async || node.peers().is_empty()).await;
    }
}

/// Elixir's `Node.monitor/2` is `erlang:monitor_node/2`.
#[tokio::test]
async fn node_monitors_tell_of_every_kind_of_end() {
    let epmd = Epmd::start().await;
    let (node, mut beam) = pair(epmd.port, &FLAGS).await;
    let down = "receive {nodedown, N} -> down after 20000 -> never end.";
    let mailbox = "process_info(self(), message_queue_len).";
    // The BEAM hangs up.
    shows(&mut beam, "monitor_node(N, true).", "true").await;
    shows(&mut beam, "erlang:disconnect_node(N).", "true").await;
    shows(&mut beam, down, "down").await;
    eventually("we know", async || node.peers().is_empty()).await;
    // Not connected, it connects; one that was taken back tells nothing.
    shows(&mut beam, "monitor_node(N, true), monitor_node(N, true), monitor_node(N, false), gen_server:call(L, {echo, 1}).", "1").await;
    assert_eq!(node.peers().len(), 1);
    // net_kernel tells of hidden nodes too, to who asks for them.
    shows(
        &mut beam,
        "net_kernel:monitor_nodes(true, #{node_type => hidden, nodedown_reason => true}).",
        "ok",
    )
    .await;
    // We hang up.
    node.close().await;
    shows(&mut beam, down, "down").await;
    shows(
        &mut beam,
        "receive {nodedown, N, #{node_type := T, nodedown_reason := W}} -> {T, W} after 20000 -> never end.",
        "{hidden,connection_closed}",
    )
    .await;
    // Nobody is there any more.
    shows(&mut beam, "monitor_node(N, true).", "true").await;
    shows(&mut beam, down, "down").await;
    shows(&mut beam, mailbox, "{message_queue_len,0}").await;
}

/// The configuration says whether a sidekick is in `nodes()`; killed, it is gone from there at once.
#[tokio::test]
async fn a_configured_sidekick_is_visible_where_it_says_so_and_its_death_is_told() {
    for visible in [true, false] {
        let start = move || Sidekick::start_with(&format!("visible = {visible}"), "");
        let mut sidekick = tokio::task::spawn_blocking(start).await.unwrap();
        let flags = ["-setcookie", "test_cookie"];
        let mut beam = Beam::start_with(&unique("beam"), sidekick.epmd_port, &flags).await;
        let bind = format!("N = '{}', net_adm:ping(N).", sidekick.name);
        shows(&mut beam, &bind, "pong").await;
        shows(
            &mut beam,
            "{nodes() =:= [N], nodes(hidden) =:= [N]}.",
            &format!("{{{visible},{}}}", !visible),
        )
        .await;
        shows(&mut beam, "monitor_node(N, true).", "true").await;
        sidekick.kill();
        let down = "receive {nodedown, N} -> nodes(connected) after 20000 -> never end.";
        shows(&mut beam, down, "[]").await;
    }
}

#[tokio::test]
async fn dead_and_hanging_nodes_among_many_do_not_hold_up_the_others() {
    let epmd = Epmd::start().await;
    let (node, mut beam) = pair(epmd.port, &FLAGS).await;
    let (_second, killed) = pair(epmd.port, &FLAGS).await;
    let (_third, hangs) = pair(epmd.port, &FLAGS).await;
    let bind = format!(
        "D = '{}', H = '{}', pong = net_adm:ping(D), net_adm:ping(H).",
        killed.name, hangs.name
    );
    shows(&mut beam, &bind, "pong").await;
    killed.kill().await;
    hangs.pause();
    for (code, expected) in [
        (
            "gen_server:multi_call([D, N, H], lobby, {echo, 7}, 1000) =:= {[{N, 7}], [D, H]}.",
            "true",
        ),
        (
            "[{error, {erpc, noconnection}}, {ok, 3}, {error, {erpc, timeout}}] = erpc:multicall([D, N, H], sidekick, add, [1, 2], 1000), ok.",
            "ok",
        ),
        (
            "{[3], Bad} = rpc:multicall([D, N, H], sidekick, add, [1, 2], 1000), lists:sort(Bad) =:= lists:sort([D, H]).",
            "true",
        ),
        ("gen_server:abcast([D, N, H], lobby, x).", "abcast"),
        (
            "process_info(self(), message_queue_len).",
            "{message_queue_len,0}",
        ),
    ] {
        shows(&mut beam, code, expected).await;
    }
    assert_eq!(node.peers().len(), 1);
}

/// `erl -name` as an operator types it: it starts a port mapper of its own where it may, and finds sidekick's.
#[tokio::test]
async fn a_stock_erl_registers_with_the_port_mapper_that_sidekick_serves() {
    let port = free_port();
    let name = unique("sidekick");
    let node = echo::node(&name, COOKIE, port).await;
    let _lobby = echo::echo(&node, "lobby");
    let flags = ["-start_epmd", "true", "-setcookie", COOKIE];
    let mut beams = Vec::new();
    for _ in 0..2 {
        beams.push(Beam::start_with(&unique("beam"), port, &flags).await);
    }
    // They find it, and each other, by it.
    let ask = format!("gen_server:call({{lobby, '{name}'}}, {{echo, 1}}).");
    let other = beams[1].name.clone();
    shows(&mut beams[0], &ask, "1").await;
    shows(&mut beams[0], &format!("net_adm:ping('{other}')."), "pong").await;
    // OTP's own program lists them all.
    let asks = Command::new("epmd")
        .args(["-port", &port.to_string(), "-names"])
        .output();
    let said = asks.await.unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    for full in [&name, &beams[0].name, &other] {
        let short = full.split('@').next().unwrap();
        assert!(said.contains(&format!("name {short} at port")), "{said}");
    }
    // sidekick's next life serves it again; the BEAMs register anew by themselves, and are found by who comes then.
    node.close().await;
    drop(node);
    let again = echo::node(&name, COOKIE, port).await;
    let _lobby = echo::echo(&again, "lobby");
    for beam in &beams {
        let short = beam.name.split('@').next().unwrap();
        eventually("registered again", async || {
            matches!(client::lookup("127.0.0.1", port, short).await, Ok(Some(_)))
        })
        .await;
        again.connect(&beam.name.parse().unwrap()).await.unwrap();
    }
    shows(&mut beams[0], &ask, "1").await;
}

#[tokio::test]
async fn a_beam_finds_us_at_a_port_mapper_that_was_restarted() {
    let epmd = Epmd::start().await;
    let port = epmd.port;
    let mut options = echo::options(&unique("sidekick"), COOKIE, port);
    options.serve_epmd = false;
    let node = Node::start(options, Shutdown::new()).await.unwrap();
    let _lobby = echo::echo(&node, "lobby");
    epmd.kill().await;
    let _epmd = Epmd::start_on(port).await;
    let mut beam = Beam::start(&unique("beam"), port).await;
    let ping = format!("net_adm:ping('{}').", node.name());
    eventually("found again", async || beam.show(&ping).await == "pong").await;
}

/// Two BEAMs: one sends 64 MB and is sent them back, again and again, the other makes small calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_calls_of_one_beam_are_quick_while_another_moves_64_megabytes() {
    let epmd = Epmd::start().await;
    let (node, mut small) = pair(epmd.port, &FLAGS).await;
    let mut big = Beam::start(&unique("beam"), epmd.port).await;
    let echoes = format!(
        "B = binary:copy(<<\"0123456789abcdef\">>, {}), Self = self(), Mover = spawn(fun Move() -> B = gen_server:call({{lobby, '{}'}}, {{echo, B}}, infinity), Self ! moved, Move() end), ok.",
        (64 << 20) / 16,
        node.name()
    );
    shows(&mut big, &echoes, "ok").await;
    let moved = "receive moved -> ok end.";
    shows(&mut big, moved, "ok").await;
    let calls = "Times = lists:sort([element(1, timer:tc(fun() -> I = gen_server:call(L, {echo, I}, 20000) end)) || I <- lists:seq(1, 300)]), {lists:nth(150, Times) div 1000, lists:last(Times) div 1000}.";
    let Term::Tuple(ms) = small.eval(calls).await else {
        panic!("two times")
    };
    let (median, longest) = (ms[0].as_i64().unwrap(), ms[1].as_i64().unwrap());
    println!("small calls beside big ones: median {median} ms, longest {longest} ms");
    // A big message takes a good part of a second each way on a slow machine.
    assert!(median < 50 && longest < 2000, "{median} ms, {longest} ms");
    shows(&mut big, moved, "ok").await;
}
