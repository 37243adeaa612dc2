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
    step("reference of fields", || {
        let _update = sh.push_env("UPDATE", "1");
        reference(sh)
    })
}

/// Fails when a file is not what it would be.
pub(crate) fn check(sh: &Shell) -> Result<()> {
    step("reference of fields", || {
        reference(sh).context("manager/api/FIELDS.md is not up to date; run cargo xtask gen")
    })
}

fn reference(sh: &Shell) -> Result<()> {
    Ok(cmd!(
        sh,
        "cargo test --quiet -p weft-api --test fields the_reference_says_what_the_readers_know"
    )
    .quiet()
    .read()
    .map(drop)?)
}
