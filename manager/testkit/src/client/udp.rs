//! UDP clients, connected and not.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

/// An unconnected socket: sees where replies come from.
#[derive(Debug)]
pub struct UdpClient {
    socket: UdpSocket,
}

impl UdpClient {
    /// A socket of the family of `to`, on any port.
    ///
    /// # Errors
    /// What `bind` said.
    pub fn new(to: SocketAddr, timeout: Duration) -> io::Result<Self> {
        let socket = bind_any(to)?;
        socket.set_read_timeout(Some(timeout))?;
        Ok(Self { socket })
    }

    /// The socket itself.
    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Sends a datagram and waits for one: its text and its source address.
    ///
    /// # Errors
    /// What `sendto` or `recvfrom` said; `WouldBlock` when nothing came in time.
    pub fn ask(&self, to: SocketAddr, payload: &str) -> io::Result<(String, SocketAddr)> {
        self.socket.send_to(payload.as_bytes(), to)?;
        let mut buffer = [0; 2048];
        let (length, source) = self.socket.recv_from(&mut buffer)?;
        Ok((text(&buffer[..length]), source))
    }
}

/// Asks on a connected socket of its own: the reply's text.
///
/// # Errors
/// What `connect`, `send` or `recv` said; `WouldBlock` when nothing came in time.
pub fn ask_connected(to: SocketAddr, payload: &str, timeout: Duration) -> io::Result<String> {
    let socket = bind_any(to)?;
    socket.set_read_timeout(Some(timeout))?;
    socket.connect(to)?;
    socket.send(payload.as_bytes())?;
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer)?;
    Ok(text(&buffer[..length]))
}

fn bind_any(to: SocketAddr) -> io::Result<UdpSocket> {
    if to.is_ipv6() {
        UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))
    } else {
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
