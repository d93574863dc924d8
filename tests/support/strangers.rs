//! Strangers: whoever speaks, or does not, on the other end of a handshake or of a port mapper's connection, without
//! knowing the cookie.

#![allow(dead_code, clippy::unwrap_used)]

use bytes::{BufMut, Bytes};
use sidekick::dist::Cookie;
use sidekick::dist::epmd::client;
use sidekick::dist::epmd::server::Server;
use sidekick::dist::handshake::{self, Identity, Verdict};
use sidekick::dist::link::Reader;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Which of our sides the stranger meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It connects to us.
    Accept,
    /// We connect to it.
    Connect,
    /// We ask it for a node's port.
    Lookup,
    /// We register with it.
    Register,
}

/// One of them: what it says, and whether it then hangs up.
#[derive(Clone, Debug)]
pub struct Stranger {
    pub what: String,
    pub side: Side,
    /// Shared, so that saying it again costs nothing.
    pub says: Bytes,
}

/// The node that strangers meet.
pub fn identity() -> Identity {
    Identity {
        name: "sidekick@127.0.0.1".parse().unwrap(),
        creation: 5,
        cookie: Cookie::new("a secret"),
        visible: false,
        monitors: true,
    }
}

/// Two ends of a connection.
pub async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    (near, listener.accept().await.unwrap().0)
}

impl Stranger {
    /// Lets it say its piece at once and hang up; the error is ours. `Ok` where it was let in or believed.
    pub async fn meet(&self) -> Result<(), String> {
        let (our_end, port, speech) = match self.side {
            Side::Accept | Side::Connect => {
                let (near, far) = pair().await;
                (Some(near), 0, tokio::spawn(say(far, self.says.clone())))
            }
            Side::Lookup | Side::Register => {
                let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
                let (port, says) = (listener.local_addr().unwrap().port(), self.says.clone());
                let speech = async move { say(listener.accept().await.unwrap().0, says).await };
                (None, port, tokio::spawn(speech))
            }
        };
        let (identity, peer) = (identity(), "frontend@127.0.0.1".parse().unwrap());
        let met = match (self.side, our_end) {
            (Side::Accept, Some(stream)) => {
                let welcome = |name: Option<_>| {
                    let dynamic = || Verdict::Named("X".to_owned());
                    std::future::ready(name.map_or_else(dynamic, |_| Verdict::Ok))
                };
                let accepted = handshake::accept(stream, &identity, welcome).await;
                accepted.map(drop).map_err(|(_, error)| error.to_string())
            }
            (Side::Connect, Some(stream)) => {
                let connected = handshake::connect(stream, &identity, &peer, || false).await;
                connected.map(drop).map_err(|error| error.to_string())
            }
            (Side::Lookup, _) => {
                let found = client::lookup("127.0.0.1", port, "frontend").await;
                found.map(drop).map_err(|error| error.to_string())
            }
            (_, _) => {
                let registered = client::register(port, "sidekick", 4000, false).await;
                registered.map(drop).map_err(|error| error.to_string())
            }
        };
        speech.abort();
        met
    }
}

/// Says it, as far as anybody listens, and then that nothing more will come; takes what the other end says.
async fn say(mut stream: TcpStream, says: Bytes) {
    let (mut reader, mut writer) = stream.split();
    let speech = async {
        let _ = writer.write_all(&says).await;
        let _ = writer.shutdown().await;
    };
    let mut ignored = [0; 256];
    let ears = async { while matches!(reader.read(&mut ignored).await, Ok(1..)) {} };
    tokio::join!(speech, ears);
}

/// A message of the handshake.
pub fn message(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u16).to_be_bytes()[..], body].concat()
}

/// The longest message that begins so.
fn longest(first: u8, filler: u8) -> Vec<u8> {
    let mut body = vec![filler; 65_535];
    body[0] = first;
    message(&body)
}

/// The first message of who connects, under this name.
fn says_name(name: &[u8]) -> Vec<u8> {
    let mut body = vec![b'N'];
    body.put_u64(0x0d07_df7f_bd00);
    body.put_u32(1);
    body.put_u16(name.len() as u16);
    body.put_slice(name);
    message(&body)
}

