//! Links: what keeps a program attached.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    slice,
};

use super::{address, bpf, bpf_fd, command, raw};

/// `BPF_TRACE_ITER`.
const TRACE_ITER: u32 = 28;

#[repr(C)]
#[derive(Default)]
struct Create {
    prog_fd: u32,
    /// Descriptor or interface index.
    target: u32,
    attach_type: u32,
    flags: u32,
    iter_info: u64,
    iter_info_len: u32,
    pad: u32,
}

#[repr(C)]
#[derive(Default)]
struct Update {
    link_fd: u32,
    new_prog_fd: u32,
    flags: u32,
    old_prog_fd: u32,
}

#[repr(C)]
#[derive(Default)]
struct IterCreate {
    link_fd: u32,
    flags: u32,
}

/// Attaches `program` to a cgroup. Links allow no flags: each is one of many (`BPF_F_ALLOW_MULTI`).
pub(crate) fn create_on_cgroup(
    program: BorrowedFd<'_>,
    cgroup: BorrowedFd<'_>,
    attach_type: u32,
) -> io::Result<OwnedFd> {
    create_on(program, cgroup, attach_type)
}

/// Attaches `program` to an interface of the current namespace, after those already there.
pub(crate) fn create_on_interface(
    program: BorrowedFd<'_>,
    index: u32,
    attach_type: u32,
) -> io::Result<OwnedFd> {
    create(Create {
        prog_fd: raw(program),
        target: index,
        attach_type,
        ..Create::default()
    })
}

/// Attaches `program` in a network namespace.
pub(crate) fn create_on_namespace(
    program: BorrowedFd<'_>,
    namespace: BorrowedFd<'_>,
    attach_type: u32,
) -> io::Result<OwnedFd> {
    create_on(program, namespace, attach_type)
}

/// Replaces the program of a link, atomically.
pub(crate) fn update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes = Update {
        link_fd: raw(link),
        new_prog_fd: raw(program),
        ..Update::default()
    };
    // SAFETY: no addresses.
    unsafe { bpf(command::LINK_UPDATE, &mut attributes) }.map(drop)
}

/// Opens one run of an iterator program over the elements of `map`; reading the file runs it.
pub(crate) fn iterate_map(program: BorrowedFd<'_>, map: BorrowedFd<'_>) -> io::Result<File> {
    // `union bpf_iter_link_info` with `map.map_fd`; the kernel takes any length it knows.
    let info = [raw(map), 0, 0, 0];
    let link = create(Create {
        prog_fd: raw(program),
        attach_type: TRACE_ITER,
        iter_info: address(&info),
        iter_info_len: u32::try_from(size_of_val(&info)).expect("sixteen bytes"),
        ..Create::default()
    })?;
    let mut attributes = IterCreate {
        link_fd: raw(link.as_fd()),
        flags: 0,
    };
    // SAFETY: no addresses; the command returns a descriptor.
    let fd = unsafe { bpf_fd(command::ITER_CREATE, &mut attributes) }?;
    Ok(File::from(fd))
}

fn create_on(
    program: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    attach_type: u32,
) -> io::Result<OwnedFd> {
    create(Create {
        prog_fd: raw(program),
        target: raw(target),
        attach_type,
        ..Create::default()
    })
}

fn create(attributes: Create) -> io::Result<OwnedFd> {
    let mut attributes = attributes;
    // SAFETY: the one address is null, or that of an array that lives in the caller.
    unsafe { bpf_fd(command::LINK_CREATE, &mut attributes) }
}

/// `struct bpf_link_info`, as far as it is read here.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct LinkInfo {
    kind: u32,
    pub(crate) id: u32,
    pub(crate) program: u32,
    pad: u32,
    /// What the link is attached to, by kind.
    target: [u32; 16],
}

impl LinkInfo {
    const CGROUP: u32 = 3;
    const NETNS: u32 = 5;
    const TCX: u32 = 11;

    /// The cgroup the link is attached to; 0 once that is removed, `None` for other links.
    pub(crate) fn cgroup(&self) -> Option<u64> {
        let low = u64::from(self.target[0]);
        let high = u64::from(self.target[1]);
        let id = if cfg!(target_endian = "little") {
            low | high << 32
        } else {
            high | low << 32
        };
        (self.kind == Self::CGROUP).then_some(id)
    }

    /// The interface the link is attached to; 0 once that is removed, `None` for other links.
    pub(crate) fn interface(&self) -> Option<u32> {
        (self.kind == Self::TCX).then_some(self.target[0])
    }

    /// The inode of the network namespace the link is in; 0 once that is gone, `None` for other
    /// links.
    pub(crate) fn namespace(&self) -> Option<u32> {
        (self.kind == Self::NETNS).then_some(self.target[0])
    }
}

/// Describes a link.
pub(crate) fn info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    let mut info = LinkInfo::default();
    // SAFETY: `LinkInfo` is a prefix of the kernel's struct, integers only, and the kernel writes
    // no more than the length it is given.
    unsafe { super::object::info(link, slice::from_mut(&mut info)) }?;
    Ok(info)
}
