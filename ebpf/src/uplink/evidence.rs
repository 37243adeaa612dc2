//! What a tracked flow leaves in its entry and in `EDGES`.

use aya_ebpf::programs::TcContext;
use weft_abi::{Address, Backend, EdgeValue, FlowKey, FlowValue, Protocol};
use weft_logic::{
    flow,
    packet::{Packet, RST},
    pick::Tables,
};

use crate::{
    address, atomic,
    balance::Kernel,
    edges,
    maps::{BACKENDS, FLOWS, SERVICE_STATE, WORKLOADS},
};

/// Keeps an entry fresh, and counts into the edge: bytes when enough have gathered or a second has
/// passed, the beginning and the end of a connection. `other` is room for a key.
#[inline(always)]
pub(super) fn follow(
    ctx: &TcContext,
    packet: &Packet,
    other: &mut FlowKey,
    entry: *mut FlowValue,
    flow: &FlowValue,
) {
    let (before, now) = (flow.flags, Kernel.now());
    let after = flow::flags_after(before, packet);
    let bytes = flow.bytes + u64::from(packet.payload_bytes(ctx.len()));
    let report = after != before || flow::reports(bytes, flow.seen, now);
    // SAFETY: a valid map value; lost updates between CPUs cost a few bytes of a counter.
    unsafe {
        (*entry).seen = now;
        (*entry).bytes = if report { 0 } else { bytes };
        if after != before {
            (*entry).flags = after;
        }
    }
    if !report {
        return;
    }
    if packet.protocol == Protocol::UDP && before & FlowValue::SOURCE != 0 {
        keep_partner(packet, other, flow, now);
    }
    // The two outer entries of a flow see the client's and the backend's packets; the inner two of
    // a masqueraded one would count them twice.
    let forward = before & FlowValue::FORWARD != 0;
    let reply = before & (FlowValue::SOURCE | FlowValue::MASQUERADED) == FlowValue::SOURCE;
    if packet.protocol != Protocol::TCP || !(forward || reply) {
        return;
    }
    let client = if forward {
        &packet.source
    } else {
        &packet.destination
    };
    let Some(edge) = edge(client, flow) else {
        return;
    };
    if forward {
        count_client(edge, bytes, before, after);
        return;
    }
    // SAFETY: a valid map value.
    atomic::add(unsafe { &raw mut (*edge).received }, bytes);
    if packet.flags & RST != 0 && before & FlowValue::RESET == 0 {
        reset(edge, packet, other, flow);
    }
}

/// Counts what the client's own packets tell.
#[inline(always)]
fn count_client(edge: *mut EdgeValue, bytes: u64, before: u16, after: u16) {
    // SAFETY: a valid map value.
    unsafe {
        atomic::add(&raw mut (*edge).sent, bytes);
        if flow::establishes(before, after) {
            atomic::add(&raw mut (*edge).opened, 1);
        }
        if flow::ends(before, after) {
            atomic::add(&raw mut (*edge).closed, 1);
        }
    }
}

/// The entry for packets the other way of one that replaces a packet's source: what it writes is
/// where they come to.
#[inline(always)]
fn partner(packet: &Packet, other: &mut FlowKey, flow: &FlowValue) -> Option<*mut FlowValue> {
    address::copy(&mut other.source, &packet.destination);
    address::copy(&mut other.destination, &flow.address);
    other.source_port = packet.destination_port;
    other.destination_port = flow.port;
    other.protocol = packet.protocol;
    other.hook = FlowKey::INGRESS;
    FLOWS.get_ptr_mut(&*other)
}

/// Datagrams that go one way only keep both ways alive.
#[inline(always)]
fn keep_partner(packet: &Packet, other: &mut FlowKey, flow: &FlowValue, now: u64) {
    if let Some(entry) = partner(packet, other, flow) {
        // SAFETY: a valid map value; a torn or lost write of a time is harmless.
        unsafe { (*entry).seen = now };
    }
}

/// The backend reset the connection: the client's entry learns of it, since the client may not say
/// a word any more.
#[inline(always)]
fn reset(edge: *mut EdgeValue, packet: &Packet, other: &mut FlowKey, flow: &FlowValue) {
    let Some(entry) = partner(packet, other, flow) else {
        return;
    };
    // SAFETY: valid map values; a lost update costs one count.
    unsafe {
        let before = (*entry).flags;
        (*entry).flags = before | FlowValue::RESET;
        if before & FlowValue::ESTABLISHED == 0 {
            atomic::add(&raw mut (*edge).failed, 1);
        } else if before & flow::ENDED == 0 {
            atomic::add(&raw mut (*edge).reset, 1);
            atomic::add(&raw mut (*edge).closed, 1);
        }
    }
}

/// Counts a datagram flow that was given a backend; connections count once they are established.
#[inline(always)]
pub(super) fn begun(packet: &Packet, service: u32) {
    if packet.protocol == Protocol::UDP
        && let Some(state) = SERVICE_STATE.get_ptr_mut(service)
    {
        // SAFETY: a valid map value.
        atomic::add(unsafe { &raw mut (*state).udp_flows }, 1);
    }
}

/// The edge of a TCP flow. A backend that is gone meanwhile is an unknown workload.
#[inline(always)]
fn edge(client: &Address, flow: &FlowValue) -> Option<*mut EdgeValue> {
    // SAFETY: a word, read once.
    let source = unsafe { WORKLOADS.get(client) }.copied().unwrap_or(0);
    let owned = |backend: &&Backend| backend.generation == flow.generation;
    let destination = BACKENDS
        .get(flow.backend)
        .filter(owned)
        .map_or(0, |backend| backend.workload);
    edges::edge(source, flow.service, destination, Protocol::TCP)
}
