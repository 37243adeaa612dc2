//! `cargo xtask tidy`: the rules no compiler knows.

mod dependencies;
mod documents;
mod kernel_atomics;
mod licences;
mod metadata;
mod purity;
mod sources;

use anyhow::{Result, bail};
use xshell::Shell;

use crate::{say, workspace};
use metadata::Workspace;
use sources::Source;

/// Something that breaks a rule, with where and which.
type Problems = Vec<String>;

/// Checks every rule and tells every breach.
pub(crate) fn run(sh: &Shell) -> Result<()> {
    let workspace = Workspace::load(sh)?;
    let sources = Source::all(&workspace::root())?;
    let mut problems = Problems::new();
    dependencies::check(&workspace, &mut problems);
    licences::check(&workspace, &sources, &mut problems);
    purity::check(sh, &workspace, &sources, &mut problems)?;
    sources::check(&sources, &mut problems);
    sources::check_list(&sources, &mut problems);
    kernel_atomics::check(&sources, &mut problems);
    documents::check(&workspace, &sources, &mut problems);
    if problems.is_empty() {
        say::result(format_args!("tidy: {} files keep the rules", sources.len()));
        return Ok(());
    }
    bail!(
        "{} breaches of the rules:\n  {}",
        problems.len(),
        problems.join("\n  ")
    );
}
