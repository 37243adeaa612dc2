//! Destroys sockets in any network namespace, as `ss -K` does: their owners read ECONNABORTED,
//! TCP peers ECONNRESET.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    os::fd::BorrowedFd,
};

use weft_abi::{Protocol, SocketRecord};

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

/// A TCP connection, seen from one end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Connection {
    /// The socket, to destroy it.
    pub socket: SocketId,
    /// That end; IPv4-mapped addresses as IPv4.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// That end was accepted, not opened: its port is one that is listened on there.
    pub is_accepted: bool,
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

    /// The TCP connections of a network namespace that were accepted or opened there: from the
    /// handshake on, until both ends have closed. None when there is no such namespace.
    ///
    /// # Errors
    /// [`Error::Socket`] when the kernel refuses, [`Error::Malformed`].
    pub fn connections(&mut self, netns: u64) -> Result<Vec<Connection>, Error> {
        let mut found = self.namespaces.open(&BTreeSet::from([netns]))?;
        let Some(netlink) = found.remove(&netns) else {
            return Ok(Vec::new());
        };
        let listening = diag::listening(&netlink)?;
        let connection = |one: diag::TcpConnection| Connection {
            socket: SocketId {
                netns,
                protocol: Protocol::TCP,
                cookie: one.cookie,
            },
            local: one.local,
            remote: one.remote,
            is_accepted: listening.contains(&one.local.port()),
        };
        let all = diag::connections(&netlink)?;
        Ok(all.into_iter().map(connection).collect())
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

/// The cookie of a network namespace, as `bpf_get_netns_cookie` says it.
///
/// # Errors
/// [`Error::File`] when the namespace cannot be entered, [`Error::Socket`].
pub fn netns_cookie(namespace: BorrowedFd<'_>) -> Result<u64, Error> {
    namespaces::enter_namespace(namespace, "of the descriptor".as_ref())?.namespace_cookie()
}

/// The cookie of the calling thread's own network namespace.
pub(crate) fn own_netns_cookie() -> Result<u64, Error> {
    diag::Netlink::open()?.namespace_cookie()
}

/// Whether the kernel can destroy sockets of this protocol (`CONFIG_INET_DIAG_DESTROY`).
///
/// # Errors
/// [`Error::Socket`] with what it answers.
pub(crate) fn probe(protocol: u8) -> Result<(), Error> {
    diag::probe(&diag::Netlink::open()?, protocol)
}
