//! Finds network namespaces by cookie.
//!
//! The kernel has no way to open a namespace by cookie, so all that processes live in or that have
//! a name are looked through. No descriptor is kept: an open one would keep a namespace, and all
//! interfaces in it, alive after its pod is gone. What is kept is which inode had which cookie, so
//! that each namespace is entered only once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::diag::Netlink;
use crate::Error;

/// Where runtimes keep names of namespaces.
const NAMED: [&str; 2] = ["/run/netns", "/run/docker/netns"];

/// Cookies of namespaces seen so far, by inode. An inode may be used again for another namespace,
/// so an entry only tells where to look first.
#[derive(Debug, Default)]
pub(super) struct Namespaces {
    cookies: BTreeMap<u64, u64>,
}

impl Namespaces {
    /// Opens netlink sockets in the namespaces with these cookies, as far as they are found.
    pub(super) fn open(&mut self, wanted: &BTreeSet<u64>) -> Result<BTreeMap<u64, Netlink>, Error> {
        let present = present();
        self.cookies.retain(|inode, _| present.contains_key(inode));
        let mut found = BTreeMap::new();
        let (likely, others): (Vec<_>, Vec<_>) = present.iter().partition(|(inode, _)| {
            self.cookies
                .get(inode)
                .is_some_and(|one| wanted.contains(one))
        });
        let (known, unknown): (Vec<_>, Vec<_>) = others
            .into_iter()
            .partition(|(inode, _)| self.cookies.contains_key(inode));
        // Those known to be others come last: only if their inode was used again are they wanted.
        for (inode, path) in likely.into_iter().chain(unknown).chain(known) {
            if found.len() == wanted.len() {
                break;
            }
            // One that went meanwhile is not found, which is what the caller is told.
            let Some(netlink) = enter(path)? else {
                continue;
            };
            let cookie = netlink.namespace_cookie()?;
            self.cookies.insert(*inode, cookie);
            if wanted.contains(&cookie) {
                found.insert(cookie, netlink);
            }
        }
        Ok(found)
    }
}

/// A path to each namespace there is, by inode.
fn present() -> BTreeMap<u64, PathBuf> {
    let processes = entries(Path::new("/proc"))
        .into_iter()
        .map(|path| path.join("ns/net"));
    let named = NAMED
        .iter()
        .flat_map(|directory| entries(Path::new(directory)));
    let mut namespaces = BTreeMap::new();
    for path in processes.chain(named) {
        if let Ok(metadata) = fs::metadata(&path) {
            namespaces.entry(metadata.ino()).or_insert(path);
        }
    }
    namespaces
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect()
}

/// A netlink socket inside the namespace at `path`; `None` when that is gone. The socket stays in
/// its namespace whoever uses it, so only the thread that makes it has to go there.
fn enter(path: &Path) -> Result<Option<Netlink>, Error> {
    let Ok(namespace) = File::open(path) else {
        return Ok(None);
    };
    enter_namespace(namespace.as_fd(), path).map(Some)
}

/// As [`enter`]; `path` is for messages.
pub(super) fn enter_namespace(namespace: BorrowedFd<'_>, path: &Path) -> Result<Netlink, Error> {
    let open = || {
        move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))
            .map_err(|error| Error::file("enter namespace", path)(error.into()))?;
        Netlink::open()
    };
    match thread::scope(|scope| scope.spawn(open).join()) {
        Ok(netlink) => netlink,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
