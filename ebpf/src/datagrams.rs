//! sendmsg4/6 and recvmsg4/6: datagrams of unconnected UDP sockets go to a backend, and replies
//! come from the service address. A socket keeps its backend (see `weft_logic::datagrams`).

use aya_ebpf::{macros::cgroup_sock_addr, programs::SockAddrContext};
use weft_abi::{Address, Counter, Protocol, Scope, ServiceKey, SocketInfo, UdpFlow, UdpFlows};
use weft_logic::{datagrams, pick::Tables};

use crate::{
    address::{self, Family},
    atomic,
    balance::{self, Choice, Kernel},
    maps::{BACKENDS, SERVICE_STATE, SOCKETS, UDP_FLOWS, count},
};

/// cgroup/sendmsg4.
#[cgroup_sock_addr(sendmsg4)]
pub(crate) fn weft_sendmsg4(ctx: SockAddrContext) -> i32 {
    send(&ctx, Family::V4)
}

/// cgroup/sendmsg6.
#[cgroup_sock_addr(sendmsg6)]
pub(crate) fn weft_sendmsg6(ctx: SockAddrContext) -> i32 {
    send(&ctx, Family::V6)
}

/// cgroup/recvmsg4.
#[cgroup_sock_addr(recvmsg4)]
pub(crate) fn weft_recvmsg4(ctx: SockAddrContext) -> i32 {
    receive(&ctx, Family::V4)
}

/// cgroup/recvmsg6; also runs for v4-mapped sources.
#[cgroup_sock_addr(recvmsg6)]
pub(crate) fn weft_recvmsg6(ctx: SockAddrContext) -> i32 {
    receive(&ctx, Family::V6)
}

#[inline(always)]
fn send(ctx: &SockAddrContext, family: Family) -> i32 {
    let (vip, port) = address::user(ctx, family);
    let flows: *mut UdpFlows = address::storage(&UDP_FLOWS, address::socket(ctx).cast(), false);
    // SAFETY: null or this socket's storage. Two threads sending on one socket race only for
    // which of them is remembered.
    if let Some(flow) = unsafe { flows.as_mut() }.and_then(|flows| known(flows, &vip, port)) {
        address::rewrite(ctx, family, &flow.peer, flow.peer_port);
        return 1;
    }
    let key = ServiceKey {
        address: vip,
        port,
        protocol: Protocol::UDP,
        scope: Scope::SOCKET,
    };
    let netns = address::netns(ctx);
    match balance::choose(&key, || address::client(ctx, family), netns) {
        Choice::NotService => 1,
        Choice::Refused => balance::refused(),
        Choice::Backend(service, index, backend) => {
            remember(
                ctx,
                UdpFlow {
                    vip,
                    peer: backend.address,
                    seen: Kernel.now(),
                    service: service.id,
                    backend: index,
                    generation: backend.generation,
                    vip_port: port,
                    peer_port: backend.port,
                },
            );
            address::rewrite(ctx, family, &backend.address, backend.port);
            1
        }
    }
}

/// The remembered flow to a destination, freshened; one that holds no longer is forgotten.
#[inline(always)]
fn known(flows: &mut UdpFlows, vip: &Address, port: u16) -> Option<UdpFlow> {
    let position = datagrams::position_of(flows, vip, port)?;
    let flow = flows.flows.get_mut(position)?;
    let now = Kernel.now();
    let backend = BACKENDS.get(flow.backend)?;
    if !datagrams::holds(flow, backend, now) {
        flow.service = 0;
        return None;
    }
    flow.seen = now;
    Some(*flow)
}

#[inline(always)]
fn remember(ctx: &SockAddrContext, flow: UdpFlow) {
    let flows: *mut UdpFlows = address::storage(&UDP_FLOWS, address::socket(ctx).cast(), true);
    // SAFETY: null or this socket's storage.
    let Some(flows) = (unsafe { flows.as_mut() }) else {
        return count(Counter::STORAGE_FAILED);
    };
    if let Some(state) = SERVICE_STATE.get_ptr_mut(flow.service) {
        // SAFETY: a valid map value.
        atomic::add(unsafe { &raw mut (*state).udp_flows }, 1);
    }
    let place = datagrams::place_for(flows);
    if let Some(place) = flows.flows.get_mut(place) {
        *place = flow;
    }
}

#[inline(always)]
fn receive(ctx: &SockAddrContext, family: Family) -> i32 {
    let (peer, port) = address::user(ctx, family);
    let socket = address::socket(ctx).cast();
    let flows: *mut UdpFlows = address::storage(&UDP_FLOWS, socket, false);
    // SAFETY: null or this socket's storage.
    if let Some((vip, vip_port)) =
        unsafe { flows.as_ref() }.and_then(|flows| datagrams::reply_from(flows, &peer, port))
    {
        address::rewrite(ctx, family, &vip, vip_port);
        return 1;
    }
    let info: *mut SocketInfo = address::storage(&SOCKETS, socket, false);
    // SAFETY: null or this socket's storage.
    if let Some(info) = unsafe { info.as_ref() }
        && info.flags & SocketInfo::REWRITTEN != 0
        && info.peer_port == port
        && info.peer.is(&peer)
    {
        address::rewrite(ctx, family, &info.vip, info.vip_port);
    }
    1
}
