//! tc ingress and egress on named interfaces: what no socket hook sees. Traffic from outside to
//! node ports, load balancer and external addresses is given a backend, tracked, and translated
//! back; ICMP errors about it are translated both ways. See `weft_logic::flow` for the entries.
//!
//! [`rewrite`] changes packets, [`icmp`] what ICMP errors quote, [`evidence`] counts.

mod evidence;

mod icmp;

mod rewrite;

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_NOEXIST},
    btf_maps::PerCpuArray,
    macros::{btf_map, classifier},
    programs::TcContext,
};
use weft_abi::{
    Address, Backend, Counter, FlowKey, FlowValue, Protocol, Scope, Service, ServiceKey,
};
use weft_logic::{
    flow,
    packet::{self, FRAGMENT, Packet},
    pick::Tables,
};

use self::rewrite::{Change, Skb};
use crate::{
    address,
    balance::{self, Choice, Kernel},
    maps::{BACKENDS, FLOWS, NODE_ADDRESS, count},
    trace::trace,
};

/// `enum tcx_action_base` (include/uapi/linux/bpf.h): on to the next program, or drop.
const TCX_NEXT: i32 = -1;
const TCX_DROP: i32 = 2;

/// What a program works on; its stack is too small.
pub(crate) struct Scratch {
    packet: Packet,
    /// The packet's own.
    key: FlowKey,
    /// Of another entry.
    other: FlowKey,
    flow: FlowValue,
}

#[btf_map]
static SCRATCH: PerCpuArray<Scratch, 1> = PerCpuArray::new();

/// tcx ingress of an uplink.
#[classifier]
pub(crate) fn weft_ingress(ctx: TcContext) -> i32 {
    run(&ctx, FlowKey::INGRESS)
}

/// tcx egress of an uplink.
#[classifier]
pub(crate) fn weft_egress(ctx: TcContext) -> i32 {
    run(&ctx, FlowKey::EGRESS)
}

#[inline(always)]
fn run(ctx: &TcContext, hook: u8) -> i32 {
    // SAFETY: one word of the context.
    let ethertype = u16::from_be(unsafe { (*ctx.skb.skb).protocol } as u16);
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else {
        return TCX_NEXT;
    };
    // SAFETY: this CPU's own slot; tc runs with softirqs off, so nobody else is on it meanwhile.
    let scratch = unsafe { &mut *scratch };
    if packet::read(&Skb(ctx.skb.skb), ethertype, &mut scratch.packet).is_none() {
        return TCX_NEXT;
    }
    let packet = &scratch.packet;
    if packet.quoted != 0 {
        icmp::translate_error(ctx, packet, hook);
        return TCX_NEXT;
    }
    scratch.key = packet.key(hook);
    if let Some(entry) = FLOWS.get_ptr_mut(&scratch.key) {
        // SAFETY: a valid map value; an LRU map may give the entry to another flow meanwhile,
        // which costs that flow nothing and this packet its way.
        let flow = unsafe { &*entry };
        let spent = flow.flags & FlowValue::FORWARD != 0
            && flow::is_spent(flow, packet, BACKENDS.get(flow.backend), Kernel.now());
        if !spent {
            if flow.backend != 0 {
                evidence::follow(ctx, packet, &mut scratch.other, entry, flow);
            }
            let change = Change {
                source: flow.flags & FlowValue::SOURCE != 0,
                address: &flow.address,
                port: flow.port,
            };
            translate(ctx, packet, hook, &change);
            return TCX_NEXT;
        }
        // Should the address be no service's any more, what follows must not find it.
        let _ = FLOWS.remove(&scratch.key);
    }
    if hook == FlowKey::INGRESS && packet.begins() {
        return begin(ctx, scratch);
    }
    TCX_NEXT
}

/// Applies a change to a packet, and has it applied to the fragments that follow.
#[inline(always)]
fn translate(ctx: &TcContext, packet: &Packet, hook: u8, change: &Change<'_>) {
    if packet.protocol == FRAGMENT {
        rewrite::addresses(ctx.skb.skb, packet, change);
        return;
    }
    if packet.fragmented {
        remember_fragments(packet, hook, change);
    }
    rewrite::rewrite(ctx.skb.skb, packet, change);
}

