//! Every byte arrives, once, in order, whatever the two sides do.

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use weft_proxy::{Direction, Flag, Upstream};

use crate::support::{Mesh, echo, eventually, serve, settings};

/// Small and reproducible.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Sends `length` bytes that follow from the seed, in pieces of random size, now and then pausing.
fn send(stream: &mut TcpStream, seed: u64, length: usize) -> std::io::Result<()> {
    let (mut bytes, mut shape) = (Random::new(seed), Random::new(seed + 1));
    let mut left = length;
    while left > 0 {
        let size = match shape.below(4) {
            0 => 1,
            1 => shape.below(100) + 1,
            2 => shape.below(20_000) + 1,
            _ => shape.below(200_000) + 1,
        };
        let piece: Vec<u8> = (0..left.min(size as usize))
            .map(|_| bytes.next() as u8)
            .collect();
        stream.write_all(&piece)?;
        left -= piece.len();
        if shape.below(8) == 0 {
            std::thread::sleep(Duration::from_micros(shape.below(2000)));
        }
    }
    Ok(())
}

/// Reads to the end and compares with what `send` sends.
fn expect(stream: &mut TcpStream, seed: u64, length: usize) {
    let (mut bytes, mut shape) = (Random::new(seed), Random::new(seed + 2));
    let (mut buffer, mut seen) = (vec![0; 65_536], 0);
    loop {
        let size = shape.below(65_536) as usize + 1;
        let count = stream.read(&mut buffer[..size]).unwrap();
        if count == 0 {
            break;
        }
        for byte in &buffer[..count] {
            assert_eq!(*byte, bytes.next() as u8, "byte {seen} of {length}");
            seen += 1;
        }
        if shape.below(16) == 0 {
            std::thread::sleep(Duration::from_micros(shape.below(2000)));
        }
    }
    assert_eq!(seen, length);
}

fn sizes(seed: u64) -> (usize, usize) {
    let mut random = Random::new(seed + 77);
    let mut size = || match random.below(5) {
        0 => 0,
        1 => random.below(10) as usize,
        2 => random.below(5000) as usize,
        3 => random.below(60_000) as usize,
        _ => random.below(if seed.is_multiple_of(64) {
            6_000_000
        } else {
            200_000
        }) as usize,
    };
    (size(), size())
}

/// Both directions at once, each ending on its own: half-closes in either order.
fn exchange(stream: TcpStream, seed: u64, up: usize, down: usize) {
    let mut writer = stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        send(&mut writer, seed, up).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut reader = stream;
    expect(&mut reader, seed + 1000, down);
    sending.join().unwrap();
}

