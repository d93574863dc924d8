//! The port mapper's protocol, served where the machine has no Erlang.
//!
//! Only loopback addresses are bound, so only this machine's nodes can register or ask. Requests are
//! length-prefixed; the registration of a node lives as long as the connection that made it.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
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

/// A running port mapper; dropping it stops it and forgets its registrations.
#[derive(Debug)]
pub struct Server {
    port: u16,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Binds 127.0.0.1, and `::1` where there is one, and serves from then on.
    pub async fn start(port: u16) -> std::io::Result<Self> {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let port = first.local_addr()?.port();
        let nodes = Nodes::default();
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(first, port, nodes.clone(), connections.clone()));
        if let Ok(second) = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
            tasks.spawn(accept(second, port, nodes, connections));
        }
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

async fn accept(listener: TcpListener, port: u16, nodes: Nodes, connections: Arc<Semaphore>) {
    let mut clients = JoinSet::new();
    loop {
        while clients.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors: wait for some to be freed.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(permit) = connections.clone().try_acquire_owned() else {
            continue;
        };
        let nodes = nodes.clone();
        clients.spawn(async move {
            let _permit = permit;
            if let Err(error) = serve(stream, port, nodes).await {
                tracing::debug!(%error, "port mapper client ended");
            }
        });
    }
}

async fn serve(mut stream: TcpStream, port: u16, nodes: Nodes) -> std::io::Result<()> {
    let mut request = match timeout(REQUEST_TIMEOUT, read_request(&mut stream)).await {
        Ok(request) => request?,
        Err(_) => return Ok(()),
    };
    let peer = stream.peer_addr()?;
    match request.try_get_u8().unwrap_or(0) {
        120 => register(stream, peer, request, &nodes).await,
        122 => stream.write_all(&port_please(&request, &nodes)).await,
        110 => stream.write_all(&listing(port, "name ", "", &nodes)).await,
        100 => {
            stream
                .write_all(&listing(port, "active name     ", ", fd = 0", &nodes))
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
