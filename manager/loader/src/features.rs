//! What the running kernel can do of what is needed, each probed by trying.

use std::{
    fs, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use weft_abi::Protocol;

use crate::{
    Error, btf, cgroup,
    enrol::SK_LOOKUP,
    sockets,
    sys::{link, map, probe},
};

/// `enum bpf_prog_type`.
const SCHED_CLS: u32 = 3;
const SOCK_OPS: u32 = 13;
const CGROUP_SOCK_ADDR: u32 = 18;
/// `enum bpf_attach_type`.
const CGROUP_SOCK_OPS: u32 = 3;
const INET4_CONNECT: u32 = 10;
const INET4_GETPEERNAME: u32 = 29;
const TCX_INGRESS: u32 = 46;
const SK_LOOKUP_PROGRAM: u32 = 30;
/// `enum bpf_map_type`.
const RINGBUF: u32 = 27;

/// The oldest kernel the programs are known to load on.
const OLDEST: (u32, u32) = (6, 1);

/// One thing the kernel may be able to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Feature {
    /// What it is.
    pub name: &'static str,
    /// What cannot be done without it.
    pub needed_for: &'static str,
    /// Nothing works without it; else only what `needed_for` says.
    pub required: bool,
    /// Whether it is there.
    pub support: Support,
}

/// Whether a feature is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Support {
    /// It is. Says a detail, perhaps.
    Present(String),
    /// It is not, and why.
    Missing(String),
}

impl Feature {
    /// Whether it is there.
    pub fn is_present(&self) -> bool {
        matches!(self.support, Support::Present(_))
    }
}

/// Probes everything. Attaches nothing and leaves nothing.
pub fn probe_all() -> Vec<Feature> {
    let required = |name, needed_for, support: Result<String, String>| Feature {
        name,
        needed_for,
        required: true,
        support: support.map_or_else(Support::Missing, Support::Present),
    };
    let optional = |name, needed_for, support| Feature {
        required: false,
        ..required(name, needed_for, support)
    };
    vec![
        required("kernel", "the programs' instructions and helpers", kernel()),
        required("BTF", "iterators and fields of sockets", types()),
        required("cgroup v2", "everything", root()),
        required("bpffs", "programs that outlive the manager", bpffs()),
        required(
            "cgroup connect hooks",
            "balancing connections",
            connect_hook(),
        ),
        required(
            "cgroup getpeername hooks",
            "clients seeing what they dialled",
            peername_hook(),
        ),
        required("sockops", "counting connections", sockops()),
        required("ring buffer", "events", ring_buffer()),
        required(
            "socket storage iterator",
            "reports of live connections",
            iterator(),
        ),
        required(
            "sk_lookup",
            "letting connections of enrolled workloads in or not",
            sk_lookup(),
        ),
        optional("tcx", "traffic from outside (--interface)", tcx()),
        optional(
            "destroying TCP sockets",
            "closing connections to removed endpoints",
            destroy(Protocol::TCP),
        ),
        optional(
            "destroying UDP sockets",
            "repairing sockets of removed endpoints",
            destroy(Protocol::UDP),
        ),
    ]
}

fn kernel() -> Result<String, String> {
    let release =
        fs::read_to_string("/proc/sys/kernel/osrelease").map_err(|error| error.to_string())?;
    let release = release.trim();
    match version(release) {
        Some(found) if found < OLDEST => {
            Err(format!("{release} is older than {}.{}", OLDEST.0, OLDEST.1))
        }
        _ => Ok(release.to_owned()),
    }
}

/// Major and minor number of a kernel release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn types() -> Result<String, String> {
    match Path::new(btf::KERNEL_TYPES).exists() {
        true => Ok(btf::KERNEL_TYPES.to_owned()),
        false => Err(format!(
            "no {}; the kernel needs CONFIG_DEBUG_INFO_BTF",
            btf::KERNEL_TYPES
        )),
    }
}

fn root() -> Result<String, String> {
    cgroup::root()
        .map(|path| path.display().to_string())
        .map_err(|error| error.to_string())
}

