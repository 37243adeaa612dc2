//! Debian's and Ubuntu's packages.

use anyhow::{Result, bail};
use xshell::{Shell, cmd};

use crate::{
    say::{progress, step},
    workspace,
};

/// Installs packages without a question asked. Their lists are fetched first.
pub(crate) fn install(sh: &Shell, packages: &[&str]) -> Result<()> {
    may_install(sh, packages)?;
    refresh(sh)?;
    install_known(sh, packages)
}

/// As [`install`], with the lists as they are.
pub(crate) fn install_known(sh: &Shell, packages: &[&str]) -> Result<()> {
    may_install(sh, packages)?;
    step(&format!("apt-get install {}", packages.join(" ")), || {
        let install = cmd!(
            sh,
            "apt-get install -y -q --no-install-recommends {packages...}"
        );
        Ok(install.env("DEBIAN_FRONTEND", "noninteractive").run()?)
    })
}

/// Fetches the lists of packages. One source out of reach is no reason to stop: what matters is
/// whether the packages can be had.
pub(crate) fn refresh(sh: &Shell) -> Result<()> {
    step("apt-get update", || {
        let update = cmd!(sh, "apt-get update -q").env("DEBIAN_FRONTEND", "noninteractive");
        if update.run().is_err() {
            progress("apt-get could not fetch all lists; going on with what is known");
        }
        Ok(())
    })
}

/// The version of a package that would be installed, `None` when the sources have none.
pub(crate) fn candidate(sh: &Shell, package: &str) -> Option<String> {
    let policy = cmd!(sh, "apt-cache policy {package}")
        .quiet()
        .ignore_stderr()
        .read()
        .ok()?;
    parse_candidate(&policy)
}

/// Whether this machine has apt and this process may use it.
pub(crate) fn available(sh: &Shell) -> bool {
    workspace::is_root() && workspace::program(sh, "apt-get").is_some()
}

fn may_install(sh: &Shell, packages: &[&str]) -> Result<()> {
    let packages = packages.join(" ");
    if workspace::program(sh, "apt-get").is_none() {
        bail!("no apt-get here; install what your distribution calls: {packages}");
    }
    if !workspace::is_root() {
        bail!("only root may install; run: sudo apt-get install -y {packages}");
    }
    Ok(())
}

fn parse_candidate(policy: &str) -> Option<String> {
    let version = policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (version != "(none)").then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_candidate_is_what_apt_would_install() {
        let policy = "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1\n  Version";
        assert_eq!(parse_candidate(policy).as_deref(), Some("1.96.0+dfsg1-1"));
    }

    #[test]
    fn a_package_known_by_name_only_has_no_candidate() {
        assert_eq!(
            parse_candidate("x:\n  Installed: (none)\n  Candidate: (none)\n"),
            None
        );
        assert_eq!(parse_candidate(""), None);
    }
}
