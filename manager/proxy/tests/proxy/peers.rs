//! Peers that have a certificate and misbehave, and some that have none.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use tokio::time::Instant;
use tokio_rustls::rustls::{ClientConnection, StreamOwned, pki_types::ServerName};
use weft_proxy::{Code, Credentials, Frame, Reader, Settings};

use crate::support::{Mesh, echo, id, settings};

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// TLS as a member of the mesh, HTTP/2 by hand.
fn raw(mesh: &Mesh) -> Tls {
    let config = mesh.ca.client(&id("client"), &[id("server")]).unwrap();
    let name = ServerName::IpAddress(std::net::IpAddr::from([0, 0, 0, 0]).into());
    let stream = TcpStream::connect(mesh.hbone()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    StreamOwned::new(ClientConnection::new(config, name).unwrap(), stream)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn preface() -> Vec<u8> {
    [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        &frame(4, 0, 0, &[]),
    ]
    .concat()
}

fn request(stream: u32, authority: &str) -> Vec<u8> {
    let mut block = vec![0x02, 7];
    block.extend(b"CONNECT");
    block.extend([0x01, authority.len() as u8]);
    block.extend(authority.as_bytes());
    frame(1, 4, stream, &block)
}

/// Reads until the proxy says GOAWAY and closes; its code.
fn goaway(tls: &mut Tls) -> Option<Code> {
    let (mut reader, mut buffer, mut found) = (Reader::new(1 << 24, 1 << 20), [0; 16_384], None);
    loop {
        match tls.read(&mut buffer) {
            Ok(count @ 1..) => {
                let mut input = &buffer[..count];
                while let Some(frame) = reader.next(&mut input).unwrap() {
                    if let Frame::GoAway { code, .. } = frame {
                        found = Some(code);
                    }
                }
            }
            Ok(_) => return found,
            Err(error) => {
                assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "still open");
                return found;
            }
        }
    }
}

#[test]
fn floods_and_breaches_end_the_connection_and_nothing_else() {
    const PROTOCOL: u32 = 1;
    const FLOW_CONTROL: u32 = 3;
    const COMPRESSION: u32 = 9;
    const CALM: u32 = 11;
    let address = echo();
    let mesh = Mesh::new(settings(1)).to(address);
    let to = address.to_string();
    let resets = |count: u32| -> Vec<u8> {
        (0..count)
            .flat_map(|it| {
                [
                    request(2 * it + 1, &to),
                    frame(3, 0, 2 * it + 1, &[0, 0, 0, 8]),
                ]
                .concat()
            })
            .collect()
    };
    let open = request(1, &to);
    let cases: [(&str, Vec<u8>, u32); 12] = [
        ("PING", frame(6, 0, 0, &[0; 8]).repeat(5000), CALM),
        ("SETTINGS", frame(4, 0, 0, &[]).repeat(5000), CALM),
        ("PRIORITY", frame(2, 0, 1, &[0; 5]).repeat(5000), CALM),
        ("unknown frames", frame(77, 0, 0, &[]).repeat(5000), CALM),
        (
            "empty DATA",
            [open, frame(0, 0, 1, &[]).repeat(5000)].concat(),
            CALM,
        ),
        ("requests taken back", resets(5000), CALM),
        (
            "a large block",
            [frame(1, 0, 1, &[0; 16_000]), frame(9, 0, 1, &[0; 16_000])].concat(),
            CALM,
        ),
        (
            "CONTINUATION",
            [frame(1, 0, 1, &[]), frame(9, 0, 1, &[]).repeat(5000)].concat(),
            CALM,
        ),
        (
            "windows",
            [frame(8, 0, 0, &[0x7f, 255, 255, 255])].concat(),
            FLOW_CONTROL,
        ),
        ("a broken block", frame(1, 4, 1, &[0x80]), COMPRESSION),
        ("a stream of ours", request(2, &to), PROTOCOL),
        ("DATA on an idle stream", frame(0, 0, 9, &[1]), PROTOCOL),
    ];
    for (what, bytes, code) in cases {
        let mut tls = raw(&mesh);
        tls.write_all(&preface()).unwrap();
        // It may close before all is written.
        tls.write_all(&bytes).ok();
        assert_eq!(goaway(&mut tls), Some(Code(code)), "{what}");
    }
    let mut stream = mesh.dial();
    stream.write_all(b"still here").unwrap();
    stream.read_exact(&mut [0; 10]).unwrap();
}

#[test]
fn a_stream_beyond_its_window_is_reset_and_others_go_on() {
    let address = crate::support::serve(|_stream| std::thread::sleep(Duration::from_secs(3)));
    let mut settings = settings(1);
    settings.stream_window = 65_535;
    let mesh = Mesh::new(settings).to(address);
    let mut tls = raw(&mesh);
    tls.write_all(&preface()).unwrap();
    tls.write_all(&request(1, &address.to_string())).unwrap();
    let piece = frame(0, 0, 1, &[7; 16_000]);
    // The application's socket takes some; it does not read.
    for _ in 0..1000 {
        if tls.write_all(&piece).is_err() {
            break;
        }
    }
    tls.write_all(&frame(6, 0, 0, b"no flood")).unwrap();
    let (mut reader, mut buffer) = (Reader::new(1 << 24, 1 << 20), [0; 16_384]);
    let (mut reset, mut answered) = (None, false);
    while reset.is_none() || !answered {
        let count = tls.read(&mut buffer).unwrap();
        let mut input = &buffer[..count];
        while let Some(frame) = reader.next(&mut input).unwrap() {
            match frame {
                Frame::Reset { stream: 1, code } => reset = Some(code),
                Frame::Ping { ack: true, .. } => answered = true,
                _ => {}
            }
        }
    }
    assert_eq!(reset, Some(Code(3)));
}

#[test]
fn somebody_slow_is_not_waited_for() {
    let settings = Settings {
        handshake_timeout: Duration::from_secs(1),
        ..settings(1)
    };
    let mesh = Mesh::new(settings).to(echo());
    let begun = Instant::now();
    // No TLS at all; and TLS, but no HTTP/2.
    let mut silent = TcpStream::connect(mesh.hbone()).unwrap();
    silent
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut half = raw(&mesh);
    half.flush().unwrap();
    assert_eq!(silent.read(&mut [0]).unwrap_or(0), 0);
    goaway(&mut half);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn what_is_not_tls_gets_nothing() {
    let mesh = Mesh::new(settings(1)).to(echo());
    let mut stream = TcpStream::connect(mesh.hbone()).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    // An alert at most.
    assert!(answer.len() < 20, "{answer:?}");
    assert_eq!(mesh.records(1)[0].flag.as_str(), "TLS_FAILURE");
}

#[test]
fn idle_connections_between_proxies_are_closed() {
    let settings = Settings {
        idle_timeout: Duration::from_secs(1),
        ..settings(1)
    };
    let mesh = Mesh::new(settings).to(echo());
    let mut tls = raw(&mesh);
    tls.write_all(&preface()).unwrap();
    assert_eq!(goaway(&mut tls), Some(Code(0)));
}

#[test]
fn new_keys_of_a_peer_are_taken() {
    let address = echo();
    let mesh = Mesh::new(settings(1)).to(address);
    let mut tls = raw(&mesh);
    tls.write_all(&preface()).unwrap();
    tls.write_all(&request(1, &address.to_string())).unwrap();
    let (mut reader, mut echoed) = (Reader::new(1 << 24, 1 << 20), Vec::new());
    let pieces = [&b"before"[..], b", between", b", after"];
    for (number, piece) in pieces.into_iter().enumerate() {
        if number > 0 {
            // Asks for the other side's as well (RFC 8446, section 4.6.3).
            tls.conn.refresh_traffic_keys().unwrap();
        }
        tls.write_all(&frame(0, 0, 1, piece)).unwrap();
        let wanted = pieces[..=number].concat();
        let mut buffer = [0; 16_384];
        while echoed.len() < wanted.len() {
            let count = tls.read(&mut buffer).unwrap();
            let mut input = &buffer[..count];
            while let Some(frame) = reader.next(&mut input).unwrap() {
                if let Frame::Data { bytes, .. } = frame {
                    echoed.extend_from_slice(bytes);
                }
            }
        }
        assert_eq!(echoed, wanted);
    }
}

#[test]
fn a_peer_that_is_silent_is_asked_and_given_up_when_it_does_not_answer() {
    let settings = Settings {
        keepalive: Duration::from_secs(1),
        ..settings(1)
    };
    let address = echo();
    let mesh = Mesh::new(settings).to(address);
    let mut tls = raw(&mesh);
    tls.write_all(&preface()).unwrap();
    tls.write_all(&request(1, &address.to_string())).unwrap();
    let (mut reader, mut buffer, mut asked) = (Reader::new(1 << 24, 1 << 20), [0; 16_384], 0);
    // Answers twice, and then never again.
    while let Ok(count @ 1..) = tls.read(&mut buffer) {
        let mut input = &buffer[..count];
        while let Some(frame) = reader.next(&mut input).unwrap() {
            if let Frame::Ping {
                ack: false,
                payload,
            } = frame
            {
                asked += 1;
                if asked < 3 {
                    tls.write_all(&crate::peers::frame(6, 1, 0, &payload))
                        .unwrap();
                }
            }
        }
    }
    assert_eq!(asked, 3);
    let record = mesh.records(1).remove(0);
    let error = record.error.unwrap();
    assert!(error.contains("still there"), "{error}");
}