fn oracle() -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let good = Arc::new(AtomicUsize::new(0));
    let count = good.clone();
    let address = serve(move |mut stream| {
        let mut seed = [0; 8];
        stream.read_exact(&mut seed).unwrap();
        let seed = u64::from_be_bytes(seed);
        let (up, down) = sizes(seed);
        let mut writer = stream.try_clone().unwrap();
        let sending = std::thread::spawn(move || {
            send(&mut writer, seed + 1000, down).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        expect(&mut stream, seed, up);
        sending.join().unwrap();
        count.fetch_add(1, Relaxed);
    });
    (address, good)
}

#[test]
fn thousands_of_connections_carry_every_byte() {
    const CONNECTIONS: u64 = 3000;
    const AT_ONCE: u64 = 24;
    let (address, good) = oracle();
    let mesh = Arc::new(Mesh::new(settings(2)).to(address));
    let threads: Vec<_> = (0..AT_ONCE)
        .map(|first| {
            let mesh = mesh.clone();
            std::thread::spawn(move || {
                for seed in (first..CONNECTIONS).step_by(AT_ONCE as usize) {
                    let mut stream = mesh.dial();
                    stream.write_all(&seed.to_be_bytes()).unwrap();
                    let (up, down) = sizes(seed);
                    exchange(stream, seed, up, down);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|it| it.join().unwrap());
    eventually("the servers' verdicts", || {
        good.load(Relaxed) == CONNECTIONS as usize
    });
    eventually("everything closed", || mesh.proxy.count() == 0);
    let records = mesh.records(2 * CONNECTIONS as usize);
    let bad: Vec<_> = records
        .iter()
        .filter(|it| it.error.is_some() || it.flag != Flag::None)
        .collect();
    assert!(bad.is_empty(), "{:?}", bad.first());
    for direction in [Direction::Inbound, Direction::Outbound] {
        let of = |it: &&weft_proxy::Record| it.connection.direction == direction;
        let sent: u64 = records.iter().filter(of).map(|it| it.sent).sum();
        let received: u64 = records.iter().filter(of).map(|it| it.received).sum();
        let expected = |pick: fn((usize, usize)) -> usize| {
            (0..CONNECTIONS)
                .map(|it| pick(sizes(it)) as u64)
                .sum::<u64>()
        };
        assert_eq!(sent, expected(|it| it.0) + 8 * CONNECTIONS, "{direction:?}");
        assert_eq!(received, expected(|it| it.1), "{direction:?}");
    }
    assert!(
        mesh.world.shown.lock().unwrap().is_empty(),
        "what is shown is taken back"
    );
}

#[test]
fn plain_connections_carry_every_byte() {
    let (address, good) = oracle();
    let mesh = Mesh::new(settings(1)).to(address);
    *mesh.world.upstream.lock().unwrap() = Some(Upstream::Plain(address));
    for seed in 0..200u64 {
        let mut stream = mesh.dial();
        stream.write_all(&seed.to_be_bytes()).unwrap();
        let (up, down) = sizes(seed);
        exchange(stream, seed, up, down);
    }
    eventually("the servers' verdicts", || good.load(Relaxed) == 200);
    assert!(
        mesh.records(200)
            .iter()
            .all(|it| it.error.is_none() && it.connection.hbone.is_none())
    );
}

#[test]
fn a_server_may_speak_first() {
    let mesh = Mesh::new(settings(1)).to(serve(|mut stream| {
        stream.write_all(b"220 ready\r\n").unwrap();
        stream.read_exact(&mut [0]).ok();
    }));
    let mut banner = [0; 11];
    let mut stream = mesh.dial();
    stream.read_exact(&mut banner).unwrap();
    assert_eq!(&banner, b"220 ready\r\n");
}

#[test]
fn the_application_is_shown_its_client() {
    let mesh = Mesh::new(settings(1));
    let world = mesh.world.clone();
    let mesh = mesh.to(serve(move |mut stream| {
        let client = world.shown.lock().unwrap()[&stream.peer_addr().unwrap()];
        stream.write_all(client.to_string().as_bytes()).unwrap();
    }));
    let mut stream = mesh.dial();
    let mut seen = String::new();
    stream.read_to_string(&mut seen).unwrap();
    assert_eq!(seen, stream.local_addr().unwrap().to_string());
}

#[test]
fn an_address_that_shows_another_client_is_passed_over() {
    let mesh = Mesh::new(settings(1)).to(serve(|mut stream| {
        let from = stream.peer_addr().unwrap().to_string();
        stream.write_all(from.as_bytes()).unwrap();
    }));
    let ask = || -> SocketAddr {
        let mut seen = String::new();
        mesh.dial().read_to_string(&mut seen).unwrap();
        seen.parse().unwrap()
    };
    let first = ask();
    let IpAddr::V4(address) = first.ip() else {
        panic!("{first} is no address of IPv4");
    };
    let after = |count| {
        SocketAddr::new(
            Ipv4Addr::from(u32::from(address) + count).into(),
            first.port(),
        )
    };
    let owner: SocketAddr = "10.9.8.7:4321".parse().unwrap();
    for count in [1, 2] {
        mesh.world.shown.lock().unwrap().insert(after(count), owner);
    }
    assert_eq!(ask(), after(3));
    eventually("what is shown is taken back", || {
        mesh.world.shown.lock().unwrap().len() == 2
    });
    for count in [1, 2] {
        assert_eq!(mesh.world.shown.lock().unwrap()[&after(count)], owner);
    }
}

fn reset(stream: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(stream.as_fd(), Some(Duration::ZERO)).unwrap();
}

#[test]
fn a_reset_reaches_the_other_side_as_a_reset() {
    // By the client.
    let (sender, seen) = std::sync::mpsc::channel();
    let mesh = Mesh::new(settings(1)).to(serve(move |mut stream| {
        let mut bytes = Vec::new();
        sender
            .send(stream.read_to_end(&mut bytes).map_err(|it| it.kind()))
            .unwrap();
    }));
    let mut stream = mesh.dial();
    stream.write_all(b"half a mess").unwrap();
    eventually("the tunnel", || mesh.world.opened.load(Relaxed) == 2);
    reset(&stream);
    drop(stream);
    assert_eq!(
        seen.recv_timeout(Duration::from_secs(5)).unwrap(),
        Err(ErrorKind::ConnectionReset)
    );

    // By the server.
    let mesh = mesh.to(serve(|mut stream| {
        stream.read_exact(&mut [0]).unwrap();
        reset(&stream);
    }));
    let mut stream = mesh.dial();
    stream.write_all(b"x").unwrap();
    let result = stream.read(&mut [0]).map_err(|it| it.kind());
    assert_eq!(result, Err(ErrorKind::ConnectionReset));
    assert!(mesh.records(4).iter().all(|it| it.error.is_some()));
    eventually("everything closed", || mesh.proxy.count() == 0);
}

#[test]
fn a_reader_that_stalls_holds_the_writer_back() {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let mesh = Mesh::new(settings(1)).to(serve(move |mut stream| {
        wait.lock().unwrap().recv().ok();
        expect(&mut stream, 5, 64 << 20);
        stream.write_all(b"all").unwrap();
    }));
    let mut stream = mesh.dial();
    let sent = Arc::new(AtomicUsize::new(0));
    let mut writer = stream.try_clone().unwrap();
    let counter = sent.clone();
    let sending = std::thread::spawn(move || {
        let mut bytes = Random::new(5);
        for _ in 0..(64 << 20) / 65_536 {
            let piece: Vec<u8> = (0..65_536).map(|_| bytes.next() as u8).collect();
            writer.write_all(&piece).unwrap();
            counter.fetch_add(piece.len(), Relaxed);
        }
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut last = usize::MAX;
    eventually("the writer to stop", || {
        std::thread::sleep(Duration::from_millis(200));
        let now = sent.load(Relaxed);
        now > 0 && std::mem::replace(&mut last, now) == now
    });
    // Four sockets' buffers and one window.
    assert!(last < 48 << 20, "{last} bytes are under way");

    // Others are not held up by it.
    let quick = echo();
    let mesh = mesh.to(quick);
    let mut other = mesh.dial();
    other.write_all(b"quick").unwrap();
    let mut answer = [0; 5];
    other.read_exact(&mut answer).unwrap();

    release.send(()).unwrap();
    sending.join().unwrap();
    let mut all = [0; 3];
    stream.read_exact(&mut all).unwrap();
}
