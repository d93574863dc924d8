//! The node's side of `scripts/bench node`: a server that echoes, in a process of its own, and a client that only holds
//! connections.
//!
//! `node_server serve NAME COOKIE on|off` starts a node (with or without process monitors) on a runtime as sidekick's own; the port
//! mapper is the one of `ERL_EPMD_PORT`. `node_server hold NAME COOKIE COUNT` passes the handshake with that node so often,
//! each time under another name, and stays silent.

use erl_dist::handshake::ClientSideHandshake;
use erl_dist::node::{Creation, LocalNode, NodeName};
use sidekick::etf::Term;
use sidekick::node::gen_call::{self, Incoming};
use sidekick::node::{Cookie, From, Node, NodeOptions, Process, Signal};
use sidekick::shutdown::Shutdown;
use smol::net::TcpStream;
use std::net::{IpAddr, Ipv4Addr};

/// What the process may be behind before its peers are read no further.
const MAILBOX: usize = 1024;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["serve", name, cookie, monitors] => serve(name, cookie, *monitors == "on"),
        ["hold", name, cookie, count] => hold(name, cookie, count.parse().expect("a count")),
        // `cargo bench` starts every benchmark.
        _ => eprintln!("node_server is started by: ./scripts/bench node"),
    }
}

fn serve(name: &str, cookie: &str, monitors: bool) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let mut options = NodeOptions::new(name.parse().expect("a name"), Cookie::new(cookie));
    options.listen_address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    options.monitors = monitors;
    options.peers_max = 2048;
    runtime.block_on(async {
        let node = Node::start(options, Shutdown::new())
            .await
            .expect("the node starts");
        let process = node.spawn(MAILBOX);
        assert!(node.register("echo", process.pid()));
        println!("serving");
        let _ = tokio::spawn(echo(node, process)).await;
    });
}

/// `{echo, X}` is answered with `X`, `count` with the number of casts so far.
async fn echo(node: Node, mut process: Process) {
    let mut casts = 0;
    while let Some(signal) = process.recv().await {
        let Signal::Message { term, .. } = signal else {
            continue;
        };
        match gen_call::parse(term) {
            Incoming::Call { from, request } => answer(&node, &from, request, casts),
            Incoming::Cast(_) => casts += 1,
            _ => {}
        }
    }
}

fn answer(node: &Node, from: &From, request: Term, casts: i64) {
    let reply = match request {
        Term::Tuple(mut echo) if echo.len() == 2 => echo.swap_remove(1),
        _ => Term::Int(casts),
    };
    node.reply(from, reply);
}

fn hold(name: &str, cookie: &str, count: u32) {
    smol::block_on(async {
        let mut held = Vec::new();
        for number in 0..count {
            held.push(shake_hands(name, cookie, number).await);
        }
        println!("holding {}", held.len());
        smol::future::pending::<()>().await;
    });
}

async fn shake_hands(name: &str, cookie: &str, number: u32) -> TcpStream {
    let peer: NodeName = name.parse().expect("a name");
    let epmd_port: u16 = std::env::var("ERL_EPMD_PORT")
        .ok()
        .and_then(|port| port.parse().ok())
        .expect("ERL_EPMD_PORT");
    let mapper = TcpStream::connect((peer.host(), epmd_port))
        .await
        .expect("the port mapper answers");
    let entry = erl_dist::epmd::EpmdClient::new(mapper)
        .get_node(peer.name())
        .await
        .expect("the port mapper answers")
        .expect("the node is registered");
    let stream = TcpStream::connect((peer.host(), entry.port))
        .await
        .expect("the node listens");
    // Without it each handshake takes the 40 ms of a delayed acknowledgement.
    stream.set_nodelay(true).expect("TCP takes the option");
    let own = format!("silent{number}@127.0.0.1")
        .parse()
        .expect("a valid name");
    let local = LocalNode::new(own, Creation::new(4));
    let mut handshake = ClientSideHandshake::new(stream, local, cookie);
    handshake
        .execute_send_name(erl_dist::HIGHEST_DISTRIBUTION_PROTOCOL_VERSION)
        .await
        .expect("the node takes the name");
    let (stream, _) = handshake
        .execute_rest(true)
        .await
        .expect("the node takes the cookie");
    stream
}
