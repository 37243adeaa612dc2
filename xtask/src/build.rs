//! `cargo xtask build`: the kernel objects, then the binary that embeds them.

use anyhow::Result;
use xshell::{Shell, cmd};

use crate::{
    ebpf, say,
    setup::{self, Install},
    workspace,
};

/// What to build.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build what users run: optimized.
    #[arg(long)]
    release: bool,
    #[command(flatten)]
    install: Install,
}

/// Builds the objects and `weft`.
pub(crate) fn run(sh: &Shell, args: &Args) -> Result<()> {
    let toolchain = setup::toolchain(sh, args.install)?;
    ebpf::build(sh, &toolchain)?;
    let profile = if args.release { "release" } else { "dev" };
    say::step("build weft", || {
        Ok(cmd!(sh, "cargo build -p weft --profile {profile}").run()?)
    })?;
    let folder = if args.release { "release" } else { "debug" };
    say::result(workspace::target(sh).join(folder).join("weft").display());
    Ok(())
}
