//! tc ingress and egress on named interfaces: what no socket hook sees. Traffic from outside to
//! node ports, load balancer and external addresses is given a backend, tracked, and translated
//! back; ICMP errors about it are translated both ways. See `weft_logic::flow` for the entries.

use aya_ebpf::{
    bindings::{__sk_buff, BPF_ANY, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR, BPF_NOEXIST},
    btf_maps::PerCpuArray,
    helpers::generated::{
        bpf_csum_diff, bpf_l3_csum_replace, bpf_l4_csum_replace, bpf_skb_load_bytes,
        bpf_skb_store_bytes,
    },
    macros::{btf_map, classifier},
    programs::TcContext,
};
use weft_abi::{
    Address, Backend, Counter, FlowKey, FlowValue, Protocol, Scope, Service, ServiceKey,
};
use weft_logic::{
    flow,
    packet::{self, Bytes, Packet},
    pick::Tables,
};

use crate::{
    address, atomic,
    balance::{self, Choice, Kernel},
    edges,
    maps::{BACKENDS, FLOWS, NODE_ADDRESS, SERVICE_STATE, WORKLOADS, count},
    trace::trace,
};

/// `enum tcx_action_base` (include/uapi/linux/bpf.h): on to the next program, or drop.
const TCX_NEXT: i32 = -1;
const TCX_DROP: i32 = 2;

/// What a program works on; its stack is too small.
pub(crate) struct Scratch {
    packet: Packet,
    key: FlowKey,
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
        translate_error(ctx, packet, hook);
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
            follow(ctx, &packet, entry, &flow);
            rewrite(
                ctx,
                &packet,
                flow.flags & FlowValue::SOURCE != 0,
                &flow.address,
                flow.port,
            );
            return TCX_NEXT;
        }
    }
    if hook == FlowKey::INGRESS && packet.begins() {
        return begin(ctx, scratch);
    }
    TCX_NEXT
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
        Choice::NotService => TCX_NEXT,
        Choice::Refused => TCX_DROP,
        Choice::Backend(service, index, backend) => {
            if !record(scratch, &service, index, backend) {
                count(Counter::FLOWS_FULL);
                return TCX_DROP;
            }
            count(Counter::FLOWS);
            opened(&scratch.packet, &service, backend);
            trace!(ctx, "flow: service {} to backend {}", service.id, index);
            rewrite(ctx, &scratch.packet, false, &backend.address, backend.port);
            TCX_NEXT
        }
    }
}

