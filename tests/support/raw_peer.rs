//! A peer that shakes hands and then writes and reads frames as the test says: for what stock OTP does not let one see.

#![allow(dead_code, clippy::unwrap_used)]

use bytes::BytesMut;
use sidekick::dist::control::Control;
use sidekick::dist::handshake::{self, Identity, Peer};
use sidekick::dist::link::{Message, Pulse, Reader};
use sidekick::dist::{Cookie, NodeName};
use sidekick::etf::{Atom, Pid};
use sidekick::node::Node;
use std::io::ErrorKind;
use std::sync::Arc;
use tokio::net::TcpStream;

/// Largest frame it reads.
const FRAME_BYTES_MAX: usize = 256 << 20;

/// A connected peer.
pub struct RawPeer {
    peer: Peer,
    reader: Reader,
    /// A pid of its own.
    pub pid: Pid,
}

impl RawPeer {
    /// Connects to the node under this name.
    pub async fn connect(node: &Node, name: &str, cookie: &str) -> Self {
        let stream = TcpStream::connect(node.listen_address()).await.unwrap();
        let identity = Identity {
            name: name.parse::<NodeName>().unwrap(),
            creation: 7,
            cookie: Cookie::new(cookie),
            visible: false,
            monitors: true,
        };
        let peer = handshake::connect(stream, &identity, node.name(), || false)
            .await
            .unwrap();
        let pid = Pid {
            node: Atom::new(name),
            id: 1,
            serial: 0,
            creation: 7,
        };
        let pulse = Arc::new(Pulse::default());
        let reader = Reader::new(peer.stream.clone(), pulse, FRAME_BYTES_MAX);
        Self { peer, reader, pid }
    }

    /// Writes bytes, whole frames or not.
    pub async fn write(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.peer.stream.writable().await.unwrap();
            match self.peer.stream.try_write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => panic!("the node hung up: {e}"),
            }
        }
    }

    /// Writes a frame.
    pub async fn say(&self, frame: impl FnOnce(&mut BytesMut)) {
        let mut bytes = BytesMut::new();
        frame(&mut bytes);
        self.write(&bytes).await;
    }

    /// The next message of the node.
    pub async fn next(&mut self) -> Message {
        self.reader.next().await.unwrap()
    }

    /// The next message's control part.
    pub async fn next_control(&mut self) -> Control {
        self.next().await.control
    }
}
