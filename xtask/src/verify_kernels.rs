//! `cargo xtask verify-kernels`: each supported kernel's own verifier reads the kernel object.
//!
//! Debian's kernels are fetched as packages and unpacked, never installed, and boot under qemu
//! with a tiny root of busybox, bpftool and the object. The verdict comes over the serial line.

mod guest;
mod kernel;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use xshell::Shell;

use crate::{
    ebpf,
    say::{self, step},
    setup::{self, Install, Program},
    workspace,
};
use guest::Verdict;

/// Debian's series that Weft promises to run on.
const SERIES: [&str; 2] = ["6.1", "6.12"];

const PROGRAMS: [Program; 4] = [
    Program {
        command: "qemu-system-x86_64",
        package: "qemu-system-x86",
        purpose: "boots kernels",
    },
    Program {
        command: "busybox",
        package: "busybox-static",
        purpose: "is all of the guest's shell",
    },
    Program {
        command: "cpio",
        package: "cpio",
        purpose: "packs the guest's root",
    },
    Program {
        command: "bpftool",
        package: "bpftool",
        purpose: "loads the object in the guest",
    },
];

/// What is verified, and by which kernels.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Kernel series, such as 6.1; all supported ones when absent.
    series: Vec<String>,
    /// An object built before; it is built when absent.
    #[arg(long)]
    object: Option<PathBuf>,
    #[command(flatten)]
    install: Install,
}

/// Exit 0: every kernel took the object; 1: one refused it; 2: none refused it, but one could not
/// be had.
pub(crate) fn run(sh: &Shell, args: &Args) -> Result<ExitCode> {
    if std::env::consts::ARCH != "x86_64" {
        bail!("verify-kernels boots x86_64 kernels and runs on x86_64 only");
    }
    setup::programs(sh, args.install, &PROGRAMS)?;
    let object = match &args.object {
        Some(object) => object.clone(),
        None => {
            ebpf::build(sh, &setup::toolchain(sh, args.install)?)?;
            ebpf::object()
        }
    };
    let folder = workspace::target(sh).join("kernels");
    let root = step("pack the guest", || guest::pack(sh, &folder, &object))?;
    let wanted: Vec<&str> = match args.series.as_slice() {
        [] => SERIES.to_vec(),
        series => series.iter().map(String::as_str).collect(),
    };
    let mut results = Vec::new();
    for series in wanted {
        results.push((series, verify(sh, series, &folder, &root)?));
    }
    Ok(report(&results))
}

fn verify(sh: &Shell, series: &str, folder: &Path, root: &Path) -> Result<Outcome> {
    let Some(kernel) = kernel::fetch(sh, series, folder)? else {
        return Ok(Outcome::NoKernel);
    };
    let console = step(&format!("boot {series}"), || guest::boot(sh, &kernel, root))?;
    let verdict = Verdict::read(&console).with_context(|| {
        format!(
            "Linux {series} gave no verdict; the end of its console:\n{}",
            guest::tail(&console)
        )
    })?;
    Ok(Outcome::Verdict(verdict))
}

/// How one kernel ended.
enum Outcome {
    NoKernel,
    Verdict(Verdict),
}

fn report(results: &[(&str, Outcome)]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    let mut refused = false;
    for (series, outcome) in results {
        match outcome {
            Outcome::NoKernel => {
                say::result(format_args!(
                    "{series}: SKIPPED, the package sources have no such kernel"
                ));
                code = ExitCode::from(2);
            }
            Outcome::Verdict(Verdict {
                release,
                programs,
                refusal: None,
            }) => {
                let programs = programs.len();
                say::result(format_args!(
                    "{series}: PASS ({release}, {programs} programs)"
                ));
            }
            Outcome::Verdict(Verdict {
                release,
                refusal: Some(reason),
                ..
            }) => {
                refused = true;
                say::result(format_args!("{series}: FAIL ({release})\n{reason}"));
            }
        }
    }
    if refused { ExitCode::FAILURE } else { code }
}
