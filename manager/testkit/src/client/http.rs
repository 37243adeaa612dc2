//! An HTTP/1.1 client that keeps its connection.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use super::connect;

/// Longest body that is read, in bytes.
const MAX_BODY: usize = 1024 * 1024;

/// What a server answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Header `x-server`: who answered.
    pub server: String,
    /// Header `x-peer`: whom the server saw.
    pub peer: Option<SocketAddr>,
    /// Body.
    pub body: String,
}

/// One kept-alive connection.
#[derive(Debug)]
pub struct HttpClient {
    stream: BufReader<TcpStream>,
    host: SocketAddr,
}

impl HttpClient {
    /// Connects; `timeout` holds for the connection and for each later read and write.
    ///
    /// # Errors
    /// What `connect` said.
    pub fn connect(to: SocketAddr, timeout: Duration) -> io::Result<Self> {
        Ok(Self {
            stream: BufReader::new(connect(to, timeout)?),
            host: to,
        })
    }

    /// The connection itself, for `getpeername` and the like.
    pub fn stream(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    /// Sends `GET path` and reads the answer.
    ///
    /// # Errors
    /// What `read` or `write` said; `InvalidData` when the answer is not HTTP.
    pub fn request(&mut self, path: &str) -> io::Result<Response> {
        let host = self.host;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.read_response()
    }

    fn read_response(&mut self) -> io::Result<Response> {
        let first = self.read_line()?;
        let status = first
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3))
            .and_then(|code| code.parse().ok())
            .ok_or(io::ErrorKind::InvalidData)?;
        let mut response = Response {
            status,
            server: String::new(),
            peer: None,
            body: String::new(),
        };
        let mut framing = Framing::UntilClose;
        loop {
            let line = self.read_line()?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "x-server" => value.clone_into(&mut response.server),
                "x-peer" => response.peer = value.parse().ok(),
                "content-length" => {
                    let length = value.parse().map_err(|_bad| io::ErrorKind::InvalidData)?;
                    framing = Framing::Length(length);
                }
                "transfer-encoding" if value == "chunked" => framing = Framing::Chunked,
                _ => {}
            }
        }
        response.body = self.read_body(framing)?;
        Ok(response)
    }

    fn read_body(&mut self, framing: Framing) -> io::Result<String> {
        let mut body = Vec::new();
        match framing {
            Framing::Length(length) => self.read_exactly(length, &mut body)?,
            Framing::Chunked => loop {
                let size = self.read_line()?;
                let size = usize::from_str_radix(size.split(';').next().unwrap_or_default(), 16)
                    .map_err(|_bad| io::ErrorKind::InvalidData)?;
                self.read_exactly(size, &mut body)?;
                self.read_line()?;
                if size == 0 {
                    break;
                }
            },
            Framing::UntilClose => {
                (&mut self.stream)
                    .take(MAX_BODY as u64)
                    .read_to_end(&mut body)?;
            }
        }
        String::from_utf8(body).map_err(|_bad| io::ErrorKind::InvalidData.into())
    }

    fn read_exactly(&mut self, length: usize, body: &mut Vec<u8>) -> io::Result<()> {
        let start = body.len();
        if length > 64 * MAX_BODY - start {
            return Err(io::ErrorKind::InvalidData.into());
        }
        body.resize(start + length, 0);
        self.stream.read_exact(&mut body[start..])
    }

    fn read_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        (&mut self.stream).take(16 * 1024).read_line(&mut line)?;
        if !line.ends_with('\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }
}

/// How the end of a body is known (RFC 9112 6.3).
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// One request on a connection of its own.
///
/// # Errors
/// What `connect`, `read` or `write` said; `InvalidData` when the answer is not HTTP.
pub fn fetch(to: SocketAddr, path: &str, timeout: Duration) -> io::Result<Response> {
    HttpClient::connect(to, timeout)?.request(path)
}
