//! `cargo xtask bench`: what the mesh costs, always as a ratio to the same thing without it.
//!
//! Client and server are pinned to different CPUs, in namespaces without a default route. The
//! client is one process with one thread in the mesh's cgroup and one in a sibling cgroup without
//! Weft; the two take turns in short slices, so a noisy moment of the machine hits both. A row is
//! the median over the rounds, its ratio the median of the rounds' ratios; the rate of a round is
//! the upper quartile of its slices, since other processes only ever slow a slice down. Ratios are turned so
//! that 1 is no cost and higher is better.

#![expect(clippy::disallowed_types, reason = "a benchmark reads the clock")]

mod arena;
mod compile;
mod connect;
mod established;
mod million;
mod mtls;
mod nft;
mod rows;
mod worker;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail, ensure};
use xshell::Shell;

use crate::{
    ebpf, say,
    setup::{self, Install, Program},
    workspace,
};
use arena::Arena;
use rows::Row;

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which benchmark.
    #[arg(value_enum)]
    suite: Suite,
    /// Fewer and shorter rounds, and nftables only up to 1,000 services: ends within a minute once
    /// built.
    #[arg(long)]
    quick: bool,
    /// Also write the rows to this file, as JSON.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Only rows whose name contains this.
    #[arg(long)]
    only: Option<String>,
    #[command(flatten)]
    install: Install,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq)]
enum Suite {
    /// Load balancing in the kernel: connections, established connections, size of the mesh.
    L4,
    /// Encryption between two nodes, and policy on one: latency, connections, streams, CPU, memory.
    Mtls,
    /// Resources to tables to decisions, in memory: a large mesh, one change, one decision.
    Compile,
}

/// How much of everything.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// Rounds, each of several short slices of either side.
    rounds: usize,
    /// Connections, or round trips, in one slice.
    slice: u32,
    /// Bytes in one slice of a stream.
    stream: u64,
    /// Services loaded for the nftables rows.
    nft_sizes: &'static [u32],
    /// Services, and endpoints of each, of the large mesh.
    large: (u32, u32),
}

const QUICK: Effort = Effort {
    rounds: 15,
    slice: 100,
    stream: 32 << 20,
    nft_sizes: &[10, 1_000],
    large: (10_000, 100),
};

const FULL: Effort = Effort {
    rounds: 21,
    slice: 400,
    stream: 256 << 20,
    nft_sizes: &[10, 1_000, 10_000],
    large: (10_000, 100),
};

/// Services loaded for the connection rows.
const SIZES: [u32; 3] = [10, 1_000, 10_000];

const IP: Program = Program {
    command: "ip",
    package: "iproute2",
    purpose: "makes the namespaces the benchmark runs in",
};

const NFT: Program = Program {
    command: "nft",
    package: "nftables",
    purpose: "is what Weft is compared with",
};

/// Builds an optimized `weft` and measures it.
pub(crate) fn run(sh: &Shell, args: &Args) -> Result<ExitCode> {
    let wanted = |name: &str| args.only.as_deref().is_none_or(|only| name.contains(only));
    if args.suite == Suite::Compile {
        let rows = say::step("measure, optimized", || compile::measure(sh, &wanted))?;
        return report("compile", &rows, args);
    }
    ensure!(
        workspace::is_root(),
        "the benchmark makes network namespaces and loads programs, so it needs root: run \
         `sudo -E cargo xtask bench`"
    );
    let programs = match args.suite {
        Suite::Mtls => &[IP][..],
        Suite::L4 | Suite::Compile => &[IP, NFT],
    };
    setup::programs(sh, args.install, programs)?;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    if cpus < 2 {
        bail!("the benchmark pins client and server to different CPUs; this machine has one");
    }
    let effort = if args.quick { QUICK } else { FULL };
    if args.suite == Suite::Mtls {
        let rows = mtls::measure(&effort, &wanted, &build(sh, args.install)?)?;
        return report("mtls", &rows, args);
    }
    let meshless = args
        .only
        .as_deref()
        .is_some_and(|only| only.starts_with("nft") || only.starts_with("control"));
    let binary = if meshless {
        PathBuf::new()
    } else {
        build(sh, args.install)?
    };
    let rows = measure(&effort, &wanted, binary)?;
    report("l4", &rows, args)
}

fn report(suite: &str, rows: &[Row], args: &Args) -> Result<ExitCode> {
    say::result(rows::table(rows));
    if let Some(path) = &args.out {
        std::fs::write(path, rows::json(suite, rows))
            .with_context(|| format!("cannot write {}", path.display()))?;
        say::progress(format_args!("rows are in {}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds an optimized binary, unless `WEFT_BIN` names one.
fn build(sh: &Shell, install: Install) -> Result<PathBuf> {
    if let Some(binary) = std::env::var_os("WEFT_BIN") {
        return Ok(PathBuf::from(binary));
    }
    let toolchain = setup::toolchain(sh, install)?;
    ebpf::build(sh, &toolchain)?;
    say::step("build weft, optimized", || {
        Ok(xshell::cmd!(sh, "cargo build -p weft --release").run()?)
    })?;
    Ok(workspace::target(sh).join("release").join("weft"))
}

fn measure(effort: &Effort, wanted: &dyn Fn(&str) -> bool, binary: PathBuf) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let any = |names: &[&str]| names.iter().any(|name| wanted(name));
    let mut arena = say::step("make the namespaces", || Arena::new(binary))?;
    if wanted("control") {
        say::step("direct against direct, as a control", || {
            connect::control(&arena, effort, &mut rows)
        })?;
    }
    for &size in effort.nft_sizes {
        if wanted(&format!("nft-{size}")) {
            say::step(&format!("nftables with {size} services"), || {
                nft::measure(&mut arena, effort, size, &mut rows)
            })?;
        }
    }
    if any(&["connect", "cpu", "established"]) {
        let mesh = say::step("start weft", || arena.mesh(SIZES[0]))?;
        for size in SIZES {
            if any(&[&format!("connect-{size}"), &format!("cpu-connect-{size}")]) {
                say::step(&format!("connections with {size} services"), || {
                    arena.grow(&mesh, size)?;
                    connect::measure(&arena, effort, size, &mut rows)
                })?;
            }
        }
        if wanted("established") {
            say::step("established connections", || {
                established::measure(&arena, effort, &mut rows)
            })?;
        }
    }
    if any(&["load", "change"]) {
        let (services, endpoints) = effort.large;
        let step = format!("a mesh of {services} services with {endpoints} endpoints each");
        say::step(&step, || million::measure(&arena, effort, &mut rows))?;
    }
    Ok(rows)
}
