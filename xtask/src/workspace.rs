//! Where the workspace is and how a task starts programs in it.

use std::{
    env,
    ffi::OsString,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use xshell::Shell;

/// Packages that are built for the host; the kernel half has its own build.
pub(crate) const HOST_PACKAGES: [&str; 3] = ["--workspace", "--exclude", "weft-ebpf"];

/// The oldest compiler that builds the workspace, as (major, minor).
pub(crate) fn rust_version() -> (u32, u32) {
    parse_version(env!("CARGO_PKG_RUST_VERSION"))
        .expect("cargo checked the manifest's rust-version")
}

/// The leading `major.minor` of a version.
pub(crate) fn parse_version(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The root of the checkout this task runs in.
pub(crate) fn root() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest
        .parent()
        .expect("xtask is a folder of the workspace")
        .to_owned()
}

/// A shell at the root of the workspace that finds what `cargo install` installed.
pub(crate) fn shell() -> Result<Shell> {
    let sh = Shell::new().context("the current directory is gone; run from the checkout")?;
    sh.change_dir(root());
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
    folders.extend(cargo_bin());
    // Debian keeps administrators' programs (ip, bpftool, nft) out of other users' PATH.
    folders.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    sh.set_var(
        "PATH",
        env::join_paths(folders).context("PATH holds a folder with ':'")?,
    );
    Ok(sh)
}

/// The full path of a program on the shell's PATH.
pub(crate) fn program(sh: &Shell, name: &str) -> Option<PathBuf> {
    let path: OsString = sh.var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| is_program(file))
}

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    // The owner of /proc/self is the effective user.
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// The target directory as the person who runs the task chose it.
pub(crate) fn target(sh: &Shell) -> PathBuf {
    let chosen = sh
        .var_os("CARGO_TARGET_DIR")
        .map_or_else(|| "target".into(), PathBuf::from);
    root().join(chosen)
}

fn cargo_bin() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")))?;
    Some(home.join("bin"))
}

fn is_program(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|found| found.is_file() && found.mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_up_to_its_minor() {
        assert_eq!(
            parse_version("1.96.0 (ac68faa20 2026-05-25)"),
            Some((1, 96))
        );
        assert_eq!(parse_version("0.13"), Some((0, 13)));
        assert_eq!(parse_version("1.97.0-nightly"), Some((1, 97)));
        assert_eq!(parse_version("nightly"), None);
    }
}
