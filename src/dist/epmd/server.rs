//! The port mapper's protocol, served where the machine has no Erlang.
//!
//! The loopback addresses are bound, and where the node listens elsewhere that address too, so that peers of other
//! machines find it. They may ask, but only this machine's nodes can register. Requests are length-prefixed; the registration of a node lives as long as the connection that made it.

use crate::dist::gate::Gate;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Longest request accepted.
const REQUEST_BYTES_MAX: usize = 1024;
/// How long a client may take over its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Most connections at once; every registered node holds one.
const CONNECTIONS_MAX: usize = 512;

#[derive(Clone, Debug)]
struct Entry {
    port: u16,
    kind: u8,
    protocol: u8,
    highest: u16,
    lowest: u16,
    extra: Bytes,
    creation: u32,
}

type Nodes = Arc<Mutex<HashMap<Bytes, Entry>>>;

/// What all its clients' tasks need.
struct Shared {
    port: u16,
    nodes: Nodes,
    connections: Arc<Semaphore>,
    /// For clients elsewhere: they have no business that takes time.
    gate: Gate,
}

/// A running port mapper; dropping it stops it and forgets its registrations.
#[derive(Debug)]
pub struct Server {
    port: u16,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Binds 127.0.0.1, and `::1` where there is one, and serves from then on.
    pub async fn start(port: u16) -> std::io::Result<Self> {
        Self::start_at(port, None).await
    }

    /// Binds an address for other machines besides. Where that cannot be bound, this machine is served all the same.
    pub async fn start_at(port: u16, outside: Option<IpAddr>) -> std::io::Result<Self> {
        // An address that stands for all includes the loopback ones.
        let (v4, v6) = match outside {
            Some(IpAddr::V4(any)) if any.is_unspecified() => (any, Ipv6Addr::LOCALHOST),
            Some(IpAddr::V6(any)) if any.is_unspecified() => (Ipv4Addr::UNSPECIFIED, any),
            _ => (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST),
        };
        let first = TcpListener::bind((v4, port)).await?;
        let port = first.local_addr()?.port();
        let mut listeners = vec![first];
        let mut others = vec![IpAddr::V6(v6)];
        others.extend(outside.filter(|address| !address.is_unspecified()));
        for address in others {
            match bind_alone((address, port).into()) {
                Ok(listener) => listeners.push(listener),
                Err(error) => {
                    tracing::debug!(%address, port, %error, "the port mapper is not served there");
                }
            }
        }
        let shared = Arc::new(Shared {
            port,
            nodes: Nodes::default(),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            gate: Gate::default(),
        });
        let tasks = listeners
            .into_iter()
            .map(|listener| accept(listener, shared.clone()))
            .collect();
        Ok(Self {
            port,
            _tasks: tasks,
        })
    }

    /// The port it serves.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Binds an address of IPv6 for IPv6 alone: IPv4 has a listener of its own.
fn bind_alone(address: SocketAddr) -> std::io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(128)?;
    TcpListener::from_std(socket.into())
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut clients = JoinSet::new();
    loop {
        while clients.try_join_next().is_some() {}
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of descriptors: wait for some to be freed.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let shared = shared.clone();
        let own = stream.local_addr().map(|own| own.ip());
        if own.is_ok_and(|own| is_here(own, peer.ip())) {
            let Ok(permit) = shared.connections.clone().try_acquire_owned() else {
                continue;
            };
            clients.spawn(async move {
                let _permit = permit;
                serve(stream, true, &shared).await;
            });
        } else if let Some(pass) = shared.gate.enter(peer.ip()) {
            clients.spawn(async move {
                tokio::select! {
                    () = serve(stream, false, &shared) => {}
                    () = pass.gives_way.cancelled() => {}
                }
            });
        }
    }
}

/// Whether a client is on this machine: only then it may register.
fn is_here(own: IpAddr, peer: IpAddr) -> bool {
    peer.to_canonical().is_loopback() || own == peer
}

async fn serve(stream: TcpStream, may_register: bool, shared: &Shared) {
    if let Err(error) = answer(stream, may_register, shared).await {
        tracing::debug!(%error, "port mapper client ended");
    }
}

async fn answer(mut stream: TcpStream, may_register: bool, shared: &Shared) -> std::io::Result<()> {
    let (port, nodes) = (shared.port, &shared.nodes);
    let mut request = match timeout(REQUEST_TIMEOUT, read_request(&mut stream)).await {
        Ok(request) => request?,
        Err(_) => return Ok(()),
    };
    let peer = stream.peer_addr()?;
    match request.try_get_u8().unwrap_or(0) {
        120 if may_register => register(stream, peer, request, nodes).await,
        122 => stream.write_all(&port_please(&request, nodes)).await,
        110 => stream.write_all(&listing(port, "name ", "", nodes)).await,
        100 => {
            stream
                .write_all(&listing(port, "active name     ", ", fd = 0", nodes))
                .await
        }
        // Requests to kill or stop: refused, the port mapper ends with sidekick.
        107 | 115 => stream.write_all(b"NO").await,
        _ => Ok(()),
    }
}

