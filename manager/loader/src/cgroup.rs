//! The cgroup v2 hierarchy: where it is mounted, which cgroup is meant, what is attached to it.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{ffi::OsStringExt, fs::MetadataExt},
    },
    path::{Path, PathBuf},
};

use crate::{
    Error,
    attach::CGROUP_HOOKS,
    pins::BpfDir,
    sys::{self, object::Scope},
};

/// `CGROUP2_SUPER_MAGIC` of include/uapi/linux/magic.h.
const CGROUP2: u64 = 0x6367_7270;

/// What our programs' names begin with.
const OURS: &str = "weft_";

/// An open cgroup.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    directory: File,
    id: u64,
}

/// A program that runs for sockets of a cgroup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttachedProgram {
    /// The hook, as libbpf names sections.
    pub hook: &'static str,
    /// The program's id.
    pub id: u32,
    /// Its name; empty when it went meanwhile.
    pub name: String,
    /// Attached by one of our pinned links.
    pub own: bool,
}

impl Cgroup {
    /// Opens the cgroup meant by `path`: a directory of a cgroup v2 mount, or a path relative to
    /// the root of one (with or without a leading slash).
    ///
    /// # Errors
    /// [`Error::NoCgroup2`], [`Error::NotACgroup`], [`Error::File`].
    pub fn resolve(path: &Path) -> Result<Self, Error> {
        if path.is_absolute() && is_cgroup2(path) {
            return Self::open(path.to_owned());
        }
        let root = root()?;
        let below = root.join(path.strip_prefix("/").unwrap_or(path));
        if is_cgroup2(&below) {
            return Self::open(below);
        }
        Err(Error::NotACgroup {
            path: path.to_owned(),
            root,
        })
    }

