//! Pins, descriptions and identifiers of programs, maps and links.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    slice,
};

use super::{address_mut, bpf, bpf_fd, command, raw};

/// Length of names in the kernel, with the terminating zero.
const NAME: usize = 16;

#[repr(C)]
#[derive(Default)]
struct Pin {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct Info {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

#[repr(C)]
#[derive(Default)]
struct ById {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct Query {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    pad: u32,
    prog_attach_flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct EnableStats {
    kind: u32,
}

/// `struct bpf_map_info`, as far as it is read here.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct MapInfo {
    pub(crate) kind: u32,
    pub(crate) id: u32,
    pub(crate) key_size: u32,
    pub(crate) value_size: u32,
    pub(crate) max_entries: u32,
    pub(crate) flags: u32,
    name: [u8; NAME],
}

/// `struct bpf_prog_info`, as far as it is read here.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct ProgramInfo {
    pub(crate) kind: u32,
    pub(crate) id: u32,
    tag: [u8; 8],
    jited_len: u32,
    xlated_len: u32,
    jited: u64,
    xlated: u64,
    load_time: u64,
    created_by: u32,
    pub(crate) maps: u32,
    map_ids: u64,
    name: [u8; NAME],
    ifindex: u32,
    gpl: u32,
    netns: [u64; 2],
    ksyms: [u32; 2],
    ksyms_addresses: [u64; 2],
    btf_id: u32,
    func_info_size: u32,
    func_info: u64,
    func_and_line_counts: [u32; 2],
    line_info: [u64; 2],
    jited_line_count: u32,
    line_sizes: [u32; 2],
    tags_count: u32,
    tags: u64,
    pub(crate) run_time: u64,
    pub(crate) runs: u64,
    recursion_misses: u64,
    pub(crate) verified_instructions: u32,
    pad: u32,
}

// Where the kernel's struct has them (offsetof in include/uapi/linux/bpf.h).
const _: () = {
    assert!(std::mem::offset_of!(ProgramInfo, map_ids) == 56);
    assert!(std::mem::offset_of!(ProgramInfo, name) == 64);
    assert!(std::mem::offset_of!(ProgramInfo, btf_id) == 128);
    assert!(std::mem::offset_of!(ProgramInfo, run_time) == 192);
    assert!(std::mem::offset_of!(ProgramInfo, verified_instructions) == 216);
};

impl MapInfo {
    pub(crate) fn name(&self) -> String {
        name(&self.name)
    }
}

impl ProgramInfo {
    pub(crate) fn name(&self) -> String {
        name(&self.name)
    }
}

fn name(bytes: &[u8; NAME]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(NAME);
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Pins a program, map or link.
pub(crate) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attributes = Pin {
        pathname: path.as_ptr() as u64,
        bpf_fd: raw(object),
        ..Pin::default()
    };
    // SAFETY: `path` lives until the call returns and ends with a zero.
    unsafe { bpf(command::OBJ_PIN, &mut attributes) }.map(drop)
}

/// Opens what is pinned at `path`.
pub(crate) fn open(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attributes = Pin {
        pathname: path.as_ptr() as u64,
        ..Pin::default()
    };
    // SAFETY: `path` lives until the call returns and ends with a zero; the command returns a
    // descriptor.
    unsafe { bpf_fd(command::OBJ_GET, &mut attributes) }
}

/// Opens what is pinned at `path`; `None` when nothing is.
pub(crate) fn find(path: &Path) -> io::Result<Option<OwnedFd>> {
    match open(path) {
        Ok(fd) => Ok(Some(fd)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Fills `info` with the kernel's description of `object`.
///
/// # Safety
/// `T` is (a prefix of) the info struct of the kind of object `object` is, with no address the
/// kernel would write through but valid ones.
pub(crate) unsafe fn info<T>(object: BorrowedFd<'_>, info: &mut [T]) -> io::Result<()> {
    let mut attributes = Info {
        bpf_fd: raw(object),
        info_len: u32::try_from(size_of_val(info)).expect("info structs are small"),
        info: address_mut(info),
    };
    // SAFETY: the kernel writes at most `info_len` bytes there; the rest is the caller's promise.
    unsafe { bpf(command::OBJ_GET_INFO_BY_FD, &mut attributes) }.map(drop)
}

/// Describes a map.
pub(crate) fn map_info(map: BorrowedFd<'_>) -> io::Result<MapInfo> {
    let mut description = MapInfo::default();
    // SAFETY: `MapInfo` is a prefix of `struct bpf_map_info`, without addresses.
    unsafe { info(map, slice::from_mut(&mut description)) }?;
    Ok(description)
}

/// Describes a program.
pub(crate) fn program_info(program: BorrowedFd<'_>) -> io::Result<ProgramInfo> {
    let mut description = ProgramInfo::default();
    // SAFETY: `ProgramInfo` is a prefix of `struct bpf_prog_info`; all addresses in it are null.
    unsafe { info(program, slice::from_mut(&mut description)) }?;
    Ok(description)
}

/// The ids of the maps a program uses.
pub(crate) fn program_maps(program: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let count = program_info(program)?.maps;
    let mut ids = vec![0u32; count as usize];
    let mut description = ProgramInfo {
        maps: count,
        map_ids: address_mut(&mut ids),
        ..ProgramInfo::default()
    };
    // SAFETY: the one address that is not null has room for the `maps` ids the kernel writes.
    unsafe { info(program, slice::from_mut(&mut description)) }?;
    Ok(ids)
}

/// Kinds of objects that have ids.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    Program,
    Map,
    Link,
}

/// Opens an object by id; `None` when it is gone.
pub(crate) fn by_id(kind: Kind, id: u32) -> io::Result<Option<OwnedFd>> {
    let command = match kind {
        Kind::Program => command::PROG_GET_FD_BY_ID,
        Kind::Map => command::MAP_GET_FD_BY_ID,
        Kind::Link => command::LINK_GET_FD_BY_ID,
    };
    let mut attributes = ById {
        id,
        ..ById::default()
    };
    // SAFETY: no addresses; each of these commands returns a descriptor.
    match unsafe { bpf_fd(command, &mut attributes) } {
        Ok(fd) => Ok(Some(fd)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Which programs a query asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
    /// Attached to the cgroup itself.
    Direct,
    /// Those that run for sockets in the cgroup: its own and its ancestors'.
    Effective,
}

/// The ids of the programs attached to a cgroup at one hook.
pub(crate) fn query(
    cgroup: BorrowedFd<'_>,
    attach_type: u32,
    scope: Scope,
) -> io::Result<Vec<u32>> {
    // The kernel allows 64 programs per hook and cgroup; ancestors add theirs.
    let mut ids = vec![0u32; 1024];
    let mut attributes = Query {
        target_fd: raw(cgroup),
        attach_type,
        query_flags: u32::from(scope == Scope::Effective),
        prog_ids: address_mut(&mut ids),
        prog_cnt: 1024,
        ..Query::default()
    };
    // SAFETY: `prog_ids` has room for the `prog_cnt` ids the kernel writes.
    unsafe { bpf(command::PROG_QUERY, &mut attributes) }?;
    ids.truncate(attributes.prog_cnt as usize);
    Ok(ids)
}

/// The name of the program with this id, when it still exists.
pub(crate) fn program_name(id: u32) -> io::Result<Option<String>> {
    let Some(program) = by_id(Kind::Program, id)? else {
        return Ok(None);
    };
    Ok(Some(program_info(program.as_fd())?.name()))
}

/// Makes the kernel measure the run time of programs while the descriptor is open.
pub(crate) fn enable_stats() -> io::Result<OwnedFd> {
    /// `BPF_STATS_RUN_TIME`.
    const RUN_TIME: u32 = 0;
    let mut attributes = EnableStats { kind: RUN_TIME };
    // SAFETY: no addresses; the command returns a descriptor.
    unsafe { bpf_fd(command::ENABLE_STATS, &mut attributes) }
}
