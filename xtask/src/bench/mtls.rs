//! `cargo xtask bench mtls`: what encryption between nodes costs, and what policy costs on one node,
//! each against the same pods without Weft, in the same rounds.
//!
//! Client and server are pinned to different CPUs; the managers, whose proxies carry the encrypted
//! connections, go where the scheduler puts them, as they would.

mod memory;
mod town;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use weft_testkit::{client, process, server::reset_on_close};

use super::{
    Effort, established,
    rows::{Better, Rounds, Row, quantile},
    worker::Worker,
};
use crate::say;
use town::{Town, Way};

/// Bytes of a request and of its response.
const MESSAGE: usize = 64;

const PATIENCE: Duration = Duration::from_secs(30);

/// Clients at once, where they shall be many.
const CLIENTS: u32 = 16;

const TEN_THOUSAND: f64 = 10_000.0;

const GIB: f64 = (1_u64 << 30) as f64;

/// All rows: `mtls-*` between nodes, `local-*` on one.
pub(super) fn measure(
    effort: &Effort,
    wanted: &dyn Fn(&str) -> bool,
    binary: &std::path::Path,
) -> Result<Vec<Row>> {
    allow_open_files()?;
    let mut rows = Vec::new();
    let town = say::step("start two nodes and their meshes", || Town::build(binary))?;
    if wanted("mtls-memory") {
        rows.extend(say::step("memory", || memory::measure(&town))?);
    }
    if wanted("mtls-cpu-rr-16") {
        rows.push(say::step("mtls: requests at once: 16", || {
            busy_requests(&town, effort)
        })?);
    }
    for way in [Way::Mtls, Way::Local] {
        let name = way.name();
        let any = |of: &[String]| of.iter().any(|row| wanted(&format!("{name}-{row}")));
        if any(&["rr-p50".to_owned(), "rr-p99".to_owned()]) {
            rows.extend(say::step(&format!("{name}: request and response"), || {
                request_response(&town, effort, way)
            })?);
        }
        for clients in [1, CLIENTS] {
            let suffix = suffix(clients);
            if any(&[format!("connect{suffix}"), format!("cpu-connect{suffix}")]) {
                let what = format!("{name}: connections at once: {clients}");
                rows.extend(say::step(&what, || {
                    connections(&town, effort, way, clients)
                })?);
            }
        }
        for streams in [1, 8] {
            let suffix = suffix(streams);
            if any(&[format!("stream{suffix}"), format!("cpu-stream{suffix}")]) {
                let what = format!("{name}: streams at once: {streams}");
                rows.extend(say::step(&what, || stream(&town, effort, way, streams))?);
            }
        }
    }
    Ok(rows)
}

/// As many open files as the system lets this process have; managers inherit the limit.
fn allow_open_files() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).context("raise the limit of open files")
}

fn request_response(town: &Town, effort: &Effort, way: Way) -> Result<Vec<Row>> {
    let (meshed, direct) = (
        open(town.meshed(), town.target(way), b"R")?,
        open(town.direct(), town.baseline(way), b"R")?,
    );
    let (mut p50, mut p99) = (Rounds::default(), Rounds::default());
    for round in 0..=effort.rounds {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for _pair in 0..2 {
            established::ask(town.meshed(), &meshed, effort.slice, &mut a)?;
            established::ask(town.direct(), &direct, effort.slice, &mut b)?;
            established::ask(town.direct(), &direct, effort.slice, &mut b)?;
            established::ask(town.meshed(), &meshed, effort.slice, &mut a)?;
        }
        if round > 0 {
            p50.push(quantile(&a, 0.5), quantile(&b, 0.5));
            p99.push(quantile(&a, 0.99), quantile(&b, 0.99));
        }
    }
    let micros = "microseconds of one round trip of 64 bytes";
    let of = |row: &str| format!("{}-rr-{row}", way.name());
    Ok(vec![
        p50.row(&of("p50"), micros, Better::Lower, "direct"),
        p99.row(&of("p99"), micros, Better::Lower, "direct"),
    ])
}

