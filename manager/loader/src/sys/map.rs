//! Elements of maps, one by one and in batches.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
    slice,
};

use aya::Pod;

use super::{address, address_mut, bpf, bpf_fd, command, raw};

#[repr(C)]
#[derive(Default)]
struct Element {
    map_fd: u32,
    pad: u32,
    key: u64,
    /// Value, or next key.
    value: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct Batch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct Create {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
}

/// Copies the value of `key` into `value`, which must be as long as the map's value (for per-CPU
/// maps: times the number of possible CPUs, each rounded up to eight bytes).
///
/// # Safety
/// `K` has the size of the map's key, and `value` the size said above.
pub(crate) unsafe fn lookup<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    key: &K,
    value: &mut [V],
) -> io::Result<bool> {
    let mut element = Element {
        map_fd: raw(map),
        key: address(slice::from_ref(key)),
        value: address_mut(value),
        ..Element::default()
    };
    // SAFETY: both addresses are those of live values with the sizes the caller promised.
    found(unsafe { bpf(command::MAP_LOOKUP_ELEM, &mut element) })
}

/// Removes one element and copies its value into `value`; false when there was none.
///
/// # Safety
/// `K` and `V` have the sizes of the map's key and value.
pub(crate) unsafe fn take<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    key: &K,
    value: &mut V,
) -> io::Result<bool> {
    let mut element = Element {
        map_fd: raw(map),
        key: address(slice::from_ref(key)),
        value: address_mut(slice::from_mut(value)),
        ..Element::default()
    };
    // SAFETY: both addresses are those of live values with the sizes the caller promised.
    found(unsafe { bpf(command::MAP_LOOKUP_AND_DELETE_ELEM, &mut element) })
}

/// Inserts or replaces one element, or as `flags` of `BPF_MAP_UPDATE_ELEM` say.
///
/// # Safety
/// `K` and `V` have the sizes of the map's key and value.
pub(crate) unsafe fn update<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    key: &K,
    value: &V,
    flags: u64,
) -> io::Result<()> {
    let mut element = Element {
        map_fd: raw(map),
        key: address(slice::from_ref(key)),
        value: address(slice::from_ref(value)),
        flags,
        ..Element::default()
    };
    // SAFETY: both addresses are those of live values with the sizes the caller promised.
    unsafe { bpf(command::MAP_UPDATE_ELEM, &mut element) }.map(drop)
}

/// Removes one element; false when there was none.
///
/// # Safety
/// `K` has the size of the map's key.
pub(crate) unsafe fn delete<K: Pod>(map: BorrowedFd<'_>, key: &K) -> io::Result<bool> {
    let mut element = Element {
        map_fd: raw(map),
        key: address(slice::from_ref(key)),
        ..Element::default()
    };
    // SAFETY: the key's address is that of a live value with the size the caller promised.
    found(unsafe { bpf(command::MAP_DELETE_ELEM, &mut element) })
}

/// The key after `key`, or the first one; `None` at the end.
///
/// # Safety
/// `K` has the size of the map's key.
pub(crate) unsafe fn next_key<K: Pod>(
    map: BorrowedFd<'_>,
    key: Option<&K>,
) -> io::Result<Option<K>> {
    // SAFETY: `Pod` types are plain integers, for which zero is a value.
    let mut next: K = unsafe { std::mem::zeroed() };
    let mut element = Element {
        map_fd: raw(map),
        key: key.map_or(0, |key| address(slice::from_ref(key))),
        value: address_mut(slice::from_mut(&mut next)),
        ..Element::default()
    };
    // SAFETY: both addresses are null or those of live values with the size the caller promised.
    let found = found(unsafe { bpf(command::MAP_GET_NEXT_KEY, &mut element) })?;
    Ok(found.then_some(next))
}

/// Inserts or replaces `keys.len()` elements in order.
///
/// # Errors
/// How many elements were written, and what stopped the next one.
///
/// # Safety
/// `K` and `V` have the sizes of the map's key and value, and the slices are of one length.
pub(crate) unsafe fn update_batch<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    keys: &[K],
    values: &[V],
) -> Result<(), (usize, io::Error)> {
    let count = u32::try_from(keys.len()).expect("batches are cut far below 2^32");
    let mut batch = Batch {
        keys: address(keys),
        values: address(values),
        count,
        map_fd: raw(map),
        ..Batch::default()
    };
    // SAFETY: both slices hold `count` elements of the sizes the caller promised.
    match unsafe { bpf(command::MAP_UPDATE_BATCH, &mut batch) } {
        Ok(_) => Ok(()),
        // The kernel says how many it wrote, unless it refused before it began (no batches for
        // this type of map, no memory): then the count is as we left it.
        Err(error) if batch.count == count => Err((0, error)),
        Err(error) => Err((batch.count as usize, error)),
    }
}

/// What one call of [`lookup_batch`] found.
pub(crate) struct Found {
    /// Elements written to the front of the slices.
    pub(crate) count: usize,
    /// Where to go on; `None` at the end of the map.
    pub(crate) cursor: Option<u32>,
}

/// Reads up to `keys.len()` elements after `cursor`. For arrays the cursor is the index before the
/// first one read; for hashes it is opaque.
///
/// # Errors
/// `ENOSPC` when one hash bucket holds more than the slices: ask again with longer ones.
///
/// # Safety
/// `K` and `V` have the sizes of the map's key and value, and the slices are of one length.
pub(crate) unsafe fn lookup_batch<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    cursor: Option<u32>,
    keys: &mut [K],
    values: &mut [V],
) -> io::Result<Found> {
    let mut next = [0u32];
    let mut batch = Batch {
        in_batch: cursor
            .as_ref()
            .map_or(0, |cursor| address(slice::from_ref(cursor))),
        out_batch: address_mut(&mut next),
        keys: address_mut(keys),
        values: address_mut(values),
        count: u32::try_from(keys.len()).expect("batches are cut far below 2^32"),
        map_fd: raw(map),
        ..Batch::default()
    };
    // SAFETY: the slices hold `count` elements of the sizes the caller promised; a cursor is four
    // bytes for hashes and for arrays.
    let result = unsafe { bpf(command::MAP_LOOKUP_BATCH, &mut batch) };
    let at_end = !found(result)?;
    Ok(Found {
        count: batch.count as usize,
        cursor: (!at_end).then_some(next[0]),
    })
}

/// Makes a map without BTF; used to probe for a type of map.
pub(crate) fn create(map_type: u32, key: u32, value: u32, entries: u32) -> io::Result<OwnedFd> {
    let mut attributes = Create {
        map_type,
        key_size: key,
        value_size: value,
        max_entries: entries,
        ..Create::default()
    };
    // SAFETY: no addresses; the command returns a descriptor.
    unsafe { bpf_fd(command::MAP_CREATE, &mut attributes) }
}

/// Turns `ENOENT` into false.
fn found(result: io::Result<i32>) -> io::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}
