//! One map with typed keys and values.

use std::{
    io,
    marker::PhantomData,
    ops::Range,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use aya::Pod;

use crate::{Error, pins::BpfDir, sys};

/// Elements per batch: large enough that the system call does not matter, small enough for the
/// kernel to be preempted between two.
const BATCH: usize = 4096;

/// `ENOTSUPP`, the kernel's own number for "no batches for this type of map".
const NOT_SUPPORTED: i32 = 524;

/// `BPF_MAP_TYPE_LPM_TRIE` of `enum bpf_map_type`.
const LPM_TRIE: u32 = 11;

/// An open map whose key and value sizes are those of `K` and `V`. Hash and array maps, but not
/// per-CPU ones.
#[derive(Debug)]
pub struct Table<K, V> {
    name: &'static str,
    fd: OwnedFd,
    capacity: u32,
    /// Whether entries are read in batches, which have a cursor of four bytes.
    batches: bool,
    types: PhantomData<fn(K) -> V>,
}

impl<K: Pod, V: Pod> Table<K, V> {
    /// Opens the map pinned under its name.
    ///
    /// # Errors
    /// [`Error::NoMap`] when it is not pinned, [`Error::Layout`] when its sizes are others.
    pub(crate) fn open(pins: &BpfDir, name: &'static str) -> Result<Self, Error> {
        let path = pins.map(name);
        let fd = open_map(name, &path)?;
        let info = sys::object::map_info(fd.as_fd()).map_err(Error::bpf("describe map", name))?;
        if info.key_size as usize != size_of::<K>() || info.value_size as usize != size_of::<V>() {
            return Err(Error::Layout {
                map: name,
                path,
                key: info.key_size,
                value: info.value_size,
                expected_key: size_of::<K>(),
                expected_value: size_of::<V>(),
            });
        }
        Ok(Self {
            name,
            fd,
            capacity: info.max_entries,
            // Tries take whole keys as cursors (`generic_map_lookup_batch` in kernel/bpf/syscall.c).
            batches: info.kind != LPM_TRIE,
            types: PhantomData,
        })
    }

    /// The map's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How many entries the map can hold.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn value(&self, key: &K) -> io::Result<Option<V>> {
        let mut value = [zero::<V>()];
        // SAFETY: `open` compared the sizes of `K` and `V` with the map's, and it is not per-CPU.
        let found = unsafe { sys::map::lookup(self.fd.as_fd(), key, &mut value) }?;
        Ok(found.then_some(value[0]))
    }

    /// Inserts or replaces one entry.
    ///
    /// # Errors
    /// What the kernel answered; `E2BIG` when the map is full.
    pub fn put(&self, key: &K, value: &V) -> io::Result<()> {
        // SAFETY: `open` compared the sizes of `K` and `V` with the map's.
        unsafe { sys::map::update(self.fd.as_fd(), key, value, 0) }
    }

    /// Inserts one entry; false when there is one already, which stays.
    ///
    /// # Errors
    /// What the kernel answered; `E2BIG` when the map is full.
    pub fn add(&self, key: &K, value: &V) -> io::Result<bool> {
        /// `BPF_NOEXIST` (include/uapi/linux/bpf.h).
        const ABSENT: u64 = 1;
        // SAFETY: `open` compared the sizes of `K` and `V` with the map's.
        match unsafe { sys::map::update(self.fd.as_fd(), key, value, ABSENT) } {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            added => added.map(|()| true),
        }
    }

    /// Removes one entry; false when there was none.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn delete(&self, key: &K) -> io::Result<bool> {
        // SAFETY: `open` compared the size of `K` with the map's.
        unsafe { sys::map::delete(self.fd.as_fd(), key) }
    }

    /// Removes one entry and answers what it was.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn take(&self, key: &K) -> io::Result<Option<V>> {
        let mut value = zero::<V>();
        // SAFETY: `open` compared the sizes of `K` and `V` with the map's.
        let found = unsafe { sys::map::take(self.fd.as_fd(), key, &mut value) }?;
        Ok(found.then_some(value))
    }

    /// Inserts or replaces entries in order.
    ///
    /// # Errors
    /// How many entries were written, and what stopped the next one.
    pub(crate) fn put_all(&self, keys: &[K], values: &[V]) -> Result<(), (usize, io::Error)> {
        assert_eq!(keys.len(), values.len(), "one value per key");
        let mut done = 0;
        for (keys, values) in keys.chunks(BATCH).zip(values.chunks(BATCH)) {
            self.put_chunk(keys, values)
                .map_err(|(count, error)| (done + count, error))?;
            done += keys.len();
        }
        Ok(())
    }

    fn put_chunk(&self, keys: &[K], values: &[V]) -> Result<(), (usize, io::Error)> {
        if keys.len() > 1 {
            // SAFETY: `open` compared the sizes; `put_all` made the slices of one length.
            match unsafe { sys::map::update_batch(self.fd.as_fd(), keys, values) } {
                Err((0, error)) if unsupported(&error) => {}
                result => return result,
            }
        }
        for (index, (key, value)) in keys.iter().zip(values).enumerate() {
            self.put(key, value).map_err(|error| (index, error))?;
        }
        Ok(())
    }

    /// All entries, in the map's order (for arrays: by index, zero values included). Entries
    /// changed meanwhile may be missed or seen twice.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn entries(&self) -> io::Result<Vec<(K, V)>> {
        if !self.batches {
            return self.walk();
        }
        let mut entries = Vec::new();
        let result = self.scan(None, |keys, values| {
            entries.extend(keys.iter().copied().zip(values.iter().copied()));
            true
        });
        match result {
            Err(error) if unsupported(&error) => self.walk(),
            result => result.map(|()| entries),
        }
    }

    /// How many entries there are that `used` holds for. Reads the whole map.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn count(&self, used: impl Fn(&V) -> bool) -> io::Result<u32> {
        let mut count = 0;
        if !self.batches {
            count = self.walk()?.iter().filter(|(_, value)| used(value)).count();
            return Ok(u32::try_from(count).unwrap_or(u32::MAX));
        }
        let result = self.scan(None, |_, values| {
            count += values.iter().filter(|value| used(value)).count();
            true
        });
        match result {
            Err(error) if unsupported(&error) => {
                count = self.walk()?.iter().filter(|(_, value)| used(value)).count();
            }
            result => result?,
        }
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Shows `each` the entries after `cursor`, some at a time, until it answers false or the map
    /// ends.
    fn scan(
        &self,
        cursor: Option<u32>,
        mut each: impl FnMut(&[K], &[V]) -> bool,
    ) -> io::Result<()> {
        let mut cursor = cursor;
        let mut keys = vec![zero::<K>(); BATCH];
        let mut values = vec![zero::<V>(); BATCH];
        loop {
            // SAFETY: `open` compared the sizes; both slices are resized together.
            let found = match unsafe {
                sys::map::lookup_batch(self.fd.as_fd(), cursor, &mut keys, &mut values)
            } {
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                    let length = keys.len() * 2;
                    keys.resize(length, zero());
                    values.resize(length, zero());
                    continue;
                }
                result => result?,
            };
            let more = each(&keys[..found.count], &values[..found.count]);
            cursor = found.cursor.filter(|_| more);
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    /// All entries one by one, for maps without batches.
    fn walk(&self) -> io::Result<Vec<(K, V)>> {
        let mut entries = Vec::new();
        let mut key: Option<K> = None;
        while entries.len() < self.capacity as usize {
            // SAFETY: `open` compared the size of `K` with the map's.
            key = unsafe { sys::map::next_key(self.fd.as_fd(), key.as_ref()) }?;
            let Some(key) = &key else { break };
            if let Some(value) = self.value(key)? {
                entries.push((*key, value));
            }
        }
        Ok(entries)
    }
}

