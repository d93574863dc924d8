//! The corpus of mutation tests and fuzzing is what real OTP says: this test hears OTP say it again, and fails where a kind
//! of message is not in `tests/corpus`. With `SIDEKICK_RECORD=1` (`scripts/fuzz record`) it writes the corpus anew.

#![allow(clippy::unwrap_used)]

#[path = "support/beam.rs"]
mod beam;
#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/echo.rs"]
mod echo;
#[path = "support/recorder.rs"]
mod recorder;

use beam::{Beam, COOKIE, Epmd, eventually, unique};
use bytes::{Buf, Bytes};
use recorder::Relay;
use sidekick::dist::epmd::client;
use sidekick::etf;
use std::collections::{BTreeMap, BTreeSet};

/// What stock OTP is asked to do, so that it says everything it can say to a node like ours.
const DOINGS: &str = r"
    N = fun(Name) -> {Name, NODE} end,
    pong = net_adm:ping(NODE),
    Own = spawn(fun() -> process_flag(trap_exit, true), receive stop -> ok end end),
    1 = gen_server:call(N(lobby), {echo, 1}),
    big = element(1, gen_server:call(N(lobby), {echo, {big, binary:copy(<<7>>, 300), 1 bsl 100, 1.5, #{a => [1 | 2]}, fun lists:map/2}})),
    gen_server:cast(N(lobby), hello),
    {'EXIT', _} = (catch gen_server:call(N(lobby), ignore, 50)),
    {'EXIT', _} = (catch gen_server:call(N(nobody), x)),
    Pid = gen_server:call(N(lobby), {echo, erlang:whereis(init)}),
    true = erpc:call(NODE, erlang, is_alive, []),
    3 = erpc:call(NODE, sidekick, add, [1, 2]),
    3 = rpc:call(NODE, sidekick, add, [1, 2]),
    ok = erpc:cast(NODE, sidekick, add, [1, 2]),
    R = erlang:monitor(process, N(lobby)), erlang:demonitor(R),
    R2 = erlang:monitor(process, LOBBY), erlang:demonitor(R2),
    LOBBY ! {plain, 'é', <<1:3>>, self(), make_ref(), hd(erlang:ports())},
    link(LOBBY), unlink(LOBBY),
    exit(LOBBY, some_reason),
    spawn(fun() -> link(LOBBY), exit(linked_reason) end),
    Alias = alias(), LOBBY ! {Alias, x},
    group_leader(Own, LOBBY),
    catch erlang:send(Alias, x),
    gen_server:call(N(lobby), {echo, done}).
";

/// What was heard, by kind and by name.
type Heard = BTreeMap<(&'static str, String), Vec<u8>>;

#[tokio::test]
async fn otp_still_says_what_the_corpus_holds() {
    let heard = listen().await;
    if std::env::var_os("SIDEKICK_RECORD").is_some() {
        for kind in heard.keys().map(|(kind, _)| kind).collect::<BTreeSet<_>>() {
            let _ = std::fs::remove_dir_all(corpus::dir(kind));
            std::fs::create_dir_all(corpus::dir(kind)).unwrap();
        }
        for ((kind, name), bytes) in &heard {
            std::fs::write(corpus::dir(kind).join(name), bytes).unwrap();
        }
    }
    for (kind, name) in heard.keys() {
        let file = corpus::dir(kind).join(name);
        assert!(
            file.is_file(),
            "OTP says {name}, which is not among {kind}: scripts/fuzz record"
        );
    }
}

async fn listen() -> Heard {
    // Each side has a port mapper of its own, which names a relay in place of the other side.
    let (ours, theirs) = (Epmd::start().await, Epmd::start().await);
    let to_mapper = Relay::to(theirs.port).await;
    let node = echo::node(&unique("sidekick"), COOKIE, ours.port).await;
    node.serve_functions(echo::sums());
    let (lobby, _others) = echo::echo(&node, "lobby");
    let mut beam = Beam::start(&unique("beam"), to_mapper.port).await;
    let beam_name: sidekick::dist::NodeName = beam.name.parse().unwrap();
    let port = client::lookup("127.0.0.1", theirs.port, beam_name.name())
        .await
        .unwrap()
        .unwrap();
    let (to_beam, to_node) = (
        Relay::to(port).await,
        Relay::to(node.listen_address().port()).await,
    );
    let _beam_here = client::register(ours.port, beam_name.name(), to_beam.port, false)
        .await
        .unwrap();
    let _node_there = client::register(theirs.port, node.name().name(), to_node.port, false)
        .await
        .unwrap();

    node.connect(&beam_name).await.unwrap();
    beam.eval(&format!("erlang:disconnect_node('{}').", node.name()))
        .await;
    eventually("disconnected", async || node.peers().is_empty()).await;
    let own = format!("'{}'", node.name());
    let doings = DOINGS.replace("NODE", &own).replace("LOBBY", "Lobby");
    let find = format!(
        "Lobby = binary_to_term({}), ",
        beam::erlang_binary(&etf::encode(&lobby.into()))
    );
    beam.eval(&format!("{find}{doings}")).await;
    beam.eval("net_adm:names().").await;

    let mut heard = Heard::new();
    let (_, answered) = to_beam.said().remove(0);
    keep_handshake("handshake_accepts", 3, &answered, &mut heard);
    let (asked, _) = to_node.said().remove(0);
    let frames = keep_handshake("handshake_connects", 2, &asked, &mut heard);
    keep_frames(frames, &mut heard);
    for (asked, answered) in to_mapper.said() {
        if let (Some(ask), Some(answer)) = (asked.get(2), answered.first()) {
            heard.insert(("epmd_requests", format!("{ask}.bin")), asked.clone());
            // The answer to `names` starts with a port.
            let name = if *ask == 110 {
                "names.bin".to_owned()
            } else {
                format!("{answer}.bin")
            };
            heard.insert(("epmd_answers", name), answered);
        }
    }
    heard
}

/// Keeps the messages of a handshake as one file; gives what follows.
fn keep_handshake(kind: &'static str, messages: usize, said: &[u8], heard: &mut Heard) -> Bytes {
    let mut rest = Bytes::copy_from_slice(said);
    for _ in 0..messages {
        let len = usize::from(rest.get_u16());
        rest.advance(len);
    }
    let handshake = said[..said.len() - rest.len()].to_vec();
    heard.insert((kind, "otp.bin".to_owned()), handshake);
    rest
}

/// Keeps the first frames of each operation, and the terms in them.
fn keep_frames(mut rest: Bytes, heard: &mut Heard) {
    let mut seen: BTreeMap<i64, usize> = BTreeMap::new();
    while rest.len() >= 4 {
        let len = rest.slice(..4).get_u32() as usize;
        if rest.len() < 4 + len {
            break;
        }
        let frame = rest.split_to(4 + len);
        if len == 0 {
            continue;
        }
        let mut payload = frame.slice(5..);
        let control = etf::split_prefix(&mut payload).unwrap();
        let operation = etf::decode(control.clone()).unwrap().as_tuple().unwrap()[0]
            .as_i64()
            .unwrap();
        let number = seen.entry(operation).or_default();
        *number += 1;
        // Few of each will do; of messages, which hold requests of all kinds, more.
        if *number <= if matches!(operation, 2 | 6) { 8 } else { 1 } {
            let name = format!("{operation:02}_{number}.bin");
            heard.insert(("terms", format!("control_{name}")), control.to_vec());
            if !payload.is_empty() {
                heard.insert(("terms", format!("payload_{name}")), payload.to_vec());
            }
            heard.insert(("frames", name), frame.to_vec());
        }
    }
}
