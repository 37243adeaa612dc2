//! The pin directory: `STATE/bpf`, a bpffs, and in it per ABI version
//!
//! ```text
//! v1/maps/SERVICES …
//! v1/links/weft_connect4 …  weft_ingress@eth0 …  weft_sk_lookup-4711 …
//! ```

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::mount::{MountFlags, UnmountFlags};
use weft_abi::{ABI_VERSION, names::programs};

use crate::Error;

/// `BPF_FS_MAGIC` of include/uapi/linux/magic.h.
const BPF_FS: u64 = 0xcafe_4a11;

/// The pin directory of one state directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BpfDir {
    root: PathBuf,
}

impl BpfDir {
    /// Makes the directory: uses `STATE/bpf` if it is on a bpffs, else mounts one there.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn create(state: &Path) -> Result<Self, Error> {
        let pins = Self {
            root: state.join("bpf"),
        };
        fs::create_dir_all(&pins.root).map_err(Error::file("create", &pins.root))?;
        if !is_bpffs(&pins.root)? {
            let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
            rustix::mount::mount(c"bpf", &pins.root, c"bpf", flags, c"mode=0700")
                .map_err(io::Error::from)
                .map_err(Error::file("mount a bpffs on", &pins.root))?;
        }
        for directory in [pins.maps(), pins.links()] {
            fs::create_dir_all(&directory).map_err(Error::file("create", &directory))?;
        }
        Ok(pins)
    }

    /// The directory, if there is one.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn find(state: &Path) -> Result<Option<Self>, Error> {
        let root = state.join("bpf");
        let found = root.is_dir() && is_bpffs(&root)?;
        Ok(found.then_some(Self { root }))
    }

    /// `STATE/bpf`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the map of this name is pinned.
    pub fn map(&self, name: &str) -> PathBuf {
        self.maps().join(name)
    }

    /// Where the link of this name is pinned. See [`link_name`].
    pub fn link(&self, name: &str) -> PathBuf {
        self.links().join(name)
    }

    /// The links pinned by this version, by name.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn link_names(&self) -> Result<Vec<String>, Error> {
        names(&self.links())
    }

    /// The directories of other ABI versions.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn other_versions(&self) -> Result<Vec<PathBuf>, Error> {
        let current = self.version();
        let mut versions = self.versions()?;
        versions.retain(|path| *path != current);
        Ok(versions)
    }

    /// All pinned maps and links, of every version.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn all_pins(&self) -> Result<Pins, Error> {
        let mut pins = Pins::default();
        for version in self.versions()? {
            for (kind, paths) in [("links", &mut pins.links), ("maps", &mut pins.maps)] {
                let directory = version.join(kind);
                paths.extend(
                    names(&directory)?
                        .into_iter()
                        .map(|name| directory.join(name)),
                );
            }
        }
        Ok(pins)
    }

    /// Removes every pin and directory, unmounts what is mounted on `STATE/bpf`, and removes it.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn remove(&self) -> Result<(), Error> {
        for version in self.versions()? {
            remove_version(&version)?;
        }
        if self.is_mount_point()? {
            self.unmount()?;
        }
        fs::remove_dir(&self.root).map_err(Error::file("remove", &self.root))
    }

    fn unmount(&self) -> Result<(), Error> {
        let unmount = |flags| rustix::mount::unmount(&self.root, flags);
        match unmount(UnmountFlags::empty()) {
            // Somebody looks around in it; all pins are gone, so let it go when they leave.
            Err(rustix::io::Errno::BUSY) => unmount(UnmountFlags::DETACH),
            result => result,
        }
        .map_err(io::Error::from)
        .map_err(Error::file("unmount", &self.root))
    }

    /// Whether `STATE/bpf` is on another filesystem than `STATE`.
    fn is_mount_point(&self) -> Result<bool, Error> {
        let device = |path: &Path| {
            fs::metadata(path)
                .map(|data| data.dev())
                .map_err(Error::file("look at", path))
        };
        let state = self.root.parent().expect("`root` is STATE/bpf");
        Ok(device(&self.root)? != device(state)?)
    }

    /// The directories of all ABI versions. Other things in the root are not ours: the kernel puts
    /// `maps.debug` and `progs.debug` into a new bpffs (kernel/bpf/preload).
    fn versions(&self) -> Result<Vec<PathBuf>, Error> {
        let is_version = |name: &String| {
            name.strip_prefix('v')
                .is_some_and(|number| number.parse::<u32>().is_ok())
        };
        let names = names(&self.root)?;
        Ok(names
            .into_iter()
            .filter(is_version)
            .map(|name| self.root.join(name))
            .collect())
    }

    fn version(&self) -> PathBuf {
        self.root.join(format!("v{ABI_VERSION}"))
    }

    fn maps(&self) -> PathBuf {
        self.version().join("maps")
    }

    fn links(&self) -> PathBuf {
        self.version().join("links")
    }
}

