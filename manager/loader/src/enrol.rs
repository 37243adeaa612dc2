//! Enrolled network namespaces: in each one link of `sk_lookup`, pinned under the namespace's
//! cookie.

use std::{
    fs,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::Path,
};

use weft_abi::names::programs;

use crate::{
    BpfDir, Error, Maps,
    attach::pin,
    object::Programs,
    pins::{namespace_link_name, namespace_of},
    sys,
};

/// `BPF_SK_LOOKUP` of `enum bpf_attach_type`.
pub(crate) const SK_LOOKUP: u32 = 36;

/// A namespace whose incoming connections are decided on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EnrolledNamespace {
    /// Its cookie.
    pub cookie: u64,
    /// It still exists.
    pub alive: bool,
}

/// Which program a namespace gets.
pub(crate) fn program(is_ready: bool) -> &'static str {
    if is_ready {
        programs::SK_LOOKUP
    } else {
        programs::SK_UNREADY
    }
}

/// Attaches the program in a namespace, in place of one that is there already.
pub(crate) fn enrol(
    pins: &BpfDir,
    program: BorrowedFd<'_>,
    namespace: BorrowedFd<'_>,
    cookie: u64,
) -> Result<(), Error> {
    let name = namespace_link_name(cookie);
    let path = pins.link(&name);
    if replace(&path, inode(namespace)?, program) {
        return Ok(());
    }
    let link = sys::link::create_on_namespace(program, namespace, SK_LOOKUP)
        .map_err(Error::bpf("attach", name))?;
    pin(&link, &path)
}

/// Detaches it; false when it was not attached.
pub(crate) fn unenrol(pins: &BpfDir, cookie: u64) -> Result<bool, Error> {
    let path = pins.link(&namespace_link_name(cookie));
    match fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::file("unpin", &path)(error)),
    }
}

/// Namespaces with a pinned link.
pub(crate) fn enrolled(pins: &BpfDir) -> Result<Vec<EnrolledNamespace>, Error> {
    let mut found = Vec::new();
    for name in pins.link_names()? {
        if let Some(cookie) = namespace_of(&name) {
            let link = open(&pins.link(&name))?;
            let alive = is_alive(&link)?;
            found.push(EnrolledNamespace { cookie, alive });
        }
    }
    Ok(found)
}

/// What an earlier manager attached goes on with the new program; what it attached in namespaces
/// that are gone is removed.
pub(crate) struct Adopted {
    /// Links with the new program.
    pub(crate) replaced: Vec<String>,
    /// Links removed.
    pub(crate) removed: Vec<String>,
}

/// Adopts the links of this and of `others`, directories of other ABI versions. Which program each
/// gets is said by the maps.
pub(crate) fn adopt(
    pins: &BpfDir,
    others: &[std::path::PathBuf],
    loaded: &Programs,
    maps: &Maps,
) -> Result<Adopted, Error> {
    let update = |link: &OwnedFd, name: &str| -> Result<bool, Error> {
        let is_ready = namespace_of(name).map(|cookie| maps.is_ready(cookie));
        let name = program(is_ready.transpose()?.unwrap_or(false));
        let program = loaded.get(name);
        let program = program.ok_or(Error::NoProgram { program: name })?;
        Ok(is_alive(link)? && sys::link::update(link.as_fd(), program.as_fd()).is_ok())
    };
    let mut adopted = Adopted {
        replaced: Vec::new(),
        removed: Vec::new(),
    };
    let own = pins.link_names()?;
    for name in own.iter().filter(|name| namespace_of(name).is_some()) {
        let path = pins.link(name);
        let link = open(&path)?;
        if update(&link, name)? {
            adopted.replaced.push(name.clone());
        } else {
            fs::remove_file(&path).map_err(Error::file("unpin", &path))?;
            adopted.removed.push(name.clone());
        }
    }
    for other in others {
        for name in crate::pins::names(&other.join("links"))? {
            if namespace_of(&name).is_none() || adopted.replaced.contains(&name) {
                continue;
            }
            let link = open(&other.join("links").join(&name))?;
            if update(&link, &name)? {
                pin(&link, &pins.link(&name))?;
                adopted.replaced.push(name);
            }
        }
    }
    Ok(adopted)
}

/// Replaces the program of the link pinned at `path`. False when there is none, or it is in another
/// namespace, or in none any more.
fn replace(path: &Path, inode: u64, program: BorrowedFd<'_>) -> bool {
    sys::object::open(path).is_ok_and(|link| {
        sys::link::info(link.as_fd())
            .is_ok_and(|info| info.namespace().is_some_and(|own| u64::from(own) == inode))
            && sys::link::update(link.as_fd(), program).is_ok()
    })
}

fn open(path: &Path) -> Result<OwnedFd, Error> {
    sys::object::open(path).map_err(Error::file("open link", path))
}

fn is_alive(link: &OwnedFd) -> Result<bool, Error> {
    let info =
        sys::link::info(link.as_fd()).map_err(Error::bpf("describe link", programs::SK_LOOKUP))?;
    Ok(info.namespace().is_some_and(|inode| inode != 0))
}

fn inode(namespace: BorrowedFd<'_>) -> Result<u64, Error> {
    let file = namespace
        .try_clone_to_owned()
        .map(fs::File::from)
        .and_then(|file| file.metadata());
    file.map(|metadata| metadata.ino())
        .map_err(Error::bpf("look at", "the network namespace"))
}