fn bpffs() -> Result<String, String> {
    let known = fs::read_to_string("/proc/filesystems").map_err(|error| error.to_string())?;
    match known
        .lines()
        .any(|line| line.trim_start_matches("nodev").trim() == "bpf")
    {
        true => Ok(String::new()),
        false => Err("the kernel has no filesystem bpf; it needs CONFIG_BPF_SYSCALL".to_owned()),
    }
}

fn connect_hook() -> Result<String, String> {
    cgroup_hook(CGROUP_SOCK_ADDR, INET4_CONNECT)
}

fn peername_hook() -> Result<String, String> {
    cgroup_hook(CGROUP_SOCK_ADDR, INET4_GETPEERNAME)
}

fn sockops() -> Result<String, String> {
    // Programs for sockops are loaded without an expected attach type.
    link_to_no_cgroup(load(SOCK_OPS, 0)?.as_fd(), CGROUP_SOCK_OPS)
}

fn cgroup_hook(prog_type: u32, attach_type: u32) -> Result<String, String> {
    link_to_no_cgroup(load(prog_type, attach_type)?.as_fd(), attach_type)
}

/// Links the program to something that is no cgroup: a kernel that has links refuses that file, one
/// that has none the request.
fn link_to_no_cgroup(program: BorrowedFd<'_>, attach_type: u32) -> Result<String, String> {
    answered(
        link::create_on_cgroup(program, program, attach_type),
        &[libc::EBADF],
    )
}

fn tcx() -> Result<String, String> {
    let program = load(SCHED_CLS, 0)?;
    // There is no interface with this index.
    let index = u32::try_from(i32::MAX).expect("positive");
    answered(
        link::create_on_interface(program.as_fd(), index, TCX_INGRESS),
        &[libc::ENODEV],
    )
}

/// As for cgroups: a program is no namespace.
fn sk_lookup() -> Result<String, String> {
    let program = load(SK_LOOKUP_PROGRAM, SK_LOOKUP)?;
    answered(
        link::create_on_namespace(program.as_fd(), program.as_fd(), SK_LOOKUP),
        &[libc::EINVAL],
    )
}

fn load(prog_type: u32, attach_type: u32) -> Result<OwnedFd, String> {
    probe::load(prog_type, attach_type).map_err(|error| reason(&error))
}

fn ring_buffer() -> Result<String, String> {
    // At least a page, and a power of two: 64 KiB is that wherever Linux runs.
    map::create(RINGBUF, 0, 0, 65_536)
        .map(|_| String::new())
        .map_err(|error| reason(&error))
}

fn iterator() -> Result<String, String> {
    let found = btf::Btf::from_file(btf::KERNEL_TYPES)
        .and_then(|types| types.has_function("bpf_iter_bpf_sk_storage_map"));
    match found.map_err(|error| error.to_string())? {
        true => Ok(String::new()),
        false => Err("the kernel has no bpf_iter_bpf_sk_storage_map".to_owned()),
    }
}

fn destroy(protocol: u8) -> Result<String, String> {
    sockets::probe(protocol)
        .map(|()| String::new())
        .map_err(|error| match error {
            Error::Socket { cause, .. } if cause.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                "the kernel needs CONFIG_INET_DIAG_DESTROY".to_owned()
            }
            error => error.to_string(),
        })
}

/// Present when the kernel refuses with one of `expected`.
fn answered(result: io::Result<OwnedFd>, expected: &[i32]) -> Result<String, String> {
    match result {
        Ok(_) => Ok(String::new()),
        Err(error)
            if error
                .raw_os_error()
                .is_some_and(|errno| expected.contains(&errno)) =>
        {
            Ok(String::new())
        }
        Err(error) => Err(reason(&error)),
    }
}

fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            "not permitted; run as root (CAP_BPF, CAP_NET_ADMIN)".to_owned()
        }
        Some(libc::EINVAL) => "the kernel does not know it".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_versions_compare_by_number() {
        assert_eq!(version("6.18.44-x"), Some((6, 18)));
        assert_eq!(version("6.1.0"), Some((6, 1)));
        assert!(version("5.15.0-generic") < Some(OLDEST));
        assert_eq!(version("unknown"), None);
    }
}
