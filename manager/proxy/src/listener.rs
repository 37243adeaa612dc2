//! Accepting connections.

use std::{net::SocketAddr, os::fd::OwnedFd, time::Duration};

use rustix::{
    io::Errno,
    net::{SocketFlags, acceptfrom_with},
};
use tokio::io::{Interest, unix::AsyncFd};

use crate::socket::address;

/// Accepts for the workload `key` until its task is aborted.
pub(crate) async fn accept(key: u64, socket: OwnedFd, take: impl Fn(OwnedFd, SocketAddr)) {
    /// Connections before other tasks get their turn.
    const TURNS: usize = 16;
    #[expect(
        deprecated,
        reason = "its successor is unsafe, for descriptors that are not owned"
    )]
    let socket = match AsyncFd::with_interest(socket, Interest::READABLE) {
        Ok(socket) => socket,
        Err(error) => return tracing::error!(key, %error, "cannot listen"),
    };
    loop {
        let Ok(mut guard) = socket.readable().await else {
            return;
        };
        for _ in 0..TURNS {
            match acceptfrom_with(
                socket.get_ref(),
                SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
            ) {
                Ok((fd, Some(peer))) => {
                    if let Ok(peer) = address(peer) {
                        take(fd, peer);
                    }
                }
                Err(Errno::AGAIN) => {
                    guard.clear_ready();
                    break;
                }
                // The client gave up, or there was an error on its way here (accept(2)).
                Ok(_) | Err(Errno::CONNABORTED | Errno::INTR | Errno::PROTO | Errno::NETDOWN) => {}
                Err(error) => {
                    tracing::warn!(key, %error, "cannot accept; trying again");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    break;
                }
            }
        }
        tokio::task::yield_now().await;
    }
}
