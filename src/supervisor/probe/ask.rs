//! One probe. Nothing here waits longer than the caller's timeout lets it.

use super::http;
use super::{ProbeKind, ProbeSpec};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::{TcpStream, UdpSocket};

/// Longest datagram.
const DATAGRAM_MAX: usize = 64 << 10;

/// Asks once. Cancel-safe: dropping it closes its socket.
///
/// # Errors
/// What went wrong, in few words.
pub async fn once(spec: &ProbeSpec) -> Result<(), String> {
    match &spec.kind {
        ProbeKind::Tcp => connect(spec.address).await.map(drop),
        ProbeKind::Udp { payload, expect } => datagram(spec.address, payload, expect).await,
        ProbeKind::Http { path, status } => {
            let stream = connect(spec.address).await?;
            let got = http::get(stream, spec.address, path).await?;
            let fits = status.map_or_else(|| (200..=299).contains(&got), |status| status == got);
            if fits {
                Ok(())
            } else {
                Err(format!("it answers with status {got}"))
            }
        }
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| format!("cannot connect: {error}"))?;
    // Where nothing listens, a connection to a port that the kernel gave to this very socket succeeds: it is its own peer.
    if stream.local_addr().is_ok_and(|own| own == address) {
        return Err("cannot connect: nothing listens there".to_owned());
    }
    Ok(stream)
}

async fn datagram(address: SocketAddr, payload: &[u8], expect: &[u8]) -> Result<(), String> {
    let failed = |what: &str, error: &std::io::Error| format!("cannot {what}: {error}");
    let any: SocketAddr = if address.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(any)
        .await
        .map_err(|error| failed("open a socket", &error))?;
    // Only its answers are seen, and a refusal by the kernel is told.
    socket
        .connect(address)
        .await
        .map_err(|error| failed("connect", &error))?;
    socket
        .send(payload)
        .await
        .map_err(|error| failed("send", &error))?;
    let mut answer = vec![0; DATAGRAM_MAX];
    let length = socket
        .recv(&mut answer)
        .await
        .map_err(|error| failed("receive", &error))?;
    if answer[..length].starts_with(expect) {
        Ok(())
    } else {
        Err("its answer begins with something else".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn spec(kind: ProbeKind, address: SocketAddr) -> ProbeSpec {
        ProbeSpec {
            kind,
            address,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            failures: 1,
        }
    }

    #[tokio::test]
    async fn a_datagram_is_judged_by_how_its_answer_begins() {
        let server = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
        let address = server.local_addr().expect("has one");
        let ask = |expect: &[u8]| {
            let kind = ProbeKind::Udp {
                payload: b"ping".to_vec(),
                expect: expect.to_vec(),
            };
            let spec = spec(kind, address);
            tokio::spawn(async move { once(&spec).await })
        };
        for (expect, fits) in [(&b"po"[..], true), (b"", true), (b"pong!", false)] {
            let asked = ask(expect);
            let mut got = [0; 16];
            let (length, from) = server.recv_from(&mut got).await.expect("receives");
            assert_eq!(&got[..length], b"ping");
            server.send_to(b"pong", from).await.expect("sends");
            assert_eq!(asked.await.expect("ends").is_ok(), fits, "{expect:?}");
        }
        drop(server);
        let refused = ask(b"").await.expect("ends").expect_err("nobody is there");
        assert!(refused.contains("refused"), "{refused}");
    }

    #[tokio::test]
    async fn a_port_is_open_or_refused() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("binds");
        let address = server.local_addr().expect("has one");
        assert_eq!(once(&spec(ProbeKind::Tcp, address)).await, Ok(()));
        drop(server);
        let refused = once(&spec(ProbeKind::Tcp, address)).await;
        assert!(refused.is_err_and(|error| error.contains("cannot connect")));
    }
}