/// Paths of pins.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pins {
    /// Of links.
    pub links: Vec<PathBuf>,
    /// Of maps.
    pub maps: Vec<PathBuf>,
}

/// The pin name of a program's link, `program` or `program@interface`. A bpffs allows no dots, so
/// in interface names `.` becomes `%2e` and `%` becomes `%25`.
pub fn link_name(program: &str, interface: Option<&str>) -> String {
    match interface {
        None => program.to_owned(),
        Some(interface) => {
            format!(
                "{program}@{}",
                interface.replace('%', "%25").replace('.', "%2e")
            )
        }
    }
}

/// The inverse of [`link_name`].
pub fn link_parts(name: &str) -> (&str, Option<String>) {
    match name.split_once('@') {
        None => (name, None),
        Some((program, interface)) => (
            program,
            Some(interface.replace("%2e", ".").replace("%25", "%")),
        ),
    }
}

/// The pin name of the link in the network namespace with this cookie.
pub fn namespace_link_name(cookie: u64) -> String {
    format!("{}-{cookie}", programs::SK_LOOKUP)
}

/// The cookie of the network namespace a link of this pin name is in; `None` for other links.
pub fn namespace_of(name: &str) -> Option<u64> {
    let cookie = name.strip_prefix(programs::SK_LOOKUP)?.strip_prefix('-')?;
    cookie.parse().ok()
}

/// Removes the pins of one ABI version: links first, so that nothing runs without its maps.
pub(crate) fn remove_version(version: &Path) -> Result<(), Error> {
    for kind in ["links", "maps"] {
        let directory = version.join(kind);
        for name in names(&directory)? {
            let path = directory.join(name);
            fs::remove_file(&path).map_err(Error::file("unpin", &path))?;
        }
        remove_directory(&directory)?;
    }
    remove_directory(version)
}

fn remove_directory(path: &Path) -> Result<(), Error> {
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(Error::file("remove", path)),
    }
}

/// The names in a directory, in order; none when it is missing.
pub(crate) fn names(directory: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.map_err(Error::file("list", directory))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::file("list", directory))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn is_bpffs(path: &Path) -> Result<bool, Error> {
    let filesystem = rustix::fs::statfs(path)
        .map_err(io::Error::from)
        .map_err(Error::file("look at", path))?;
    Ok(u64::try_from(filesystem.f_type).is_ok_and(|kind| kind == BPF_FS))
}

#[cfg(test)]
mod tests {
    use super::{link_name, link_parts, namespace_link_name, namespace_of};

    #[test]
    fn links_of_namespaces_are_named_by_cookie() {
        assert_eq!(namespace_of(&namespace_link_name(4711)), Some(4711));
        assert_eq!(namespace_of("weft_connect4"), None);
        assert_eq!(namespace_of("weft_sk_lookup-4711~"), None);
    }

    #[test]
    fn link_names_have_no_dots_and_can_be_read_back() {
        for interface in ["eth0", "eth0.100", "a%2e.b", "x@y"] {
            let name = link_name("weft_ingress", Some(interface));
            assert!(!name.contains('.'), "{name}");
            assert_eq!(
                link_parts(&name),
                ("weft_ingress", Some(interface.to_owned()))
            );
        }
        assert_eq!(link_parts("weft_connect4"), ("weft_connect4", None));
    }
}
