//! Peers that know the cookie and do as they like, and a good one that must not feel any of it.

#![allow(dead_code, clippy::unwrap_used)]

use crate::beam::{COOKIE, Epmd, unique};
use crate::echo;
use bytes::{BufMut, BytesMut};
use sidekick::dist::Cookie;
use sidekick::dist::handshake::{self, Identity, Peer};
use sidekick::etf::{self, Atom, Pid, Reference, Term};
use sidekick::node::{Faults, Node, Signal};
use sidekick::shutdown::Shutdown;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// A peer that passed the handshake and then does as it likes.
pub struct Rogue {
    pub peer: Peer,
    pub pid: Pid,
    /// The same socket, for a thread that blocks on it.
    blocking: std::net::TcpStream,
}

impl Rogue {
    pub async fn connect(node: &Node) -> Self {
        let name = unique("rogue");
        let blocking = std::net::TcpStream::connect(node.listen_address()).unwrap();
        let socket = blocking.try_clone().unwrap();
        socket.set_nonblocking(true).unwrap();
        let stream = TcpStream::from_std(socket).unwrap();
        let identity = Identity {
            name: name.parse().unwrap(),
            creation: 7,
            cookie: Cookie::new(COOKIE),
            visible: false,
            monitors: true,
        };
        let peer = handshake::connect(stream, &identity, node.name(), || false)
            .await
            .unwrap();
        let pid = Pid {
            node: Atom::new(&name),
            id: 1,
            serial: 0,
            creation: 7,
        };
        Self {
            peer,
            pid,
            blocking,
        }
    }

    /// The socket itself; it does not block, so a writer has to be patient.
    pub fn socket(&self) -> std::net::TcpStream {
        self.blocking.try_clone().unwrap()
    }

    /// A reference of its own.
    pub fn reference(&self, number: u32) -> Reference {
        Reference::new(
            self.pid.node.clone(),
            7,
            &[number & 0x3_ffff, number >> 18, 9],
        )
        .unwrap()
    }

    /// Writes as much as the node takes within a while.
    pub async fn write(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.peer.stream.writable().await.is_err() {
                return;
            }
            match self.peer.stream.try_write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    /// Completes once the node has hung up.
    pub async fn hung_up(&self) {
        let mut buffer = [0; 4096];
        loop {
            if self.peer.stream.readable().await.is_err() {
                return;
            }
            match self.peer.stream.try_read(&mut buffer) {
                Ok(0) => return,
                Err(e) if e.kind() != std::io::ErrorKind::WouldBlock => return,
                _ => {}
            }
        }
    }

    /// The next frame of the node that is no tick, with its length.
    pub async fn first_frame(&self) -> Vec<u8> {
        loop {
            let length = self.read_exact(4).await;
            let bytes = u32::from_be_bytes(length[..].try_into().unwrap()) as usize;
            if bytes > 0 {
                return [length, self.read_exact(bytes).await].concat();
            }
        }
    }

    async fn read_exact(&self, bytes: usize) -> Vec<u8> {
        let (mut all, mut filled) = (vec![0; bytes], 0);
        while filled < bytes {
            self.peer.stream.readable().await.unwrap();
            match self.peer.stream.try_read(&mut all[filled..]) {
                Ok(0) => panic!("the node hung up"),
                Ok(n) => filled += n,
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(e) => panic!("{e}"),
            }
        }
        all
    }
}

/// A node with a process `lobby`, and a good peer of it.
pub struct House {
    pub node: Node,
    /// What reached `lobby` and was no call.
    pub others: mpsc::UnboundedReceiver<Signal>,
    pub lobby: Pid,
    friend: Node,
    _epmd: Epmd,
}

impl House {
    pub async fn open() -> Self {
        Self::open_with(Faults::default()).await
    }

    /// With something taken away from the node.
    pub async fn open_with(faults: Faults) -> Self {
        let epmd = Epmd::start().await;
        let mut options = echo::options(&unique("sidekick"), COOKIE, epmd.port);
        options.faults = faults;
        options.frame_bytes_max = 1 << 20;
        options.queue_bytes_max = 8 << 20;
        let node = Node::start(options, Shutdown::new()).await.unwrap();
        node.serve_functions(echo::sums());
        let (lobby, others) = echo::echo(&node, "lobby");
        let friend = echo::node(&unique("friend"), COOKIE, epmd.port).await;
        friend.connect(node.name()).await.unwrap();
        Self {
            node,
            others,
            lobby,
            friend,
            _epmd: epmd,
        }
    }

    /// The good peer asks and is answered, soon.
    pub async fn is_well(&self) {
        let number = Term::Int(rand::random_range(0..1000));
        let request = Term::tuple([Term::atom("echo"), number.clone()]);
        let patience = Duration::from_secs(10);
        let answer = self
            .friend
            .call("lobby", self.node.name(), request, patience)
            .await;
        assert_eq!(answer.unwrap(), number);
        let from_friend = self
            .node
            .peers()
            .iter()
            .any(|peer| peer.node == *self.friend.name());
        assert!(from_friend);
    }

    /// How many peers there are beside the good one.
    pub fn rogues(&self) -> usize {
        self.node.peers().len().saturating_sub(1)
    }
}

/// A frame around these bytes.
pub fn frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes()[..], body].concat()
}

/// A pass-through frame with this control message and, where there is one, this payload.
pub fn control(message: &Term, payload: Option<&Term>) -> Vec<u8> {
    let mut body = BytesMut::new();
    body.put_u8(112);
    body.put_slice(&etf::encode(message));
    if let Some(payload) = payload {
        body.put_slice(&etf::encode(payload));
    }
    frame(&body)
}

/// A control message of this operation and these fields.
pub fn operation(number: i64, fields: &[Term]) -> Term {
    let mut elements = vec![Term::Int(number)];
    elements.extend_from_slice(fields);
    Term::Tuple(elements)
}