/// Connections, with `clients` of them under way at once.
fn connections(town: &Town, effort: &Effort, way: Way, clients: u32) -> Result<Vec<Row>> {
    let (mut rate, mut cpu) = (Rounds::default(), Rounds::default());
    let count = effort.slice * clients;
    let per = |time: Duration| time.as_secs_f64() / f64::from(count) * TEN_THOUSAND;
    for round in 0..=effort.rounds {
        let (target, baseline) = (town.target(way), town.baseline(way));
        let (weft, used) = timed(
            || town.managers_time(),
            || connect_slice(town.meshed(), target, count, clients),
        )?;
        let (direct, floor) = timed(own_time, || {
            connect_slice(town.direct(), baseline, count, clients)
        })?;
        if round > 0 {
            rate.push(weft, direct);
            cpu.push(per(used), per(floor));
        }
    }
    let per_second = "connections per second (connect, 64 bytes there and back, close)";
    let (name, suffix) = (way.name(), suffix(clients));
    let mut rows = vec![rate.row(
        &format!("{name}-connect{suffix}"),
        &format!("{per_second}, at once: {clients}"),
        Better::Higher,
        "direct",
    )];
    if way == Way::Mtls {
        let row = format!("{name}-cpu-connect{suffix}");
        rows.push(cost(cpu, &row, "per 10,000 connections"));
    }
    Ok(rows)
}

/// What the managers' CPU time is compared with: what client and server use up for the same work
/// without Weft. That makes figures of machines of different speed comparable.
fn cost(rounds: Rounds, name: &str, per: &str) -> Row {
    let unit =
        format!("CPU seconds of both managers {per}; baseline: of client and server together");
    rounds.means().row(name, &unit, Better::Lower, "direct")
}

/// CPU time of this process: clients and servers are threads of it.
fn own_time() -> Result<Duration> {
    process::cpu_time(std::process::id())
}

/// What some work gives, and the CPU time that somebody uses meanwhile.
fn timed<T>(
    clock: impl Fn() -> Result<Duration>,
    work: impl FnOnce() -> Result<T>,
) -> Result<(T, Duration)> {
    let before = clock()?;
    let done = work()?;
    Ok((done, clock()? - before))
}

fn suffix(at_once: u32) -> String {
    match at_once {
        1 => String::new(),
        many => format!("-{many}"),
    }
}

/// Connections per second of a slice.
fn connect_slice(worker: &Worker, to: SocketAddr, count: u32, clients: u32) -> Result<f64> {
    let one = move || -> Result<()> {
        for _ in 0..count / clients {
            let mut stream = client::connect(to, PATIENCE)?;
            let mut message = [0; MESSAGE];
            // The kind, and the request.
            stream.write_all(&[b"R", &message[..]].concat())?;
            stream.read_exact(&mut message)?;
            reset_on_close(&stream);
        }
        Ok(())
    };
    worker.run(move || {
        let begin = Instant::now();
        at_once((0..clients).map(|_| one))?;
        Ok(f64::from(count) / begin.elapsed().as_secs_f64())
    })
}

/// Requests on 16 connections at once: what one costs the managers when they are busy.
fn busy_requests(town: &Town, effort: &Effort) -> Result<Row> {
    let all = |worker: &Worker, to| -> Result<Vec<TcpStream>> {
        (0..CLIENTS).map(|_| open(worker, to, b"R")).collect()
    };
    let (meshed, direct) = (
        all(town.meshed(), town.target(Way::Mtls))?,
        all(town.direct(), town.baseline(Way::Mtls))?,
    );
    let (mut cpu, count) = (Rounds::default(), effort.slice * 4);
    let per = |time: Duration| time.as_secs_f64() / f64::from(count * CLIENTS) * TEN_THOUSAND;
    for round in 0..=effort.rounds {
        let ((), used) = timed(
            || town.managers_time(),
            || ask_at_once(town.meshed(), &meshed, count),
        )?;
        let ((), floor) = timed(own_time, || ask_at_once(town.direct(), &direct, count))?;
        if round > 0 {
            cpu.push(per(used), per(floor));
        }
    }
    Ok(cost(
        cpu,
        "mtls-cpu-rr-16",
        "per 10,000 requests, at once: 16",
    ))
}

