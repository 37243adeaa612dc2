//! `cargo xtask build-ebpf`: the kernel half as two objects in target/bpf.

mod atomics;

mod builtins;

use std::{
    env::consts::ARCH,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use xshell::{Cmd, Shell, cmd};

use crate::{
    say::{self, step},
    setup::{self, Compiler, Install, Toolchain},
    workspace,
};

/// How to build.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only check that it compiles; leave the objects in target/bpf as they are.
    #[arg(long)]
    check_only: bool,
    #[command(flatten)]
    install: Install,
}

/// One object: its file name in target/bpf and the features it is built with.
struct Object {
    name: &'static str,
    features: &'static [&'static str],
}

/// The second holds aya-log's map, which libbpf refuses, so `bpftool` can load the first only.
const OBJECTS: [Object; 2] = [
    Object {
        name: "weft.bpf.o",
        features: &[],
    },
    Object {
        name: "weft-trace.bpf.o",
        features: &["--features", "trace"],
    },
];

/// The task.
pub(crate) fn run(sh: &Shell, args: &Args) -> Result<()> {
    let toolchain = setup::toolchain(sh, args.install)?;
    if args.check_only {
        return check(sh, &toolchain);
    }
    for object in build(sh, &toolchain)? {
        say::result(object.display());
    }
    Ok(())
}

/// Builds both objects; returns where they are.
pub(crate) fn build(sh: &Shell, toolchain: &Toolchain) -> Result<Vec<PathBuf>> {
    say::progress(format_args!("eBPF compiler: {}", toolchain.compiler));
    OBJECTS
        .iter()
        .map(|object| build_object(sh, toolchain, object))
        .collect()
}

/// Where the object without tracing is left.
pub(crate) fn object() -> PathBuf {
    folder().join(OBJECTS[0].name)
}

/// Clippy over the kernel half.
pub(crate) fn clippy(sh: &Shell, nightly: &Compiler) -> Result<()> {
    let flags = ["clippy", "--release", "-p", "weft-ebpf", "--all-features"];
    Ok(cargo(sh, nightly, &flags)?
        .args(["--", "-D", "warnings"])
        .run()?)
}

fn check(sh: &Shell, toolchain: &Toolchain) -> Result<()> {
    for object in &OBJECTS {
        let check = cargo(
            sh,
            &toolchain.compiler,
            &["check", "--release", "-p", "weft-ebpf"],
        )?;
        step(&format!("check {}", object.name), || {
            Ok(check.args(object.features).run()?)
        })?;
    }
    Ok(())
}

fn build_object(sh: &Shell, toolchain: &Toolchain, object: &Object) -> Result<PathBuf> {
    step(&format!("build {}", object.name), || {
        let build = cargo(
            sh,
            &toolchain.compiler,
            &["build", "--release", "-p", "weft-ebpf"],
        )?;
        build.args(object.features).run()?;
        let built = target(sh).join("bpfel-unknown-none/release/weft-ebpf");
        let mut bytes =
            fs::read(&built).with_context(|| format!("no object at {}", built.display()))?;
        atomics::check(&bytes).with_context(|| object.name)?;
        builtins::hide(&mut bytes).with_context(|| object.name)?;
        let destination = folder().join(object.name);
        write_if_changed(&destination, &bytes)?;
        Ok(destination)
    })
}

/// Cargo for the BPF target with this compiler. The target directory is its own, so that host
/// builds neither wait for it nor start over after it.
fn cargo<'a>(sh: &'a Shell, compiler: &Compiler, arguments: &[&str]) -> Result<Cmd<'a>> {
    let cargo = match compiler {
        Compiler::Debian { .. } => cmd!(sh, "cargo {arguments...}"),
        Compiler::Nightly { toolchain, .. } => cmd!(
            sh,
            "rustup run {toolchain} cargo {arguments...} -Z build-std=core"
        )
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO"),
    };
    let cargo = match compiler.rustc() {
        // Its `core` has no stable eBPF: intrinsics for atomics need the bootstrap key.
        Some(rustc) => cargo.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1"),
        None => cargo.env_remove("RUSTC"),
    };
    let target = target(sh);
    Ok(cargo
        .env_remove("LD_LIBRARY_PATH")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", rust_flags(ARCH)?)
        .args(["--target", "bpfel-unknown-none", "--target-dir"])
        .arg(target))
}

/// Compiler flags, in cargo's encoding. `v3` has the atomics that return the old value.
fn rust_flags(host: &str) -> Result<String> {
    if !matches!(host, "x86_64" | "aarch64") {
        bail!("the kernel half is built on x86_64 and aarch64, this is {host}");
    }
    let arch = format!("--cfg=bpf_target_arch=\"{host}\"");
    Ok([
        arch.as_str(),
        "-Cdebuginfo=2",
        "-Ctarget-cpu=v3",
        "-Clink-arg=--btf",
    ]
    .join("\u{1f}"))
}

/// Leaves an equal file alone: its age decides whether what embeds it is built again.
fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let folder = path.parent().expect("an object lies in a folder");
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    // Renamed into place: a build running beside this one never embeds half an object.
    let new = path.with_extension("o.new");
    fs::write(&new, bytes).with_context(|| format!("cannot write {}", new.display()))?;
    fs::rename(&new, path).with_context(|| format!("cannot write {}", path.display()))
}

/// Below the root wherever cargo's target directory is: `bpftool` and the loader look there.
fn folder() -> PathBuf {
    workspace::root().join("target/bpf")
}

fn target(sh: &Shell) -> PathBuf {
    workspace::target(sh).join("ebpf")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_name_the_hosts_architecture() {
        let flags = rust_flags("aarch64").unwrap();
        assert!(
            flags.starts_with("--cfg=bpf_target_arch=\"aarch64\"\u{1f}"),
            "{flags}"
        );
        assert!(rust_flags("riscv64").is_err());
    }

    #[test]
    fn an_equal_object_keeps_its_age() {
        let folder = std::env::temp_dir().join(format!("xtask-object-{}", std::process::id()));
        let path = folder.join("a.bpf.o");
        write_if_changed(&path, b"one").unwrap();
        let old = std::time::SystemTime::UNIX_EPOCH;
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(old)
            .unwrap();
        write_if_changed(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), old);
        write_if_changed(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        fs::remove_dir_all(&folder).unwrap();
    }
}
