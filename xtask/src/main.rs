//! The one door for people and CI: `cargo xtask TASK`. One file per task; no product logic.

#![forbid(unsafe_code)]

mod bench;
mod build;
mod check;
mod demo;
mod ebpf;
mod fuzz;
mod generate;
mod say;
mod setup;
mod test;
mod tidy;
mod verify_kernels;
mod wire;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::setup::Install;

/// Builds, checks and tests Weft.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Make sure of everything that building and testing needs; install what is missing.
    Setup {
        #[command(flatten)]
        install: Install,
    },
    /// Build the kernel objects into target/bpf.
    BuildEbpf(ebpf::Args),
    /// Build the kernel objects and the weft binary.
    Build(build::Args),
    /// Measure what the mesh costs, as ratios to the same thing without it (needs root).
    Bench(bench::Args),
    /// Set up, build, and show the mesh at work on real processes (needs root).
    Demo(demo::Args),
    /// One server of the demo.
    #[command(hide = true)]
    Serve(demo::serve::Args),
    /// All checks that need no kernel: format, lints, documentation, tidy.
    Check {
        #[command(flatten)]
        install: Install,
    },
    /// Write what is made from the code: the reference of fields.
    Gen(generate::Args),
    /// Check the rules no compiler knows: who may depend on whom, purity, sizes, names.
    Tidy,
    /// Set up, build and run every test, those in the kernel included (needs root).
    Test(test::Args),
    /// Write the code of the gRPC messages from their definitions.
    GenWire(wire::Args),
    /// Boot older kernels under qemu and let each verify the kernel object.
    VerifyKernels(verify_kernels::Args),
    /// Fuzz the parsers of foreign bytes (targets in manager/fuzz).
    Fuzz(fuzz::Args),
}

fn main() -> ExitCode {
    match run(Args::parse().task) {
        Ok(code) => code,
        Err(error) => {
            say::error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    let sh = workspace::shell()?;
    match task {
        Task::Setup { install } => setup::run(&sh, install)?,
        Task::BuildEbpf(args) => ebpf::run(&sh, &args)?,
        Task::Build(args) => build::run(&sh, &args)?,
        Task::Bench(args) => return bench::run(&sh, &args),
        Task::Demo(args) => return demo::run(&sh, &args),
        Task::Serve(args) => demo::serve::run(&args)?,
        Task::Check { install } => check::run(&sh, install)?,
        Task::Gen(args) => generate::run(&sh, &args)?,
        Task::Tidy => tidy::run(&sh)?,
        Task::Test(args) => test::run(&sh, &args)?,
        Task::GenWire(args) => wire::run(&args)?,
        Task::VerifyKernels(args) => return verify_kernels::run(&sh, &args),
        Task::Fuzz(args) => fuzz::run(&sh, &args)?,
    }
    Ok(ExitCode::SUCCESS)
}