impl<V: Pod> Table<u32, V> {
    /// The values of an array at `range`, cut to the array's size.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn range(&self, range: Range<u32>) -> io::Result<Vec<V>> {
        let end = range.end.min(self.capacity);
        let Some(length) = end.checked_sub(range.start).filter(|length| *length > 0) else {
            return Ok(Vec::new());
        };
        let length = length as usize;
        let mut found = Vec::with_capacity(length.min(BATCH));
        self.scan(range.start.checked_sub(1), |_, values| {
            found.extend(values.iter().copied().take(length - found.len()));
            found.len() < length
        })?;
        Ok(found)
    }
}

/// Opens a pinned map of any type.
pub(crate) fn open_map(name: &'static str, path: &Path) -> Result<OwnedFd, Error> {
    sys::object::find(path)
        .map_err(Error::bpf("open map", name))?
        .ok_or_else(|| Error::NoMap {
            map: name,
            path: path.to_owned(),
        })
}

/// A value of zeroes.
pub(crate) fn zero<T: Pod>() -> T {
    // SAFETY: `Pod` types are plain integers, for which zero is a value.
    unsafe { std::mem::zeroed() }
}

fn unsupported(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(NOT_SUPPORTED | libc::EOPNOTSUPP | libc::EINVAL)
    )
}