/// Makes the entries of a new flow; the forward one last, so that no packet meets half of them.
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
    copy(&mut other.source, &backend.address);
    copy(&mut other.destination, &packet.source);
    other.source_port = backend.port;
    other.destination_port = packet.source_port;
    other.protocol = packet.protocol;
    other.hook = FlowKey::EGRESS;
    if FLOWS.insert(&*other, &*flow, u64::from(BPF_ANY)).is_err() {
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

/// Finds a free port and makes the two entries of a masqueraded flow. `other` comes in as the
/// key of backend to client at egress.
#[inline(always)]
fn masquerade(packet: &Packet, other: &mut FlowKey, flow: &mut FlowValue) -> bool {
    let Some(node) = NODE_ADDRESS.get(u32::from(packet.v6)) else {
        return false;
    };
    if node.words()[3] == 0 {
        return false;
    }
    // ingress, backend -> node:port: destination := client.
    other.hook = FlowKey::INGRESS;
    copy(&mut other.destination, node);
    copy(&mut flow.address, &packet.source);
    flow.port = packet.source_port;
    flow.flags = FlowValue::MASQUERADED;
    let mut attempt = 0;
    while attempt < flow::MASQUERADE_TRIES {
        other.destination_port = flow::masquerade_port(Kernel.random());
        if FLOWS
            .insert(&*other, &*flow, u64::from(BPF_NOEXIST))
            .is_ok()
        {
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

#[inline(always)]
fn copy(to: &mut Address, from: &Address) {
    address::copy(to, from);
}

/// Keeps an entry fresh and counts its bytes into the edge when enough have gathered.
#[inline(always)]
fn follow(ctx: &TcContext, packet: &Packet, entry: *mut FlowValue, flow: &FlowValue) {
    let flags = flow::flags_after(flow, packet);
    let bytes = flow.bytes + u64::from(ctx.len().saturating_sub(packet.payload));
    let ends = flags != flow.flags;
    let report = ends || bytes >= flow::REPORT_BYTES;
    // SAFETY: a valid map value; lost updates between CPUs cost a few bytes of a counter.
    unsafe {
        (*entry).seen = Kernel.now();
        (*entry).bytes = if report { 0 } else { bytes };
        if ends {
            (*entry).flags = flags;
        }
    }
    // The two outer entries of a flow see the client's and the backend's bytes; the inner two of
    // a masqueraded one would count them twice.
    let forward = flow.flags & FlowValue::FORWARD != 0;
    let reply = flow.flags & (FlowValue::SOURCE | FlowValue::MASQUERADED) == FlowValue::SOURCE;
    if !report || packet.protocol != Protocol::TCP || !(forward || reply) {
        return;
    }
    let client = if forward {
        &packet.source
    } else {
        &packet.destination
    };
    let Some(edge) = edge(
        client,
        packet.protocol,
        flow.service,
        BACKENDS.get(flow.backend),
    ) else {
        return;
    };
    let closes = ends && forward && flow.flags & (FlowValue::FIN | FlowValue::RESET) == 0;
    // SAFETY: a valid map value.
    unsafe {
        if forward {
            atomic::add(&raw mut (*edge).sent, bytes);
        } else {
            atomic::add(&raw mut (*edge).received, bytes);
        }
        if closes {
            atomic::add(&raw mut (*edge).closed, 1);
        }
    }
}

#[inline(always)]
fn opened(packet: &Packet, service: &Service, backend: &Backend) {
    if packet.protocol == Protocol::UDP {
        if let Some(state) = SERVICE_STATE.get_ptr_mut(service.id) {
            // SAFETY: a valid map value.
            atomic::add(unsafe { &raw mut (*state).udp_flows }, 1);
        }
    } else if let Some(edge) = edge(&packet.source, packet.protocol, service.id, Some(backend)) {
        // SAFETY: a valid map value.
        atomic::add(unsafe { &raw mut (*edge).opened }, 1);
    }
}

#[inline(always)]
fn edge(
    client: &Address,
    protocol: u8,
    service: u32,
    backend: Option<&Backend>,
) -> Option<*mut weft_abi::EdgeValue> {
    // SAFETY: a word, read once.
    let source = unsafe { WORKLOADS.get(client) }.copied().unwrap_or(0);
    edges::edge(
        source,
        service,
        backend.map_or(0, |backend| backend.workload),
        protocol,
    )
}

/// Translates an ICMP error about a tracked flow: the quoted packet is one the other way.
#[inline(always)]
fn translate_error(ctx: &TcContext, packet: &Packet, hook: u8) {
    let key = packet.reverse_key(hook);
    // SAFETY: as in `run`.
    let Some(flow) = (unsafe { FLOWS.get(&key) }) else {
        return;
    };
    count(Counter::ICMP_TRANSLATED);
    // What replaces the source of packets the other way is the quoted packet's destination.
    let quoted_destination = flow.flags & FlowValue::SOURCE != 0;
    let before = if quoted_destination {
        &packet.destination
    } else {
        &packet.source
    };
    let fields = Fields::of(packet.v6);
    let skb = ctx.skb.skb;
    let checksum = packet.transport + 2;
    let quoted_at = packet.quoted
        + if quoted_destination {
            fields.destination
        } else {
            fields.source
        };
    let port_at = packet.quoted_transport + if quoted_destination { 2 } else { 0 };
    let port_before = if quoted_destination {
        packet.destination_port
    } else {
        packet.source_port
    };
    let outer_at = packet.ip
        + if quoted_destination {
            fields.source
        } else {
            fields.destination
        };
    // Outer address: the error comes from the backend itself (else from a router on the way,
    // which stays), or goes to the address that is replaced.
    let outer = if packet.v6 {
        Skb(skb).load(outer_at).map(Address::v6)
    } else {
        Skb(skb).load(outer_at).map(Address::v4)
    };
    let outer_is_replaced = outer.is_some_and(|outer| outer.is(before));
    if packet.v6 {
        // ICMPv6 covers the quoted bytes and, as a pseudo header, the outer addresses.
        update_v6(skb, checksum, before, &flow.address, 0);
        if outer_is_replaced {
            update_v6(
                skb,
                checksum,
                before,
                &flow.address,
                u64::from(BPF_F_PSEUDO_HDR),
            );
        }
    } else {
        // The quoted header's own checksum offsets its address in ICMP's.
        update_v4_header(skb, packet.quoted + 10, before, &flow.address);
        if outer_is_replaced {
            update_v4_header(skb, packet.ip + 10, before, &flow.address);
        }
    }
    // SAFETY: helpers take the context and check offsets.
    unsafe {
        bpf_l4_csum_replace(
            skb,
            checksum,
            u64::from(port_before.to_be()),
            u64::from(flow.port.to_be()),
            2,
        );
    }
    store_address(skb, quoted_at, packet.v6, &flow.address);
    store_port(skb, port_at, flow.port);
    if outer_is_replaced {
        store_address(skb, outer_at, packet.v6, &flow.address);
    }
}

/// Offsets of the addresses in an IP header.
struct Fields {
    source: u32,
    destination: u32,
}

impl Fields {
    #[inline(always)]
    fn of(v6: bool) -> Self {
        if v6 {
            Self {
                source: 8,
                destination: 24,
            }
        } else {
            Self {
                source: 12,
                destination: 16,
            }
        }
    }
}

/// Replaces source or destination, address and port, with all checksums.
#[inline(always)]
fn rewrite(ctx: &TcContext, packet: &Packet, source: bool, address: &Address, port: u16) {
    let skb = ctx.skb.skb;
    let fields = Fields::of(packet.v6);
    let (before, port_before) = if source {
        (&packet.source, packet.source_port)
    } else {
        (&packet.destination, packet.destination_port)
    };
    let address_at = packet.ip
        + if source {
            fields.source
        } else {
            fields.destination
        };
    let port_at = packet.transport + if source { 0 } else { 2 };
    let udp = packet.protocol == Protocol::UDP;
    let checksum = packet.transport + if udp { 6 } else { 16 };
    // A UDP checksum of zero means none (RFC 768) and stays so.
    let mangled = if udp {
        u64::from(BPF_F_MARK_MANGLED_0)
    } else {
        0
    };
    if packet.v6 {
        update_v6(
            skb,
            checksum,
            before,
            address,
            u64::from(BPF_F_PSEUDO_HDR) | mangled,
        );
    } else {
        update_v4_header(skb, packet.ip + 10, before, address);
        // SAFETY: helpers take the context and check offsets.
        unsafe {
            bpf_l4_csum_replace(
                skb,
                checksum,
                u64::from(before.words()[3]),
                u64::from(address.words()[3]),
                u64::from(BPF_F_PSEUDO_HDR) | mangled | 4,
            );
        }
    }
    // SAFETY: as above.
    unsafe {
        bpf_l4_csum_replace(
            skb,
            checksum,
            u64::from(port_before.to_be()),
            u64::from(port.to_be()),
            mangled | 2,
        );
    }
    store_address(skb, address_at, packet.v6, address);
    store_port(skb, port_at, port);
}

#[inline(always)]
fn update_v4_header(skb: *mut __sk_buff, checksum: u32, before: &Address, after: &Address) {
    // SAFETY: the helper takes the context and checks the offset.
    unsafe {
        bpf_l3_csum_replace(
            skb,
            checksum,
            u64::from(before.words()[3]),
            u64::from(after.words()[3]),
            4,
        );
    }
}

#[inline(always)]
fn update_v6(skb: *mut __sk_buff, checksum: u32, before: &Address, after: &Address, flags: u64) {
    let (mut before, mut after) = (before.words(), after.words());
    // SAFETY: 16 bytes on the stack each; helpers take the context and check offsets.
    unsafe {
        let difference = bpf_csum_diff(before.as_mut_ptr(), 16, after.as_mut_ptr(), 16, 0);
        bpf_l4_csum_replace(skb, checksum, 0, difference as u64, flags);
    }
}

#[inline(always)]
fn store_address(skb: *mut __sk_buff, at: u32, v6: bool, address: &Address) {
    let words = address.words();
    // SAFETY: as above.
    unsafe {
        if v6 {
            bpf_skb_store_bytes(skb, at, words.as_ptr().cast(), 16, 0);
        } else {
            let word = words[3];
            bpf_skb_store_bytes(skb, at, (&raw const word).cast(), 4, 0);
        }
    }
}

#[inline(always)]
fn store_port(skb: *mut __sk_buff, at: u32, port: u16) {
    let port = port.to_be();
    // SAFETY: as above.
    unsafe { bpf_skb_store_bytes(skb, at, (&raw const port).cast(), 2, 0) };
}

/// Bytes of a packet by helper: works on fragments of an skb alike.
struct Skb(*mut __sk_buff);

impl Bytes for Skb {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let mut bytes = core::mem::MaybeUninit::<[u8; N]>::uninit();
        // SAFETY: the helper writes all N bytes or fails.
        unsafe {
            let result =
                bpf_skb_load_bytes(self.0.cast(), offset, bytes.as_mut_ptr().cast(), N as u32);
            (result == 0).then(|| bytes.assume_init())
        }
    }
}
