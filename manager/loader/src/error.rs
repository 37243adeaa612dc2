//! What can go wrong, and whose fault it is.

use std::{io, path::PathBuf};

/// Why something could not be loaded, attached, read or removed. Messages are complete: a cause is
/// part of them, and not a `source` that would be printed twice.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The binary has no kernel object.
    #[error("built without the kernel object; run `cargo xtask build-ebpf` and build again")]
    NotBuilt,
    /// A file or directory.
    #[error("cannot {action} {}: {cause}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel answered.
        cause: io::Error,
    },
    /// A bpf(2) command.
    #[error("cannot {action} {name}: {cause}")]
    Bpf {
        /// What was tried.
        action: &'static str,
        /// With which map, program, link or hook.
        name: String,
        /// What the kernel answered.
        cause: io::Error,
    },
    /// The object could not be parsed, or its maps not be made.
    #[error("cannot make the maps of the kernel object: {cause}")]
    Object {
        /// What aya met.
        cause: Box<aya::EbpfError>,
    },
    /// The kernel's types could not be read.
    #[error("cannot read the kernel's types (BTF): {cause}")]
    Btf {
        /// What aya met.
        cause: Box<aya::BtfError>,
    },
    /// The kernel's types could not be read while looking for the offset of a field.
    #[error("cannot read the kernel's types (BTF): {cause}")]
    Types {
        /// What is wrong with them.
        cause: Box<crate::btf::BtfFault>,
    },
    /// The kernel refused a program; the message has the verifier's log.
    #[error("the kernel refuses program {program}: {cause}")]
    Program {
        /// Its name.
        program: &'static str,
        /// What aya met.
        cause: Box<aya::programs::ProgramError>,
    },
    /// The object lacks a program.
    #[error(
        "the kernel object has no program {program} of the expected type; build it again with `cargo xtask build-ebpf`"
    )]
    NoProgram {
        /// Its name.
        program: &'static str,
    },
    /// A map is not pinned.
    #[error("map {map} is not pinned at {}; is weft running with this state directory?", path.display())]
    NoMap {
        /// Its name.
        map: &'static str,
        /// Where it should be.
        path: PathBuf,
    },
    /// A pinned map holds something else than this version expects.
    #[error(
        "map {map} at {} has keys of {key} and values of {value} bytes, this version uses {expected_key} and {expected_value}; \
         run `weft uninstall` with the version that made it", path.display()
    )]
    Layout {
        /// Its name.
        map: &'static str,
        /// Where it is pinned.
        path: PathBuf,
        /// Its key size, bytes.
        key: u32,
        /// Its value size, bytes.
        value: u32,
        /// The key size expected, bytes.
        expected_key: usize,
        /// The value size expected, bytes.
        expected_value: usize,
    },
    /// Another weft already serves sockets of this cgroup.
    #[error(
        "program {program} (id {id}) of another weft is attached to {}; serve another subtree, \
         or end that one with `weft uninstall --state` of its state directory", cgroup.display()
    )]
    Conflict {
        /// The other's program.
        program: String,
        /// Its id.
        id: u32,
        /// The cgroup it serves.
        cgroup: PathBuf,
    },
    /// There is no cgroup v2 hierarchy.
    #[error(
        "no cgroup v2 hierarchy is mounted; try `mount -t cgroup2 none /sys/fs/cgroup/unified`"
    )]
    NoCgroup2,
    /// The path names no cgroup.
    #[error("{} is no cgroup: neither a directory of a cgroup v2 mount nor one below {}", path.display(), root.display())]
    NotACgroup {
        /// As it was given.
        path: PathBuf,
        /// The root of the v2 hierarchy.
        root: PathBuf,
    },
    /// There is no such interface.
    #[error("no network interface {interface} in this network namespace: {cause}")]
    NoInterface {
        /// As it was given.
        interface: String,
        /// What the kernel answered.
        cause: io::Error,
    },
    /// Nothing is installed.
    #[error("nothing is installed in {}", state.display())]
    NotInstalled {
        /// The state directory.
        state: PathBuf,
    },
    /// Another process has the state directory.
    #[error("{} is in use by the weft with pid {holder}; stop it first, or use another --state", path.display())]
    Held {
        /// The lock file.
        path: PathBuf,
        /// The process, 0 when it has not said yet.
        holder: u32,
    },
    /// Something outlived its removal.
    #[error("removed all pins, yet still in the kernel: {}; another process holds them open (`bpftool prog`, `bpftool map` and `bpftool link` tell which)", left.join(", "))]
    Left {
        /// What, as `kind name (id)`.
        left: Vec<String>,
    },
    /// A socket could not be made or used.
    #[error("cannot {action}: {cause}")]
    Socket {
        /// What was tried.
        action: &'static str,
        /// What the kernel answered.
        cause: io::Error,
    },
    /// The kernel's answer made no sense.
    #[error("the kernel's {what} is malformed; is this a newer kernel than weft knows?")]
    Malformed {
        /// What was read.
        what: &'static str,
    },
    /// The log of the programs could not be opened.
    #[error("the trace object has no log: {cause}")]
    Trace {
        /// What aya-log met.
        cause: Box<aya_log::Error>,
    },
}

impl Error {
    /// Names the file an I/O error is about.
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| Self::File {
            action,
            path,
            cause,
        }
    }

    /// Names the object a bpf(2) error is about.
    pub(crate) fn bpf(
        action: &'static str,
        name: impl Into<String>,
    ) -> impl FnOnce(io::Error) -> Self {
        let name = name.into();
        move |cause| Self::Bpf {
            action,
            name,
            cause,
        }
    }
}