async fn read_request(stream: &mut TcpStream) -> std::io::Result<Bytes> {
    let len = usize::from(stream.read_u16().await?);
    if len > REQUEST_BYTES_MAX {
        return Err(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "request too long",
        ));
    }
    let mut request = vec![0; len];
    stream.read_exact(&mut request).await?;
    Ok(request.into())
}

async fn register(
    mut stream: TcpStream,
    peer: SocketAddr,
    request: Bytes,
    nodes: &Nodes,
) -> std::io::Result<()> {
    let Some((name, mut entry)) = parse_alive(request) else {
        return Ok(());
    };
    let result = {
        let mut nodes = nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if nodes.contains_key(&name) {
            1
        } else {
            // Creations 0 to 3 mean something else to old nodes.
            entry.creation = rand::random_range(4..=u32::MAX);
            nodes.insert(name.clone(), entry.clone());
            0
        }
    };
    let _registered = (result == 0).then(|| Registered {
        name,
        creation: entry.creation,
        nodes,
    });
    let mut answer = BytesMut::new();
    if entry.highest >= 6 {
        answer.put_u8(118);
        answer.put_u8(result);
        answer.put_u32(entry.creation);
    } else {
        answer.put_u8(121);
        answer.put_u8(result);
        answer.put_u16(entry.creation as u16 % 3 + 1);
    }
    stream.write_all(&answer).await?;
    tracing::debug!(%peer, result, "port mapper registration");
    // Nothing more is said on this connection; its end is what counts.
    let mut rest = [0; 64];
    while result == 0 && stream.read(&mut rest).await? > 0 {}
    Ok(())
}

/// Takes the name out when its connection ends.
struct Registered<'a> {
    name: Bytes,
    creation: u32,
    nodes: &'a Nodes,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if nodes
            .get(&self.name)
            .is_some_and(|entry| entry.creation == self.creation)
        {
            nodes.remove(&self.name);
        }
    }
}

fn parse_alive(mut request: Bytes) -> Option<(Bytes, Entry)> {
    let entry = Entry {
        port: request.try_get_u16().ok()?,
        kind: request.try_get_u8().ok()?,
        protocol: request.try_get_u8().ok()?,
        highest: request.try_get_u16().ok()?,
        lowest: request.try_get_u16().ok()?,
        extra: Bytes::new(),
        creation: 0,
    };
    let name = take_field(&mut request)?;
    let extra = take_field(&mut request)?;
    let valid = (1..=255).contains(&name.len())
        && std::str::from_utf8(&name).is_ok_and(|n| !n.contains(|c: char| c.is_control()));
    valid.then_some((name, Entry { extra, ..entry }))
}

fn take_field(request: &mut Bytes) -> Option<Bytes> {
    let len = usize::from(request.try_get_u16().ok()?);
    (len <= request.len()).then(|| request.split_to(len))
}

fn port_please(name: &Bytes, nodes: &Nodes) -> BytesMut {
    let nodes = nodes.lock().unwrap_or_else(PoisonError::into_inner);
    let mut answer = BytesMut::new();
    answer.put_u8(119);
    let Some(entry) = nodes.get(name) else {
        answer.put_u8(1);
        return answer;
    };
    answer.put_u8(0);
    answer.put_u16(entry.port);
    answer.put_u8(entry.kind);
    answer.put_u8(entry.protocol);
    answer.put_u16(entry.highest);
    answer.put_u16(entry.lowest);
    for field in [name, &entry.extra] {
        answer.put_u16(field.len() as u16);
        answer.put_slice(field);
    }
    answer
}

fn listing(port: u16, before: &str, after: &str, nodes: &Nodes) -> BytesMut {
    let nodes = nodes.lock().unwrap_or_else(PoisonError::into_inner);
    let mut answer = BytesMut::new();
    answer.put_u32(u32::from(port));
    for (name, entry) in nodes.iter() {
        let name = String::from_utf8_lossy(name);
        answer.put_slice(format!("{before}{name} at port {}{after}\n", entry.port).as_bytes());
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_may_register() {
        let here = |own: &str, peer: &str| is_here(own.parse().unwrap(), peer.parse().unwrap());
        assert!(here("127.0.0.1", "127.0.0.1") && here("::1", "::1"));
        assert!(here("10.0.0.1", "10.0.0.1") && here("::ffff:127.0.0.1", "::ffff:127.0.0.2"));
        assert!(!here("10.0.0.1", "10.0.0.2") && !here("2001:db8::1", "2001:db8::2"));
    }

    #[tokio::test]
    async fn all_addresses_include_the_loopback_ones() {
        for outside in ["0.0.0.0", "::"] {
            let server = Server::start_at(0, Some(outside.parse().unwrap()))
                .await
                .unwrap();
            for address in ["127.0.0.1", "::1"] {
                let mut client = TcpStream::connect((address, server.port())).await.unwrap();
                client.write_all(&[0, 1, 110]).await.unwrap();
                let mut answer = Vec::new();
                client.read_to_end(&mut answer).await.unwrap();
                assert_eq!(answer, u32::from(server.port()).to_be_bytes());
            }
        }
    }
}
