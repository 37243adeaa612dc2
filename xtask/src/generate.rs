//! `cargo xtask gen`: writes what is made from the code, or holds it against the code.

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::say::step;

/// Whether to write.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail when a file is not what it would be.
    #[arg(long)]
    check: bool,
}

/// Makes `manager/api/FIELDS.md`. The test that compares it is the one that writes it.
pub(crate) fn run(sh: &Shell, args: &Args) -> Result<()> {
    if args.check {
        return check(sh);
    }
    step("reference of fields", || reference(sh, true))
}

/// Fails when a file is not what it would be.
pub(crate) fn check(sh: &Shell) -> Result<()> {
    step("reference of fields", || {
        reference(sh, false).context("manager/api/FIELDS.md is not up to date; run cargo xtask gen")
    })
}

/// All tests of the file: by a name that nobody has any more none would run, and none would fail.
fn reference(sh: &Shell, update: bool) -> Result<()> {
    let test = cmd!(sh, "cargo test --quiet -p weft-api --test fields").quiet();
    let test = match update {
        true => test.env("UPDATE", "1"),
        false => test.env_remove("UPDATE"),
    };
    Ok(test.read().map(drop)?)
}
