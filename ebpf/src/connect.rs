//! connect4, connect6: a service address becomes a backend's, once per connection; and what an
//! enrolled workload opens to another node becomes a connection to its proxy (see [`crate::capture`]).

use aya_ebpf::{macros::cgroup_sock_addr, programs::SockAddrContext};
use weft_abi::{Counter, Enrolment, Protocol, Scope, ServiceKey, SocketInfo};

use crate::{
    address::{self, Family},
    balance::{self, Choice},
    capture, limits,
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
    let enrolment = if protocol == Protocol::TCP {
        capture::enrolment(netns)
    } else {
        None
    };
    if let Some(enrolment) = enrolment {
        if is_proxy(ctx) {
            return 1;
        }
        if enrolment.flags & Enrolment::READY == 0 && !address::is_own(&vip) {
            return unready(ctx, family, &key, netns, enrolment);
        }
    }
    match balance::choose(&key, || address::client(ctx, family), netns) {
        Choice::NotService => match enrolment {
            Some(enrolment)
                if capture::captures_address(&vip, vip_port, enrolment, netns)
                    && !capture::excludes(enrolment, netns, &vip, vip_port) =>
            {
                let Some(info) = remember(ctx, &key, netns) else {
                    return balance::refused();
                };
                capture_dialled(info, &key);
                info.destination = capture::workload(&vip);
                capture::to_proxy(ctx, family, &vip, enrolment);
                1
            }
            _ => {
                forget(ctx);
                1
            }
        },
        Choice::Refused => {
            forget(ctx);
            trace!(ctx, "refused: port {} has no usable backend", vip_port);
            balance::refused()
        }
        Choice::Backend(service, index, backend) => {
            if let Some(enrolment) = enrolment
                && !limits::admits(&key, service.id, netns, enrolment)
            {
                forget(ctx);
                return balance::refused();
            }
            let captures = match enrolment {
                Some(enrolment) => {
                    capture::captures_backend(backend, enrolment, netns)
                        && !capture::excludes(enrolment, netns, &vip, vip_port)
                }
                None => false,
            };
            if let Some(info) = remember(ctx, &key, netns) {
                address::copy(&raw mut info.peer, &backend.address);
                info.peer_port = backend.port;
                info.service = service.id;
                info.backend = index;
                info.generation = backend.generation;
                info.destination = backend.workload;
                info.flags = SocketInfo::REWRITTEN;
                if captures {
                    info.flags = SocketInfo::REWRITTEN | SocketInfo::CAPTURED;
                }
            } else if captures {
                // Nobody could tell the proxy where this was going.
                return balance::refused();
            }
            trace!(ctx, "connect: service {} to backend {}", service.id, index);
            match enrolment {
                Some(enrolment) if captures => {
                    capture::to_proxy(ctx, family, &backend.address, enrolment);
                }
                _ => address::rewrite(ctx, family, &backend.address, backend.port),
            }
            1
        }
    }
}

/// A workload whose policy is not in the maps connects: refused, or, where the proxy is there for it,
/// sent to wait there, whatever it dialled: nothing is chosen before policy is there to choose by.
#[inline(always)]
fn unready(
    ctx: &SockAddrContext,
    family: Family,
    key: &ServiceKey,
    netns: u64,
    enrolment: &Enrolment,
) -> i32 {
    if enrolment.flags & Enrolment::HOLD != 0
        && let Some(info) = remember(ctx, key, netns)
    {
        capture_dialled(info, key);
        count(Counter::HELD);
        capture::to_proxy(ctx, family, &key.address, enrolment);
        return 1;
    }
    forget(ctx);
    capture::refuse_unready(key, netns, enrolment);
    balance::refused()
}

/// The proxy is to go where the application did; no service is behind it.
#[inline(always)]
fn capture_dialled(info: &mut SocketInfo, key: &ServiceKey) {
    address::copy(&raw mut info.peer, &key.address);
    info.peer_port = key.port;
    info.service = 0;
    info.backend = 0;
    info.generation = 0;
    info.destination = 0;
    info.flags = SocketInfo::REWRITTEN | SocketInfo::CAPTURED;
}

/// Whether the socket is one of the proxy's own.
#[inline(always)]
fn is_proxy(ctx: &SockAddrContext) -> bool {
    let info: *mut SocketInfo = address::storage(&SOCKETS, address::socket(ctx).cast(), false);
    // SAFETY: null or this socket's storage.
    unsafe { info.as_ref() }.is_some_and(|info| info.flags & SocketInfo::PROXY != 0)
}

/// The socket's storage, with what was dialled; the caller fills in the rest.
#[inline(always)]
fn remember(
    ctx: &SockAddrContext,
    key: &ServiceKey,
    netns: u64,
) -> Option<&'static mut SocketInfo> {
    let info: *mut SocketInfo = address::storage(&SOCKETS, address::socket(ctx).cast(), true);
    // SAFETY: this socket's storage, and connect holds the socket's lock.
    let Some(info) = (unsafe { info.as_mut() }) else {
        count(Counter::STORAGE_FAILED);
        return None;
    };
    address::copy(&raw mut info.vip, &key.address);
    info.vip_port = key.port;
    info.netns = netns;
    info.protocol = key.protocol;
    Some(info)
}

/// A socket that dialled a service before and now something else must not show the old address.
#[inline(always)]
fn forget(ctx: &SockAddrContext) {
    let info: *mut SocketInfo = address::storage(&SOCKETS, address::socket(ctx).cast(), false);
    if !info.is_null() {
        // SAFETY: this socket's storage.
        unsafe {
            (*info).flags &= SocketInfo::PROXY;
            (*info).service = 0;
        }
    }
}