/// So many requests on each connection.
fn ask_at_once(worker: &Worker, streams: &[TcpStream], count: u32) -> Result<()> {
    let copies: std::io::Result<Vec<_>> = streams.iter().map(TcpStream::try_clone).collect();
    let copies = copies.context("share connections")?;
    worker.run(move || {
        at_once(copies.into_iter().map(|mut stream| {
            move || -> Result<()> {
                let mut message = [0; MESSAGE];
                for _ in 0..count {
                    stream.write_all(&message)?;
                    stream.read_exact(&mut message)?;
                }
                Ok(())
            }
        }))
    })
}

/// Does several things at once, each in a thread.
fn at_once<F>(works: impl Iterator<Item = F>) -> Result<()>
where
    F: FnOnce() -> Result<()> + Send,
{
    std::thread::scope(|scope| {
        let threads: Vec<_> = works.map(|work| scope.spawn(work)).collect();
        threads
            .into_iter()
            .try_for_each(|it| it.join().ok().context("a client panicked")?)
    })
}

fn stream(town: &Town, effort: &Effort, way: Way, streams: u32) -> Result<Vec<Row>> {
    let all = |worker: &Worker, to| -> Result<Vec<TcpStream>> {
        (0..streams).map(|_| open(worker, to, b"S")).collect()
    };
    let (meshed, direct) = (
        all(town.meshed(), town.target(way))?,
        all(town.direct(), town.baseline(way))?,
    );
    let (mut rounds, mut cpu) = (Rounds::default(), Rounds::default());
    let bytes = effort.stream * 2;
    let per = |time: Duration| time.as_secs_f64() / bytes as f64 * GIB;
    for round in 0..=effort.rounds.min(9) {
        let (weft, used) = timed(
            || town.managers_time(),
            || send(town.meshed(), &meshed, bytes),
        )?;
        let (direct, floor) = timed(own_time, || send(town.direct(), &direct, bytes))?;
        if round > 0 {
            let gigabytes = |seconds: f64| bytes as f64 / seconds / 1e9;
            rounds.push(gigabytes(weft), gigabytes(direct));
            cpu.push(per(used), per(floor));
        }
    }
    let name = way.name();
    let suffix = suffix(streams);
    let unit = format!("gigabytes per second, streams at once: {streams}");
    let row = format!("{name}-stream{suffix}");
    let mut rows = vec![rounds.row(&row, &unit, Better::Higher, "direct")];
    if way == Way::Mtls {
        let row = format!("{name}-cpu-stream{suffix}");
        rows.push(cost(cpu, &row, "per GiB"));
    }
    Ok(rows)
}

/// Seconds until all streams together have carried that many bytes.
fn send(worker: &Worker, streams: &[TcpStream], bytes: u64) -> Result<f64> {
    if let [one] = streams {
        return established::send(worker, one, bytes);
    }
    let each = bytes / streams.len() as u64;
    let copies: Result<Vec<TcpStream>> = streams
        .iter()
        .map(|stream| stream.try_clone().context("share a connection"))
        .collect();
    let copies = copies?;
    worker.run(move || {
        let begin = Instant::now();
        at_once(
            copies
                .into_iter()
                .map(|stream| move || established::send_here(stream, each).map(drop)),
        )?;
        Ok(begin.elapsed().as_secs_f64())
    })
}

/// A connection whose kind is told.
fn open(worker: &Worker, to: SocketAddr, kind: &'static [u8; 1]) -> Result<TcpStream> {
    worker.run(move || {
        let connected = client::connect(to, PATIENCE);
        let mut stream = connected.with_context(|| format!("connect to {to}"))?;
        stream.write_all(kind)?;
        let peer = stream.peer_addr().context("ask for the peer")?;
        ensure!(peer == to, "the peer of a connection to {to} is {peer}");
        Ok(stream)
    })
}
