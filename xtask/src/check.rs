//! `cargo xtask check`: all of CI that needs neither a kernel nor the eBPF toolchain.

use anyhow::Result;
use xshell::{Shell, cmd};

use crate::{
    generate,
    say::{self, step},
    setup::{self, Install},
    tidy,
    workspace::HOST_PACKAGES,
};

/// Runs the checks, cheapest first; the first that finds something ends the task.
pub(crate) fn run(sh: &Shell, _install: Install) -> Result<()> {
    step("format", || Ok(cmd!(sh, "cargo fmt --all --check").run()?))?;
    step("tidy", || tidy::run(sh))?;
    crate::wire::check()?;
    step("clippy", || {
        Ok(cmd!(
            sh,
            "cargo clippy {HOST_PACKAGES...} --all-targets -- -D warnings"
        )
        .run()?)
    })?;
    kernel_half(sh)?;
    generate::check(sh)?;
    step("documentation", || {
        let doc = cmd!(sh, "cargo doc --no-deps {HOST_PACKAGES...}");
        Ok(doc.env("RUSTDOCFLAGS", "-Dwarnings").run()?)
    })?;
    say::result("all checks passed");
    Ok(())
}

/// Clippy must be of the very compiler that made `core`; Debian's rustc-web has none.
fn kernel_half(sh: &Shell) -> Result<()> {
    match setup::nightly_with_clippy(sh) {
        Some(toolchain) => step("clippy for weft-ebpf", || {
            crate::ebpf::clippy(sh, &toolchain)
        }),
        None => {
            say::progress("clippy for weft-ebpf skipped: needs a nightly with rust-src and clippy");
            Ok(())
        }
    }
}