/// Makes the entry that later fragments of a packet find.
#[inline(always)]
fn remember_fragments(packet: &Packet, hook: u8, change: &Change<'_>) {
    let value = FlowValue {
        address: Address::from_words(change.address.words()),
        seen: Kernel.now(),
        bytes: 0,
        service: 0,
        backend: 0,
        generation: 0,
        port: 0,
        flags: if change.source { FlowValue::SOURCE } else { 0 },
    };
    // An LRU map makes room; failing costs this packet.
    let _ = FLOWS.insert(packet.fragment_key(hook), value, u64::from(BPF_ANY));
}

/// A client's first packet: to a service it gets a backend, else it is nobody's business here.
#[inline(always)]
fn begin(ctx: &TcContext, scratch: &mut Scratch) -> i32 {
    let packet = &scratch.packet;
    let service = ServiceKey {
        address: packet.destination,
        port: packet.destination_port,
        protocol: packet.protocol,
        scope: Scope::UPLINK,
    };
    match balance::choose(&service, || packet.source, 0) {
        Choice::NotService => {
            forget_reply(scratch);
            TCX_NEXT
        }
        Choice::Refused => refuse(ctx, scratch),
        Choice::Backend(service, index, backend) => {
            if !record(scratch, &service, index, backend) {
                count(Counter::FLOWS_FULL);
                return TCX_DROP;
            }
            count(Counter::FLOWS);
            evidence::begun(&scratch.packet, service.id);
            trace!(ctx, "flow: service {} to backend {}", service.id, index);
            let change = Change {
                source: false,
                address: &backend.address,
                port: backend.port,
            };
            translate(ctx, &scratch.packet, FlowKey::INGRESS, &change);
            TCX_NEXT
        }
    }
}

/// A client that dials a backend itself, from a port it used for a service before, is not to be
/// answered by the service.
#[inline(always)]
fn forget_reply(scratch: &mut Scratch) {
    let Scratch { packet, other, .. } = scratch;
    if packet.protocol != Protocol::TCP {
        return;
    }
    copy(&mut other.source, &packet.destination);
    copy(&mut other.destination, &packet.source);
    other.source_port = packet.destination_port;
    other.destination_port = packet.source_port;
    other.protocol = packet.protocol;
    other.hook = FlowKey::EGRESS;
    // SAFETY: a valid map value, read at once.
    if let Some(flow) = unsafe { FLOWS.get(&*other) }
        && flow::is_over(flow, Protocol::TCP, 0, Kernel.now())
    {
        let _ = FLOWS.remove(&*other);
    }
}

/// Hands a packet that has no backend to the node's own stack at a port nobody has: it refuses, and
/// the refusal leaves as the service's. Dropped when the node has no address of the family.
#[inline(always)]
fn refuse(ctx: &TcContext, scratch: &mut Scratch) -> i32 {
    let Scratch {
        packet,
        other,
        flow,
        ..
    } = scratch;
    let Some(node) = node_address(packet.v6) else {
        return TCX_DROP;
    };
    flow.seen = Kernel.now();
    flow.bytes = 0;
    flow.service = 0;
    flow.backend = 0;
    flow.generation = 0;
    copy(&mut flow.address, &packet.destination);
    flow.port = packet.destination_port;
    flow.flags = FlowValue::SOURCE;
    reply_key(packet, other, node, flow::REFUSING_PORT);
    if FLOWS.insert(&*other, &*flow, u64::from(BPF_ANY)).is_err() {
        return TCX_DROP;
    }
    let change = Change {
        source: false,
        address: node,
        port: flow::REFUSING_PORT,
    };
    translate(ctx, packet, FlowKey::INGRESS, &change);
    TCX_NEXT
}

/// The key of what a backend answers, at egress.
#[inline(always)]
fn reply_key(packet: &Packet, key: &mut FlowKey, backend: &Address, port: u16) {
    copy(&mut key.source, backend);
    copy(&mut key.destination, &packet.source);
    key.source_port = port;
    key.destination_port = packet.source_port;
    key.protocol = packet.protocol;
    key.hook = FlowKey::EGRESS;
}

/// What this node masquerades as.
#[inline(always)]
fn node_address(v6: bool) -> Option<&'static Address> {
    NODE_ADDRESS
        .get(u32::from(v6))
        .filter(|node| node.words()[3] != 0)
}

