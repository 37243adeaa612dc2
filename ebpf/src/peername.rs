//! getpeername4/6: a client keeps seeing the address it dialled, and a server the client that the
//! proxy dialled it for.
//!
//! The hook also runs for the address `accept` returns; a socket accepted from the proxy has no
//! storage.

use aya_ebpf::{macros::cgroup_sock_addr, programs::SockAddrContext};
use weft_abi::{Address, EndKey, SocketInfo};

use crate::{
    address::{self, Family},
    capture::{LOOPBACK_V4, LOOPBACK_V6},
    maps::{ORIGINS, SOCKETS},
};

/// cgroup/getpeername4.
#[cgroup_sock_addr(getpeername4)]
pub(crate) fn weft_peername4(ctx: SockAddrContext) -> i32 {
    peername(&ctx, Family::V4)
}

/// cgroup/getpeername6; also runs for v4-mapped peers.
#[cgroup_sock_addr(getpeername6)]
pub(crate) fn weft_peername6(ctx: SockAddrContext) -> i32 {
    peername(&ctx, Family::V6)
}

#[inline(always)]
fn peername(ctx: &SockAddrContext, family: Family) -> i32 {
    let info: *mut SocketInfo = address::storage(&SOCKETS, address::socket(ctx).cast(), false);
    let (peer, port) = address::user(ctx, family);
    // SAFETY: null or this socket's storage.
    if let Some(info) = unsafe { info.as_ref() } {
        if info.flags & SocketInfo::REWRITTEN != 0 && went(info, &peer, port) {
            address::rewrite(ctx, family, &info.vip, info.vip_port);
        }
    } else {
        show_origin(ctx, family, &peer, port);
    }
    1
}

/// Whether a peer is where the client's connection really went.
#[inline(always)]
fn went(info: &SocketInfo, peer: &Address, port: u16) -> bool {
    if info.flags & SocketInfo::CAPTURED != 0 {
        return peer.is(&LOOPBACK_V4) || peer.is(&LOOPBACK_V6);
    }
    info.peer_port == port && info.peer.is(peer)
}

/// Whether the proxy may have dialled from there: 127.128.0.0/10, or `::1` (`Worker::source` of
/// weft-proxy).
#[inline(always)]
fn is_proxy(peer: &Address) -> bool {
    if peer.is_v4() {
        return peer.words()[3] & 0xffc0_0000_u32.to_be() == 0x7f80_0000_u32.to_be();
    }
    peer.is(&LOOPBACK_V6)
}

/// An application that the proxy dialled sees the client behind it. Other peers cost a comparison
/// and no lookup.
#[inline(always)]
fn show_origin(ctx: &SockAddrContext, family: Family, peer: &Address, port: u16) {
    if !is_proxy(peer) {
        return;
    }
    let key = EndKey {
        netns: address::netns(ctx),
        address: *peer,
        port,
        reserved: [0; 3],
    };
    // SAFETY: words; the proxy writes an entry before it connects, and never changes it.
    let Some(origin) = (unsafe { ORIGINS.get(&key) }) else {
        return;
    };
    if family == Family::V6 || origin.address.is_v4() {
        address::rewrite(ctx, family, &origin.address, origin.port);
    }
}
