//! The bpf(2) commands that aya does not offer, and a socket option, as safe functions over
//! descriptors.
//!
//! Every attribute struct below is the prefix of the kernel's `union bpf_attr` for one command
//! (include/uapi/linux/bpf.h, Linux 6.18); the kernel takes the missing tail as zero.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

pub(crate) mod link;

pub(crate) mod map;

pub(crate) mod object;

pub(crate) mod probe;

pub(crate) mod socket;

/// Commands, as numbered by `enum bpf_cmd`.
mod command {
    pub(super) const MAP_CREATE: u32 = 0;
    pub(super) const MAP_LOOKUP_ELEM: u32 = 1;
    pub(super) const MAP_UPDATE_ELEM: u32 = 2;
    pub(super) const MAP_DELETE_ELEM: u32 = 3;
    pub(super) const MAP_GET_NEXT_KEY: u32 = 4;
    pub(super) const PROG_LOAD: u32 = 5;
    pub(super) const OBJ_PIN: u32 = 6;
    pub(super) const OBJ_GET: u32 = 7;
    pub(super) const PROG_GET_FD_BY_ID: u32 = 13;
    pub(super) const MAP_GET_FD_BY_ID: u32 = 14;
    pub(super) const OBJ_GET_INFO_BY_FD: u32 = 15;
    pub(super) const PROG_QUERY: u32 = 16;
    pub(super) const MAP_LOOKUP_BATCH: u32 = 24;
    pub(super) const MAP_UPDATE_BATCH: u32 = 26;
    pub(super) const MAP_LOOKUP_AND_DELETE_ELEM: u32 = 21;
    pub(super) const LINK_CREATE: u32 = 28;
    pub(super) const LINK_UPDATE: u32 = 29;
    pub(super) const LINK_GET_FD_BY_ID: u32 = 30;
    pub(super) const ENABLE_STATS: u32 = 32;
    pub(super) const ITER_CREATE: u32 = 33;
}

/// Calls bpf(2).
///
/// # Safety
/// `A` is the attribute struct of `command`, and every address in it is valid for what that
/// command reads and writes there.
unsafe fn bpf<A>(command: u32, attributes: &mut A) -> io::Result<i32> {
    let address: *mut A = attributes;
    // SAFETY: `address` is valid for `size_of::<A>()` bytes; the rest is the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, address, size_of::<A>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(i32::try_from(result).expect("bpf(2) returns a descriptor or a small number"))
}

/// Calls a bpf(2) command that returns a new descriptor.
///
/// # Safety
/// As for [`bpf`]; and `command` returns a descriptor.
unsafe fn bpf_fd<A>(command: u32, attributes: &mut A) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promise.
    let fd = unsafe { bpf(command, attributes)? };
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Gives memory that was freed back to the system. glibc keeps what was used once, and reading the
/// kernel's types takes more than all that comes after.
pub(crate) fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: may be called at any time (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}

/// A descriptor as the kernel's attributes hold it.
fn raw(fd: BorrowedFd<'_>) -> u32 {
    u32::try_from(fd.as_raw_fd()).expect("an open descriptor is not negative")
}

/// The address of the first element, as the kernel's attributes hold it.
fn address<T>(slice: &[T]) -> u64 {
    slice.as_ptr() as u64
}

/// As [`address`], for memory the kernel writes.
fn address_mut<T>(slice: &mut [T]) -> u64 {
    slice.as_mut_ptr() as u64
}
