//! `cargo xtask test`: everything a machine needs, every build, every test, one summary.

mod summary;

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

use crate::{
    ebpf,
    say::{self, step},
    setup::{self, Install},
    workspace::{self, HOST_PACKAGES},
};
use summary::Summary;

/// Which tests to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only tests whose name contains this.
    filter: Option<String>,
    #[command(flatten)]
    install: Install,
}

/// Runs the tests; any failure is an error, after all have run.
pub(crate) fn run(sh: &Shell, args: &Args) -> Result<()> {
    // The kernel tests are most of what this task promises; say so before the long work.
    if !workspace::is_root() {
        bail!(
            "the kernel tests load programs and make namespaces, so they need root: run \
             `sudo -E cargo xtask test`; `cargo test` alone runs the tests that need no root"
        );
    }
    let toolchain = step("setup", || setup::everything(sh, args.install))?;
    ebpf::build(sh, &toolchain)?;
    // One selection of packages for binaries and tests: another one would unify features
    // differently and compile the dependencies twice.
    step("build binaries", || {
        Ok(cmd!(sh, "cargo build {HOST_PACKAGES...} --bins").run()?)
    })?;
    step("build tests", || {
        Ok(cmd!(sh, "cargo test {HOST_PACKAGES...} --no-run").run()?)
    })?;
    let summary = run_tests(sh, args.filter.as_deref())?;
    say::result(&summary);
    if let Some(problem) = summary.problem() {
        bail!("{problem}");
    }
    Ok(())
}

fn run_tests(sh: &Shell, filter: Option<&str>) -> Result<Summary> {
    let mut cargo = Command::new("cargo");
    cargo
        .args(["test", "--no-fail-fast"])
        .args(HOST_PACKAGES)
        .args(filter)
        // What a passed test printed tells whether it skipped itself.
        .args(["--", "--show-output"]);
    cargo.current_dir(workspace::root()).stdout(Stdio::piped());
    if let Ok(path) = sh.var("PATH") {
        cargo.env("PATH", path);
    }
    let mut child = cargo.spawn().context("cargo does not start")?;
    let output = child.stdout.take().expect("stdout is piped above");
    let mut summary = Summary::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("the output of the tests ended early")?;
        let line = String::from_utf8_lossy(&line);
        if summary.read(&line) {
            writeln!(std::io::stdout(), "{line}").context("nobody reads the output")?;
        }
    }
    summary.finish(
        child
            .wait()
            .context("cargo cannot be waited for")?
            .success(),
    );
    Ok(summary)
}
