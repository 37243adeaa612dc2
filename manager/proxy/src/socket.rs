//! A connected socket that does not block. Readiness is forgotten as soon as a read comes up short,
//! which saves the read that would only say so.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::SocketAddr,
    os::fd::OwnedFd,
    task::{Context, Poll, ready},
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{self, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketAddrAny, sockopt},
};
use tokio::io::unix::AsyncFd;

/// One TCP connection.
pub(crate) struct Socket(AsyncFd<OwnedFd>);

impl Socket {
    /// `fd` is a socket in non-blocking mode; the runtime of this thread waits for it.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        #[expect(
            deprecated,
            reason = "its successor is unsafe, for descriptors that are not owned"
        )]
        let waiting = AsyncFd::new(fd)?;
        Ok(Self(waiting))
    }

    pub(crate) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(cx))?;
            let read = net::recv(self.0.get_ref(), &mut *into, RecvFlags::empty());
            match told(read.map(|(count, _)| count))? {
                Some(count) => {
                    if count > 0 && count < into.len() {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(count));
                }
                None => guard.clear_ready(),
            }
        }
    }

    /// Into several buffers, `room` bytes in all.
    pub(crate) fn poll_receive_vectored(
        &self,
        cx: &mut Context<'_>,
        into: &mut [IoSliceMut<'_>],
        room: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(cx))?;
            match told(rustix::io::readv(self.0.get_ref(), into))? {
                Some(count) => {
                    if count > 0 && count < room {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(count));
                }
                None => guard.clear_ready(),
            }
        }
    }

    pub(crate) async fn receive(&self, into: &mut [u8]) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_receive(cx, into)).await
    }

    /// Sends what the socket takes at once; less than all when it is full.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        told(net::send(self.0.get_ref(), bytes, SendFlags::NOSIGNAL)).map(Option::unwrap_or_default)
    }

    /// The same from several buffers.
    pub(crate) fn send_vectored(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut none = SendAncillaryBuffer::default();
        let sent = net::sendmsg(self.0.get_ref(), bytes, &mut none, SendFlags::NOSIGNAL);
        told(sent).map(Option::unwrap_or_default)
    }

    /// Waits for room and sends what fits.
    pub(crate) fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(cx))?;
            match told(net::send(self.0.get_ref(), bytes, SendFlags::NOSIGNAL))? {
                Some(count) => return Poll::Ready(Ok(count)),
                None => guard.clear_ready(),
            }
        }
    }

    pub(crate) async fn send_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = std::future::poll_fn(|cx| self.poll_send(cx, bytes)).await?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Connects a socket that does not block; waits until the other side has answered. The runtime
    /// sees the socket only now: one that is not connected reports itself hung up, which sticks.
    pub(crate) async fn connect(fd: OwnedFd, to: SocketAddr) -> io::Result<Self> {
        match net::connect(&fd, &to) {
            Ok(()) => return Self::new(fd),
            Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        // With a peer on this machine it is over by now, which asking again tells.
        match net::connect(&fd, &to) {
            Ok(()) | Err(Errno::ISCONN) => return Self::new(fd),
            Err(Errno::ALREADY) => {}
            Err(error) => return Err(error.into()),
        }
        let socket = Self::new(fd)?;
        loop {
            let mut guard = socket.0.writable().await?;
            sockopt::socket_error(socket.0.get_ref())??;
            match net::getpeername(socket.0.get_ref()) {
                Err(Errno::NOTCONN) => guard.clear_ready(),
                Err(error) => return Err(error.into()),
                Ok(_) => break,
            }
        }
        Ok(socket)
    }

    /// Whether it is still connected, as far as is known without a look at what came.
    pub(crate) fn check(&self) -> io::Result<()> {
        sockopt::socket_error(self.0.get_ref())??;
        Ok(())
    }

    /// Nothing more will be sent.
    pub(crate) fn finish(&self) {
        net::shutdown(self.0.get_ref(), Shutdown::Write).ok();
    }

    /// Makes closing send RST, so that the other side does not take what it got for all there was.
    pub(crate) fn abort_on_close(&self) {
        sockopt::set_socket_linger(self.0.get_ref(), Some(Duration::ZERO)).ok();
    }
}

/// The address of an IPv4 peer is an IPv4 address, also on an IPv6 socket.
pub(crate) fn address(any: SocketAddrAny) -> io::Result<SocketAddr> {
    let address = SocketAddr::try_from(any)?;
    Ok(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

/// `None` when it would have blocked.
fn told(result: rustix::io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
