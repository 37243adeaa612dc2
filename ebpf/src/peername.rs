//! getpeername4/6: a client keeps seeing the address it dialled.
//!
//! The hook also runs for the address `accept` returns; an accepted socket has no storage, so
//! that one stays as it is.

use aya_ebpf::{macros::cgroup_sock_addr, programs::SockAddrContext};
use weft_abi::SocketInfo;

use crate::{
    address::{self, Family},
    maps::SOCKETS,
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
    // SAFETY: null or this socket's storage.
    if let Some(info) = unsafe { info.as_ref() }
        && info.flags & SocketInfo::REWRITTEN != 0
    {
        let (peer, port) = address::user(ctx, family);
        if info.peer_port == port && info.peer.is(&peer) {
            address::rewrite(ctx, family, &info.vip, info.vip_port);
        }
    }
    1
}