    fn open(path: PathBuf) -> Result<Self, Error> {
        let directory = File::open(&path).map_err(Error::file("open", &path))?;
        let metadata = directory
            .metadata()
            .map_err(Error::file("look at", &path))?;
        // Inode numbers of cgroup directories are the kernel's cgroup ids.
        Ok(Self {
            path,
            directory,
            id: metadata.ino(),
        })
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The kernel's cgroup id.
    pub fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// The programs that run for sockets of the cgroup, its ancestors' included, at the hooks we
    /// use. `pins` tells which are ours.
    ///
    /// # Errors
    /// [`Error::Bpf`].
    pub fn attached(&self, pins: Option<&BpfDir>) -> Result<Vec<AttachedProgram>, Error> {
        let own = pins.map(own_programs).transpose()?.unwrap_or_default();
        self.programs(Scope::Effective, &own)
    }

    fn programs(&self, scope: Scope, own: &BTreeSet<u32>) -> Result<Vec<AttachedProgram>, Error> {
        let mut programs = Vec::new();
        for hook in CGROUP_HOOKS {
            let failed = || Error::bpf("query hook", hook.name);
            let ids = sys::object::query(self.fd(), hook.attach_type, scope);
            for id in ids.map_err(failed())? {
                let name = sys::object::program_name(id)
                    .map_err(failed())?
                    .unwrap_or_default();
                programs.push(AttachedProgram {
                    hook: hook.name,
                    id,
                    name,
                    own: own.contains(&id),
                });
            }
        }
        Ok(programs)
    }
}

/// The root of the cgroup v2 hierarchy, also where v1 controllers have theirs beside it.
///
/// # Errors
/// [`Error::NoCgroup2`], [`Error::File`].
pub fn root() -> Result<PathBuf, Error> {
    let path = "/proc/self/mountinfo";
    let mounts = fs::read(path).map_err(Error::file("read", path))?;
    cgroup2_mounts(&mounts)
        .into_iter()
        .next()
        .ok_or(Error::NoCgroup2)
}

/// Fails when another weft serves sockets of this cgroup: through an ancestor, the cgroup itself,
/// or one below it.
pub(crate) fn refuse_other_weft(cgroup: &Cgroup, pins: &BpfDir) -> Result<(), Error> {
    let own = own_programs(pins)?;
    let refuse = |programs: Vec<AttachedProgram>, path: &Path| match programs
        .into_iter()
        .find(|one| !one.own && one.name.starts_with(OURS))
    {
        Some(other) => Err(Error::Conflict {
            program: other.name,
            id: other.id,
            cgroup: path.to_owned(),
        }),
        None => Ok(()),
    };
    refuse(cgroup.programs(Scope::Effective, &own)?, cgroup.path())?;
    let mut below = children(cgroup.path());
    while let Some(path) = below.pop() {
        // One that was removed meanwhile serves nobody.
        let Ok(child) = Cgroup::open(path) else {
            continue;
        };
        refuse(child.programs(Scope::Direct, &own)?, child.path())?;
        below.extend(children(child.path()));
    }
    Ok(())
}

fn children(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.map(|entry| entry.path()).collect()
}

/// The ids of the programs behind our pinned links.
fn own_programs(pins: &BpfDir) -> Result<BTreeSet<u32>, Error> {
    let mut ids = BTreeSet::new();
    for path in pins.all_pins()?.links {
        let failed = || Error::file("open link", &path);
        let link = sys::object::open(&path).map_err(failed())?;
        ids.insert(sys::link::info(link.as_fd()).map_err(failed())?.program);
    }
    Ok(ids)
}

fn is_cgroup2(path: &Path) -> bool {
    let filesystem = rustix::fs::statfs(path);
    path.is_dir()
        && filesystem.is_ok_and(|fs| u64::try_from(fs.f_type).is_ok_and(|kind| kind == CGROUP2))
}

/// The mount points of cgroup v2 in a mountinfo file (proc_pid_mountinfo(5)), whole hierarchies
/// before bind mounts of parts.
fn cgroup2_mounts(mountinfo: &[u8]) -> Vec<PathBuf> {
    let mut mounts: Vec<(bool, PathBuf)> = mountinfo
        .split(|byte| *byte == b'\n')
        .filter_map(cgroup2_mount)
        .collect();
    mounts.sort_by_key(|(part, _)| *part);
    mounts.into_iter().map(|(_, path)| path).collect()
}

/// Whether it is a part, and where.
fn cgroup2_mount(line: &[u8]) -> Option<(bool, PathBuf)> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    // Optional fields end with a lone dash, which the filesystem type follows.
    let dash = fields.iter().skip(6).position(|field| *field == b"-")? + 6;
    if fields.get(dash + 1) != Some(&b"cgroup2".as_slice()) {
        return None;
    }
    let path = std::ffi::OsString::from_vec(unescape(fields[4]));
    Some((fields[3] != b"/", PathBuf::from(path)))
}

/// Undoes the octal escapes of blanks and backslashes.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let code = tail.get(..3).filter(|_| *first == b'\\');
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_v2_mount_beside_v1_ones() {
        let text = b"25 30 0:23 / /sys/fs/cgroup rw,relatime shared:9 - tmpfs tmpfs rw,mode=755\n\
            26 25 0:24 / /sys/fs/cgroup/cpu rw,relatime shared:10 - cgroup cgroup rw,cpu\n\
            34 25 0:32 / /sys/fs/cgroup/unified rw,relatime shared:18 master:2 - cgroup2 cgroup rw\n";
        assert_eq!(
            cgroup2_mounts(text),
            [PathBuf::from("/sys/fs/cgroup/unified")]
        );
    }

    #[test]
    fn prefers_a_whole_hierarchy_and_undoes_escapes() {
        let text = b"40 1 0:32 /pod /mnt/a\\040b rw - cgroup2 none rw\n\
            41 1 0:32 / /mnt/c rw - cgroup2 none rw\nbroken line\n\n";
        assert_eq!(
            cgroup2_mounts(text),
            [PathBuf::from("/mnt/c"), PathBuf::from("/mnt/a b")]
        );
    }

    #[test]
    fn a_directory_elsewhere_is_no_cgroup() {
        let error = Cgroup::resolve(Path::new("/proc/self/no-such")).unwrap_err();
        assert!(
            matches!(error, Error::NotACgroup { .. } | Error::NoCgroup2),
            "{error}"
        );
    }
}
