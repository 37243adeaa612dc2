//! `cargo xtask setup`: what building and testing needs beyond Rust and a C compiler.
//!
//! Two ways lead to a kernel object: Debian's own compiler, which ships `core` for the BPF target,
//! or a rustup nightly that builds `core` from its sources. Both link with bpf-linker, whose LLVM
//! must be at least as new as the compiler's.

mod apt;
mod compiler;
mod linker;

use std::path::PathBuf;

use anyhow::{Result, bail};
use xshell::Shell;

use crate::{say, workspace};

pub(crate) use compiler::Compiler;

/// Whether a task may install what is missing.
#[derive(clap::Args, Clone, Copy)]
pub(crate) struct Install {
    /// Install nothing: say what is missing and how to get it, and stop there.
    #[arg(long)]
    pub(crate) no_install: bool,
}

/// A program a task runs, the Debian package that has it, and what for.
pub(crate) struct Program {
    /// As it is typed.
    pub(crate) command: &'static str,
    /// Package of Debian and Ubuntu.
    pub(crate) package: &'static str,
    /// Told to the person whose machine it goes on.
    pub(crate) purpose: &'static str,
}

/// What the tests run beside our own programs.
pub(crate) const TEST_PROGRAMS: [Program; 2] = [
    Program {
        command: "ip",
        package: "iproute2",
        purpose: "makes namespaces and links for tests",
    },
    Program {
        command: "bpftool",
        package: "bpftool",
        purpose: "reads back what the kernel holds",
    },
];

/// What builds a kernel object.
pub(crate) struct Toolchain {
    /// Compiles for bpfel-unknown-none.
    pub(crate) compiler: Compiler,
    /// bpf-linker.
    pub(crate) linker: PathBuf,
}

/// The task: everything, with a word on each part.
pub(crate) fn run(sh: &Shell, install: Install) -> Result<()> {
    let toolchain = everything(sh, install)?;
    say::result(format_args!("eBPF compiler: {}", toolchain.compiler));
    say::result(format_args!("eBPF linker: {}", toolchain.linker.display()));
    for program in &TEST_PROGRAMS {
        if let Some(path) = workspace::program(sh, program.command) {
            say::result(format_args!("{}: {}", program.command, path.display()));
        }
    }
    Ok(())
}

/// Makes sure of the eBPF toolchain and of what the tests run.
pub(crate) fn everything(sh: &Shell, install: Install) -> Result<Toolchain> {
    if install.no_install {
        report_missing(sh, &TEST_PROGRAMS)?;
    }
    programs(sh, install, &TEST_PROGRAMS)?;
    toolchain(sh, install)
}

/// Makes sure of some programs.
pub(crate) fn programs(sh: &Shell, install: Install, wanted: &[Program]) -> Result<()> {
    let missing = missing_programs(sh, wanted);
    if missing.is_empty() {
        return Ok(());
    }
    if install.no_install {
        bail!("{}", tell_programs(&missing));
    }
    for program in &missing {
        say::progress(format_args!(
            "needs {}: {}",
            program.command, program.purpose
        ));
    }
    let packages: Vec<&str> = missing.iter().map(|program| program.package).collect();
    apt::install(sh, &packages)
}

/// Makes sure of the eBPF toolchain.
pub(crate) fn toolchain(sh: &Shell, install: Install) -> Result<Toolchain> {
    let compiler = match compiler::find(sh) {
        Some(compiler) => compiler,
        None if install.no_install => bail!("{}", compiler::advice(sh)),
        None => compiler::install(sh)?,
    };
    let linker = match linker::find(sh, compiler.llvm()) {
        Ok(linker) => linker,
        Err(lack) if install.no_install => bail!("{lack}; {}", linker::advice(compiler.llvm())),
        Err(lack) => linker::install(sh, compiler.llvm(), &lack)?,
    };
    Ok(Toolchain { compiler, linker })
}

/// Whether the package sources of this machine have a package.
pub(crate) fn is_offered(sh: &Shell, package: &str) -> bool {
    apt::candidate(sh, package).is_some()
}

/// A nightly that can run clippy for the BPF target, when there is one.
pub(crate) fn nightly_with_clippy(sh: &Shell) -> Option<Compiler> {
    compiler::nightly(sh).filter(|nightly| nightly.has_clippy(sh))
}

/// Says everything that is missing at once, not one thing per run.
fn report_missing(sh: &Shell, wanted: &[Program]) -> Result<()> {
    let mut lacks = Vec::new();
    let missing = missing_programs(sh, wanted);
    if !missing.is_empty() {
        lacks.push(tell_programs(&missing));
    }
    let found = compiler::find(sh);
    if found.is_none() {
        lacks.push(compiler::advice(sh));
    }
    let llvm = found.map_or(linker::USUAL_LLVM, |compiler| compiler.llvm());
    if let Err(lack) = linker::find(sh, llvm) {
        lacks.push(format!("{lack}; {}", linker::advice(llvm)));
    }
    if lacks.is_empty() {
        return Ok(());
    }
    bail!(
        "this machine lacks:\n  {}\nor let `cargo xtask setup` do it",
        lacks.join("\n  ")
    );
}

fn missing_programs<'a>(sh: &Shell, wanted: &'a [Program]) -> Vec<&'a Program> {
    let lacking = |program: &&Program| workspace::program(sh, program.command).is_none();
    wanted.iter().filter(lacking).collect()
}

fn tell_programs(missing: &[&Program]) -> String {
    let names: Vec<String> = missing
        .iter()
        .map(|it| format!("{} ({})", it.command, it.purpose))
        .collect();
    let packages: Vec<&str> = missing.iter().map(|it| it.package).collect();
    format!(
        "{}; install with: apt-get install -y {}",
        names.join(", "),
        packages.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_told_with_its_purpose_and_command() {
        let sh = workspace::shell().unwrap();
        let wanted = [Program {
            command: "no-such-program",
            package: "nsp",
            purpose: "tests",
        }];
        let refusal = programs(&sh, Install { no_install: true }, &wanted)
            .unwrap_err()
            .to_string();
        assert!(refusal.contains("no-such-program (tests)"), "{refusal}");
        assert!(refusal.contains("apt-get install -y nsp"), "{refusal}");
    }

    #[test]
    fn a_program_that_is_there_is_not_missing() {
        let sh = workspace::shell().unwrap();
        let wanted = [Program {
            command: "sh",
            package: "dash",
            purpose: "tests",
        }];
        assert!(programs(&sh, Install { no_install: true }, &wanted).is_ok());
    }
}
