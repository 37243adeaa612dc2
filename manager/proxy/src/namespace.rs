//! Sockets of other network namespaces. A namespace belongs to a thread, a socket to the namespace it
//! was made in, for ever: so a thread enters, makes sockets, and returns.

use std::{
    fs::File,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{self, AddressFamily, SocketFlags, SocketType, ipproto, sockopt},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

/// The namespace of the calling thread, to return to.
pub(crate) struct Home {
    fd: OwnedFd,
    identity: (u64, u64),
}

impl Home {
    pub(crate) fn here() -> io::Result<Self> {
        let fd = OwnedFd::from(File::open("/proc/thread-self/ns/net")?);
        let identity = identity(fd.as_fd())?;
        Ok(Self { fd, identity })
    }

    /// Makes something in a namespace. `make` must not wait.
    pub(crate) fn inside<T>(
        &self,
        namespace: BorrowedFd<'_>,
        make: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        if identity(namespace)? == self.identity {
            return make();
        }
        let network = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(namespace, network)?;
        let made = make();
        // Every socket is made through here, so a thread that is stuck elsewhere would do no harm;
        // but it must not pretend to be home.
        move_into_link_name_space(self.fd.as_fd(), network)?;
        made
    }
}

fn identity(namespace: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstat(namespace)?;
    Ok((stat.st_dev, stat.st_ino))
}

const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

/// A TCP socket that does not block, in the calling thread's namespace.
pub(crate) fn socket(ipv6: bool) -> io::Result<OwnedFd> {
    let family = if ipv6 {
        AddressFamily::INET6
    } else {
        AddressFamily::INET
    };
    let socket = net::socket_with(family, SocketType::STREAM, FLAGS, Some(ipproto::TCP))?;
    // Small messages go out at once; what a listener accepts takes it from there.
    sockopt::set_tcp_nodelay(&socket, true)?;
    Ok(socket)
}

/// What a workload's namespace listens on.
pub(crate) struct Listeners {
    /// On 127.0.0.1 and, where there is IPv6, `::1`.
    pub(crate) outbound: Vec<OwnedFd>,
    pub(crate) outbound_port: u16,
    /// On all addresses.
    pub(crate) inbound: OwnedFd,
    pub(crate) inbound_port: u16,
}

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

impl Listeners {
    /// In the calling thread's namespace.
    pub(crate) fn bind(outbound: u16, inbound: u16) -> io::Result<Self> {
        let (outbound, outbound_port) = loopback(outbound)?;
        let inbound = match listen(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), inbound)) {
            Err(error) if lacks_ipv6(&error) => {
                listen(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), inbound))?
            }
            other => other?,
        };
        Ok(Self {
            outbound,
            outbound_port,
            inbound_port: port(&inbound)?,
            inbound,
        })
    }
}

/// Listens on 127.0.0.1 and, where there is IPv6, `::1`, in the calling thread's namespace: on this
/// port if it is free, else on another.
pub(crate) fn loopback(wanted: u16) -> io::Result<(Vec<OwnedFd>, u16)> {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let first = match listen(SocketAddr::new(loopback, wanted)) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            listen(SocketAddr::new(loopback, 0))?
        }
        other => other?,
    };
    let port = port(&first)?;
    let mut listeners = vec![first];
    let loopback = IpAddr::V6(Ipv6Addr::LOCALHOST);
    match listen(SocketAddr::new(loopback, port)) {
        Err(error) if lacks_ipv6(&error) => {}
        other => listeners.push(other?),
    }
    Ok((listeners, port))
}

fn listen(at: SocketAddr) -> io::Result<OwnedFd> {
    let socket = socket(at.is_ipv6())?;
    // Connections of a predecessor may still be in TIME_WAIT.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if at.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, !at.ip().is_unspecified())?;
    }
    net::bind(&socket, &at)?;
    net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// No IPv6 in the kernel, or none on the loopback interface.
fn lacks_ipv6(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    code == Some(Errno::AFNOSUPPORT.raw_os_error())
        || code == Some(Errno::ADDRNOTAVAIL.raw_os_error())
}

fn port(socket: &OwnedFd) -> io::Result<u16> {
    Ok(crate::socket::address(net::getsockname(socket)?)?.port())
}
