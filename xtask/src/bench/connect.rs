//! Connections per second: connect, accept, close.

use std::{
    net::{SocketAddr, TcpStream},
    time::Instant,
};

use anyhow::{Context, Result};
use weft_testkit::server::reset_on_close;

use super::{
    Effort,
    arena::{self, Arena},
    rows::{Better, Rounds, Row, quantile},
    worker::{Worker, thread_time},
};

/// Pairs of slices of each side in one round.
const PAIRS: u32 = 6;

/// What one slice, or all of one side in a round, gave.
#[derive(Default)]
pub(super) struct Slice {
    /// Connections per second of each slice.
    rates: Vec<f64>,
    cpu_seconds: f64,
    connects: u32,
    /// Of `connect` alone, in microseconds.
    latencies: Vec<f64>,
}

/// Through the mesh against direct, rotating over all services.
pub(super) fn measure(
    arena: &Arena,
    effort: &Effort,
    size: u32,
    rows: &mut Vec<Row>,
) -> Result<()> {
    let _listening = arena::accept_and_close(&arena.server)?;
    let meshed = Side {
        worker: &arena.meshed,
        target: arena::vip,
        size,
    };
    let direct = Side {
        worker: &arena.direct,
        target: arena::backend,
        size,
    };
    let names = Names::of("connect", size);
    rows.extend(compare(&meshed, &direct, effort, &names)?);
    Ok(())
}

/// Direct against direct, before Weft is there: what the rig itself makes of equal things.
pub(super) fn control(arena: &Arena, effort: &Effort, rows: &mut Vec<Row>) -> Result<()> {
    let _listening = arena::accept_and_close(&arena.server)?;
    let side = |worker| Side {
        worker,
        target: arena::backend,
        size: 10,
    };
    let (a, b) = (side(&arena.meshed), side(&arena.direct));
    let names = Names {
        rate: "control-connect".to_owned(),
        cpu: "control-cpu".to_owned(),
    };
    rows.extend(compare(&a, &b, effort, &names)?);
    Ok(())
}

/// What rows are called.
pub(super) struct Names {
    rate: String,
    cpu: String,
}

impl Names {
    /// `WHAT-SIZE` and `cpu-WHAT-SIZE`, but `nft-cpu-SIZE`: what starts with `nft` is nftables.
    pub(super) fn of(what: &str, size: u32) -> Self {
        let cpu = match what {
            "nft" => format!("nft-cpu-{size}"),
            what => format!("cpu-{what}-{size}"),
        };
        Self {
            rate: format!("{what}-{size}"),
            cpu,
        }
    }
}

/// One side of the comparison.
pub(super) struct Side<'a> {
    pub(super) worker: &'a Worker,
    /// The `n`-th target, below `size`.
    pub(super) target: fn(u32) -> SocketAddr,
    pub(super) size: u32,
}

/// Interleaved slices of both: rows of the rate, of the latencies, and of client CPU.
pub(super) fn compare(
    weft: &Side<'_>,
    direct: &Side<'_>,
    effort: &Effort,
    names: &Names,
) -> Result<Vec<Row>> {
    let (mut rate, mut cpu) = (Rounds::default(), Rounds::default());
    let (mut p50, mut p99) = (Rounds::default(), Rounds::default());
    // The first round warms caches and is not counted.
    for round in 0..=effort.rounds {
        let (mut a, mut b) = (Slice::default(), Slice::default());
        for pair in 0..PAIRS {
            let turn = u32::try_from(round).unwrap_or(0) * PAIRS + pair;
            let (first, second) = (2 * turn * effort.slice, (2 * turn + 1) * effort.slice);
            // A B B A: a machine that slows down steadily hits both alike.
            weft.slice(first, effort.slice, &mut a)?;
            direct.slice(first, effort.slice, &mut b)?;
            direct.slice(second, effort.slice, &mut b)?;
            weft.slice(second, effort.slice, &mut a)?;
        }
        if round == 0 {
            continue;
        }
        rate.push(a.rate(), b.rate());
        cpu.push(a.cpu_micros(), b.cpu_micros());
        p50.push(quantile(&a.latencies, 0.5), quantile(&b.latencies, 0.5));
        p99.push(quantile(&a.latencies, 0.99), quantile(&b.latencies, 0.99));
    }
    let per_second = "connections per second (connect, accept, close)";
    let of_connect = "microseconds of one connect";
    let of_cpu = "microseconds of client CPU per connection";
    let of = |suffix: &str| format!("{}{suffix}", names.rate);
    Ok(vec![
        rate.row(&names.rate, per_second, Better::Higher, "direct"),
        p50.row(&of("-p50"), of_connect, Better::Lower, "direct"),
        p99.row(&of("-p99"), of_connect, Better::Lower, "direct"),
        cpu.row(&names.cpu, of_cpu, Better::Lower, "direct"),
    ])
}

impl Side<'_> {
    fn slice(&self, start: u32, count: u32, sum: &mut Slice) -> Result<()> {
        // A stride coprime to the sizes visits every service once before any twice.
        const STRIDE: u32 = 7;
        let (target, size) = (self.target, self.size);
        let slice = self.worker.run(move || {
            let mut latencies = Vec::with_capacity(count as usize);
            let (begin, cpu) = (Instant::now(), thread_time());
            for number in start..start + count {
                let to = target(number.wrapping_mul(STRIDE) % size);
                let before = Instant::now();
                let stream = TcpStream::connect(to).with_context(|| format!("connect to {to}"))?;
                latencies.push(before.elapsed().as_secs_f64() * 1e6);
                // Reset and not FIN: no TIME_WAIT that would use up the ports, on either side.
                reset_on_close(&stream);
            }
            Ok(Slice {
                rates: vec![f64::from(count) / begin.elapsed().as_secs_f64()],
                cpu_seconds: (thread_time() - cpu).as_secs_f64(),
                connects: count,
                latencies,
            })
        })?;
        sum.add(slice);
        Ok(())
    }
}

impl Slice {
    fn add(&mut self, other: Self) {
        self.rates.extend(other.rates);
        self.cpu_seconds += other.cpu_seconds;
        self.connects += other.connects;
        self.latencies.extend(other.latencies);
    }

    /// The upper quartile of the slices: those in which no other process took the CPU.
    fn rate(&self) -> f64 {
        quantile(&self.rates, 0.75)
    }

    fn cpu_micros(&self) -> f64 {
        self.cpu_seconds / f64::from(self.connects) * 1e6
    }
}
