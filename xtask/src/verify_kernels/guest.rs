//! The guest: a root file system in memory, and what it says on the serial line.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::workspace;

/// First process of the guest: mounts, loads, tells, switches off.
const INIT: &str = include_str!("guest/init.sh");

/// Seconds until a guest that hangs is given up; emulated, one boots in about ten.
const PATIENCE: &str = "240";

/// What one kernel said of the object.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Verdict {
    /// `uname -r`.
    pub(super) release: String,
    /// Names of the programs it took; none when it refused the object.
    pub(super) programs: Vec<String>,
    /// The verifier's words, when it refused.
    pub(super) refusal: Option<String>,
}

impl Verdict {
    /// Reads a console; `None` when the guest never came to a verdict.
    pub(super) fn read(console: &str) -> Option<Self> {
        let mut lines = console.lines().map(|line| line.trim_end_matches('\r'));
        let release = lines
            .find_map(|line| Some(line.split_once("WEFT-KERNEL ")?.1))?
            .to_owned();
        let mut said = Vec::new();
        for line in lines {
            match line {
                "WEFT-PASS" => {
                    return Some(Self {
                        release,
                        programs: owned(&said),
                        refusal: None,
                    });
                }
                "WEFT-FAIL" => {
                    return Some(Self {
                        release,
                        programs: vec![],
                        refusal: Some(said.join("\n")),
                    });
                }
                line => said.push(line),
            }
        }
        None
    }
}

/// The programs among the lines of a guest that passed; the kernel may have spoken in between.
fn owned(lines: &[&str]) -> Vec<String> {
    let programs = lines
        .iter()
        .filter_map(|line| line.strip_prefix("WEFT-PROGRAM "));
    programs.map(str::to_owned).collect()
}

/// Packs the guest's root: busybox, bpftool with its libraries, the object, the first process.
pub(super) fn pack(sh: &Shell, folder: &Path, object: &Path) -> Result<PathBuf> {
    let root = folder.join("root");
    sh.remove_path(&root)?;
    for name in ["bin", "proc", "sys", "dev", "tmp"] {
        sh.create_dir(root.join(name))?;
    }
    for name in ["busybox", "bpftool"] {
        copy_program(sh, name, &root)?;
    }
    sh.copy_file(object, root.join("weft.bpf.o"))
        .with_context(|| format!("no object at {}; run build-ebpf", object.display()))?;
    let init = root.join("init");
    sh.write_file(&init, INIT)?;
    cmd!(sh, "chmod 755 {init}").quiet().run()?;
    let image = folder.join("root.cpio");
    let _there = sh.push_dir(&root);
    let files = cmd!(sh, "find .").quiet().read()?;
    let pack = cmd!(sh, "cpio --quiet -o -H newc -F {image}").stdin(files + "\n");
    pack.quiet().run()?;
    Ok(image)
}

/// Boots a kernel on a root; returns all it wrote on its serial line. Emulated: that works on
/// every machine, and KVM inside a virtual machine often does not.
pub(super) fn boot(sh: &Shell, kernel: &Path, root: &Path) -> Result<String> {
    let command_line = "console=ttyS0 panic=-1 quiet";
    let qemu = cmd!(
        sh,
        "timeout {PATIENCE} qemu-system-x86_64 -accel tcg -cpu max -m 1024 -nic none -nographic
         -no-reboot -kernel {kernel} -initrd {root} -append {command_line}"
    );
    // A guest that hangs is ended by the timeout, and its console is read all the same.
    Ok(qemu.stdin("").ignore_status().quiet().read()?)
}

/// The last lines of a console.
pub(super) fn tail(console: &str) -> String {
    let lines: Vec<&str> = console.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

fn copy_program(sh: &Shell, name: &str, root: &Path) -> Result<()> {
    let program = workspace::program(sh, name).with_context(|| format!("{name} is missing"))?;
    sh.copy_file(&program, root.join("bin").join(name))?;
    // A static program has no libraries, and ldd says so with an error.
    let list = cmd!(sh, "ldd {program}")
        .quiet()
        .ignore_stderr()
        .ignore_status()
        .read()?;
    for library in libraries(&list) {
        let inside = root.join(library.trim_start_matches('/'));
        let folder = inside.parent().context("a library lies in a folder")?;
        sh.create_dir(folder)?;
        sh.copy_file(library, &inside)?;
    }
    Ok(())
}

/// Paths in ldd's output: `libz.so.1 => /lib/libz.so.1 (0x7f)` and `/lib64/ld.so (0x7f)`.
fn libraries(list: &str) -> BTreeSet<&str> {
    list.split_whitespace()
        .filter(|word| word.starts_with('/'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_names_the_kernel() {
        // The firmware leaves the line with an escape sequence on it.
        let console = "noise\r\n\u{1b}[2JWEFT-KERNEL 6.1.0-50\r\nWEFT-PROGRAM weft_connect4\r\n\
                       [    1.2] kernel noise\r\nWEFT-PASS\r\n";
        let verdict = Verdict::read(console).unwrap();
        assert_eq!(verdict.release, "6.1.0-50");
        assert_eq!(verdict.programs, ["weft_connect4"]);
        assert_eq!(verdict.refusal, None);
    }

    #[test]
    fn a_refusal_keeps_the_verifiers_words() {
        let console = "WEFT-KERNEL 6.1\nR1 invalid mem access\nWEFT-FAIL\n";
        let verdict = Verdict::read(console).unwrap();
        assert_eq!(verdict.refusal.as_deref(), Some("R1 invalid mem access"));
    }

    #[test]
    fn a_guest_that_panics_gives_no_verdict() {
        assert_eq!(
            Verdict::read("WEFT-KERNEL 6.1\nKernel panic - not syncing\n"),
            None
        );
        assert_eq!(Verdict::read(""), None);
    }

    #[test]
    fn libraries_are_the_paths_of_ldd() {
        let list = "\tlinux-vdso.so.1 (0x7f)\n\tlibz.so.1 => /lib/libz.so.1 (0x7f)\n\t/lib64/ld.so (0x7f)\n";
        assert_eq!(
            libraries(list).into_iter().collect::<Vec<_>>(),
            ["/lib/libz.so.1", "/lib64/ld.so"]
        );
    }
}
