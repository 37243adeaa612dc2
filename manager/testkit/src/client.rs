//! Clients. They run in the calling thread's namespace and cgroup, so call them inside
//! [`Place::run`](crate::Place::run) or [`Place::spawn`](crate::Place::spawn).

pub mod http;

pub mod udp;

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

pub use self::{
    http::{HttpClient, Response, fetch},
    udp::{UdpClient, ask_connected},
};

/// Connects with read and write timeouts set.
///
/// # Errors
/// What `connect` said; `TimedOut` after `timeout`.
pub fn connect(to: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, timeout)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    Ok(stream)
}

/// Connects to an [`Echo`](crate::server::Echo) and reads its name.
///
/// # Errors
/// What `connect` or `read` said; `UnexpectedEof` when the server said nothing.
pub fn greeting(to: SocketAddr, timeout: Duration) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(connect(to, timeout)?).read_line(&mut line)?;
    if line.pop() != Some('\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line)
}

/// Sends `payload` and reads as many bytes back.
///
/// # Errors
/// What `write` or `read` said.
pub fn round_trip(stream: &mut TcpStream, payload: &[u8]) -> io::Result<Vec<u8>> {
    round_trip_of(stream, payload, payload.len())
}

/// Sends `payload` and reads `length` bytes.
///
/// # Errors
/// What `write` or `read` said.
pub fn round_trip_of(stream: &mut TcpStream, payload: &[u8], length: usize) -> io::Result<Vec<u8>> {
    stream.write_all(payload)?;
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// An IPv4 address as an IPv6 socket dials it (RFC 4291 2.5.5.2); an IPv6 address is unchanged.
pub fn mapped(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(v4) => SocketAddr::new(IpAddr::V6(v4.to_ipv6_mapped()), address.port()),
        IpAddr::V6(_) => address,
    }
}
