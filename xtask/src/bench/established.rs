//! What an established connection costs: request and response, and one stream.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use weft_testkit::client;

use super::{
    Effort,
    arena::{self, Arena},
    rows::{Better, Rounds, Row, quantile},
    worker::Worker,
};

/// Bytes of a request and of its response.
const MESSAGE: usize = 64;

/// Bytes of one write of a stream.
const CHUNK: usize = 128 * 1024;

/// Pairs of slices of each side in one round.
const PAIRS: u32 = 4;

const PATIENCE: Duration = Duration::from_secs(30);

/// Two connections, one through a VIP and one direct, used by turns.
pub(super) fn measure(arena: &Arena, effort: &Effort, rows: &mut Vec<Row>) -> Result<()> {
    let vip = SocketAddr::from((arena::vip_address(0), 90));
    let backend = SocketAddr::from((arena::backend_address(0), arena::ECHO_PORT));
    let connect = |worker: &Worker, to| worker.run(move || open(to));
    let rr = (
        connect(&arena.meshed, vip)?,
        connect(&arena.direct, backend)?,
    );
    let streams = (
        connect(&arena.meshed, vip)?,
        connect(&arena.direct, backend)?,
    );
    let peer = rr.0.peer_addr().context("ask for the peer")?;
    ensure!(
        peer == vip,
        "the mesh did not serve the connection: peer is {peer}"
    );
    rows.extend(request_response(arena, effort, &rr)?);
    rows.push(stream(arena, effort, &streams)?);
    Ok(())
}

/// Serves both kinds of connections until the client leaves.
pub(super) fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; CHUNK];
    stream.read_exact(&mut buffer[..1])?;
    if buffer[0] == b'S' {
        return sink(stream, &mut buffer);
    }
    // The first byte of a request was its kind.
    loop {
        stream.read_exact(&mut buffer[..MESSAGE])?;
        stream.write_all(&buffer[..MESSAGE])?;
    }
}

fn sink(mut stream: TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    loop {
        let mut length = [0; 8];
        stream.read_exact(&mut length)?;
        let mut rest = u64::from_be_bytes(length);
        while rest > 0 {
            match stream.read(buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => rest = rest.saturating_sub(read as u64),
            }
        }
        stream.write_all(b".")?;
    }
}

fn open(to: SocketAddr) -> Result<TcpStream> {
    client::connect(to, PATIENCE).with_context(|| format!("connect to {to}"))
}

fn request_response(
    arena: &Arena,
    effort: &Effort,
    connections: &(TcpStream, TcpStream),
) -> Result<Vec<Row>> {
    for stream in [&connections.0, &connections.1] {
        (&*stream).write_all(b"R")?;
    }
    let (mut rate, mut p50, mut p99) = (Rounds::default(), Rounds::default(), Rounds::default());
    for round in 0..=effort.rounds {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for _pair in 0..PAIRS {
            ask(&arena.meshed, &connections.0, effort.slice, &mut a)?;
            ask(&arena.direct, &connections.1, effort.slice, &mut b)?;
            ask(&arena.direct, &connections.1, effort.slice, &mut b)?;
            ask(&arena.meshed, &connections.0, effort.slice, &mut a)?;
        }
        if round == 0 {
            continue;
        }
        rate.push(per_second(&a, effort.slice), per_second(&b, effort.slice));
        p50.push(quantile(&a, 0.5), quantile(&b, 0.5));
        p99.push(quantile(&a, 0.99), quantile(&b, 0.99));
    }
    let round_trips = "round trips of 64 bytes per second";
    let micros = "microseconds of one round trip";
    Ok(vec![
        rate.row("established-rr", round_trips, Better::Higher, "direct"),
        p50.row("established-rr-p50", micros, Better::Lower, "direct"),
        p99.row("established-rr-p99", micros, Better::Lower, "direct"),
    ])
}

/// Round trips per second, the upper quartile of the slices: those nobody disturbed.
fn per_second(times: &[f64], slice: u32) -> f64 {
    let slices = times.chunks(slice as usize);
    let rates: Vec<f64> = slices
        .map(|times| times.len() as f64 / times.iter().sum::<f64>() * 1e6)
        .collect();
    quantile(&rates, 0.75)
}

/// Times of `count` round trips, in microseconds.
pub(super) fn ask(
    worker: &Worker,
    stream: &TcpStream,
    count: u32,
    times: &mut Vec<f64>,
) -> Result<()> {
    let mut stream = stream.try_clone().context("share a connection")?;
    times.extend(worker.run(move || {
        let mut message = [0; MESSAGE];
        let mut times = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let before = Instant::now();
            stream.write_all(&message)?;
            stream.read_exact(&mut message)?;
            times.push(before.elapsed().as_secs_f64() * 1e6);
        }
        Ok(times)
    })?);
    Ok(())
}

fn stream(arena: &Arena, effort: &Effort, connections: &(TcpStream, TcpStream)) -> Result<Row> {
    for stream in [&connections.0, &connections.1] {
        (&*stream).write_all(b"S")?;
    }
    let mut rounds = Rounds::default();
    for round in 0..=effort.rounds {
        let half = effort.stream / 2;
        let mut weft = send(&arena.meshed, &connections.0, half)?;
        let mut direct = send(&arena.direct, &connections.1, half)?;
        direct += send(&arena.direct, &connections.1, half)?;
        weft += send(&arena.meshed, &connections.0, half)?;
        if round > 0 {
            let gigabytes = |seconds: f64| effort.stream as f64 / seconds / 1e9;
            rounds.push(gigabytes(weft), gigabytes(direct));
        }
    }
    let unit = "gigabytes per second on one connection";
    Ok(rounds.row("established-stream", unit, Better::Higher, "direct"))
}

/// Seconds until that many bytes are sent and read by the other side.
pub(super) fn send(worker: &Worker, stream: &TcpStream, bytes: u64) -> Result<f64> {
    let stream = stream.try_clone().context("share a connection")?;
    worker.run(move || send_here(stream, bytes))
}

/// As [`send`], on the calling thread.
pub(super) fn send_here(mut stream: TcpStream, bytes: u64) -> Result<f64> {
    let chunk = vec![0; CHUNK];
    let begin = Instant::now();
    stream.write_all(&bytes.to_be_bytes())?;
    let mut rest = bytes;
    while rest > 0 {
        let length = rest.min(CHUNK as u64);
        stream.write_all(&chunk[..length as usize])?;
        rest -= length;
    }
    stream.read_exact(&mut [0])?;
    Ok(begin.elapsed().as_secs_f64())
}
