//! A small HTTP/1.1 server (RFC 9112) that says who it is and whom it saw.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::Result;

use super::TcpService;
use crate::Place;

/// Longest request head, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// Longest request body that is read (and thrown away), in bytes.
const MAX_BODY: u64 = 1024 * 1024;

/// How long a kept-alive connection may be idle.
const IDLE: Duration = Duration::from_secs(60);

/// Answers any request with its name in header `x-server`, the client's address in `x-peer`, and
/// both in the body.
#[derive(Debug)]
pub struct Http {
    service: TcpService,
}

impl Http {
    /// Listens on `address` in `place` and answers as `name`.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn start(place: &Place, address: SocketAddr, name: &str) -> Result<Self> {
        let name = name.to_owned();
        let service = TcpService::start(place, address, move |stream| {
            // A client that leaves or talks nonsense ends its own connection only.
            drop(serve(stream, &name));
        })?;
        Ok(Self { service })
    }

    /// Its listener and connections.
    pub fn service(&self) -> &TcpService {
        &self.service
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.service.address()
    }
}

/// Serves one connection until it ends.
///
/// # Errors
/// When the client breaks off, stays idle for a minute, or sends what is not HTTP/1.1.
pub fn serve(mut stream: TcpStream, name: &str) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(IDLE))?;
    let peer = stream.peer_addr()?;
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer)? {
        let body = format!("{name} saw {peer}\n");
        let connection = if request.keep_alive {
            "keep-alive"
        } else {
            "close"
        };
        let status = if request.understood {
            "200 OK"
        } else {
            "400 Bad Request"
        };
        let response = format!(
            "HTTP/1.1 {status}\r\nx-server: {name}\r\nx-peer: {peer}\r\ncontent-type: text/plain\r\n\
             content-length: {}\r\nconnection: {connection}\r\n\r\n{}",
            body.len(),
            if request.head_only { "" } else { &body },
        );
        stream.write_all(response.as_bytes())?;
        if !request.keep_alive {
            break;
        }
    }
    Ok(())
}

struct Request {
    understood: bool,
    head_only: bool,
    keep_alive: bool,
}

/// The next request, or none when the client closed between requests.
fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let Some(end) = read_head(stream, buffer)? else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end);
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let understood = first.split(' ').count() == 3 && first.ends_with(" HTTP/1.1");
    let mut length = 0_u64;
    let mut keep_alive = understood;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().unwrap_or(u64::MAX);
        } else if name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close") {
            keep_alive = false;
        }
    }
    let readable = length <= MAX_BODY;
    if readable {
        skip(stream, buffer, length)?;
    }
    Ok(Some(Request {
        understood: understood && readable,
        head_only: first.starts_with("HEAD "),
        keep_alive: keep_alive && readable,
    }))
}

/// Reads until the empty line; gives the length of the head with it.
fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<usize>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            return Ok(Some(end + 4));
        }
        if buffer.len() > MAX_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk)? {
            0 if buffer.is_empty() => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => buffer.extend_from_slice(&chunk[..n]),
        }
    }
}

fn skip(stream: &mut TcpStream, buffer: &mut Vec<u8>, length: u64) -> io::Result<()> {
    let buffered = length.min(buffer.len() as u64);
    buffer.drain(..usize::try_from(buffered).unwrap_or(buffer.len()));
    let rest = length - buffered;
    let read = io::copy(&mut stream.take(rest), &mut io::sink())?;
    if read < rest {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}
