//! Reading an installation through its pins, with or without a manager running.

use std::{
    fs,
    os::fd::{AsFd, AsRawFd},
    path::Path,
};

use weft_abi::names::programs;

use crate::{
    BpfDir, Error, Maps,
    pins::{link_parts, namespace_of},
    sys::{self, object::Kind},
};

/// An installation, for reading.
#[derive(Debug)]
pub struct Pinned {
    pins: BpfDir,
    maps: Maps,
}

/// A pinned map.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MapDescription {
    /// Its name.
    pub name: String,
    /// Its id in the kernel.
    pub id: u32,
    /// What kind of map it is, as `bpftool` says it.
    pub kind: &'static str,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Entries it can hold; 0 for socket storage, bytes for ring buffers.
    pub max_entries: u32,
    /// Bytes of kernel memory it takes, as far as the kernel knows.
    pub memory: u64,
}

/// A program kept by a pinned link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PinnedProgram {
    /// Its name.
    pub program: String,
    /// The interface it is attached to, if to one.
    pub interface: Option<String>,
    /// The cookie of the network namespace it is attached in, if in one.
    pub netns: Option<u64>,
    /// The link's id.
    pub link: u32,
    /// The program's id.
    pub id: u32,
    /// The id of the cgroup it is attached to, if to one; 0 once that is removed.
    pub cgroup: Option<u64>,
    /// Attached to a cgroup, interface or namespace that still exists.
    pub alive: bool,
    /// Times it ran while statistics were enabled.
    pub runs: u64,
    /// Nanoseconds it ran then.
    pub nanoseconds: u64,
}

impl Pinned {
    /// Opens the maps pinned below a state directory.
    ///
    /// # Errors
    /// [`Error::NotInstalled`], [`Error::NoMap`], [`Error::Layout`].
    pub fn open(state: &Path) -> Result<Self, Error> {
        let pins = BpfDir::find(state)?;
        let pins = pins.ok_or_else(|| Error::NotInstalled {
            state: state.to_owned(),
        })?;
        let maps = Maps::open(&pins)?;
        Ok(Self { pins, maps })
    }

    /// The maps, typed.
    pub fn maps(&self) -> &Maps {
        &self.maps
    }

    /// The pin directory.
    pub fn pins(&self) -> &BpfDir {
        &self.pins
    }

    /// All pinned maps.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn list(&self) -> Result<Vec<MapDescription>, Error> {
        self.pins
            .all_pins()?
            .maps
            .iter()
            .map(|path| describe(path))
            .collect()
    }

    /// The programs of all pinned links.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Bpf`].
    pub fn programs(&self) -> Result<Vec<PinnedProgram>, Error> {
        self.pins
            .all_pins()?
            .links
            .iter()
            .map(|path| describe_link(path))
            .collect()
    }
}

fn describe(path: &Path) -> Result<MapDescription, Error> {
    let map = sys::object::open(path).map_err(Error::file("open map", path))?;
    let info = sys::object::map_info(map.as_fd()).map_err(Error::file("describe", path))?;
    let fdinfo = format!("/proc/self/fdinfo/{}", map.as_raw_fd());
    let fdinfo = fs::read_to_string(&fdinfo).map_err(Error::file("read", &fdinfo))?;
    Ok(MapDescription {
        name: info.name(),
        id: info.id,
        kind: kind(info.kind),
        key_size: info.key_size,
        value_size: info.value_size,
        max_entries: info.max_entries,
        memory: memory(&fdinfo).unwrap_or(0),
    })
}

fn describe_link(path: &Path) -> Result<PinnedProgram, Error> {
    let link = sys::object::open(path).map_err(Error::file("open link", path))?;
    let link = sys::link::info(link.as_fd()).map_err(Error::file("describe", path))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let netns = namespace_of(&name);
    let (program, interface) = match netns {
        Some(_) => (programs::SK_LOOKUP, None),
        None => link_parts(&name),
    };
    let failed = || Error::bpf("describe program", program);
    let info = match sys::object::by_id(Kind::Program, link.program).map_err(failed())? {
        Some(fd) => sys::object::program_info(fd.as_fd()).map_err(failed())?,
        None => sys::object::ProgramInfo::default(),
    };
    Ok(PinnedProgram {
        program: program.to_owned(),
        interface,
        netns,
        link: link.id,
        id: link.program,
        cgroup: link.cgroup(),
        alive: link.cgroup() != Some(0)
            && link.interface() != Some(0)
            && link.namespace() != Some(0),
        runs: info.runs,
        nanoseconds: info.run_time,
    })
}

/// The types of map we use, by `enum bpf_map_type`.
fn kind(kind: u32) -> &'static str {
    match kind {
        1 => "hash",
        2 => "array",
        6 => "percpu_array",
        9 => "lru_hash",
        11 => "lpm_trie",
        15 => "sockmap",
        24 => "sk_storage",
        27 => "ringbuf",
        _ => "other",
    }
}

/// The `memlock:` line of a map's fdinfo, in bytes.
fn memory(fdinfo: &str) -> Option<u64> {
    fdinfo
        .lines()
        .find_map(|line| line.strip_prefix("memlock:")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    #[test]
    fn memory_is_read_from_fdinfo() {
        let fdinfo = "pos:\t0\nmap_type:\t1\nmemlock:\t4096\nmap_id:\t7\n";
        assert_eq!(super::memory(fdinfo), Some(4096));
        assert_eq!(super::memory("pos:\t0\n"), None);
    }
}
