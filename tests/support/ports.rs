//! Ports for what tests start.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};

/// A free port outside the range from which the system takes ports by itself. It is this test program's own for as long as
/// it runs: whoever asks here holds the UDP port of the same number, which nothing else wants.
pub fn free_port() -> u16 {
    loop {
        let port = rand::random_range(20_000..32_000);
        let Ok(mark) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) else {
            continue;
        };
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
            && TcpListener::bind((Ipv6Addr::LOCALHOST, port))
                .map_or_else(|e| e.kind() != std::io::ErrorKind::AddrInUse, |_| true);
        if free {
            std::mem::forget(mark);
            return port;
        }
    }
}
