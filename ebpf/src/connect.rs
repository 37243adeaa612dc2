//! connect4, connect6: a service address becomes a backend's, once per connection.

use aya_ebpf::{macros::cgroup_sock_addr, programs::SockAddrContext};
use weft_abi::{Counter, Scope, ServiceKey, SocketInfo};

use crate::{
    address::{self, Family},
    balance::{self, Choice},
    maps::{SOCKETS, count},
    trace::trace,
};

/// cgroup/connect4.
#[cgroup_sock_addr(connect4)]
pub(crate) fn weft_connect4(ctx: SockAddrContext) -> i32 {
    connect(&ctx, Family::V4)
}

/// cgroup/connect6; also runs for v4-mapped destinations.
#[cgroup_sock_addr(connect6)]
pub(crate) fn weft_connect6(ctx: SockAddrContext) -> i32 {
    connect(&ctx, Family::V6)
}

#[inline(always)]
fn connect(ctx: &SockAddrContext, family: Family) -> i32 {
    let protocol = address::protocol(ctx);
    if protocol == 0 {
        return 1;
    }
    let (vip, vip_port) = address::user(ctx, family);
    let key = ServiceKey {
        address: vip,
        port: vip_port,
        protocol,
        scope: Scope::SOCKET,
    };
    let netns = address::netns(ctx);
    match balance::choose(&key, || address::client(ctx, family), netns) {
        Choice::NotService => {
            forget(ctx);
            1
        }
        Choice::Refused => {
            forget(ctx);
            trace!(ctx, "refused: port {} has no usable backend", vip_port);
            balance::refused()
        }
        Choice::Backend(service, index, backend) => {
            let info: *mut SocketInfo =
                address::storage(&SOCKETS, address::socket(ctx).cast(), true);
            if info.is_null() {
                count(Counter::STORAGE_FAILED);
            } else {
                // SAFETY: this socket's storage, and connect holds the socket's lock.
                let info = unsafe { &mut *info };
                info.vip = vip;
                info.vip_port = vip_port;
                address::copy(&raw mut info.peer, &backend.address);
                info.peer_port = backend.port;
                info.netns = netns;
                info.service = service.id;
                info.backend = index;
                info.generation = backend.generation;
                info.destination = backend.workload;
                info.protocol = protocol;
                info.flags = SocketInfo::REWRITTEN;
            }
            trace!(ctx, "connect: service {} to backend {}", service.id, index);
            address::rewrite(ctx, family, &backend.address, backend.port);
            1
        }
    }
}

/// A socket that dialled a service before and now something else must not show the old address.
#[inline(always)]
fn forget(ctx: &SockAddrContext) {
    let info: *mut SocketInfo = address::storage(&SOCKETS, address::socket(ctx).cast(), false);
    if !info.is_null() {
        // SAFETY: this socket's storage.
        unsafe {
            (*info).flags = 0;
            (*info).service = 0;
        }
    }
}
