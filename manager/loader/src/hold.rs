//! The listener that drops all it gets: sk_lookup gives it the connections to workloads that are not
//! ready. A connection that meets no listener is answered with RST, and clients give up; one whose
//! SYN is lost is tried again by the client's kernel, after a second for the first time.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    thread,
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, ipproto, listen, socket_with, sockopt},
};
use weft_abi::names::maps;

use crate::{Error, sys};

/// Connections to workloads that are not ready wait until this is dropped.
#[derive(Debug)]
#[must_use = "dropping this makes connections be refused again"]
pub struct Hold {
    /// The map forgets it when it is closed.
    _listener: OwnedFd,
}

impl Hold {
    pub(crate) fn begin(map: BorrowedFd<'_>) -> Result<Self, Error> {
        // A namespace belongs to a thread, and this one is the caller's.
        let listener = thread::scope(|scope| scope.spawn(listener).join())
            .unwrap_or_else(|_| Err(io::Error::other("the thread that makes it panicked")))
            .map_err(|cause| Error::Socket {
                action: "make the listener that holds connections",
                cause,
            })?;
        let fd = u32::try_from(listener.as_raw_fd()).expect("an open descriptor is not negative");
        // SAFETY: keys and values of the map are `u32` (`Maps::open`).
        unsafe { sys::map::update(map, &0u32, &fd, 0) }
            .map_err(Error::bpf("write map", maps::HOLD))?;
        Ok(Self {
            _listener: listener,
        })
    }
}

/// A listener for both families in a namespace of its own, where nobody but sk_lookup can reach it.
fn listener() -> io::Result<OwnedFd> {
    // SAFETY: affects this thread only, which makes one socket and ends.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let socket = |family| {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))
    };
    let socket = match socket(AddressFamily::INET6) {
        Ok(socket) => {
            sockopt::set_ipv6_v6only(&socket, false)?;
            socket
        }
        Err(Errno::AFNOSUPPORT) => socket(AddressFamily::INET)?,
        Err(error) => return Err(error.into()),
    };
    sys::socket::drop_all(socket.as_fd())?;
    // On a port of the kernel's choice.
    listen(&socket, 1)?;
    Ok(socket)
}
