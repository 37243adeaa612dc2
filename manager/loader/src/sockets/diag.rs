//! The part of `NETLINK_SOCK_DIAG` that lists and destroys sockets
//! (include/uapi/linux/{netlink,sock_diag,inet_diag}.h).
//!
//! A netlink message is `nlmsghdr` (16 bytes) and a body. A request's body is `inet_diag_req_v2`
//! (56 bytes, the last 48 an `inet_diag_sockid`), an answer's begins with `inet_diag_msg`, which
//! holds the same `inet_diag_sockid` at byte 4.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use weft_abi::Protocol;

use crate::Error;

const HEADER: usize = 16;
const REQUEST: usize = 56;
const SOCKET_ID: usize = 48;
/// Where `inet_diag_msg` has its `inet_diag_sockid`.
const ANSWER_SOCKET_ID: usize = 4;
/// Where `inet_diag_sockid` has its cookie: two words, the low one first.
const COOKIE: usize = 40;

/// Where `inet_diag_sockid` has one end, in network order.
struct EndAt {
    port: usize,
    address: usize,
}
const LOCAL: EndAt = EndAt {
    port: 0,
    address: 4,
};
const REMOTE: EndAt = EndAt {
    port: 2,
    address: 20,
};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;

/// TCP states by bit: all but TIME_WAIT (6) and LISTEN (10), as in include/net/tcp_states.h.
const TCP_STATES: u32 = !(1 << 6 | 1 << 10);
const ALL_STATES: u32 = !0;
/// ESTABLISHED, SYN_RECV, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING.
const CONNECTED_STATES: u32 = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 11;

/// LISTEN.
const LISTEN: u32 = 1 << 10;

/// `SO_NETNS_COOKIE` of include/uapi/asm-generic/socket.h.
const SO_NETNS_COOKIE: i32 = 71;

/// A netlink socket for socket diagnostics.
#[derive(Debug)]
pub(super) struct Netlink {
    fd: OwnedFd,
}

/// What tells a socket to the kernel: `inet_diag_sockid`.
type SocketIdBytes = [u8; SOCKET_ID];

/// Destroys the sockets with these cookies; answers how many there were.
pub(super) fn destroy(
    netlink: &Netlink,
    protocol: u8,
    cookies: &BTreeSet<u64>,
) -> Result<usize, Error> {
    let mut destroyed = 0;
    for family in [libc::AF_INET, libc::AF_INET6] {
        let family = u8::try_from(family).expect("address families are small");
        let states = states(protocol);
        let wanted = |id: &SocketIdBytes| cookies.contains(&cookie(id));
        for id in list(netlink, family, protocol, states, wanted)? {
            netlink.send(&message(
                SOCK_DESTROY,
                NLM_F_ACK,
                family,
                protocol,
                ALL_STATES,
                &id,
            ))?;
            match netlink.acknowledgement()? {
                0 => destroyed += 1,
                // Closed meanwhile.
                libc::ENOENT => {}
                error => return Err(refused("destroy a socket", error)),
            }
        }
    }
    Ok(destroyed)
}

/// Asks for the destruction of a socket that cannot exist, to learn whether the kernel could.
pub(super) fn probe(netlink: &Netlink, protocol: u8) -> Result<(), Error> {
    let family = u8::try_from(libc::AF_INET).expect("address families are small");
    // From 255.255.255.255:1 to itself.
    let mut id = [0; SOCKET_ID];
    id[..4].copy_from_slice(&[0, 1, 0, 1]);
    id[4..8].fill(255);
    id[20..24].fill(255);
    netlink.send(&message(
        SOCK_DESTROY,
        NLM_F_ACK,
        family,
        protocol,
        ALL_STATES,
        &id,
    ))?;
    match netlink.acknowledgement()? {
        0 | libc::ENOENT => Ok(()),
        error => Err(refused("destroy sockets", error)),
    }
}

/// The states of sockets that are looked for.
fn states(protocol: u8) -> u32 {
    if protocol == Protocol::TCP {
        TCP_STATES
    } else {
        ALL_STATES
    }
}

/// A TCP connection as the kernel lists it.
pub(super) struct TcpConnection {
    pub(super) cookie: u64,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
}

/// All TCP connections of the namespace.
pub(super) fn connections(netlink: &Netlink) -> Result<Vec<TcpConnection>, Error> {
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let number = u8::try_from(family).expect("address families are small");
        let ids = list(netlink, number, Protocol::TCP, CONNECTED_STATES, |_| true)?;
        found.extend(ids.iter().map(|id| TcpConnection {
            cookie: cookie(id),
            local: end(id, family, LOCAL),
            remote: end(id, family, REMOTE),
        }));
    }
    Ok(found)
}

/// Ports that are listened on in the namespace.
pub(super) fn listening(netlink: &Netlink) -> Result<BTreeSet<u16>, Error> {
    let mut ports = BTreeSet::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let number = u8::try_from(family).expect("address families are small");
        let ids = list(netlink, number, Protocol::TCP, LISTEN, |_| true)?;
        ports.extend(ids.iter().map(|id| end(id, family, LOCAL).port()));
    }
    Ok(ports)
}

/// One end of a connection.
fn end(id: &SocketIdBytes, family: i32, at: EndAt) -> SocketAddr {
    let port = id[at.port..].first_chunk().expect("two bytes");
    let address: IpAddr = if family == libc::AF_INET {
        let octets: [u8; 4] = *id[at.address..].first_chunk().expect("four bytes");
        octets.into()
    } else {
        let octets: [u8; 16] = *id[at.address..].first_chunk().expect("sixteen bytes");
        octets.into()
    };
    SocketAddr::new(address.to_canonical(), u16::from_be_bytes(*port))
}