fn who_connect() -> Vec<(&'static str, Vec<u8>)> {
    let guess = message(&[&[b'r'][..], &[0; 20]].concat());
    vec![
        ("the longest name", says_name(&vec![b'a'; 65_000])),
        ("the longest old name", longest(b'n', b'a')),
        (
            "a name of control characters",
            says_name(b"a\n\x1b[31m@b\0"),
        ),
        ("a name without a host", says_name(b"node")),
        ("a name that is no text", says_name(&[0xff, b'@', 0xfe])),
        ("a long unknown message", longest(b'x', 0)),
        ("empty messages", vec![0; 100_000]),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000)),
        (
            "TLS",
            [&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &vec![7; 60_000]].concat(),
        ),
        ("nothing", Vec::new()),
        ("a guess", [says_name(b"a@b"), guess].concat()),
    ]
}

fn who_are_connected_to() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("the longest status", longest(b's', b'a')),
        ("the longest status, no text", longest(b's', 0xff)),
        (
            "a name nobody asked for",
            message(b"snamed:\0\x03a@b\0\0\0\x01"),
        ),
        ("a name cut short", message(b"snamed:\xff\xffa@b")),
        (
            "the longest challenge",
            [message(b"sok"), longest(b'N', b'a')].concat(),
        ),
        ("a status for ever", message(b"sok").repeat(20_000)),
        ("a refusal", message(b"snot_allowed")),
        ("silence after alive", message(b"salive")),
    ]
}

fn who_pose_as_port_mappers() -> Vec<(&'static str, Vec<u8>)> {
    let found = |name: &[u8], extra: usize| {
        let mut answer = vec![119, 0, 0x10, 0, 72, 0, 0, 6, 0, 5];
        for field in [name, &vec![0; extra]] {
            answer.put_u16(field.len() as u16);
            answer.put_slice(field);
        }
        answer
    };
    vec![
        (
            "the longest name and more",
            found(&vec![b'a'; 65_535], 65_535),
        ),
        ("more than was asked", found(b"frontend", 65_535)),
        ("an endless answer", vec![119; 1 << 20]),
        ("an answer cut short", vec![119, 0, 0x10]),
        ("no answer", Vec::new()),
    ]
}

fn who_do_not_register() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("an unknown answer", vec![7; 1000]),
        ("an answer cut short", vec![118, 0, 1, 2]),
        ("a refusal", vec![118, 1, 0, 0, 0, 1]),
    ]
}

/// The worst that strangers say in one breath.
pub fn all() -> Vec<Stranger> {
    let of = |side, list: Vec<(&str, Vec<u8>)>| {
        let make = move |(what, says)| Stranger {
            what: format!("{side:?}: {what}"),
            side,
            says: Bytes::from(says),
        };
        list.into_iter().map(make).collect::<Vec<_>>()
    };
    [
        of(Side::Accept, who_connect()),
        of(Side::Connect, who_are_connected_to()),
        of(Side::Lookup, who_pose_as_port_mappers()),
        of(Side::Register, who_do_not_register()),
    ]
    .concat()
}

/// Runs it to its end on a runtime of its own.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work)
}

/// Reads frames off a connection whose other end shook hands and then says this, to its end; gives how many made sense.
pub async fn frames(says: &[u8]) -> usize {
    let (near, far) = pair().await;
    let ours = identity();
    let mut theirs = identity();
    theirs.name = "frontend@127.0.0.1".parse().unwrap();
    let (accepted, connected) = tokio::join!(
        handshake::accept(near, &ours, |_| std::future::ready(Verdict::Ok)),
        handshake::connect(far, &theirs, &ours.name, || false),
    );
    let (accepted, connected) = (accepted.unwrap(), connected.unwrap());
    let mut reader = Reader::new(accepted.stream, Arc::default(), 1 << 20);
    let reading = async {
        let mut messages = 0;
        while reader.next().await.is_ok() {
            messages += 1;
        }
        messages
    };
    let speech = async move {
        let mut rest = says;
        while !rest.is_empty() && connected.stream.writable().await.is_ok() {
            match connected.stream.try_write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
    };
    tokio::join!(reading, speech).0
}

/// A port mapper of ours hears this, and then still answers others.
pub async fn ask_port_mapper(says: &[u8]) {
    let server = Server::start(0).await.unwrap();
    let stream = TcpStream::connect(("127.0.0.1", server.port()))
        .await
        .unwrap();
    let speech = tokio::spawn(say(stream, Bytes::copy_from_slice(says)));
    let found = client::lookup("127.0.0.1", server.port(), "nobody").await;
    assert!(matches!(found, Ok(None)), "{found:?}");
    speech.abort();
}