/// Makes the entries of a new flow; the forward one last, so that no packet meets half of them.
/// False when another flow has the keys: the client tries again, perhaps with another backend.
#[inline(always)]
fn record(scratch: &mut Scratch, service: &Service, index: u32, backend: &Backend) -> bool {
    let Scratch {
        packet,
        key,
        other,
        flow,
    } = scratch;
    flow.seen = Kernel.now();
    flow.bytes = 0;
    flow.service = service.id;
    flow.backend = index;
    flow.generation = backend.generation;
    // egress, backend -> client: source := service.
    copy(&mut flow.address, &packet.destination);
    flow.port = packet.destination_port;
    flow.flags = FlowValue::SOURCE;
    reply_key(packet, other, &backend.address, backend.port);
    if is_taken(other, flow) || FLOWS.insert(&*other, &*flow, u64::from(BPF_ANY)).is_err() {
        return false;
    }
    let mut flags = FlowValue::FORWARD;
    if service.flags & Service::MASQUERADE != 0 && backend.flags & Backend::LOCAL == 0 {
        flags |= FlowValue::MASQUERADED;
        if !masquerade(packet, other, flow) {
            return false;
        }
    }
    copy(&mut flow.address, &backend.address);
    flow.port = backend.port;
    flow.flags = flags;
    FLOWS.insert(&*key, &*flow, u64::from(BPF_ANY)).is_ok()
}

/// Whether the reply's key belongs to a live flow of the same client to another service: the
/// backend could not tell the two apart.
#[inline(always)]
fn is_taken(key: &FlowKey, wanted: &FlowValue) -> bool {
    // SAFETY: a valid map value, read at once.
    unsafe { FLOWS.get(key) }.is_some_and(|flow| {
        let same = flow.port == wanted.port && flow.address.is(&wanted.address);
        let now = Kernel.now();
        !same && flow.backend != 0 && !flow::is_over(flow, key.protocol, flow::TCP_ENDED_SHORT, now)
    })
}

/// Finds a free port and makes the two entries of a masqueraded flow. `other` comes in as the
/// key of backend to client at egress.
#[inline(always)]
fn masquerade(packet: &Packet, other: &mut FlowKey, flow: &mut FlowValue) -> bool {
    let Some(node) = node_address(packet.v6) else {
        return false;
    };
    // ingress, backend -> node:port: destination := client.
    other.hook = FlowKey::INGRESS;
    copy(&mut other.destination, node);
    copy(&mut flow.address, &packet.source);
    flow.port = packet.source_port;
    flow.flags = FlowValue::MASQUERADED;
    let mut attempt = 0;
    while attempt < flow::MASQUERADE_TRIES {
        other.destination_port = flow::masquerade_port(Kernel.random());
        if claim(other, flow, attempt) {
            break;
        }
        attempt += 1;
    }
    if attempt == flow::MASQUERADE_TRIES {
        return false;
    }
    // egress, client -> backend: source := node:port.
    copy(&mut flow.address, node);
    flow.port = other.destination_port;
    flow.flags = FlowValue::SOURCE | FlowValue::MASQUERADED;
    let backend = other.source.words();
    other.destination_port = other.source_port;
    copy(&mut other.source, &packet.source);
    copy(&mut other.destination, &Address::from_words(backend));
    other.source_port = packet.source_port;
    other.hook = FlowKey::EGRESS;
    FLOWS.insert(&*other, &*flow, u64::from(BPF_ANY)).is_ok()
}

/// Takes a key that is free, or whose flow is over.
#[inline(always)]
fn claim(key: &FlowKey, flow: &FlowValue, attempt: u32) -> bool {
    if FLOWS.insert(key, flow, u64::from(BPF_NOEXIST)).is_ok() {
        return true;
    }
    let quiet = flow::quiet_before_reuse(attempt);
    // SAFETY: a valid map value, read at once.
    unsafe { FLOWS.get(key) }.is_some_and(|old| flow::is_over(old, key.protocol, quiet, flow.seen))
        && FLOWS.insert(key, flow, u64::from(BPF_ANY)).is_ok()
}

#[inline(always)]
fn copy(to: &mut Address, from: &Address) {
    address::copy(to, from);
}