/// The ids of those sockets of one family that are asked for.
fn list(
    netlink: &Netlink,
    family: u8,
    protocol: u8,
    states: u32,
    wanted: impl Fn(&SocketIdBytes) -> bool,
) -> Result<Vec<SocketIdBytes>, Error> {
    let mut any = [0; SOCKET_ID];
    any[COOKIE..].fill(0xff); // INET_DIAG_NOCOOKIE
    netlink.send(&message(
        SOCK_DIAG_BY_FAMILY,
        NLM_F_DUMP,
        family,
        protocol,
        states,
        &any,
    ))?;
    let mut ids = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = netlink.receive(&mut buffer)?;
        for message in messages(&buffer[..count]) {
            match message? {
                Message::Socket(id) if wanted(&id) => ids.push(id),
                Message::Socket(_) => {}
                Message::Error(error) => return Err(refused("list sockets", error)),
                Message::Done => return Ok(ids),
            }
        }
    }
}

fn refused(action: &'static str, error: i32) -> Error {
    Error::Socket {
        action,
        cause: io::Error::from_raw_os_error(error),
    }
}

impl Netlink {
    /// Opens one in the calling thread's network namespace.
    pub(super) fn open() -> Result<Self, Error> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: no addresses.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_SOCK_DIAG) };
        if fd < 0 {
            return Err(last_error("open a netlink socket"));
        }
        // SAFETY: the kernel has just made this descriptor for us.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd })
    }

    /// The cookie of the network namespace the socket is in.
    pub(super) fn namespace_cookie(&self) -> Result<u64, Error> {
        let mut cookie = 0u64;
        let mut length = libc::socklen_t::try_from(size_of::<u64>()).expect("eight");
        let value: *mut u64 = &mut cookie;
        // SAFETY: `value` is valid for `length` bytes.
        let result = unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_SOCKET,
                SO_NETNS_COOKIE,
                value.cast(),
                &mut length,
            )
        };
        if result < 0 {
            return Err(last_error("read a namespace cookie"));
        }
        Ok(cookie)
    }

    fn send(&self, message: &[u8]) -> Result<(), Error> {
        // An unconnected netlink socket sends to the kernel.
        rustix::net::send(&self.fd, message, rustix::net::SendFlags::empty())
            .map(drop)
            .map_err(|error| Error::Socket {
                action: "ask for sockets",
                cause: error.into(),
            })
    }

    fn receive(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        loop {
            match rustix::net::recv(&self.fd, &mut *buffer, rustix::net::RecvFlags::empty()) {
                Ok((count, _)) => return Ok(count),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    return Err(Error::Socket {
                        action: "list sockets",
                        cause: error.into(),
                    });
                }
            }
        }
    }

    /// The errno the kernel answers a request with; 0 for success.
    fn acknowledgement(&self) -> Result<i32, Error> {
        let mut buffer = [0; 4096];
        let count = self.receive(&mut buffer)?;
        match messages(&buffer[..count]).next() {
            Some(Ok(Message::Error(error))) => Ok(error),
            _ => Err(Error::Malformed {
                what: "acknowledgement",
            }),
        }
    }
}

fn last_error(action: &'static str) -> Error {
    Error::Socket {
        action,
        cause: io::Error::last_os_error(),
    }
}

/// A request.
fn message(
    kind: u16,
    flags: u16,
    family: u8,
    protocol: u8,
    states: u32,
    id: &SocketIdBytes,
) -> [u8; HEADER + REQUEST] {
    let mut bytes = [0; HEADER + REQUEST];
    let length = u32::try_from(bytes.len()).expect("72");
    bytes[0..4].copy_from_slice(&length.to_ne_bytes());
    bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
    bytes[6..8].copy_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
    // Sequence and port id stay zero: one request at a time per socket.
    bytes[16] = family;
    bytes[17] = protocol;
    bytes[20..24].copy_from_slice(&states.to_ne_bytes());
    bytes[24..].copy_from_slice(id);
    bytes
}

/// What the kernel sends.
#[derive(PartialEq, Eq, Debug)]
enum Message {
    Socket(SocketIdBytes),
    /// Errno, positive; 0 acknowledges.
    Error(i32),
    Done,
}

/// The messages in one datagram.
fn messages(datagram: &[u8]) -> impl Iterator<Item = Result<Message, Error>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let parsed = split(rest);
        rest = parsed.as_ref().map_or(&[], |(_, tail)| tail);
        Some(parsed.map(|(message, _)| message).ok_or(Error::Malformed {
            what: "list of sockets",
        }))
    })
}

/// The first message and the bytes after it; `None` when it is cut short.
fn split(bytes: &[u8]) -> Option<(Message, &[u8])> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    let message = bytes.get(..length)?;
    let kind = u16::from_ne_bytes(*message.get(4..)?.first_chunk()?);
    let body = message.get(HEADER..)?;
    let parsed = match kind {
        NLMSG_DONE => Message::Done,
        NLMSG_ERROR => Message::Error(i32::from_ne_bytes(*body.first_chunk()?).checked_neg()?),
        SOCK_DIAG_BY_FAMILY => Message::Socket(*body.get(ANSWER_SOCKET_ID..)?.first_chunk()?),
        _ => return None,
    };
    // Messages begin at multiples of four bytes.
    Some((
        parsed,
        bytes.get(length.next_multiple_of(4)..).unwrap_or_default(),
    ))
}

fn cookie(id: &SocketIdBytes) -> u64 {
    let word = |at: usize| {
        let bytes = id[at..at + 4].first_chunk().expect("four bytes");
        u64::from(u32::from_ne_bytes(*bytes))
    };
    word(COOKIE) | word(COOKIE + 4) << 32
}

#[cfg(test)]
mod tests;
