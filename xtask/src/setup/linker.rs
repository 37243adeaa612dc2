//! bpf-linker: turns bitcode into one object with BTF.

use std::{
    fmt::{self, Display, Formatter},
    path::{Path, PathBuf},
};

use anyhow::{Result, anyhow, bail};
use xshell::{Shell, cmd};

use super::apt;
use crate::{
    say::{self, step},
    workspace,
};

/// The LLVM of current compilers, for advice before a compiler is there.
pub(super) const USUAL_LLVM: u32 = 22;

const VERSION: &str = "0.13";
/// LLVMs this bpf-linker can be built with.
const LLVMS: [u32; 3] = [21, 22, 23];

/// Why no bpf-linker can be taken.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Lack {
    Missing,
    OldVersion(String),
    OldLlvm { linker: u32, compiler: u32 },
}

impl Display for Lack {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "bpf-linker (links the kernel objects)"),
            Self::OldVersion(found) => write!(f, "bpf-linker {VERSION} (there is {found})"),
            Self::OldLlvm { linker, compiler } => write!(
                f,
                "a bpf-linker with the LLVM of the compiler, {compiler} (there is one with {linker})"
            ),
        }
    }
}

/// Finds a bpf-linker that understands what a compiler with this LLVM writes.
pub(super) fn find(sh: &Shell, compiler_llvm: u32) -> Result<PathBuf, Lack> {
    let linker = workspace::program(sh, "bpf-linker").ok_or(Lack::Missing)?;
    let about = cmd!(sh, "{linker} --version")
        .quiet()
        .ignore_stderr()
        .read()
        .unwrap_or_default();
    let version = about.split_whitespace().last().unwrap_or("a broken one");
    if workspace::parse_version(version) < workspace::parse_version(VERSION) {
        return Err(Lack::OldVersion(version.to_owned()));
    }
    match linked_llvm(sh, &linker) {
        Some(linker) if linker < compiler_llvm => Err(Lack::OldLlvm {
            linker,
            compiler: compiler_llvm,
        }),
        _ => Ok(linker),
    }
}

/// Builds bpf-linker against the distribution's LLVM.
pub(super) fn install(sh: &Shell, compiler_llvm: u32, lack: &Lack) -> Result<PathBuf> {
    say::progress(format_args!("needs {lack}"));
    let llvm = llvm_libraries(sh, compiler_llvm)?;
    let feature = format!("llvm-{llvm}");
    step("build bpf-linker (about two minutes)", || {
        let version = format!("^{VERSION}");
        let build = cmd!(
            sh,
            "cargo install bpf-linker --force --version {version} --no-default-features
             --features {feature}"
        );
        Ok(build.env("LLVM_PREFIX", prefix(llvm)).run()?)
    })?;
    find(sh, compiler_llvm)
        .map_err(|lack| anyhow!("after installing it there is still lacking {lack}"))
}

/// What to type to get a bpf-linker.
pub(super) fn advice(compiler_llvm: u32) -> String {
    format!(
        "install with: apt-get install -y llvm-{compiler_llvm}-dev && LLVM_PREFIX={} cargo install \
         bpf-linker --force --version ^{VERSION} --no-default-features --features llvm-{compiler_llvm}",
        prefix(compiler_llvm)
    )
}

/// An LLVM to link with, installed when it is not there: the compiler's own or the next newer.
fn llvm_libraries(sh: &Shell, compiler_llvm: u32) -> Result<u32> {
    let fitting = || LLVMS.into_iter().filter(|&llvm| llvm >= compiler_llvm);
    let installed = |llvm: &u32| Path::new(&prefix(*llvm)).join("bin/llvm-config").exists();
    if let Some(llvm) = fitting().find(installed) {
        return Ok(llvm);
    }
    say::progress("needs LLVM's libraries: bpf-linker is built on them");
    if apt::available(sh) {
        apt::refresh(sh)?;
    }
    let package = |llvm: u32| format!("llvm-{llvm}-dev");
    let offered = fitting().find(|&llvm| apt::candidate(sh, &package(llvm)).is_some());
    let Some(llvm) = offered else {
        bail!(
            "the package sources of this machine have no LLVM {compiler_llvm} or newer, which \
             bpf-linker needs; add a source that has {}",
            package(compiler_llvm)
        );
    };
    apt::install_known(sh, &[&package(llvm)])?;
    Ok(llvm)
}

fn prefix(llvm: u32) -> String {
    format!("/usr/lib/llvm-{llvm}")
}

fn linked_llvm(sh: &Shell, linker: &Path) -> Option<u32> {
    parse_linked(
        &cmd!(sh, "ldd {linker}")
            .quiet()
            .ignore_stderr()
            .read()
            .ok()?,
    )
}

/// Major version of the LLVM in a list of shared libraries; a static one is not seen.
fn parse_linked(libraries: &str) -> Option<u32> {
    let (_, version) = libraries.split_once("libLLVM")?;
    let digits = version.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linkers_llvm_is_read_from_its_libraries() {
        assert_eq!(
            parse_linked("\tlibLLVM.so.22.1 => /usr/lib/llvm-22/lib/libLLVM.so.22.1"),
            Some(22)
        );
        assert_eq!(
            parse_linked("\tlibLLVM-21.so.1 => /lib/libLLVM-21.so.1 (0x0)"),
            Some(21)
        );
        assert_eq!(parse_linked("\tlibc.so.6 => /lib/libc.so.6 (0x0)"), None);
    }

    #[test]
    fn the_advice_names_llvm_and_version() {
        let advice = advice(22);
        assert!(advice.contains("llvm-22-dev"), "{advice}");
        assert!(advice.contains("--version ^0.13"), "{advice}");
    }
}
