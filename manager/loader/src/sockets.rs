//! Destroys sockets in any network namespace, as `ss -K` does: their owners read ECONNABORTED,
//! TCP peers ECONNRESET.

use std::collections::{BTreeMap, BTreeSet};

use weft_abi::SocketRecord;

use crate::Error;

mod diag;

mod namespaces;

use namespaces::Namespaces;

/// One socket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SocketId {
    /// Cookie of its network namespace.
    pub netns: u64,
    /// See [`weft_abi::Protocol`].
    pub protocol: u8,
    /// Its cookie.
    pub cookie: u64,
}

impl From<&SocketRecord> for SocketId {
    fn from(record: &SocketRecord) -> Self {
        Self {
            netns: record.netns,
            protocol: record.protocol,
            cookie: record.cookie,
        }
    }
}

/// What became of the sockets.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Destroyed {
    /// Sockets destroyed.
    pub destroyed: usize,
    /// Sockets that were gone already.
    pub gone: usize,
    /// Cookies of namespaces that were not found: all their processes ended, and they have no name
    /// in `/run/netns`.
    pub missing_namespaces: BTreeSet<u64>,
}

/// Finds namespaces and destroys sockets in them.
#[derive(Debug, Default)]
pub struct SocketDestroyer {
    namespaces: Namespaces,
}

impl SocketDestroyer {
    /// Knows no namespaces yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Destroys these sockets. Blocks for as long as the kernel takes to list all sockets of the
    /// namespaces concerned; TCP sockets that listen or wait for late segments are left alone.
    ///
    /// # Errors
    /// [`Error::Socket`] when the kernel refuses, [`Error::Malformed`].
    pub fn destroy(&mut self, sockets: &[SocketId]) -> Result<Destroyed, Error> {
        let mut by_namespace: BTreeMap<u64, BTreeMap<u8, BTreeSet<u64>>> = BTreeMap::new();
        for socket in sockets {
            let protocols = by_namespace.entry(socket.netns).or_default();
            protocols
                .entry(socket.protocol)
                .or_default()
                .insert(socket.cookie);
        }
        let mut result = Destroyed::default();
        if by_namespace.is_empty() {
            return Ok(result);
        }
        let wanted = by_namespace.keys().copied().collect();
        let mut found = self.namespaces.open(&wanted)?;
        for (cookie, protocols) in by_namespace {
            let Some(netlink) = found.remove(&cookie) else {
                result.missing_namespaces.insert(cookie);
                continue;
            };
            for (protocol, cookies) in protocols {
                let destroyed = diag::destroy(&netlink, protocol, &cookies)?;
                result.destroyed += destroyed;
                result.gone += cookies.len() - destroyed;
            }
        }
        Ok(result)
    }
}

/// Whether the kernel can destroy sockets of this protocol (`CONFIG_INET_DIAG_DESTROY`).
///
/// # Errors
/// [`Error::Socket`] with what it answers.
pub(crate) fn probe(protocol: u8) -> Result<(), Error> {
    diag::probe(&diag::Netlink::open()?, protocol)
}
