//! A compiler for bpfel-unknown-none.

use std::{
    fmt::{self, Display, Formatter},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

use super::apt;
use crate::{
    say::{self, step},
    workspace,
};

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CORE: &str = "/usr/lib/rustlib/bpfel-unknown-none/lib";
const DEBIAN_PACKAGES: [&str; 2] = ["rustc-web", "libstd-rust-web-dev-bpf"];

/// A compiler that has `core` for the BPF target, or can build it.
#[derive(Clone, Debug)]
pub(crate) enum Compiler {
    /// Debian's, with a prebuilt `core`.
    Debian {
        /// First line of `rustc -vV`.
        version: String,
        /// Major version of its LLVM.
        llvm: u32,
    },
    /// A rustup nightly with rust-src, which builds `core` along.
    Nightly {
        /// Name of the toolchain.
        toolchain: String,
        /// First line of `rustc -vV`.
        version: String,
        /// Major version of its LLVM.
        llvm: u32,
    },
}

impl Compiler {
    /// Major version of the LLVM whose bitcode it writes.
    pub(crate) fn llvm(&self) -> u32 {
        match self {
            Self::Debian { llvm, .. } | Self::Nightly { llvm, .. } => *llvm,
        }
    }

    /// Path of Debian's compiler, `None` when rustup starts the compiler.
    pub(crate) fn rustc(&self) -> Option<&'static str> {
        matches!(self, Self::Debian { .. }).then_some(DEBIAN_RUSTC)
    }

    pub(super) fn has_clippy(&self, sh: &Shell) -> bool {
        let Self::Nightly { toolchain, .. } = self else {
            return false;
        };
        cmd!(sh, "rustup run {toolchain} cargo clippy --version")
            .quiet()
            .ignore_stdout()
            .ignore_stderr()
            .run()
            .is_ok()
    }
}

impl Display for Compiler {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Debian { version, llvm } => {
                write!(f, "Debian's {DEBIAN_RUSTC}, {version}, LLVM {llvm}")
            }
            Self::Nightly {
                toolchain,
                version,
                llvm,
            } => {
                write!(f, "rustup's {toolchain}, {version}, LLVM {llvm}")
            }
        }
    }
}

/// The compiler to take, when there is one.
pub(super) fn find(sh: &Shell) -> Option<Compiler> {
    debian(sh).or_else(|| nightly(sh))
}

/// Debian's compiler, when it is new enough and has `core` for the target.
fn debian(sh: &Shell) -> Option<Compiler> {
    if !has_core(Path::new(DEBIAN_CORE)) || !Path::new(DEBIAN_RUSTC).exists() {
        return None;
    }
    // Cargo lends its children rustup's libraries; this compiler has its own.
    let about = cmd!(sh, "{DEBIAN_RUSTC} -vV")
        .env_remove("LD_LIBRARY_PATH")
        .quiet()
        .read()
        .ok()?;
    let (version, llvm) = parse_about(&about)?;
    Some(Compiler::Debian { version, llvm })
}

/// A rustup nightly that has the sources of `core`.
pub(super) fn nightly(sh: &Shell) -> Option<Compiler> {
    workspace::program(sh, "rustup")?;
    let list = cmd!(sh, "rustup toolchain list")
        .quiet()
        .ignore_stderr()
        .read()
        .ok()?;
    let installed = list
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    installed
        .filter(|name| name.starts_with("nightly"))
        .find_map(|name| probe_nightly(sh, name))
}

fn probe_nightly(sh: &Shell, toolchain: &str) -> Option<Compiler> {
    let rustc = |what: &[&str]| {
        let run = cmd!(sh, "rustup run {toolchain} rustc {what...}");
        run.env_remove("LD_LIBRARY_PATH")
            .quiet()
            .ignore_stderr()
            .read()
            .ok()
    };
    let sysroot = PathBuf::from(rustc(&["--print", "sysroot"])?);
    if !sysroot.join("lib/rustlib/src/rust/library/core").is_dir() {
        return None;
    }
    let (version, llvm) = parse_about(&rustc(&["-vV"])?)?;
    Some(Compiler::Nightly {
        toolchain: toolchain.to_owned(),
        version,
        llvm,
    })
}

/// Installs a compiler: Debian's where the package sources have it, else a nightly.
pub(super) fn install(sh: &Shell) -> Result<Compiler> {
    say::progress("needs a compiler for the eBPF target: compiles the kernel half");
    if apt::available(sh) {
        apt::refresh(sh)?;
        if debian_has_it(sh) {
            apt::install_known(sh, &DEBIAN_PACKAGES)?;
            return debian(sh).context("the installed rustc-web does not know the eBPF target");
        }
    }
    if workspace::program(sh, "rustup").is_none() {
        bail!("{}", advice(sh));
    }
    step("rustup toolchain install nightly", || {
        let components = "rustup toolchain install nightly --profile minimal --component rust-src";
        Ok(sh.cmd("rustup").args(components.split(' ').skip(1)).run()?)
    })?;
    nightly(sh).context("the installed nightly has no rust-src")
}

/// What to type to get a compiler.
pub(super) fn advice(sh: &Shell) -> String {
    let lack = "a Rust compiler for eBPF (compiles the kernel half)";
    let rustup = "rustup toolchain install nightly --component rust-src";
    if workspace::program(sh, "apt-get").is_none() {
        return format!("{lack}; install with: {rustup}");
    }
    let debian = format!("apt-get install -y {}", DEBIAN_PACKAGES.join(" "));
    if debian_has_it(sh) {
        return format!("{lack}; install with: {debian}");
    }
    // The lists of packages may never have been fetched.
    format!("{lack}; install with: apt-get update && {debian}; where that has none, {rustup}")
}

fn debian_has_it(sh: &Shell) -> bool {
    let recent = |version: String| new_enough(&version);
    DEBIAN_PACKAGES
        .iter()
        .all(|package| apt::candidate(sh, package).is_some_and(recent))
}

fn has_core(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    entries
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
}

fn new_enough(version: &str) -> bool {
    workspace::parse_version(version).is_some_and(|found| found >= workspace::rust_version())
}

/// First line and LLVM's major version of `rustc -vV`; `None` when it is too old for us.
fn parse_about(about: &str) -> Option<(String, u32)> {
    let field = |name: &str| about.lines().find_map(|line| line.strip_prefix(name));
    if !new_enough(field("release: ")?) {
        return None;
    }
    let llvm = field("LLVM version: ")?.split('.').next()?.parse().ok()?;
    Some((about.lines().next()?.to_owned(), llvm))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: &str = "rustc 1.96.0 (ac68faa20 2026-05-25)\nbinary: rustc\n\
                         release: 1.96.0\nLLVM version: 22.1.8";

    #[test]
    fn the_compiler_names_its_llvm() {
        let (version, llvm) = parse_about(ABOUT).unwrap();
        assert_eq!(
            (version.as_str(), llvm),
            ("rustc 1.96.0 (ac68faa20 2026-05-25)", 22)
        );
    }

    #[test]
    fn a_compiler_older_than_the_workspace_is_not_taken() {
        assert!(parse_about(&ABOUT.replace("release: 1.96.0", "release: 1.63.0")).is_none());
        assert!(!new_enough("1.85.0+dfsg3-1~deb12u3"));
        assert!(new_enough("1.96.0+dfsg1-1~deb12u2"));
    }
}
